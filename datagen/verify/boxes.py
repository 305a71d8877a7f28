"""How boxes in a picture lie to each other; boxes are (x0, y0, x1, y1) in pixels."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from datagen.verify.base import Detection
from spatial.observation import Box

SAME_THING = 0.5
"""Intersection over union from which two boxes of one noun are of one thing."""

PART_OF_IT = 0.8
"""Share of the smaller box within the larger from which the smaller shows a part of the same thing."""


def area(box: Box) -> float:
    """Return the area in square pixels; 0 for a box without width or height."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def is_known(box: Box) -> bool:
    """Tell whether a box says where something is: its numbers are finite and it has an area."""
    return all(map(math.isfinite, box)) and area(box) > 0


def overlap(one: Box, other: Box) -> float:
    """Return intersection over union, 0 to 1."""
    shared = _shared(one, other)
    union = area(one) + area(other) - shared
    return shared / union if union > 0 else 0.0


def cover(one: Box, other: Box) -> float:
    """Return the share of the smaller box that lies in the larger, 0 to 1."""
    smaller = min(area(one), area(other))
    return _shared(one, other) / smaller if smaller > 0 else 0.0


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


def one_each(detections: Iterable[Detection]) -> list[Detection]:
    """Return the detections, surest first, without those that show a thing, or a part of it, that a surer one shows.

    Masks tell things apart where both have one: of two cups, one behind the other, a box may lie within the other.
    """
    kept: list[Detection] = []
    for detection in sorted(detections, key=lambda found: -found.score):
        if not any(_repeats(detection, other) for other in kept):
            kept.append(detection)
    return kept


def _repeats(detection: Detection, other: Detection) -> bool:
    if detection.name != other.name:
        return False
    if detection.mask is None or other.mask is None:
        return overlap(detection.box, other.box) > SAME_THING or cover(detection.box, other.box) > PART_OF_IT
    shared, one, two = (int(np.count_nonzero(m)) for m in (detection.mask & other.mask, detection.mask, other.mask))
    return shared > SAME_THING * (one + two - shared) or shared > PART_OF_IT * min(one, two)


def _shared(one: Box, other: Box) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
