"""Edited pictures: what moves, moves with its box and mask; what does not, stays to the last bit."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eval.interpret.edits import EXCHANGED, FLIPPED, MARGIN, exchanged, mirrored, recoloured, translated
from eval.interpret.fills import filled, grown
from spatial.observation import Observation, Seen
from spatial.predicates import holds
from spatial.records import ImageRow, decode_image, decode_mask, image_id_of
from tests.eval.interpret.worlds import SIZE, picture

places = st.tuples(st.integers(0, SIZE - 8), st.integers(0, SIZE - 8))
sizes = st.tuples(st.integers(3, 8), st.integers(3, 8))


@st.composite
def rows(draw: st.DrawFn) -> ImageRow:
    """Two or three objects anywhere, also over each other and at the edge."""
    count = draw(st.integers(2, 3))
    names = ("cup", "book", "vase")[:count]
    where = tuple(draw(places) for _ in names)
    return picture(where, tuple(draw(sizes) for _ in names), draw(st.integers(0, 99)), names)


def pixels(row: ImageRow) -> np.ndarray:
    return np.asarray(decode_image(row.image, ""))


def seen(row: ImageRow) -> Observation:
    """What boxes alone say of a picture, all things being at one depth."""
    depth = (1.0, 1.0, 1.0)
    objects = tuple(Seen(item.name, item.box_xyxy, depth=depth) for item in row.objects)
    return Observation(objects, row.width, row.height)


def boxed(row: ImageRow, index: int, wider: int = 0) -> np.ndarray:
    """Return a mask of an object's box and some pixels around it."""
    mask = np.zeros((row.height, row.width), dtype=bool)
    x0, y0, x1, y1 = (int(value) for value in row.objects[index].box_xyxy)
    mask[max(y0 - wider, 0) : y1 + wider, max(x0 - wider, 0) : x1 + wider] = True
    return mask


def check_whole(row: ImageRow) -> None:
    """An edited row is one of its own: its name, its size, and masks that fill their boxes."""
    assert row.image_id == image_id_of(pixels(row)) and pixels(row).shape == (row.height, row.width, 3)
    assert (row.scene, row.scene_id, row.verdicts) == ("", "", "{}")
    for index, item in enumerate(row.objects):
        assert item.pose == ()
        assert (decode_mask(item.mask_rle, row.height, row.width) == boxed(row, index)).all()


@given(rows())
def test_mirrored_twice_is_the_picture_itself(row: ImageRow) -> None:
    once, twice = mirrored(row), mirrored(mirrored(row))
    check_whole(once)
    assert (pixels(once)[:, ::-1] == pixels(row)).all()
    assert (twice.image_id, twice.image, twice.objects) == (row.image_id, row.image, row.objects)
    assert json.loads(once.provenance) == {"edit": "mirrored", "of": row.image_id}


@given(rows())
def test_a_mirror_turns_left_and_right_and_leaves_what_is_above(row: ImageRow) -> None:
    before, after = seen(row), seen(mirrored(row))
    for relation, turned in FLIPPED.items():
        assert holds(relation, 0, 1, before) == holds(turned, 0, 1, after)
    for relation in ("above", "below"):
        assert holds(relation, 0, 1, before) == holds(relation, 0, 1, after)


