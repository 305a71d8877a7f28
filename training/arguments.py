"""The ``trainer:`` mapping of a config, checked and turned into ``transformers.TrainingArguments``.

Every field of ``TrainingArguments`` may be set, except those that would break a promise of this room: exact
resumption, the two learning rates, the loss over supervised positions. Each refusal says what to do instead.
"""

import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from spatial.errors import ConfigError, nearest
from training.config import TrainConfig

UNBOUNDED_EPOCHS = 1_000_000
"""Epochs of a run that only its time limit ends."""

DEFAULTS: dict[str, Any] = {
    "logging_steps": 10,
    "save_total_limit": 2,
    "lr_scheduler_type": "cosine",
    "average_tokens_across_devices": True,
    "ddp_find_unused_parameters": False,
}

_EVALUATION = "remove it: evaluation is its own command, 'vsre eval'"
_RESUME = "remove it: it would make a resumed run differ from an uninterrupted one"

REFUSED: dict[str, str] = {
    "output_dir": "set 'out' instead",
    "seed": "set 'seed' beside 'trainer' instead",
    "data_seed": "set 'seed' beside 'trainer' instead",
    "resume_from_checkpoint": "remove it: an unfinished 'out' is always resumed",
    "ignore_data_skip": _RESUME,
    "save_only_model": _RESUME,
    "auto_find_batch_size": _RESUME,
    "restore_callback_states_from_checkpoint": "remove it: the time spent is restored by itself",
    "remove_unused_columns": "remove it: rows are not dataset columns",
    "logging_nan_inf_filter": "remove it: a loss that is not finite ends the run",
    "label_smoothing_factor": "remove it: the loss is plain cross-entropy over answers",
    "eval_strategy": _EVALUATION,
    "load_best_model_at_end": _EVALUATION,
    "eval_on_start": _EVALUATION,
    "do_eval": _EVALUATION,
    "do_predict": _EVALUATION,
}


def build_arguments(config: TrainConfig) -> TrainingArguments:
    """Return the arguments of a run; Trainer checkpoints go to ``out/checkpoints``.

    Raises:
        ConfigError: an unknown or refused field, a value that ``TrainingArguments`` does not take, a DeepSpeed
            file with an ``optimizer`` block beside two learning rates, or a time schedule without a time limit.
    """
    given = check_trainer(config)
    settings = DEFAULTS | given
    settings.setdefault("report_to", "tensorboard" if importlib.util.find_spec("tensorboard") else "none")
    settings.setdefault("use_cpu", not torch.cuda.is_available())
    settings.setdefault("dataloader_pin_memory", torch.cuda.is_available())
    settings.setdefault("disable_tqdm", not sys.stderr.isatty())
    if config.max_seconds > 0 and not {"max_steps", "num_train_epochs"} & set(given):
        settings["num_train_epochs"] = UNBOUNDED_EPOCHS
    try:
        return TrainingArguments(
            output_dir=str(Path(config.out) / "checkpoints"),
            seed=config.seed,
            data_seed=config.seed,
            remove_unused_columns=False,
            logging_nan_inf_filter=False,
            **settings,
        )
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error


def check_trainer(config: TrainConfig) -> dict[str, Any]:
    """Return the ``trainer:`` mapping with numbers as numbers; raises as ``build_arguments`` does."""
    defaults = {field.name: field.default for field in fields(TrainingArguments)}
    for name in config.trainer:
        if name not in defaults:
            raise ConfigError(f"trainer.{name} is not a field of TrainingArguments{nearest(name, defaults)}")
        if name in REFUSED:
            raise ConfigError(f"trainer.{name} cannot be set; {REFUSED[name]}")
    given = {name: _number(name, value, defaults[name]) for name, value in config.trainer.items()}
    if config.schedule == "time" and config.max_seconds <= 0:
        raise ConfigError("schedule 'time' needs a time limit; set max_seconds, or schedule 'trainer'")
    if config.schedule == "time" and 0 < given.get("warmup_steps", 0) < 1:
        raise ConfigError("schedule 'time' knows no total of steps; give trainer.warmup_steps as a whole number")
    _check_deepspeed(given, config.projector_learning_rate)
    return given


def _number(name: str, value: Any, default: Any) -> Any:
    """YAML 1.1 reads ``1e-3`` as text; take it for the number it means."""
    if not isinstance(value, str) or isinstance(default, bool) or not isinstance(default, int | float):
        return value
    try:
        return type(default)(value)
    except ValueError as error:
        raise ConfigError(f"trainer.{name} is {value!r}; give a number") from error


def deepspeed_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``trainer.deepspeed`` holds or names; empty without it.

    Raises:
        ConfigError: it names no readable JSON, or is no mapping.
    """
    settings = given.get("deepspeed") or {}
    if isinstance(settings, str):
        try:
            settings = json.loads(Path(settings).read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"trainer.deepspeed names {settings}, which is no readable JSON ({error})") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"trainer.deepspeed is {settings!r}; give a mapping, or the path of a JSON file with one")
    return settings


def _check_deepspeed(given: Mapping[str, Any], projector_rate: float | None) -> None:
    settings = deepspeed_settings(given)
    if "optimizer" in settings and projector_rate not in (None, given.get("learning_rate")):
        # Trainer would build a flat optimizer for it and silently drop the projector's own rate.
        raise ConfigError("the DeepSpeed 'optimizer' block would ignore projector_learning_rate; delete the block")
