"""One thing is kept once."""

import numpy as np

from datagen.verify.base import Detection
from datagen.verify.boxes import one_each


def test_the_surest_of_several_boxes_of_one_thing_is_kept() -> None:
    whole, shifted, part = (0.0, 0.0, 20.0, 20.0), (2.0, 2.0, 22.0, 22.0), (5.0, 5.0, 10.0, 10.0)
    found = [Detection("cup", shifted, 0.5), Detection("cup", whole, 0.9), Detection("cup", part, 0.7)]
    assert one_each(found) == [Detection("cup", whole, 0.9)]


def test_things_apart_and_other_nouns_are_all_kept() -> None:
    found = [
        Detection("cup", (0, 0, 9, 9), 0.9),
        Detection("cup", (30, 0, 39, 9), 0.4),
        Detection("bowl", (0, 0, 9, 9), 0.5),
    ]
    assert one_each(found) == sorted(found, key=lambda it: -it.score)


def test_masks_tell_a_thing_from_the_one_behind_it() -> None:
    behind, before = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    before[8:16, 8:16] = True
    behind[0:20, 0:20] = ~before
    found = [Detection("cup", (0, 0, 20, 20), 0.9, behind), Detection("cup", (8, 8, 16, 16), 0.8, before)]
    assert len(one_each(found)) == 2
    assert len(one_each([Detection(it.name, it.box, it.score) for it in found])) == 1