def test_only_left_and_right_are_flipped() -> None:
    assert FLIPPED == {
        "left of": "right of",
        "right of": "left of",
        "at the left side of": "at the right side of",
        "at the right side of": "at the left side of",
    }
    assert EXCHANGED == {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@settings(max_examples=60, deadline=None)
@given(rows())
def test_an_exchange_keeps_everything_but_the_two_places(row: ImageRow) -> None:
    try:
        made = exchanged(row, 0, 1)
    except ValueError:
        assume(False)
    changed = (pixels(row) != pixels(made)).any(-1)
    allowed = sum(boxed(either, index, MARGIN) for either in (row, made) for index in (0, 1)).astype(bool)
    assert not (changed & ~allowed).any()
    if len(row.objects) == 3:
        assert made.objects[2] == row.objects[2]
        third = boxed(row, 2)
        assert (pixels(made)[third] == pixels(row)[third]).all()


@settings(max_examples=60, deadline=None)
@given(rows())
def test_an_exchanged_object_stands_where_the_other_stood_and_looks_as_before(row: ImageRow) -> None:
    try:
        made = exchanged(row, 0, 1)
    except ValueError:
        assume(False)
    check_whole(made)
    for index in (0, 1):
        (x0, _, x1, bottom), (u0, _, u1, floor) = made.objects[index].box_xyxy, row.objects[1 - index].box_xyxy
        assert bottom == floor and abs((x0 + x1) - (u0 + u1)) <= 1
        assert (pixels(made)[boxed(made, index)] == pixels(row)[boxed(row, index)]).all()


@pytest.mark.parametrize("relation", EXCHANGED)
def test_an_exchange_turns_a_relation_into_its_inverse(relation: str) -> None:
    side = relation in ("left of", "right of")
    where = ((4, 16), (26, 16)) if side else ((16, 3), (16, 26))
    order = where if relation in ("left of", "above") else where[::-1]
    row = picture(order, ((8, 7), (9, 8)))
    made = exchanged(row, 0, 1)
    assert holds(relation, 0, 1, seen(row)) is True and holds(relation, 0, 1, seen(made)) is False
    assert holds(EXCHANGED[relation], 0, 1, seen(made)) is True


@pytest.mark.parametrize(
    ("where", "large", "reason"),
    [
        (((0, 10), (20, 10)), ((8, 8), (8, 8)), "cut off by the edge"),
        (((4, 10), (13, 10)), ((8, 8), (8, 8)), "touches another one"),
        (((4, 10), (28, 10), (29, 19)), ((8, 8), (8, 8), (8, 8)), "touches another one"),
        (((2, 6), (34, 4)), ((14, 8), (4, 4)), "would leave the picture"),
        (((2, 20), (16, 20), (24, 20)), ((12, 12), (4, 4), (6, 6)), "would lie on another one"),
    ],
)
def test_what_a_person_would_not_believe_is_refused(
    where: tuple[tuple[int, int], ...], large: tuple[tuple[int, int], ...], reason: str
) -> None:
    row = picture(where, large, names=("cup", "book", "vase")[: len(where)])
    with pytest.raises(ValueError, match=reason):
        exchanged(row, 0, 1)


@given(rows(), st.integers(-6, 6), st.integers(-6, 6))
def test_a_moved_picture_is_the_old_one_elsewhere(row: ImageRow, dx: int, dy: int) -> None:
    try:
        made = translated(row, dx, dy)
    except ValueError as error:
        assert "would leave the picture" in str(error)
        return
    old, new = pixels(row), pixels(made)
    height, width = old.shape[:2]
    rest = np.s_[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
    source = np.s_[max(-dy, 0) : height - max(dy, 0), max(-dx, 0) : width - max(dx, 0)]
    assert (new[rest] == old[source]).all()
    moved = [tuple(np.add(item.box_xyxy, (dx, dy, dx, dy))) for item in row.objects]
    assert [item.box_xyxy for item in made.objects] == moved
    for relation in ("left of", "above", "near"):
        assert holds(relation, 0, 1, seen(row)) == holds(relation, 0, 1, seen(made))
    # What comes in is background: objects at the edge are not smeared.
    strip = np.ones((height, width), dtype=bool)
    strip[rest] = False
    assert new[strip].size == 0 or (np.ptp(new[strip].astype(int), axis=-1) < 25).all()


@given(rows(), st.integers(0, 5))
def test_another_background_leaves_the_objects(row: ImageRow, turn: int) -> None:
    made = recoloured(row, turn)
    kept = np.logical_or.reduce([boxed(row, index) for index in range(len(row.objects))])
    assert (pixels(made)[kept] == pixels(row)[kept]).all()
    assert made.image_id != row.image_id and (pixels(made)[~kept] != pixels(row)[~kept]).any(-1).all()
    assert [item.box_xyxy for item in made.objects] == [item.box_xyxy for item in row.objects]


def test_equal_pictures_give_equal_bytes() -> None:
    row = picture(((4, 16), (26, 16)), ((8, 8), (8, 8)))
    for edit in (mirrored, lambda row: exchanged(row, 0, 1), lambda row: translated(row, 2, 1)):
        assert edit(row) == edit(row)


def test_photos_without_boxes_or_masks_are_refused_where_these_are_needed() -> None:
    bare = picture((), (), names=())
    with pytest.raises(ValueError, match="no boxes are known"):
        translated(bare, 1, 1)
    with pytest.raises(ValueError, match="no masks are known"):
        recoloured(bare, 1)
    assert mirrored(bare).objects == ()


def test_a_hole_takes_the_background_beside_it_and_no_object() -> None:
    canvas = np.full((30, 30, 3), 100, dtype=np.uint8)
    canvas[:15] = 50
    canvas[10:20, 18:24] = (250, 0, 0)
    hole = np.zeros((30, 30), dtype=bool)
    hole[8:22, 6:16] = True
    taboo = np.zeros((30, 30), dtype=bool)
    taboo[10:20, 18:24] = True
    made = filled(canvas, hole, grown(taboo, 1) | hole)
    assert (made[~hole] == canvas[~hole]).all() and made[hole].max() <= 100
    assert abs(int(made[9, 10, 0]) - 50) < 5 and abs(int(made[20, 10, 0]) - 100) < 5
    with pytest.raises(ValueError, match="no background is left"):
        filled(canvas, hole, ~hole)
