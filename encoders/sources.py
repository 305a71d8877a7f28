"""Read one tower from a published checkpoint: a hub id, a directory, or an original file of OpenCLIP or SAM."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class TowerSource:
    """What was found in a checkpoint.

    Attributes:
        name: key of ``ENCODERS`` that fits what was found.
        entry: entry of ``FusedVisionConfig.towers``.
        weights: by parameter name inside ``FusedVisionModel.towers[name]``, complete for the cut tower.
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
    """Read a tower."""
    raise NotImplementedError
