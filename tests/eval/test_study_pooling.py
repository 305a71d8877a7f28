"""Boxes meet the cells that look at them, also in wide and tall pictures, which are letterboxed."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from encoders.canvas import letterbox
from eval.study.pooling import canvas_box, cell_areas, token_weights

SIDE = 64


@st.composite
def boxes(draw: st.DrawFn) -> tuple[int, int, tuple[int, int, int, int]]:
    """A picture's width and height, and a box in it, in pixels."""
    width, height = draw(st.integers(8, 300)), draw(st.integers(8, 300))
    left, top = draw(st.integers(0, width - 4)), draw(st.integers(0, height - 4))
    return width, height, (left, top, draw(st.integers(left + 4, width)), draw(st.integers(top + 4, height)))


@settings(max_examples=60, deadline=None)
@given(boxes(), st.sampled_from([4, 8, 16]))
@example((31, 8, (8, 0, 12, 4)), 8)
def test_weights_are_where_the_drawn_box_is_on_the_canvas(
    case: tuple[int, int, tuple[int, int, int, int]], grid: int
) -> None:
    """What the processor itself makes of a white box on black tells how much of it each cell sees."""
    width, height, box = case
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    canvas = letterbox(Image.fromarray(pixels), SIDE, (0, 0, 0), Image.Resampling.BOX)
    cell = SIDE // grid
    seen = np.asarray(canvas)[..., 0].reshape(grid, cell, grid, cell).sum((1, 3)) / 255 / SIDE**2
    x0, y0, x1, y1 = canvas_box(box, width, height, SIDE)
    # Resampling puts an edge on the nearest pixel, so up to half of one aside, and rounds to 8 bits in either pass.
    half, rounding = 0.5 / SIDE, 1 / 255 / grid**2
    least = cell_areas((x0 + half, y0 + half, x1 - half, y1 - half), grid).reshape(grid, grid)
    most = cell_areas((x0 - half, y0 - half, x1 + half, y1 + half), grid).reshape(grid, grid)
    assert (least - rounding <= seen).all() and (seen <= most + rounding).all()


@given(boxes(), st.integers(1, 30))
def test_weights_sum_to_one_and_lie_in_cells_that_touch_the_box(
    case: tuple[int, int, tuple[int, int, int, int]], grid: int
) -> None:
    width, height, box = case
    x0, y0, x1, y1 = canvas_box(box, width, height, SIDE)
    assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
    weights = token_weights([(grid, cell) for cell in range(grid**2)], (x0, y0, x1, y1))
    assert weights.sum() == pytest.approx(1)
    rows, columns = np.divmod(np.flatnonzero(weights), grid)
    assert len(rows) and (columns < x1 * grid).all() and (columns + 1 > x0 * grid).all()
    assert (rows < y1 * grid).all() and (rows + 1 > y0 * grid).all()


def test_a_wide_picture_lies_in_the_middle_rows() -> None:
    weights = token_weights([(4, cell) for cell in range(16)], canvas_box((0, 0, 100, 50), 100, 50, SIDE))
    np.testing.assert_allclose(weights.reshape(4, 4), [[0] * 4, [1 / 8] * 4, [1 / 8] * 4, [0] * 4])
    left = token_weights([(4, cell) for cell in range(16)], canvas_box((0, 0, 50, 25), 100, 50, SIDE))
    np.testing.assert_allclose(left.reshape(4, 4)[1], [1 / 2, 1 / 2, 0, 0])


def test_a_tall_picture_lies_in_the_middle_columns() -> None:
    weights = token_weights([(4, cell) for cell in range(16)], canvas_box((0, 50, 50, 100), 50, 100, SIDE))
    np.testing.assert_allclose(weights.reshape(4, 4)[:, 1], [0, 0, 1 / 4, 1 / 4])
    np.testing.assert_allclose(weights.reshape(4, 4)[:, [0, 3]], 0)


def test_a_box_is_cut_at_the_picture() -> None:
    assert canvas_box((-30, -5, 130, 999), 100, 100, SIDE) == (0, 0, 1, 1)


def test_encoders_have_the_same_say_and_class_tokens_none() -> None:
    places = [None, *((2, cell) for cell in range(4)), None, *((6, cell) for cell in range(36))]
    weights = token_weights(places, (0.0, 0.0, 0.5, 1.0))
    assert weights[[0, 5]].tolist() == [0, 0]
    assert weights[1:5].sum() == pytest.approx(0.5) and weights[6:].sum() == pytest.approx(0.5)


def test_tokens_without_places_weigh_the_same() -> None:
    assert token_weights([None] * 4, (0.1, 0.1, 0.2, 0.2)).tolist() == [0.25] * 4


def test_a_box_without_area_is_refused() -> None:
    with pytest.raises(ValueError, match="no area"):
        token_weights([(2, cell) for cell in range(4)], (0.5, 0.5, 0.5, 0.9))
