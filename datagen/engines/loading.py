"""From settings to pipelines: weights checked and loaded, scheduler and LoRAs as asked for, placed on a device.

Everything that can be wrong is found here, before a picture is painted. The pipelines of an engine share one set of
parts; LoRAs are therefore merged into the weights.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from datagen.config import EngineSettings
from datagen.engines.hub import Source, find_lora, find_model, find_pipeline
from datagen.engines.options import device_of, dtype_of, merge_loras, place, quiet, resolved, scheduler_of
from datagen.engines.weights import HALF, STEMS, Need, Part, check_model, check_pipeline, hashes, load_part, whole
from spatial.errors import CheckpointError

LIBRARIES = ("diffusers", "transformers", "torch", "accelerate", "peft", "numpy", "pillow", "vsre")


@dataclass(frozen=True)
class Control:
    """A control network: its class, the weights that are taken if the settings name none, and what fetches them."""

    class_name: str
    default: str
    mend: str


@dataclass(frozen=True)
class Facts:
    """What an engine is made of, and its own numbers.

    Attributes:
        need: its pipeline's folder.
        default: hub name of its weights.
        licence: of these, with those of the control network, as the publishers state it.
        steps: of denoising.
        guidance: scale of classifier-free guidance.
        size: width and height in pixels.
        control: its control network, if it has one.
    """

    need: Need
    default: str
    licence: str
    steps: int
    guidance: float
    size: int = 1024
    control: Control | None = None


@dataclass(frozen=True)
class Kit:
    """Loaded parts of pipelines.

    Attributes:
        settings: with nothing left open.
        parts: components by name.
        flags: further arguments of the pipeline classes, from ``model_index.json``.
        provenance: of the engine, ready for JSON.
    """

    settings: EngineSettings
    parts: Mapping[str, Any]
    flags: Mapping[str, Any]
    provenance: dict[str, Any]

    def pipeline(self, class_name: str) -> Any:
        """Return a pipeline of diffusers around the parts that it takes, on the device."""
        import diffusers

        known = getattr(diffusers, class_name)
        takes = inspect.signature(known).parameters
        # Left open, SDXL's pipelines mark pictures wherever an optional package is installed.
        given = {**self.flags, "add_watermarker": False, **self.parts}
        pipeline = known(**{name: value for name, value in given.items() if name in takes})
        pipeline.set_progress_bar_config(disable=True)
        place(pipeline, self.settings)
        return pipeline


def load_kit(settings: EngineSettings, facts: Facts, repaints: bool = False) -> Kit:
    """Check the settings and all weights, and load them.

    Args:
        settings: as the user gave them.
        facts: of the engine.
        repaints: whether it starts from pictures, of which ``strength`` leaves a share.

    Raises:
        ConfigError: a setting cannot be used, or diffusers is not installed.
        CheckpointError: weights are missing, incomplete or of another engine.
    """
    settings = resolved(settings, facts.steps, facts.guidance, facts.size, repaints)
    with quiet():
        return _load(settings, facts)


@dataclass(frozen=True)
class _Found:
    """Weights on disk, checked to be whole, and none of them loaded; ``index`` is ``model_index.json``."""

    model: Source
    index: Mapping[str, Any]
    parts: Sequence[Part]
    network: tuple[Source, Part] | None
    loras: Sequence[Source]

    def weights(self) -> dict[str, Any]:
        """Return which weights these are, by name, revision and sha256."""
        return _weights(self.model, self.parts, self.network, self.loras)


def kit_weights(settings: EngineSettings, facts: Facts) -> dict[str, Any]:
    """Return what a kit's provenance will say of its weights; none is loaded.

    Raises:
        CheckpointError: weights are missing, incomplete or of another engine.
    """
    with quiet():
        return _find(settings, facts).weights()


def _find(settings: EngineSettings, facts: Facts) -> _Found:
    half = settings.dtype != "float32"
    model = find_pipeline(settings.model or facts.default, settings.revision, HALF if half else None)
    index, parts = check_pipeline(model.path, facts.need, half)
    network = _find_control(settings, facts.control, model, index, half)
    return _Found(model, index, parts, network, [find_lora(name) for name in settings.loras])


def _load(settings: EngineSettings, facts: Facts) -> Kit:
    found = _find(settings, facts)
    model, index, parts, network, loras = found.model, found.index, found.parts, found.network, found.loras
    weights = found.weights()
    loaded = {part.name: load_part(part, dtype_of(settings)) for part in parts}
    loaded["scheduler"] = scheduler_of(settings.scheduler, loaded["scheduler"])
    if network:
        loaded["controlnet"] = _load_control(network[1], dtype_of(settings))
    merge_loras([lora.path for lora in loras], facts.need.pipelines[0], loaded)
    flags = {name: value for name, value in index.items() if not name.startswith("_") and not isinstance(value, list)}
    provenance = {
        "engine": settings.name,
        **weights,
        "licence": _licence(facts, [model, *([network[0]] if network else []), *loras]),
        **options_of(settings, loaded["scheduler"], controlled=network is not None),
        "versions": dict(versions()),
    }
    return Kit(settings, loaded, flags, provenance)


def _find_control(
    settings: EngineSettings, control: Control | None, model: Source, index: Mapping[str, Any], half: bool
) -> tuple[Source, Part] | None:
    """Return the control network: that of the settings, that of the pipeline's folder, or the engine's own.

    Raises:
        CheckpointError: it is missing, incomplete or another one.
    """
    if control is None or settings.without_control:
        return None
    own = model.path / "controlnet"
    if not settings.control and index.get("controlnet") and own.is_dir():
        source = Source(model.name, own, model.revision)
    else:
        source = find_model(settings.control or control.default)
    if source.path.is_file():
        file = whole(source.path, control.mend)
        return source, Part("controlnet", "diffusers", control.class_name, file.parent, (file,))
    return source, check_model(source.path, control.class_name, control.mend, half)


def _load_control(part: Part, dtype: Any) -> Any:
    """Load a control network from its folder, or from one file in its publisher's own layout.

    Raises:
        CheckpointError: weights are missing, or the layout is not known.
    """
    import diffusers

    beside = (part.folder / "config.json").is_file()
    if beside and part.files[0].name.startswith(STEMS[0]):
        return load_part(part, dtype)
    config = {"config": str(part.folder)} if beside else {}
    try:
        model = getattr(diffusers, part.class_name).from_single_file(str(part.files[0]), dtype=dtype, **config)
    except Exception as error:  # the file's keys decide which config is asked of the hub, in many ways that fail
        raise CheckpointError(
            f"{part.files[0]} cannot be loaded as {part.class_name} ({type(error).__name__}); where there is no "
            "network, put the config.json of its diffusers version beside it"
        ) from error
    lacking = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if lacking:
        raise CheckpointError(
            f"{part.files[0]} lacks {len(lacking)} of its weights, such as {lacking[0]}; fetch it again"
        )
    return model


def _weights(
    model: Source, parts: Sequence[Part], network: tuple[Source, Part] | None, loras: Sequence[Source]
) -> dict[str, Any]:
    """Return which weights an engine has, by name, revision and sha256."""
    files = [whole(lora.path, "fetch the LoRA again") for lora in loras]
    used = [file for part in parts for file in part.files]
    return {
        "weights": named(model, hashes(used, model.path)),
        "control_weights": named(network[0], hashes(network[1].files, network[1].folder)) if network else None,
        "loras": [named(lora, hashes([file], file.parent)) for lora, file in zip(loras, files, strict=True)],
    }


def named(source: Source, sums: dict[str, str]) -> dict[str, Any]:
    """Return what provenance says of weights."""
    return {"name": _shown(source), "revision": source.revision, "sha256": sums}


def _shown(source: Source) -> str:
    """Return the name of weights; where a folder of one's own lies is nobody's business."""
    return Path(source.name).name if Path(source.name).expanduser().exists() else source.name


def _licence(facts: Facts, sources: Sequence[Source]) -> str:
    """Return the licence: of the engine's own weights as known, of other ones as the card in their folder states it."""
    own = (facts.default, facts.control.default if facts.control else "")
    others = [source for source in sources if source.name.partition("@")[0] not in own]
    stated = [f"{_shown(source)}: {stated_licence(source.path)}" for source in others]
    return "; ".join([facts.licence] * (len(others) < len(sources)) + stated)


