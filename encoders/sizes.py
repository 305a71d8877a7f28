"""Sizes of an encoder without its weights: to plan a model, or to build one with random weights."""

from pathlib import Path
from typing import Any

from encoders.published import PUBLISHED, published_entry
from encoders.sources import describe
from spatial.errors import ConfigError

_DRAWN = {"sam": {"initializer_range": 0.02}}
"""The class's own default, 1e-10, is for weights that are loaded afterwards."""


def tower_sizes(
    source: str, name: str, feature_layer: int = -1, keep_cls: bool = False, image_size: int = 0
) -> dict[str, Any]:
    """Return the entry of ``FusedVisionConfig.towers`` for a tower whose weights will be drawn.

    Args:
        source: as ``TowerSettings.weights``; its weights are not read.
        name: key of ``ENCODERS``.
        feature_layer: see ``TowerSettings``.
        keep_cls: see ``TowerSettings``.
        image_size: see ``TowerSettings``; 0 for the checkpoint's own.

    Raises:
        CheckpointError: what the source holds cannot be read.
        ConfigError: it is of another kind of encoder.
    """
    if not source:
        raise ConfigError(f"encoder {name!r} has no sizes; set towers.{name}.weights to a hub id or a directory")
    if source in PUBLISHED and not Path(source).exists():
        found, entry = published_entry(source)
    else:
        checkpoint = describe(source)
        found, entry = checkpoint.name, {"config": checkpoint.config, **checkpoint.pixels}
    if found != name:
        raise ConfigError(f"{source} is a {found!r} tower, not {name!r}; correct towers.{name}.weights")
    entry |= {"config": entry["config"] | _DRAWN.get(name, {}), "feature_layer": feature_layer, "keep_cls": keep_cls}
    return entry | ({"image_size": image_size} if image_size else {})
