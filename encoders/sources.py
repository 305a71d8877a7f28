"""Read one tower from a published checkpoint, whatever format it was published in.

    hub id, directory or file -> what it says of its vision encoder -> plan of the cut tower -> exactly its weights

The checkpoint decides what its pixels must look like: statistics, filter and input size come from its own image
processor where it has one, else from ``ENCODERS``. Nothing in a file is ever executed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders.configuration import FusedVisionConfig, TowerPlan
from encoders.registry import ENCODERS
from encoders.source_files import OPENCLIP_CONFIG, OPENCLIP_WEIGHTS, Checkpoint, Place, locate, read_description
from encoders.source_originals import describe_file, describe_openclip, split_architecture
from encoders.source_transformers import describe_transformers
from encoders.tower import build_tower
from spatial.errors import CheckpointError, ConfigError, check_known


@dataclass(frozen=True)
class TowerSource:
    """A tower as found in a checkpoint.

    Attributes:
        name: key of ``ENCODERS`` that fits what was found.
        entry: for ``FusedVisionConfig.towers``; all its settings, JSON types.
        weights: by parameter name inside ``FusedVisionModel.towers[name]``: those of the cut tower, all and no other.
        origin: where they come from, for people.
    """

    name: str
    entry: dict[str, Any]
    weights: dict[str, Tensor]
    origin: str


def read_tower(
    source: str | Path,
    name: str = "",
    feature_layer: int = -1,
    keep_cls: bool = False,
    image_size: int = 0,
    dtype: torch.dtype | None = None,
) -> TowerSource:
    """Read a tower, cut at its feature layer.

    Args:
        source: hub id; directory of Transformers or OpenCLIP; file of segment-anything; or OpenCLIP's architecture and
            a file of its weights, as in ``ViT-L-14-336-quickgelu@weights.pt``.
        name: encoder that is expected; found from the checkpoint by default.
        feature_layer: index into the hidden states (0: the embeddings, -1: after the last layer).
        keep_cls: whether the class token is kept.
        image_size: side of the tower's input in pixels; that of the checkpoint's image processor by default.
        dtype: of the weights; as stored by default.

    Raises:
        ConfigError: the checkpoint is of another kind than ``name``, or the encoder cannot be used as asked.
        CheckpointError: there is no such checkpoint, it is damaged or incomplete, or it cannot be a tower.
    """
    if name:
        check_known("encoder", name, ENCODERS)
    checkpoint = describe(source)
    if name and name != checkpoint.name:
        raise ConfigError(f"{checkpoint.origin} is a {checkpoint.name!r} tower, not {name!r}; correct one of the two")
    entry = _entry(checkpoint, feature_layer, keep_cls, image_size)
    plan = FusedVisionConfig(encoders=[checkpoint.name], towers={checkpoint.name: entry}).plan(checkpoint.name)
    entry["image_size"] = plan.image_size
    weights = checkpoint.load(plan, dtype)
    return TowerSource(checkpoint.name, entry, _exactly(weights, checkpoint, plan), checkpoint.origin)


def describe(source: str | Path) -> Checkpoint:
    """Say what encoder a source holds, without reading the weights of a directory.

    Raises:
        ConfigError: a file whose architecture must be said.
        CheckpointError: as in ``read_tower``.
    """
    architecture, rest = split_architecture(source)
    place = locate(rest)
    if place.path.is_file():
        beside = place.path.parent / OPENCLIP_CONFIG
        if not architecture and place.path.name in OPENCLIP_WEIGHTS and beside.is_file():
            return describe_openclip(Place(place.path.parent))
        return describe_file(place.path, architecture)
    if architecture:
        raise ConfigError(f"{rest} is a directory; {architecture}@ goes before a file of weights")
    if (place.path / "config.json").is_file() and not _is_timm(place):
        return describe_transformers(place)
    if (place.path / OPENCLIP_CONFIG).is_file():
        return describe_openclip(place)
    if (place.path / "config.json").is_file():
        return describe_transformers(place)  # which says what is wrong with it
    raise CheckpointError(
        f"{place.origin} has neither config.json nor {OPENCLIP_CONFIG}; give the directory of a model"
    )


def _is_timm(place: Place) -> bool:
    """OpenCLIP models with a timm tower have a config.json of timm's beside their own."""
    return "model_type" not in read_description(place.path / "config.json")


def _entry(checkpoint: Checkpoint, feature_layer: int, keep_cls: bool, image_size: int) -> dict[str, Any]:
    encoder = ENCODERS[checkpoint.name]
    pixels = dict(checkpoint.pixels)
    if image_size or not encoder.any_size:  # what only takes one size has that of its configuration
        pixels["image_size"] = image_size
    return {
        "config": checkpoint.config,
        "feature_layer": feature_layer,
        "keep_cls": keep_cls,
        "mean": list(encoder.mean),
        "std": list(encoder.std),
        "resample": encoder.resample,
        **pixels,
    }


def _exactly(weights: dict[str, Tensor], checkpoint: Checkpoint, plan: TowerPlan) -> dict[str, Tensor]:
    """Return the weights that the cut tower has, in its order.

    Raises:
        CheckpointError: one is missing or has another shape, or there are others.
    """
    with torch.device("meta"):
        expected = build_tower(ENCODERS[checkpoint.name], plan, None).state_dict()
    wrong = [
        f"{key} of shape {list(tensor.shape)}"
        for key, tensor in expected.items()
        if key not in weights or weights[key].shape != tensor.shape
    ]
    if wrong:
        raise CheckpointError(
            f"{checkpoint.origin} lacks {len(wrong)} weights of a {checkpoint.name!r} tower, the first is {wrong[0]}; "
            "it is damaged, or another architecture than was said"
        )
    extra = sorted(weights.keys() - expected.keys())
    if extra:
        raise CheckpointError(
            f"{checkpoint.origin} has {len(extra)} weights that a {checkpoint.name!r} tower lacks, the first is "
            f"{extra[0]}; it is another architecture"
        )
    return {key: weights[key] for key in expected}
