"""DeepSpeed's ZeRO: which settings a run uses, what of them is refused, and what it needs on a machine without a GPU.

Settings are DeepSpeed's own JSON, as a path or a mapping in ``trainer.deepspeed``. Those that ``accelerate launch``
passes through the environment are read the same way, so that there is one path for the checks and for the run.
"""

import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoders.load import base_of, is_adapter
from spatial.errors import ConfigError, nearest
from training.config import ANSWERING, TrainConfig

if TYPE_CHECKING:
    from transformers import TrainingArguments

ROOT = Path(__file__).resolve().parents[1]
"""Where the packages lie, and beside them ``configs/``."""

SHIPPED = "configs/deepspeed"

UNMERGED = f"which ZeRO-3 cannot merge into split weights; use {SHIPPED}/zero2.json, or run 'vsre merge' first"

_AUTO = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")


def deepspeed_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of what ``trainer.deepspeed`` holds or names, else what ``accelerate launch`` asks for.

    A path is looked up in the working directory and then beside the packages. Empty without DeepSpeed.

    Raises:
        ConfigError: it names no readable JSON, or is no mapping.
    """
    settings = given.get("deepspeed")
    if not settings:
        return _from_accelerate()
    if isinstance(settings, str):
        return _read(settings, "trainer.deepspeed")
    if not isinstance(settings, dict):
        raise ConfigError(f"trainer.deepspeed is {settings!r}; give a mapping, or the path of a JSON file with one")
    return settings


def zero_stage(settings: Mapping[str, Any]) -> int:
    """Return the stage of ZeRO, 0 to 3."""
    zero = settings.get("zero_optimization")
    return int(zero.get("stage", 0)) if isinstance(zero, dict) else 0


def check_deepspeed(config: TrainConfig, given: Mapping[str, Any]) -> None:
    """Refuse settings by which DeepSpeed would silently train or save something else, before anything is loaded.

    Args:
        config: of the run.
        given: its ``trainer`` mapping with numbers as numbers.

    Raises:
        ConfigError: says which, and what to do.
    """
    settings = deepspeed_settings(given)
    if not settings:
        return
    if os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("true", "1", "yes"):
        raise ConfigError("ACCELERATE_USE_CPU makes Trainer ignore DeepSpeed without a word; unset it, or drop --cpu")
    rate = config.projector_learning_rate
    if "optimizer" in settings and rate not in (None, given.get("learning_rate", 5e-5)):
        # Trainer would build a flat optimizer for it and silently drop the projector's own rate.
        raise ConfigError("the DeepSpeed 'optimizer' block would ignore projector_learning_rate; delete the block")
    if "scheduler" in settings:
        # DeepSpeed's schedules give all groups one rate, and Trainer then ignores its own.
        raise ConfigError(
            "the DeepSpeed 'scheduler' block would replace trainer.lr_scheduler_type, and 'schedule', and give every"
            " parameter one rate; delete the block"
        )
    if zero_stage(settings) == 3:
        _check_stage_3(config, given, settings)


def _check_stage_3(config: TrainConfig, given: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    if not given.get("deepspeed"):
        raise ConfigError(
            "ZeRO-3 is asked for by accelerate's environment alone; set trainer.deepspeed:"
            f" {SHIPPED}/zero3.json in the config and drop accelerate's own DeepSpeed options"
        )
    if config.stage not in ANSWERING:  # these load a checkpoint and save it whole
        raise ConfigError(f"stage '{config.stage}' cannot be split by ZeRO-3; use {SHIPPED}/zero2.json")
    if settings["zero_optimization"].get("stage3_gather_16bit_weights_on_model_save") is not True:
        raise ConfigError(
            "ZeRO-3 would save no weights; set stage3_gather_16bit_weights_on_model_save to true in zero_optimization"
        )
    if is_adapter(config.model):
        # One is gone on with on its base, which is loaded split; merging would need whole weights.
        merged = Path(config.model) if config.stage != "finetune" else base_of(Path(config.model))
        if is_adapter(merged):
            raise ConfigError(f"{merged} is an adapter, {UNMERGED}")


def before_arguments(settings: Mapping[str, Any]) -> None:
    """Make ready for ``TrainingArguments``, or take away what an earlier run of this process left behind.

    Raises:
        ConfigError: DeepSpeed is not installed.
    """
    import torch
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    if not settings:
        os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)  # an Accelerator with DeepSpeed sets it for the next one
        unset_hf_deepspeed_config()
        return
    if importlib.util.find_spec("deepspeed") is None:
        raise ConfigError("trainer.deepspeed needs DeepSpeed; install it: pip install 'deepspeed>=0.19.8,<0.20'")
    if torch.cuda.is_available():
        return
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # it would be compiled first, for a minute or two


def after_arguments(settings: Mapping[str, Any], arguments: "TrainingArguments") -> None:
    """Let DeepSpeed know of the processes before a model is loaded; on the CPU, Accelerate leaves that out.

    Raises:
        ConfigError: numbers in the DeepSpeed settings contradict ``trainer``.
    """
    if not settings:
        return
    different = [line.removeprefix("- ds ") for line in arguments.hf_deepspeed_config.mismatches]
    if different:
        raise ConfigError(f'DeepSpeed and trainer differ: {"; ".join(different)}; write "auto" in the DeepSpeed JSON')
    if arguments.use_cpu and "RANK" in os.environ:
        import deepspeed

        deepspeed.init_distributed("gloo")


def _read(name: str, what: str) -> dict[str, Any]:
    path = next((path for path in (Path(name), ROOT / name) if path.is_file()), None)
    if path is None:
        shipped = [str(path.relative_to(ROOT)) for path in sorted((ROOT / SHIPPED).glob("*.json"))]
        if Path(name).is_dir():
            raise ConfigError(f"{what} names {name}, a folder; name a JSON file, such as {shipped[0]}")
        raise ConfigError(f"{what} names {name}, which does not exist{nearest(name, shipped)}")
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{what} names {path}, which is no readable JSON ({error})") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{what} names {path}, which holds no mapping")
    return settings


def _from_accelerate() -> dict[str, Any]:
    """Return what ``accelerate launch --use_deepspeed`` asks for; empty where it did not start this process."""
    asked = os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true"
    if not asked or "ACCELERATE_CONFIG_DS_FIELDS" not in os.environ:
        return {}
    file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if file != "none":
        return _read(file, "accelerate's deepspeed_config_file")
    zero: dict[str, Any] = {"stage": int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))}
    for part in ("optimizer", "param"):
        device = os.environ.get(f"ACCELERATE_DEEPSPEED_OFFLOAD_{part.upper()}_DEVICE", "none")
        if device != "none":
            zero[f"offload_{part}"] = {"device": device}
    halves = {name: {"enabled": "auto"} for name in ("bf16", "fp16")}
    return {**halves, **dict.fromkeys(_AUTO, "auto"), "zero_optimization": zero, "zero_force_ds_cpu_optimizer": False}
