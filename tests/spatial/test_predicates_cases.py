"""Each relation in a scene that anyone would call true, in one that anyone would call false, and in between."""

from dataclasses import replace

import pytest

from spatial.observation import Observation, Seen, observe
from spatial.predicates import frame_of, holds
from spatial.scene import ObjectSpec, Scene

CUP = ObjectSpec("cup", "red", (0, 0, 0), (0.1, 0.1, 0.12))
BOX = ObjectSpec("box", "red", (0, 0, 0), (0.4, 0.4, 0.4), top=0.4)
TABLE = ObjectSpec("table", "blue", (0, 0, 0), (1.2, 0.8, 0.7), long_axis=0, top=0.7, under=0.65)
CAR = ObjectSpec("car", "green", (0, 0, 0), (0.5, 1.0, 0.4), has_front=True, long_axis=1)
BENCH = ObjectSpec("bench", "black", (0, 0, 0), (1.5, 0.4, 0.5), long_axis=0, top=0.45)


def at(spec: ObjectSpec, x: float, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> ObjectSpec:
    return replace(spec, position=(x, y, z), yaw=yaw)


def answer(relation: str, a: ObjectSpec, b: ObjectSpec, *others: ObjectSpec) -> bool | None:
    return holds(relation, 0, 1, observe(Scene((a, b, *others))))


TRUE = [
    ("left of", at(BOX, -1), at(BOX, 0)),
    ("right of", at(BOX, 1), at(BOX, 0)),
    ("at the left side of", at(BOX, -0.6), at(BOX, 0)),
    ("at the right side of", at(BOX, 0.6), at(BOX, 0)),
    ("in front of", at(BOX, 0, -0.8), at(BOX, 0)),
    ("behind", at(BOX, 0, 0.8), at(BOX, 0)),
    ("beyond", at(BOX, 0, 0.8), at(BOX, 0)),
    ("above", at(BOX, 0, 0, 1), at(BOX, 0)),
    ("below", at(BOX, 0), at(BOX, 0, 0, 1)),
    ("over", at(BOX, 0, 0, 1), at(TABLE, 0)),
    ("under", at(BOX, 0), at(TABLE, 0)),
    ("beneath", at(BOX, 0), at(TABLE, 0)),
    ("on", at(CUP, 0.3, 0, 0.7), at(TABLE, 0)),
    ("on top of", at(CUP, 0.3, 0, 0.7), at(TABLE, 0)),
    ("off", at(CUP, 0.9), at(TABLE, 0)),
    ("in the middle of", at(CUP, 0.05, 0, 0.7), at(TABLE, 0)),
    ("at the edge of", at(CUP, 0.5, 0, 0.7), at(TABLE, 0)),
    ("touching", at(BOX, 0.41), at(BOX, 0)),
    ("against", at(BOX, 0.41), at(BOX, 0)),
    ("against", at(BOX, 0.34), at(BOX, 0)),  # as the boxes of two balls that touch
    ("detached from", at(BOX, 1), at(BOX, 0)),
    ("outside", at(BOX, 1), at(BOX, 0)),
    ("by", at(BOX, 0.6), at(BOX, 0)),
    ("close to", at(BOX, 0.6), at(BOX, 0)),
    ("near", at(BOX, 0.8), at(BOX, 0)),
    ("far from", at(CUP, 1), at(CUP, 0)),
    ("far away from", at(CUP, 1), at(CUP, 0)),
    ("away from", at(CUP, 1), at(CUP, 0)),
    ("next to", at(BOX, 0.6), at(BOX, 0)),
    ("beside", at(BOX, 0.6), at(BOX, 0)),
    ("adjacent to", at(BOX, 0, 0.45), at(BOX, 0)),
    ("alongside", at(BENCH, 0, 0.45), at(BENCH, 0)),
    ("along", at(CAR, 0, 0.5, yaw=90), at(BENCH, 0)),
    ("parallel to", at(BENCH, 0, 1, yaw=5), at(BENCH, 0)),
    ("perpendicular to", at(BENCH, 0, 2, yaw=85), at(BENCH, 0)),
    ("facing", at(CAR, 1.5, 0, yaw=270), at(BOX, 0)),
    ("toward", at(CAR, 1.5, 0, yaw=270), at(BOX, 0)),
    ("facing away from", at(CAR, 1.5, 0, yaw=90), at(BOX, 0)),
    ("at the side of", at(BOX, 0.6), at(CAR, 0)),
    ("at the back of", at(BOX, 0, 0.8), at(CAR, 0)),
    ("ahead of", at(CAR, 0, -1.3), at(CAR, 0)),
]

FALSE = [
    ("left of", at(BOX, 1), at(BOX, 0)),
    ("left of", at(BOX, 0, 1), at(BOX, 0)),
    ("at the left side of", at(BOX, -1.6), at(BOX, 0)),
    ("behind", at(BOX, 0, -1), at(BOX, 0)),
    ("behind", at(BOX, -1), at(BOX, 0)),
    ("above", at(BOX, 1), at(BOX, 0)),
    ("under", at(CUP, 0.3, 0, 0.7), at(TABLE, 0)),
    ("under", at(CUP, 1), at(TABLE, 0)),
    ("on", at(BOX, 0), at(TABLE, 0)),
    ("on", at(CUP, 0, 0, 1), at(TABLE, 0)),
    ("on top of", at(CUP, 0.9), at(TABLE, 0)),
    ("off", at(CUP, 0.3, 0, 0.7), at(TABLE, 0)),
    ("in the middle of", at(CUP, 0.5, 0, 0.7), at(TABLE, 0)),
    ("at the edge of", at(CUP, 0.05, 0, 0.7), at(TABLE, 0)),
    ("touching", at(BOX, 0.7), at(BOX, 0)),
    ("detached from", at(BOX, 0.41), at(BOX, 0)),
    ("outside", at(CUP, 0), at(replace(BOX, top=-1.0), 0)),
    ("near", at(CUP, 1), at(CUP, 0)),
    ("far from", at(BOX, 0.6), at(BOX, 0)),
    ("next to", at(CUP, 0.3, 0, 0.7), at(TABLE, 0)),
    ("alongside", at(BENCH, 0, 1.0, yaw=90), at(BENCH, 0)),
    ("parallel to", at(BENCH, 0, 2, yaw=85), at(BENCH, 0)),
    ("perpendicular to", at(BENCH, 0, 1, yaw=5), at(BENCH, 0)),
    ("facing", at(CAR, 1.5, 0, yaw=90), at(BOX, 0)),
    ("facing away from", at(CAR, 1.5, 0, yaw=270), at(BOX, 0)),
    ("at the side of", at(BOX, 0, 0.8), at(CAR, 0)),
    ("at the back of", at(BOX, 0, -0.8), at(CAR, 0)),
    ("ahead of", at(CAR, 0, 1.3), at(CAR, 0)),
    ("across from", at(BOX, 0.41), at(BOX, 0)),
    ("opposite to", at(CAR, 0, 1.3), at(CAR, 0)),
]

UNDECIDED = [
    ("against", at(BOX, 0.3), at(BOX, 0)),
    ("left of", at(BOX, -0.5, -0.7), at(BOX, 0)),
    ("left of", at(CUP, -0.5, 0, 0.7), at(TABLE, 0)),
    ("near", at(BOX, 1.4), at(BOX, 0)),
    ("far from", at(BOX, 1.4), at(BOX, 0)),
    ("touching", at(BOX, 0.44), at(BOX, 0)),
    ("on", at(CUP, 0, 0, 0.74), at(TABLE, 0)),
    ("on", at(CUP, 0.62, 0, 0.7), at(TABLE, 0)),
    ("facing", at(CAR, 1.5, 0, yaw=310), at(BOX, 0)),
    ("facing", at(BOX, 1.5), at(CAR, 0)),
    ("at the back of", at(CAR, 0, 0.8), at(BOX, 0)),
    ("parallel to", at(BENCH, 0, 1, yaw=20), at(BENCH, 0)),
    ("parallel to", at(BOX, 0, 1), at(BENCH, 0)),
    ("in the middle of", at(CUP, 0.27, 0, 0.7), at(TABLE, 0)),
    ("under", at(BOX, 0.65), at(TABLE, 0)),
    ("touching", at(BOX, 0), at(TABLE, 0)),
]


@pytest.mark.parametrize(("relation", "a", "b"), TRUE)
def test_clearly_true(relation: str, a: ObjectSpec, b: ObjectSpec) -> None:
    assert answer(relation, a, b) is True


@pytest.mark.parametrize(("relation", "a", "b"), FALSE)
def test_clearly_false(relation: str, a: ObjectSpec, b: ObjectSpec) -> None:
    assert answer(relation, a, b) is False


@pytest.mark.parametrize(("relation", "a", "b"), UNDECIDED)
def test_dead_zones_say_nothing(relation: str, a: ObjectSpec, b: ObjectSpec) -> None:
    assert answer(relation, a, b) is None


@pytest.mark.parametrize("relation", ["across from", "opposite to"])
def test_a_separator_makes_across(relation: str) -> None:
    a, b = at(BOX, -1.2), at(BOX, 1.2)
    assert answer(relation, a, b) is None
    assert answer(relation, a, b, at(TABLE, 0)) is True
    assert answer(relation, at(CAR, -1.2, yaw=90), at(CAR, 1.2, yaw=270)) is True


@pytest.mark.parametrize("relation", ["across from", "opposite to"])
def test_side_by_side_is_not_across_even_along_a_table(relation: str) -> None:
    a, b, table = at(BOX, -0.3, -0.8), at(BOX, 0.3, -0.8), at(TABLE, 0)
    assert answer(relation, a, b, table) is False
    cars = at(CAR, -0.45, -1, yaw=180), at(CAR, 0.45, -1, yaw=180)
    assert answer(relation, *cars, table) is False
    assert answer(relation, at(CAR, -1.2, yaw=90), at(CAR, 1.2, yaw=90), at(TABLE, 0, 3)) is False


@pytest.mark.parametrize("between", [at(CUP, 0), at(TABLE, -0.9), at(TABLE, 0, 0.35)])
def test_what_is_small_or_off_the_middle_leaves_across_undecided(between: ObjectSpec) -> None:
    assert answer("across from", at(BOX, -1.6), at(BOX, 1.6), between) is None


def test_only_what_is_clearly_longer_than_wide_has_a_direction() -> None:
    stubby = replace(BENCH, size=(0.6, 0.4, 0.5))
    assert answer("parallel to", at(BENCH, 0, 1), at(BENCH, 0)) is True
    assert answer("parallel to", at(stubby, 0, 1), at(BENCH, 0)) is None


def test_frames_agree_for_a_car_that_faces_the_viewer() -> None:
    before = (at(BOX, 0, -1), at(CAR, 0))
    assert frame_of("in front of", 0, 1, observe(Scene(before))) == "both"
    assert frame_of("in front of", 0, 1, observe(Scene((before[0], at(CAR, 0, yaw=180))))) == "viewer"
    beside = (at(BOX, -1), at(CAR, 0))
    assert frame_of("left of", 0, 1, observe(Scene(beside))) == "viewer"
    assert frame_of("left of", 0, 1, observe(Scene((beside[0], at(CAR, 0, yaw=180))))) == "both"


def seen(box: tuple[float, float, float, float], depth: tuple[float, float, float] | None = None) -> Seen:
    return Seen("cup", box, None, depth)


def picture(relation: str, a: Seen, b: Seen) -> bool | None:
    return holds(relation, 0, 1, Observation((a, b), 100, 100))


def test_boxes_alone_tell_left_from_right() -> None:
    left, right = seen((5, 40, 25, 60)), seen((60, 42, 80, 62))
    assert picture("left of", left, right) is True
    assert picture("right of", left, right) is False
    assert picture("left of", seen((30, 0, 50, 20)), seen((32, 70, 52, 90))) is False


def test_boxes_alone_tell_far_but_not_near() -> None:
    left, right = seen((0, 40, 10, 50)), seen((80, 40, 90, 50))
    assert picture("far from", left, right) is True
    assert picture("touching", left, right) is False
    assert picture("near", left, seen((12, 40, 22, 50))) is None


def test_boxes_with_equal_depth_tell_near_beside_and_above() -> None:
    left, right = seen((0, 40, 10, 50), (2, 2.2, 2.4)), seen((12, 40, 22, 50), (2.1, 2.3, 2.5))
    assert picture("near", left, right) is True
    assert picture("beside", left, right) is True
    assert picture("above", seen((0, 10, 10, 30), (2, 2.2, 2.4)), left) is True
    assert picture("above", seen((0, 10, 10, 30), (4, 4.2, 4.4)), left) is None


def test_depth_tells_behind() -> None:
    near, far = seen((10, 40, 30, 70), (2, 2.2, 2.4)), seen((12, 30, 28, 50), (4, 4.2, 4.4))
    assert picture("behind", far, near) is True
    assert picture("in front of", far, near) is False
    assert picture("behind", seen((12, 30, 28, 50)), near) is None


@pytest.mark.parametrize("relation", ["on", "on top of", "facing", "parallel to", "in the middle of", "at the back of"])
def test_support_and_heading_are_unknown_without_poses(relation: str) -> None:
    assert picture(relation, seen((10, 20, 20, 30), (2, 2.2, 2.4)), seen((5, 30, 40, 60), (2, 2.2, 2.4))) is None


def test_a_pose_weighs_more_than_its_box() -> None:
    scene = observe(Scene((at(BOX, -1), at(BOX, 0))))
    first, second = scene.objects
    moved = replace(scene, objects=(replace(first, box=(100, 0, 120, 20)), second))
    assert holds("left of", 0, 1, moved) is True
