"""A scene is its JSON: it comes back equal, hashes equally, and every field matters."""

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spatial.observation import observe, pose_of
from spatial.scene import MECHANISM, Camera, Light, ObjectSpec, Scene, mirror

NUMBERS = st.floats(-5, 5, allow_nan=False)
VECTORS = st.tuples(NUMBERS, NUMBERS, NUMBERS)
OBJECTS = st.builds(
    ObjectSpec,
    name=st.sampled_from(("cup", "dining table")),
    colour=st.sampled_from(("red", "blue")),
    position=VECTORS,
    size=st.tuples(*[st.floats(0.01, 2)] * 3),
    yaw=st.floats(0, 360, exclude_max=True),
    has_front=st.booleans(),
    long_axis=st.integers(-1, 1),
    top=NUMBERS,
    under=NUMBERS,
    mesh=st.sampled_from(("", "cup/handle")),
    cavity=st.one_of(st.just(()), st.tuples(*[NUMBERS] * 6)),
    opening=st.sampled_from(("", "top", "ring")),
    path=st.lists(VECTORS, max_size=3).map(tuple),
    joins=st.lists(st.integers(0, 3), max_size=2).map(tuple),
)
SCENES = st.builds(
    Scene,
    objects=st.lists(OBJECTS, max_size=4).map(tuple),
    camera=st.builds(Camera, target=VECTORS, distance=st.floats(1, 9), elevation=st.floats(5, 80)),
    lights=st.lists(st.builds(Light, direction=VECTORS), max_size=2).map(tuple),
    seed=st.integers(0, 2**63),
)


@given(SCENES)
def test_json_round_trip_keeps_the_scene_and_its_hash(scene: Scene) -> None:
    back = Scene.from_json(scene.canonical_json())
    assert back == scene
    assert back.scene_id == scene.scene_id
    assert back.canonical_json() == scene.canonical_json()


def test_the_hash_is_the_same_in_every_process() -> None:
    cup = ObjectSpec("cup", "red", (0.1, 0.2, 0.0), (0.1, 0.1, 0.12))
    assert Scene((cup,)).scene_id == "a97b5130334ea8c1518677892a0cb812"


def test_what_a_scene_does_not_use_is_not_in_its_json() -> None:
    cup = ObjectSpec("cup", "red", (0.1, 0.2, 0.0), (0.1, 0.1, 0.12))
    plain, tied = Scene((cup,)).canonical_json(), Scene((replace(cup, joins=(1,)),)).canonical_json()
    assert not [name for name in MECHANISM if name in plain]
    assert [name for name in MECHANISM if name in tied] == ["joins"]


@given(SCENES, st.integers(0, 2**63))
def test_every_scene_has_its_own_hash(scene: Scene, seed: int) -> None:
    assert (replace(scene, seed=seed).scene_id == scene.scene_id) == (seed == scene.seed)


@given(SCENES)
def test_mirroring_twice_is_nothing(scene: Scene) -> None:
    back = mirror(mirror(scene))
    assert all(math.isclose(a.yaw, b.yaw, abs_tol=1e-9) for a, b in zip(scene.objects, back.objects, strict=True))
    for name in ("position", "cavity", "path"):
        assert [getattr(spec, name) for spec in back.objects] == [getattr(spec, name) for spec in scene.objects]


def test_a_mirrored_scene_is_seen_mirrored() -> None:
    cup = ObjectSpec("cup", "red", (0.4, 0.2, 0.0), (0.1, 0.3, 0.12), yaw=30, has_front=True)
    seen, reflected = (observe(scene).objects[0] for scene in (Scene((cup,)), mirror(Scene((cup,)))))
    x0, y0, x1, y1 = seen.box
    np.testing.assert_allclose(reflected.box, (128 - x1, y0, 128 - x0, y1))
    assert seen.pose and reflected.pose
    np.testing.assert_allclose(reflected.pose.heading, (-seen.pose.heading[0], seen.pose.heading[1]))


def test_headings_follow_the_convention() -> None:
    cup = ObjectSpec("cup", "red", (0, 0, 0), (0.1, 0.3, 0.12))
    headings = [pose_of(replace(cup, yaw=yaw)).heading for yaw in (0, 90, 180, 270)]
    np.testing.assert_allclose(headings, [(0, -1), (1, 0), (0, 1), (-1, 0)], atol=1e-12)


@given(st.floats(-60, 60), st.floats(0.5, 3))
def test_footprints_are_counter_clockwise_and_keep_their_area(yaw: float, width: float) -> None:
    corners = pose_of(ObjectSpec("bed", "red", (1, 2, 0), (width, 0.7, 0.4), yaw=yaw)).footprint()
    x, y = corners.T
    area = 0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1))
    assert math.isclose(area, width * 0.7, rel_tol=1e-9)
