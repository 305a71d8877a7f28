"""Which boxes of a detector are of one thing."""

from collections.abc import Iterable

import numpy as np

from datagen.verify.base import Detection
from spatial.boxes import cover, overlap

SAME_THING = 0.5
"""Intersection over union from which two boxes of one noun are of one thing."""

PART_OF_IT = 0.8
"""Share of the smaller box within the larger from which the smaller shows a part of the same thing."""


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
