"""The options of an engine: checked before any work, and turned into what diffusers takes."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from datagen.config import EngineSettings
from spatial.errors import CheckpointError, ConfigError, nearest

DTYPES = ("float32", "bfloat16", "float16")
OFFLOADS = ("none", "model", "sequential")


def resolved(
    settings: EngineSettings, steps: int, guidance: float, size: int, repaints: bool = False
) -> EngineSettings:
    """Return the settings with an engine's own numbers where they name none.

    Args:
        settings: as the user gave them.
        steps: the engine's own number; likewise the next two.
        guidance: see there.
        size: see there.
        repaints: whether it starts from pictures, so that ``strength`` shortens the steps.

    Raises:
        ConfigError: a setting is out of range, or diffusers is not installed.
    """
    filled = replace(
        settings,
        steps=settings.steps or steps,
        guidance=guidance if settings.guidance < 0 else settings.guidance,
        size=settings.size or size,
    )
    _check(filled)
    if repaints and int(filled.steps * filled.strength) < 1:
        raise ConfigError(f"{filled.steps} steps at strength {filled.strength} are none; raise steps or strength")
    return filled


def _check(settings: EngineSettings) -> None:
    if find_spec("diffusers") is None:
        raise ConfigError(f"engine {settings.name} needs diffusers; run: scripts/setup.sh")
    for name, known in (("dtype", DTYPES), ("offload", OFFLOADS)):
        value = getattr(settings, name)
        if value not in known:
            raise ConfigError(f"{name} is {value!r}{nearest(value, known)}; use {', '.join(known)}")
    for name in ("batch_size", "steps", "size"):
        if getattr(settings, name) < 1:
            raise ConfigError(f"{name} must be a positive number, not {getattr(settings, name)}")
    if not 0 <= settings.control_start < settings.control_end <= 1:
        raise ConfigError(
            f"control_start and control_end must rise within 0..1, not {settings.control_start}, {settings.control_end}"
        )
    if settings.control_strength <= 0:
        raise ConfigError(
            f"control_strength is {settings.control_strength}; to paint without, set without_control true"
        )
    if not 0 < settings.strength <= 1:
        raise ConfigError(f"strength must be above 0 and at most 1, not {settings.strength}")
    device_of(settings)


def device_of(settings: EngineSettings) -> Any:
    """Return torch's device.

    Raises:
        ConfigError: there is no such device, or nothing to offload from.
    """
    from encoders.device import usable_device

    device = usable_device(settings.device)
    if device.type == "cpu" and settings.offload != "none":
        raise ConfigError(f"offload is {settings.offload!r}, from a GPU, and the device is the cpu; set offload none")
    return device


def dtype_of(settings: EngineSettings) -> Any:
    """Return torch's type of the weights."""
    import torch

    return getattr(torch, settings.dtype)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries from telling at every picture what is known, and from drawing bars into ours."""
    import diffusers.utils.logging as diffusers_log
    import transformers.utils.logging as transformers_log

    logs = (diffusers_log, transformers_log)
    levels, bars = [log.get_verbosity() for log in logs], [log.is_progress_bar_enabled() for log in logs]
    try:
        for log in logs:
            log.set_verbosity_error()
            log.disable_progress_bar()
        yield
    finally:
        for log, level, shown in zip(logs, levels, bars, strict=True):
            log.set_verbosity(level)
            (log.enable_progress_bar if shown else log.disable_progress_bar)()


def place(pipeline: Any, settings: EngineSettings) -> None:
    """Put a pipeline where it computes, or have its models come there only while they are used."""
    device = device_of(settings)
    if settings.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif settings.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)


def scheduler_of(text: str, own: Any) -> Any:
    """Return the scheduler that the settings name, set up as the weights' own one as far as both know a setting.

    Args:
        text: a class of diffusers, such as "LCMScheduler", with its own settings in parentheses if need be:
            "EulerDiscreteScheduler(timestep_spacing='trailing')"; "" keeps the weights' own.
        own: of the weights.

    Raises:
        ConfigError: there is no such scheduler or setting, or it is of the other kind of diffusion.
    """
    import diffusers

    if not text:
        return own
    name, given = _call(text)
    known: Any = getattr(diffusers, name, None)
    if not _is_scheduler(known):
        names = [key for key in dir(diffusers) if key.endswith("Scheduler")]
        raise ConfigError(
            f"diffusers has no scheduler {name!r}{nearest(name, names)}; leave it empty for the weights' own"
        )
    takes = inspect.signature(known.__init__).parameters
    for key in given:
        if key not in takes:
            raise ConfigError(f"{name} has no setting {key!r}{nearest(key, takes)}")
    if _is_flow(known) != _is_flow(type(own)) or not _steps(type(own)) <= _steps(known):
        raise ConfigError(f"{name} does not fit weights made for {type(own).__name__}; leave scheduler empty")
    return known.from_config(own.config, **given)


def _is_scheduler(known: Any) -> bool:
    import diffusers

    return inspect.isclass(known) and issubclass(known, diffusers.SchedulerMixin)


def _is_flow(scheduler: type) -> bool:
    """Tell whether a scheduler walks straight from noise to picture (flow matching), unlike those of older models."""
    return "FlowMatch" in scheduler.__name__


def _steps(scheduler: Any) -> set[str]:
    """Return how pipelines of flow matching lay out the steps, as far as a scheduler takes it from them."""
    return {"sigmas"} & set(inspect.signature(scheduler.set_timesteps).parameters) if _is_flow(scheduler) else set()


def _call(text: str) -> tuple[str, dict[str, Any]]:
    """Return name and keyword arguments of "Name" or "Name(key=value)"."""
    try:
        call = ast.parse(text if "(" in text else f"{text}()", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError
        return call.func.id, {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"scheduler is {text!r}; write a name, or Name(setting=value)") from error


def merge_loras(files: Sequence[Path], class_name: str, parts: Mapping[str, Any]) -> None:
    """Merge LoRA files into the weights of the parts, at full strength.

    Args:
        files: safetensors.
        class_name: of a pipeline that is made of the parts.
        parts: components by name; changed.

    Raises:
        CheckpointError: a file is not a LoRA of these weights.
    """
    import diffusers

    if not files:
        return
    known = getattr(diffusers, class_name)
    pipeline = known(**{name: part for name, part in parts.items() if name in inspect.signature(known).parameters})
    names = [f"lora{index}" for index in range(len(files))]
    for name, file in zip(names, files, strict=True):
        try:
            own = {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}
            pipeline.load_lora_weights(file.parent, adapter_name=name, **own)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            line = re.sub(r"\s+", " ", str(error))[:160]
            raise CheckpointError(f"{file} is no LoRA of a {class_name} ({line}); leave it out of loras") from error
        if not any(name in adapters for adapters in pipeline.get_list_adapters().values()):
            raise CheckpointError(f"{file} changes nothing of a {class_name}; leave it out of loras")
    pipeline.set_adapters(names)
    pipeline.fuse_lora(adapter_names=names, safe_fusing=True)
    pipeline.unload_lora_weights()
