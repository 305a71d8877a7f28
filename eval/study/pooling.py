"""From a box in a picture to the tokens that look at it.

The picture lies letterboxed on a square canvas (or its middle square is the canvas), and every encoder's grid divides
the canvas evenly. A token weighs as much as the area that its cell shares with the box, so a box smaller than a cell
still has one, nothing is rounded, and under ``sequence`` fusion every encoder has the same say whatever the size of its
grid.

Shapes: N tokens of one image, G side of a grid.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.canvas import crop_box, letterbox_box
from encoders.projector import Place
from eval.study.samples import Box

Weights = NDArray[np.float64]

GEOMETRY = {"pad": letterbox_box, "crop": crop_box}
"""Where the whole picture lies relative to the canvas, by the mode in which it was made square."""


def canvas_box(box: Box, width: int, height: int, side: int, mode: str = "pad") -> Box:
    """Return where a box of a picture lies on the canvas, in fractions of its side; what is outside is cut off.

    Args:
        box: in pixels of the picture.
        width: of the picture, in pixels.
        height: the same.
        side: of the canvas, in pixels.
        mode: a name of ``encoders.canvas.CANVAS_MODES``.
    """
    left, top, inner_width, inner_height = GEOMETRY[mode](width, height, side)
    x0, x1 = (left + inner_width * min(max(x / width, 0.0), 1.0) for x in (box[0], box[2]))
    y0, y1 = (top + inner_height * min(max(y / height, 0.0), 1.0) for y in (box[1], box[3]))
    x0, y0, x1, y1 = (min(max(edge / side, 0.0), 1.0) for edge in (x0, y0, x1, y1))
    return x0, y0, x1, y1


def cell_areas(box: Box, grid: int) -> Weights:
    """Return the area [G * G], row by row, that each cell shares with a box in fractions of the canvas."""
    edges = np.arange(grid + 1) / grid
    x0, y0, x1, y1 = box
    across = np.clip(np.minimum(edges[1:], x1) - np.maximum(edges[:-1], x0), 0.0, None)
    down = np.clip(np.minimum(edges[1:], y1) - np.maximum(edges[:-1], y0), 0.0, None)
    return np.outer(down, across).ravel()


def token_weights(places: Sequence[Place], box: Box) -> Weights:
    """Return the weights [N] of tokens for a box in fractions of the canvas; they sum to one.

    A token without a place (a class token) has none. Where no token has a place, all weigh the
    same.

    Raises:
        ValueError: tokens have places, and none of them is in the box.
    """
    if not any(places):
        return np.full(len(places), 1 / len(places))
    weights = np.zeros(len(places))
    for grid in {place[0] for place in places if place}:
        areas = cell_areas(box, grid)
        index = [token for token, place in enumerate(places) if place and place[0] == grid]
        weights[index] = areas[[place[1] for place in places if place and place[0] == grid]]
    if not weights.any():
        raise ValueError(f"the box {box} has no area on the canvas")
    return weights / weights.sum()
