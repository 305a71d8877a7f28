"""The models that a verifier can be made of, by the names that settings use.

Each table has one line per kind: its name and what loads it. A setting is a kind, or a kind with a folder or hub name:
"tiny", "owlv2=DIR".
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen.config import VerifySettings
from datagen.verify.base import DepthModel, Detector, Judge
from datagen.verify.load import check_place, split_name
from spatial.errors import ConfigError
from spatial.shipped import shipped_folder

Load = Callable[[str, Any, VerifySettings], Any]
"""From a place ("" for the kind's own), a device and the settings to a model."""


OWN_PLACES = {
    "tiny": "tiny-verifier",
    "owlv2": "google/owlv2-base-patch16-ensemble",
    "grounding-dino": "IDEA-Research/grounding-dino-base",
    "depth-anything": "depth-anything/Depth-Anything-V2-Small-hf",
}
"""Where the models of a kind are if a setting names no place."""


TYPES = {
    "tiny": ("vsre_detector",),
    "owlv2": ("owlv2",),
    "grounding-dino": ("grounding-dino",),
    "depth-anything": ("depth_anything",),
}
"""What ``config.json`` calls the models of a kind; a judge may be of any type."""

ADAPTER = "adapter_config.json"
"""What a folder of a fine-tuned judge holds in place of a model."""


def _tiny(place: str, device: Any, settings: VerifySettings) -> Any:
    from datagen.verify.tiny import load_detector

    return load_detector(place or OWN_PLACES["tiny"], str(device))


def _owlv2(place: str, device: Any, settings: VerifySettings) -> Detector:
    from datagen.verify.published import Owlv2Detector

    return Owlv2Detector(place or OWN_PLACES["owlv2"], device, settings.least_score)


def _grounding_dino(place: str, device: Any, settings: VerifySettings) -> Detector:
    from datagen.verify.published import GroundingDinoDetector

    return GroundingDinoDetector(place or OWN_PLACES["grounding-dino"], device, settings.least_score)


def _depth_anything(place: str, device: Any, settings: VerifySettings) -> DepthModel:
    from datagen.verify.published import DepthAnything

    return DepthAnything(place or OWN_PLACES["depth-anything"], device)


def _vqa(place: str, device: Any, settings: VerifySettings) -> Judge:
    from datagen.verify.judge import VqaJudge, refuse_tuned

    if not place:
        raise ConfigError("judge 'vqa' needs a model; name its folder: vqa=DIR")
    refuse_tuned(place, settings.tuned)
    return VqaJudge(place, device)


DETECTORS: dict[str, Load] = {"tiny": _tiny, "owlv2": _owlv2, "grounding-dino": _grounding_dino}
"""Kinds of detectors by name."""

DEPTHS: dict[str, Load] = {"tiny": _tiny, "depth-anything": _depth_anything}
"""Kinds of depth models by name."""

JUDGES: dict[str, Load] = {"vqa": _vqa}
"""Kinds of judges by name."""


@dataclass(frozen=True)
class Models:
    """What a verifier looks with.

    Attributes:
        detectors: all must agree.
        depth: ``None`` where no model judges depth.
        judges: that answer questions.
        safety: a ``datagen.verify.safety.SafetyChecker``, or ``None``.
    """

    detectors: list[Detector]
    depth: DepthModel | None = None
    judges: list[Judge] = field(default_factory=list)
    safety: Any = None


def load_models(settings: VerifySettings) -> Models:
    """Load all models of the settings; one that is named for two purposes is loaded once.

    Raises:
        ConfigError: a name is unknown, or no detector is named.
        CheckpointError: a folder is missing or wrong.
    """
    from encoders.device import usable_device

    chosen = _chosen(settings)
    device = usable_device(settings.device)
    loaded: dict[tuple[str, str], Any] = {}
    for key, table, _ in chosen:
        if key not in loaded:
            loaded[key] = table[key[0]](key[1], device, settings)
    made = [loaded[key] for key, _, _ in chosen]
    count = len(settings.detectors)
    depth = made[count] if settings.depth else None
    judges = made[count + bool(settings.depth) :]
    return Models(_named_apart(made[:count]), depth, judges, _safety(settings, device))


def _chosen(settings: VerifySettings) -> list[tuple[tuple[str, str], dict[str, Load], str]]:
    """Return kind and place of each model, the table that loads it, and what it is for."""
    if not settings.detectors:
        raise ConfigError("verify.detectors is empty; name one, such as 'tiny'")
    names = [(name, DETECTORS, "detector") for name in settings.detectors]
    names += [(name, DEPTHS, "depth model") for name in [settings.depth] if name]
    names += [(name, JUDGES, "judge") for name in settings.judges]
    return [(split_name(name, tuple(table), what), table, what) for name, table, what in names]


def check_models(settings: VerifySettings) -> None:
    """Refuse models that cannot be had, as far as that shows without loading one; names on the hub are not asked for.

    Raises:
        ConfigError: a kind is unknown, or no detector is named.
        CheckpointError: a folder is missing, empty, or holds another kind of model.
    """
    for (kind, place), _, what in _chosen(settings):
        folder = shipped_folder(place or OWN_PLACES.get(kind, ""))
        if folder.is_dir() and not (folder / ADAPTER).is_file():
            check_place(str(folder), TYPES.get(kind, ()), f"{what} {kind}")
    if Path(settings.safety).is_dir() and settings.safety:
        check_place(settings.safety, (), "safety checker")


def places_of(settings: VerifySettings) -> dict[str, str]:
    """Return what asks for the models of the settings, by their folders and hub names; one kind may ask for several."""
    parts = [name.partition("=") for name in (*settings.detectors, settings.depth, *settings.judges)]
    found = {place or OWN_PLACES.get(kind, ""): f"verifier {kind}" for kind, _, place in parts}
    return {place: what for place, what in {**found, settings.safety: "safety checker"}.items() if place}


def weights_of(models: Models) -> dict[str, str]:
    """Return the hash of each model's weights by its part and name, which tells two trainings of one model apart."""
    named: dict[str, Any] = {detector.name: detector for detector in models.detectors}
    named |= {f"judge {number}": judge for number, judge in enumerate(models.judges, 1)}
    if models.depth:  # often the model that detects, and not always with the same weights
        named[f"depth {models.depth.name}"] = models.depth
    if models.safety:
        named["safety"] = models.safety
    return {name: digest for name, model in named.items() if (digest := _weights_digest(model))}


def _weights_digest(model: Any) -> str:
    """Return the hash of the weights of all networks that a model holds; "" if it holds none."""
    from torch import nn

    networks = [value for value in vars(model).values() if isinstance(value, nn.Module)]
    hasher = hashlib.blake2b(digest_size=16)
    for network in networks:
        for name, tensor in sorted(network.state_dict().items()):
            hasher.update(name.encode())
            hasher.update(tensor.detach().float().cpu().numpy().tobytes())
    return hasher.hexdigest() if networks else ""


def _named_apart(detectors: list[Detector]) -> list[Detector]:
    names = [detector.name for detector in detectors]
    if len(set(names)) < len(names):
        raise ConfigError(f"verify.detectors names one kind twice ({', '.join(names)}); two that agree must differ")
    return detectors


def _safety(settings: VerifySettings, device: Any) -> Any:
    if not settings.safety:
        return None
    from datagen.verify.safety import SafetyChecker

    return SafetyChecker(settings.safety, device)
