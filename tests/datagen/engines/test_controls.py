"""Control images are what control networks are trained on: near is white, lines are white, masks leave nothing out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from datagen.engines.base import Order, Prompts
from datagen.engines.controls import (
    CELL,
    MULTIPLE,
    Canvas,
    canvas_of,
    composed,
    depth_control,
    edge_control,
    far_to_near,
    grown,
    hash_of,
    object_masks,
    resized,
)
from datagen.passes import Passes
from spatial.errors import ConfigError

CUP, BOWL = 0, 1
"""The cup stands before the bowl (see ``conftest.scene``)."""


@pytest.fixture(scope="module")
def passes(group: list[Order]) -> Passes:
    found = group[0].passes
    assert found is not None
    return found


def test_depth_is_inverse_with_near_white_in_three_equal_channels(passes: Passes) -> None:
    image = depth_control(passes, Canvas(48, 48))
    shade = np.asarray(image)
    assert image.mode == "RGB" and (shade == shade[..., :1]).all()
    finite = np.isfinite(passes.depth)
    assert not finite.all() and (shade[~finite] == 0).all()
    nearest, farthest = (passes.depth[finite].min(), passes.depth[finite].max())
    assert shade[passes.depth == nearest].min() == 255 and shade[passes.depth == farthest].max() == 0
    seen = [(passes.depth[passes.ids == index].mean(), shade[passes.ids == index].mean()) for index in (CUP, BOWL)]
    assert seen[0][0] < seen[1][0] and seen[0][1] > seen[1][1]
    order = np.argsort(passes.depth[finite])
    assert (np.diff(shade[finite][order, 0].astype(int)) <= 0).all()


def test_a_plane_gives_an_even_ramp_at_any_size(passes: Passes) -> None:
    inverse = np.linspace(0.2, 1.0, 48, dtype=np.float32)
    flat = replace(passes, depth=np.repeat(1 / inverse[:, None], 48, axis=1))
    shade = np.asarray(depth_control(flat, Canvas(128, 192)))[:, 0, 0].astype(int)
    assert len(shade) == 192 and shade[0] <= 3 and shade[-1] >= 252
    assert np.ptp(np.diff(shade[4:-4])) <= 1


def test_edges_are_white_on_black_and_none_is_lost_when_it_shrinks(passes: Passes) -> None:
    same = np.asarray(edge_control(passes, Canvas(48, 48)))
    assert set(np.unique(same)) == {0, 255} and ((same[..., 0] == 255) == passes.edges).all()
    lines = np.zeros((48, 48), np.bool_)
    lines[::12] = True
    small = np.asarray(edge_control(replace(passes, edges=lines), Canvas(16, 16)))[:, 0, 0]
    assert (small == 255).sum() == 4


@settings(max_examples=50, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))), st.integers(1, 6))
def test_growing_reaches_as_far_as_it_says_and_no_farther(mask: np.ndarray, pixels: int) -> None:
    wider = grown(mask, pixels)
    rows, columns = np.nonzero(mask)
    expected = np.zeros_like(mask)
    for row, column in zip(rows, columns, strict=True):
        expected[max(0, row - pixels) : row + pixels + 1, max(0, column - pixels) : column + pixels + 1] = True
    assert (wider == expected).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(8, 2000), st.integers(8, 2000), st.sampled_from([256, 512, 1024]))
def test_a_canvas_keeps_shape_and_area(width: int, height: int, size: int) -> None:
    photo = np.broadcast_to(np.uint8(0), (height, width, 3))
    canvas = canvas_of(Order("photo", 0, Prompts("", ()), photo=photo), size)
    assert canvas.width % MULTIPLE == canvas.height % MULTIPLE == 0
    exact = size / np.sqrt(width * height)
    for side, painted in ((width, canvas.width), (height, canvas.height)):
        assert painted == MULTIPLE or abs(painted - side * exact) <= MULTIPLE / 2


def test_an_order_without_geometry_or_photo_cannot_be_painted() -> None:
    with pytest.raises(ConfigError, match="order x has neither passes nor a photo"):
        canvas_of(Order("x", 0, Prompts("", ())), 64)


def test_objects_come_far_to_near_and_each_may_be_painted_where_it_is_seen(passes: Passes) -> None:
    assert far_to_near(passes) == [BOWL, CUP]
    canvas = Canvas(128, 128)
    masks = object_masks(passes, canvas)
    assert [index for index, _ in masks] == [BOWL, CUP]
    seen = {index: resized(passes.ids == index, canvas) for index in (BOWL, CUP)}
    far, near = masks[0][1], masks[1][1]
    assert not (far & seen[CUP]).any() and (far >= (seen[BOWL] & ~seen[CUP])).all()
    assert (near == grown(seen[CUP])).all()


def test_what_stands_before_another_object_is_painted_last_wherever_it_is(group: list[Order]) -> None:
    passes = group[0].passes
    assert passes is not None
    swapped = replace(passes, depth=np.where(passes.ids == BOWL, np.float32(0.5), passes.depth))
    assert far_to_near(swapped) == [CUP, BOWL]


def test_an_object_out_of_sight_is_not_painted(passes: Passes) -> None:
    hidden = replace(passes, ids=np.where(passes.ids == BOWL, np.int16(-1), passes.ids))
    assert [index for index, _ in object_masks(hidden, Canvas(64, 64))] == [CUP]


def test_a_mask_touches_every_cell_of_the_latent_picture_that_its_object_touches(passes: Passes) -> None:
    for index, mask in object_masks(passes, Canvas(64, 64)):
        cells = resized(passes.ids == index, Canvas(64, 64)).reshape(8, CELL, 8, CELL).any(axis=(1, 3))
        nearer = np.isin(passes.ids, far_to_near(passes)[far_to_near(passes).index(index) + 1 :])
        free = cells & ~resized(nearer, Canvas(64, 64))[::CELL, ::CELL]
        assert mask[::CELL, ::CELL][free].all()


def test_outside_its_mask_a_composed_picture_does_not_change() -> None:
    rng = np.random.default_rng(0)
    one, two = (Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)) for _ in range(2))
    mask = rng.random((9, 7)) < 0.5
    both = np.asarray(composed(one, two, mask))
    assert (both[mask] == np.asarray(one)[mask]).all() and (both[~mask] == np.asarray(two)[~mask]).all()


def test_control_images_are_named_by_their_pixels(passes: Passes) -> None:
    first = depth_control(passes, Canvas(64, 64))
    assert hash_of(first) == hash_of(first.copy()) != hash_of(depth_control(passes, Canvas(64, 128)))
    assert hash_of(first) != hash_of(edge_control(passes, Canvas(64, 64)))
