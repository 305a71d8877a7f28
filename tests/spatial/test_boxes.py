"""Boxes overlap as their areas say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial.boxes as boxed
from spatial.boxes import area, bounds_of, clipped, cover, is_known, mean_box, meet, offset, overlap
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
    assert area(one) == first.sum() and boxed.shared(one, other) == shared
    assert meet(one, other) == bool(shared)


@given(boxes)
def test_the_bounds_of_a_box_drawn_are_the_box(box: Box) -> None:
    assert bounds_of(drawn(box)) == box


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
