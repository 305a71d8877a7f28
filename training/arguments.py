"""The ``trainer:`` mapping of a config, checked and turned into ``transformers.TrainingArguments``.

Every field of ``TrainingArguments`` may be set, except those that would break a promise of this room: exact
resumption, the two learning rates, the loss over supervised positions. Each refusal says what to do instead.
"""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainingArguments

from spatial.errors import ConfigError, nearest
from training.config import TrainConfig
from training.evaluation import check_evaluation, evaluation_arguments
from training.zero import after_arguments, before_arguments, check_deepspeed, deepspeed_settings

UNBOUNDED_EPOCHS = 1_000_000
"""Epochs of a run that only its time limit ends."""

DEFAULTS: dict[str, Any] = {
    "logging_steps": 10,
    "save_total_limit": 2,
    "lr_scheduler_type": "cosine",
    "average_tokens_across_devices": True,
    "ddp_find_unused_parameters": False,
}

WITHOUT_TOTAL = ("constant", "constant_with_warmup", "inverse_sqrt", "reduce_lr_on_plateau", "greedy")
"""Schedules of Transformers that need not know how many steps there will be."""

SEVERAL_GPUS = "one process sees several GPUs; start it as 'vsre train', or set CUDA_VISIBLE_DEVICES"

_EVALUATION = "set 'evaluate' beside 'trainer' instead (docs/evaluation-in-training.md)"
_HUB = "remove it: 'vsre push' uploads the result, and the token comes from 'hf auth login' (docs/push.md)"
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
    "eval_steps": _EVALUATION,
    "metric_for_best_model": _EVALUATION,
    "greater_is_better": _EVALUATION,
    "load_best_model_at_end": _EVALUATION,
    "eval_on_start": _EVALUATION,
    "do_eval": _EVALUATION,
    "do_predict": _EVALUATION,
    "push_to_hub": _HUB,
    "hub_token": _HUB,
    "hub_model_id": _HUB,
    "hub_strategy": _HUB,
    "hub_always_push": _HUB,
    "hub_private_repo": _HUB,
    "hub_revision": _HUB,
}

RENAMED = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
"""Old names of Transformers, which warns of them, and what they are called now."""


def build_arguments(config: TrainConfig) -> TrainingArguments:
    """Return the arguments of a run; Trainer checkpoints go to ``out/checkpoints``.

    Raises:
        ConfigError: an unknown or refused field, a value that ``TrainingArguments`` does not take, DeepSpeed settings
            that would train or save something else (``training.zero``), a time schedule without a time limit, or one
            process that sees several GPUs.
    """
    settings = trainer_settings(config)
    settings.setdefault("report_to", "tensorboard" if importlib.util.find_spec("tensorboard") else "none")
    settings.setdefault("use_cpu", not torch.cuda.is_available())
    settings.setdefault("dataloader_pin_memory", torch.cuda.is_available())
    settings.setdefault("disable_tqdm", not sys.stderr.isatty())
    deepspeed = deepspeed_settings(settings)
    settings["deepspeed"] = deepspeed or None
    before_arguments(deepspeed)
    try:
        arguments = TrainingArguments(
            output_dir=str(Path(config.out) / "checkpoints"),
            seed=config.seed,
            data_seed=config.seed,
            remove_unused_columns=False,
            logging_nan_inf_filter=False,
            **settings,
        )
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error
    if arguments.n_gpu > 1:  # before a model is loaded; the trainer asks again
        raise ConfigError(SEVERAL_GPUS)
    _check_optimizer(arguments, settings.get("optim"))
    after_arguments(deepspeed, arguments)
    return arguments


def trainer_settings(config: TrainConfig) -> dict[str, Any]:
    """Return the fields of ``TrainingArguments`` that a run sets: its own, and ours where it says nothing.

    Raises:
        ConfigError: as ``build_arguments``, as far as it can be told without the devices.
    """
    given = check_trainer(config)
    settings = DEFAULTS | given | evaluation_arguments(config)
    if _ends_by_the_clock(config, given):
        settings["num_train_epochs"] = UNBOUNDED_EPOCHS
    return settings


