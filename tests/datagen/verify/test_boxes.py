"""Boxes overlap as their areas say, and one thing is kept once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.verify.base import Detection
from datagen.verify.boxes import area, clipped, cover, is_known, mean_box, offset, one_each, overlap
from spatial.observation import Box

numbers = st.integers(0, 60)
boxes = st.tuples(numbers, numbers, st.integers(1, 40), st.integers(1, 40)).map(
    lambda it: (float(it[0]), float(it[1]), float(it[0] + it[2]), float(it[1] + it[3]))
)


def drawn(box: Box) -> np.ndarray:
    x0, y0, x1, y1 = map(int, box)
    mask = np.zeros((100, 100), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@given(boxes, boxes)
def test_overlap_and_cover_are_those_of_the_pixels(one: Box, other: Box) -> None:
    first, second = drawn(one), drawn(other)
    shared = (first & second).sum()
    assert overlap(one, other) == overlap(other, one) == pytest.approx(shared / (first | second).sum())
    assert cover(one, other) == pytest.approx(shared / min(first.sum(), second.sum()))
    assert area(one) == first.sum()


@given(boxes, boxes)
def test_the_mean_of_two_boxes_is_halfway(one: Box, other: Box) -> None:
    middle = mean_box([one, other])
    assert offset(one, middle) == pytest.approx(offset(one, other) / 2)


@given(boxes)
def test_clipping_keeps_what_lies_in_the_picture(box: Box) -> None:
    inside = clipped(box, 50, 30)
    assert area(inside) == pytest.approx(drawn(box)[:30, :50].sum())


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (5, 5, 5, 9), (float("nan"), 0, 1, 1), (0, 0, float("inf"), 1)])
def test_a_box_without_an_area_says_nothing(box: Box) -> None:
    assert not is_known(box)


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
