"""Turn pictures with their things into what ``encoders.detector_loss`` takes.

Shapes: B pictures, K nouns, G cells and P mask pixels along a side, N things.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoders.detector import CELL, MASK_STEP
from training.detector_data import Sight, Thing
from training.photometric import weathered

SPREAD = 0.09
"""Standard deviation of a centre's heat, as a share of the box (TTFNet: 0.54 / 6)."""

LEAST_SPREAD = 0.45
"""In cells."""

SPARED = 0.25
"""Share of the pictures that are shown as they were rendered."""

NEAR = 0.3
"""A cell with this much heat learns the box, and may stand for the thing."""


class DetectorCollator:
    """Turn sights into pixels and targets.

    Args:
        nouns: number of nouns.
        weather: whether the pixels meet with accidents (``training.photometric``).
    """

    def __init__(self, nouns: int, weather: bool = True) -> None:
        self.nouns, self.weather = nouns, weather

    def __call__(self, sights: Sequence[Sight]) -> dict[str, Tensor]:
        """Return the arguments of ``TinyDetector.forward``."""
        stacked = np.stack([sight.pixels for sight in sights])
        pixels = torch.from_numpy(np.ascontiguousarray(stacked)).permute(0, 3, 1, 2).contiguous()
        if self.weather:
            pixels = weathered(pixels, sights[0].seed, SPARED)
        maps = [_maps(sight, self.nouns) for sight in sights]
        batch = {name: torch.from_numpy(np.stack([m[name] for m in maps])) for name in maps[0]}
        rows = [(index, *row) for index, sight in enumerate(sights) for row in _rows(sight)]
        side = stacked.shape[1] // MASK_STEP
        masks = np.stack([row[2] for row in rows]) if rows else np.zeros((0, side, side), np.float32)
        return batch | {
            "pixel_values": pixels,
            "row_image": torch.tensor([row[0] for row in rows], dtype=torch.long),
            "row_cell": torch.tensor([row[1] for row in rows], dtype=torch.long),
            "row_mask": torch.from_numpy(masks),
        }


def _heat(thing: Thing, cells: int) -> NDArray[np.float32]:
    """Return the heat of a thing's centre, (G, G), 1 in the cell of its box's middle."""
    x0, y0, x1, y1 = (side / CELL for side in thing.box)
    column, row = _cell(thing, cells)
    x = (np.arange(cells) - column) / max(SPREAD * (x1 - x0), LEAST_SPREAD)
    y = (np.arange(cells) - row) / max(SPREAD * (y1 - y0), LEAST_SPREAD)
    return np.exp(-(x[None] ** 2 + y[:, None] ** 2) / 2).astype(np.float32)


def _cell(thing: Thing, cells: int) -> tuple[int, int]:
    x0, y0, x1, y1 = thing.box
    return min(int((x0 + x1) / 2 / CELL), cells - 1), min(int((y0 + y1) / 2 / CELL), cells - 1)


def _maps(sight: Sight, nouns: int) -> dict[str, NDArray[np.generic]]:
    cells = sight.pixels.shape[0] // CELL
    heat, weight = np.zeros((nouns, cells, cells), np.float32), np.ones((nouns, cells, cells), np.float32)
    box, box_weight = np.zeros((4, cells, cells), np.float32), np.zeros((cells, cells), np.float32)
    nearest, noun = np.zeros((cells, cells), np.float32), np.zeros((cells, cells), np.int64)
    for thing in sight.things:
        x0, y0, x1, y1 = thing.box
        if not thing.certain:
            weight[thing.noun, y0 // CELL : -(-y1 // CELL), x0 // CELL : -(-x1 // CELL)] = 0
    for thing in (thing for thing in sight.things if thing.certain):
        own = _heat(thing, cells)
        heat[thing.noun] = np.maximum(heat[thing.noun], own)
        weight[thing.noun][own >= NEAR] = 1
        nearer = (own >= NEAR) & (own > nearest)
        nearest[nearer], noun[nearer] = own[nearer], thing.noun
        box[:, nearer] = np.array(thing.box, np.float32)[:, None]
        box_weight[nearer] = own[nearer] / own[own >= NEAR].sum()
    known = np.isfinite(sight.log_depth)
    return {
        "heat": heat,
        "heat_weight": weight,
        "noun": noun,
        "box": box,
        "box_weight": box_weight,
        "log_depth": np.where(known, sight.log_depth, 0).astype(np.float32),
        "depth_known": known,
    }


def _rows(sight: Sight) -> list[tuple[int, NDArray[np.float32]]]:
    """Return each certain thing's mask (P, P) with a cell that may stand for it; a peak may be a cell off."""
    cells = sight.pixels.shape[0] // CELL
    rng = np.random.default_rng(sight.seed)
    rows = []
    for thing in (thing for thing in sight.things if thing.certain):
        height, width = thing.mask.shape
        share = thing.mask.reshape(height // MASK_STEP, MASK_STEP, width // MASK_STEP, MASK_STEP).mean((1, 3))
        heat = _heat(thing, cells).ravel()
        near = np.where(heat >= NEAR, heat, 0)
        rows.append((int(rng.choice(len(near), p=near / near.sum())), share.astype(np.float32)))
    return rows