def _check_optimizer(arguments: TrainingArguments, name: Any) -> None:
    """Find an optimizer whose package is missing before a model is loaded; Trainer would with the model in memory."""
    try:
        Trainer.get_optimizer_cls_and_kwargs(arguments)
    except (ImportError, RuntimeError) as error:
        raise ConfigError(f"trainer.optim {name!r}: {' '.join(str(error).split())}") from error
    except ValueError as error:
        if "model" not in str(error):  # some can only be made for a model, which is not there yet
            raise ConfigError(f"trainer.optim {name!r}: {' '.join(str(error).split())}") from error


def check_trainer(config: TrainConfig) -> dict[str, Any]:
    """Return the ``trainer:`` mapping with numbers as numbers; raises as ``build_arguments`` does."""
    kinds = {field.name: field.type for field in fields(TrainingArguments)}
    for name in config.trainer:
        if name not in kinds:
            raise ConfigError(f"trainer.{name} is not a field of TrainingArguments{nearest(name, kinds)}")
        if name in REFUSED:
            raise ConfigError(f"trainer.{name} cannot be set; {REFUSED[name]}")
        if RENAMED.get(name) in config.trainer:
            raise ConfigError(f"trainer.{name} is the old name of {RENAMED[name]}, which is set too; remove it")
    given = {name: _number(name, value, kinds[name]) for name, value in new_names(config.trainer).items()}
    if config.schedule == "time" and config.max_seconds <= 0:
        raise ConfigError("schedule 'time' needs a time limit; set max_seconds, or schedule 'trainer'")
    if config.schedule == "time" and 0 < given.get("warmup_steps", 0) < 1:
        raise ConfigError("schedule 'time' knows no total of steps; give trainer.warmup_steps as a whole number")
    _check_total(config, given)
    check_evaluation(config)
    if given.get("train_sampling_strategy") == "batch_rebalance":
        raise ConfigError("train_sampling_strategy 'batch_rebalance' needs exact lengths; use 'group_by_length'")
    if config.optimizer == "muon":
        _check_muon(given)
    check_deepspeed(config, given)
    return given


def _check_muon(given: Mapping[str, Any]) -> None:
    if given.get("deepspeed") or given.get("fsdp"):
        raise ConfigError(
            "optimizer 'muon' needs whole weight matrices, which DeepSpeed and FSDP cut; set optimizer 'trainer', or"
            " remove trainer.deepspeed or trainer.fsdp"
        )
    name = str(getattr(given.get("optim"), "value", given.get("optim") or "adamw_torch"))
    if name not in ("adamw_torch", "adamw_torch_fused"):
        raise ConfigError(f"optimizer 'muon' leaves the rest to AdamW; remove trainer.optim {name!r}")


def _check_total(config: TrainConfig, given: Mapping[str, Any]) -> None:
    """Refuse what is a part of all steps where nothing but the clock ends the run: it would be of a million epochs."""
    if not _ends_by_the_clock(config, given) or config.schedule == "time":
        return
    mend = "set schedule: time, or trainer.max_steps or num_train_epochs"
    if 0 < given.get("warmup_steps", 0) < 1:
        raise ConfigError(f"max_seconds alone ends this run, so a warm-up cannot be a part of all steps; {mend}")
    name = given.get("lr_scheduler_type", DEFAULTS["lr_scheduler_type"])
    name = str(getattr(name, "value", name))
    if name not in WITHOUT_TOTAL:
        raise ConfigError(f"max_seconds alone ends this run, and schedule '{name}' needs a total of steps; {mend}")


def new_names(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a ``trainer:`` mapping under the names that Transformers gives them now."""
    return {RENAMED.get(name, name): value for name, value in trainer.items()}


def _ends_by_the_clock(config: TrainConfig, given: Mapping[str, Any]) -> bool:
    """Tell whether nothing but ``max_seconds`` ends the run: no number of steps (-1 is none), nor of epochs."""
    return config.max_seconds > 0 and given.get("max_steps", -1) <= 0 and "num_train_epochs" not in given


def _number(name: str, value: Any, kind: Any) -> Any:
    """YAML 1.1 reads ``1e-3`` as text, and ``no`` as false; take them for the number, and the word, that they mean."""
    if value is False and name.endswith("_strategy"):
        return "no"
    if kind not in (int, float) or isinstance(value, int | float):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"trainer.{name} is {value!r}; give a number") from error
    if kind is int and not number.is_integer():
        raise ConfigError(f"trainer.{name} is {value!r}; give a whole number")
    return kind(number)
