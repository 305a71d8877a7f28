"""Sizes of an encoder without its weights: to plan a model, or to build one with random weights."""

from pathlib import Path
from typing import Any

import transformers

from encoders.registry import ENCODERS
from spatial.errors import CheckpointError, ConfigError, first_line

_BOOKKEEPING = ("model_type", "architectures", "dtype", "transformers_version", "_name_or_path")


def tower_sizes(source: str, name: str, feature_layer: int = -1, keep_cls: bool = False, image_size: int = 0) -> Any:
    """Return the entry of ``FusedVisionConfig.towers`` for a tower that will be drawn.

    Args:
        source: hub id or directory with a config.json, as ``TowerSettings.weights``.
        name: key of ``ENCODERS``.
        feature_layer: see ``TowerSettings``.
        keep_cls: see ``TowerSettings``.
        image_size: see ``TowerSettings``; 0 for the configuration's own.

    Raises:
        CheckpointError: the configuration cannot be read.
        ConfigError: it is of another kind of encoder.
    """
    entry = {"config": _config(source, name), "feature_layer": feature_layer, "keep_cls": keep_cls}
    return entry | ({"image_size": image_size} if image_size else {})


def _config(source: str, name: str) -> dict[str, Any]:
    if not source:
        raise ConfigError(f"encoder {name!r} has no sizes; set towers.{name}.weights to a hub id or a directory")
    try:
        config = transformers.AutoConfig.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        where = (
            "" if Path(source).exists() else f"; run 'hf download {source} --local-dir DIR' where there is a network"
        )
        raise CheckpointError(f"{source} has no readable config.json ({first_line(error)}){where}") from error
    expected = getattr(transformers, ENCODERS[name].config_class)
    for part in (config, getattr(config, "vision_config", None)):
        if isinstance(part, expected):
            sizes = {key: value for key, value in part.to_diff_dict().items() if key not in _BOOKKEEPING}
            # SAM's own default, 1e-10, is for weights that are loaded afterwards.
            return sizes | ({"initializer_range": 0.02} if name == "sam" else {})
    raise ConfigError(f"{source} is a {config.model_type!r}, not the encoder {name!r}; correct towers.{name}.weights")
