"""Read things off a detector's maps: peaks, their boxes and masks, and which of them are the same thing.

Shapes: B pictures, K nouns, G cells along a side, S side of a picture in pixels, N candidates of a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from encoders.detector import DetectorOutput, TinyDetector
from spatial.boxes import bounds_of

CANDIDATES = 24
"""The surest peaks of a picture, of any noun, that are looked at."""

LEAST_SCORE = 0.05
"""A peak below this is nothing."""

LEAST_PIXELS = 16
"""A mask of fewer pixels shows no thing."""

SAME, SAME_PLACE = 0.5, 0.4
"""Two masks of one noun, or of two nouns, that share more than this of their union are the same thing."""

MARGIN = 0.15
"""A mask may reach over its box by this share of the box's side."""


@dataclass(frozen=True)
class Found:
    """A thing in a picture.

    Attributes:
        noun: index of its noun.
        score: 0 to 1.
        box: pixels x0, y0, x1, y1; the middle of what the box head says and of the mask's own box.
        mask: bool (S, S).
        depth: median over the mask of the depth map, roughly metres.
    """

    noun: int
    score: float
    box: tuple[float, float, float, float]
    mask: NDArray[np.bool_]
    depth: float


@torch.inference_mode()
def find(model: TinyDetector, pixel_values: Tensor) -> tuple[list[list[Found]], NDArray[np.float32]]:
    """Return the things in each picture, the surest first, and the depth of every pixel.

    Args:
        model: in evaluation mode.
        pixel_values: uint8 (B, 3, S, S), on the model's device.

    Returns:
        The things, and float32 (B, S, S) depths.
    """
    side = model.config.image_size
    output = model(pixel_values)
    assert output.log_depth is not None
    depth = functional.interpolate(output.log_depth[:, None], size=(side, side), mode="bilinear")[:, 0].exp()
    depth_BSS = depth.cpu().numpy()
    return [_things(model, output, index, depth_BSS[index]) for index in range(len(pixel_values))], depth_BSS


def _things(model: TinyDetector, output: DetectorOutput, index: int, depth_SS: NDArray[np.float32]) -> list[Found]:
    assert output.heat is not None and output.box is not None
    heat_KGG = output.heat[index].sigmoid()
    peak = functional.max_pool2d(heat_KGG[None], 3, stride=1, padding=1)[0] == heat_KGG
    scores, places = torch.where(peak, heat_KGG, 0).flatten().topk(min(CANDIDATES, heat_KGG.numel()))
    places = places[scores >= LEAST_SCORE]
    if len(places) == 0:
        return []
    cells = heat_KGG.shape[-1] ** 2
    noun_N, cell_N = places // cells, places % cells
    box_N4 = output.box[index].flatten(1)[:, cell_N].T.clamp(0, model.config.image_size)
    mask_NSS = _masks(model, output, index, cell_N, box_N4)
    found: list[Found] = []
    rows = zip(noun_N.tolist(), scores.tolist(), box_N4.tolist(), mask_NSS, strict=False)
    for noun, score, box, mask in rows:
        if mask.sum() < LEAST_PIXELS or any(_same(noun, mask, other) for other in found):
            continue
        found.append(Found(noun, score, _mean_box(box, mask), mask, float(np.median(depth_SS[mask]))))
    return found


def _mean_box(box: Sequence[float], mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Return the middle of a box and that of a mask: either errs by more, and rarely on the same side."""
    x0, y0, x1, y1 = (float(one + other) / 2 for one, other in zip(box, bounds_of(mask), strict=True))
    return (x0, y0, x1, y1)


def _masks(
    model: TinyDetector, output: DetectorOutput, index: int, cell_N: Tensor, box_N4: Tensor
) -> NDArray[np.bool_]:
    """Return the masks (N, S, S) of candidates, each within its box and a margin."""
    side = model.config.image_size
    logits = model.masks(output, torch.full_like(cell_N, index), cell_N)
    logits = functional.interpolate(logits[:, None], size=(side, side), mode="bilinear")[:, 0]
    x0, y0, x1, y1 = box_N4.T[..., None, None]
    margin_x, margin_y = MARGIN * (x1 - x0) + 1, MARGIN * (y1 - y0) + 1
    place = torch.arange(side, device=box_N4.device) + 0.5
    inside = (place > x0 - margin_x) & (place < x1 + margin_x)
    inside = inside & (place[:, None] > y0 - margin_y) & (place[:, None] < y1 + margin_y)
    masks: NDArray[np.bool_] = ((logits > 0) & inside).cpu().numpy()
    return masks


def _same(noun: int, mask: NDArray[np.bool_], other: Found) -> bool:
    shared = int((mask & other.mask).sum())
    union = int(mask.sum() + other.mask.sum()) - shared
    return shared > (SAME if noun == other.noun else SAME_PLACE) * union