def stated_licence(path: Path) -> str:
    """Return the licence that the card of a folder of weights states in its front matter."""
    folder = path if path.is_dir() else path.parent
    try:
        card = (folder / "README.md").read_text(encoding="utf-8")
        return str(yaml.safe_load(card.split("---")[1])["license"])
    except (OSError, IndexError, KeyError, TypeError, yaml.YAMLError):
        return "not stated"


def options_of(settings: EngineSettings, scheduler: Any, controlled: bool) -> dict[str, Any]:
    """Return the settings that decide the pixels."""
    device = device_of(settings)
    control = {
        "strength": settings.control_strength,
        "start": settings.control_start,
        "end": settings.control_end,
    }
    return {
        "scheduler": {
            "class": type(scheduler).__name__,
            **{name: value for name, value in scheduler.config.items() if not name.startswith("_")},
        },
        "steps": settings.steps,
        "guidance": settings.guidance,
        "strength": settings.strength,
        "control": control if controlled else None,
        "size": settings.size,
        "batch_size": settings.batch_size,
        "dtype": settings.dtype,
        "device": _device_name(device),
        "offload": settings.offload,
    }


def _device_name(device: Any) -> str:
    import torch

    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else str(device.type)


def versions() -> list[tuple[str, str]]:
    """Return the versions of the libraries that decide the pixels, of those that are installed."""
    found = []
    for name in LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
