"""How boxes in a picture lie to each other; boxes are (x0, y0, x1, y1) in pixels."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spatial.observation import Box

Bounds = tuple[int, int, int, int]
"""A rectangle of whole pixels: left, top, and the first ones beyond right and bottom."""


def area(box: Box) -> float:
    """Return the area in square pixels; 0 for a box without width or height."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def is_known(box: Box) -> bool:
    """Tell whether a box says where something is: its numbers are finite and it has an area."""
    return all(map(math.isfinite, box)) and area(box) > 0


def meet(one: Box, other: Box) -> bool:
    """Tell whether two boxes share any of the picture."""
    return min(one[2], other[2]) > max(one[0], other[0]) and min(one[3], other[3]) > max(one[1], other[1])


def shared(one: Box, other: Box) -> float:
    """Return the area, in square pixels, that is in both."""
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def overlap(one: Box, other: Box) -> float:
    """Return intersection over union, 0 to 1."""
    both = shared(one, other)
    union = area(one) + area(other) - both
    return both / union if union > 0 else 0.0


def cover(one: Box, other: Box) -> float:
    """Return the share of the smaller box that lies in the larger, 0 to 1."""
    smaller = min(area(one), area(other))
    return shared(one, other) / smaller if smaller > 0 else 0.0


def offset(one: Box, other: Box) -> float:
    """Return the distance of the centres in pixels."""
    return math.hypot((one[0] + one[2] - other[0] - other[2]) / 2, (one[1] + one[3] - other[1] - other[3]) / 2)


def clipped(box: Sequence[float], width: int, height: int) -> Box:
    """Return the part of a box that lies in the picture."""
    x0, y0, x1, y1 = (
        min(max(float(value), 0.0), float(most)) for value, most in zip(box, (width, height) * 2, strict=True)
    )
    return (x0, y0, x1, y1)


def mean_box(boxes: Sequence[Box]) -> Box:
    """Return the box with the mean of each side."""
    x0, y0, x1, y1 = (sum(values) / len(boxes) for values in zip(*boxes, strict=True))
    return (x0, y0, x1, y1)


def bounds_of(mask: NDArray[np.bool_]) -> Bounds:
    """Return the smallest rectangle around the true part of a mask (H, W), which must not be empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
