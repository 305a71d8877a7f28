"""Cavities, holes, several instances, connectors and parts: clear cases, dead zones, and the laws of all predicates."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial.observation import Observation, Pose, Seen, observe, pose_of
from spatial.predicates import PREDICATES, holds, holds_of_all, readings
from spatial.predicates_several import empty_arc, instances
from spatial.relations import RELATIONS
from spatial.scene import ObjectSpec, Scene, mirror

CUP = ObjectSpec("cup", "red", (0, 0, 0), (0.2, 0.2, 0.2))
BOTTLE = ObjectSpec("bottle", "green", (0, 0, 0), (0.15, 0.15, 0.4))
BOWL = ObjectSpec(
    "bowl", "blue", (0, 0, 0), (0.6, 0.6, 0.3), cavity=(-0.25, -0.25, 0.05, 0.25, 0.25, 0.3), opening="top"
)
OVEN = ObjectSpec(
    "oven", "white", (0, 0, 0), (0.8, 0.8, 0.9), top=0.9, cavity=(-0.3, -0.35, 0.2, 0.3, 0.3, 0.7), opening="front"
)
ARCH = ObjectSpec("arch", "red", (0, 0, 0), (1.0, 0.1, 1.0), cavity=(-0.3, -0.05, 0, 0.3, 0.05, 0.8), opening="through")
HOOP = ObjectSpec("hoop", "red", (0, 0, 0), (1.0, 1.0, 0.1), cavity=(-0.3, -0.3, 0, 0.3, 0.3, 0.1), opening="ring")
DOG = ObjectSpec("dog", "black", (0, 0, 0), (0.3, 0.9, 0.5), has_front=True, long_axis=1)
CABLE = ObjectSpec("cable", "black", (0, 0, 0), (1.0, 0.04, 0.04), path=((-0.5, 0, 0.02), (0, 0, 0.02), (0.5, 0, 0.02)))


def at(spec: ObjectSpec, x: float, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> ObjectSpec:
    return replace(spec, position=(x, y, z), yaw=yaw)


def answer(relation: str, *specs: ObjectSpec) -> bool | None:
    return holds(relation, 0, 1, observe(Scene(specs)))


def ring(spec: ObjectSpec, bearings: list[float], radius: float = 0.5) -> list[ObjectSpec]:
    return [at(spec, radius * math.cos(math.radians(b)), radius * math.sin(math.radians(b))) for b in bearings]


CROSS, FAN = [0, 90, 180, 270], [150, 180, 210, 165]
INSIDE = at(CUP, 0, 0, 0.06)
PLUGGED = (at(CUP, -0.6), at(BOTTLE, 0.56))
TOP = at(ObjectSpec("handle", "red", (0, 0, 0), (0.1, 0.05, 0.1)), 0.1, 0, 0.05)

TRUE = [
    ("in", INSIDE, BOWL),
    ("within", INSIDE, BOWL),
    ("inside", INSIDE, BOWL),
    ("enclosed by", INSIDE, BOWL),
    ("contains", BOWL, INSIDE),
    ("surrounding", BOWL, INSIDE),
    ("inside", at(CUP, 0.1, 0, 0.2, 90), at(OVEN, 0, yaw=90)),
    ("around", ring(CUP, CROSS)[0], BOTTLE, *ring(CUP, CROSS)[1:]),
    ("surrounding", ring(CUP, CROSS)[0], BOTTLE, *ring(CUP, CROSS)[1:]),
    ("enclosed by", BOTTLE, *ring(CUP, CROSS)),
    ("around", HOOP, BOTTLE),
    ("among", BOTTLE, *ring(CUP, [0, 120, 240])),
    ("between", BOTTLE, at(CUP, -0.5), at(CUP, 0.5)),
    ("through", DOG, ARCH),
    ("through", at(DOG, 0.05, 0.1, yaw=60), at(ARCH, 0, yaw=240)),
    ("around", ARCH, DOG),
    ("connected to", *PLUGGED, replace(CABLE, joins=(0, 1))),
    ("attached to", at(CUP, 0.501, 0, 0.3), OVEN, replace(at(CABLE, 0.1, 0, 0.4), joins=(0, 1))),
    ("attached to", replace(TOP, joins=(1,)), CUP),
    ("part of", replace(TOP, joins=(1,)), CUP),
    ("has as a part", CUP, replace(TOP, joins=(0,))),
]

FALSE = [
    ("in", at(CUP, 1), BOWL),
    ("in", at(CUP, 0, 0, 0.9), OVEN),
    ("inside", at(CUP, 0, 0, 0.31), BOWL),
    ("contains", BOWL, at(CUP, 1)),
    ("within", at(CUP, 1), BOTTLE),
    ("outside", INSIDE, BOWL),
    ("outside", at(CUP, 0, 0, 0.2), OVEN),
    ("enclosed by", at(CUP, 1), BOWL),
    ("around", ring(CUP, FAN)[0], BOTTLE, *ring(CUP, FAN)[1:]),
    ("enclosed by", BOTTLE, *ring(CUP, FAN)),
    ("around", at(HOOP, 1), BOTTLE),
    ("among", BOTTLE, *ring(CUP, [150, 180, 210])),
    ("among", BOTTLE, *ring(CUP, [0, 120, 240], 3.0)),
    ("between", BOTTLE, at(CUP, 0.5), at(CUP, 1.5)),
    ("between", at(BOTTLE, 0, -1), at(CUP, -0.5), at(CUP, 0.5)),
    ("through", at(DOG, 1), ARCH),
    ("beside", DOG, ARCH),
    ("connected to", *PLUGGED, at(CABLE, 0, -1)),
    ("connected to", *PLUGGED, replace(at(CABLE, -0.06, -0.5, yaw=80), joins=(0,))),
    ("detached from", *PLUGGED, replace(CABLE, joins=(0, 1))),
    ("attached to", *PLUGGED, replace(CABLE, joins=(0, 1))),
    ("part of", at(TOP, 1), CUP),
    ("has as a part", CUP, at(TOP, 1)),
]

UNDECIDED = [
    ("in", at(CUP, 0, 0, 0.22), BOWL),
    ("inside", at(CUP, 0, 0, 0.15), BOWL),
    ("in", at(CUP, 0.05), BOTTLE),
    ("around", ring(CUP, [0, 90, 180])[0], BOTTLE, *ring(CUP, [0, 90, 180])[1:]),
    ("around", ring(CUP, CROSS, 2.0)[0], BOTTLE, *ring(CUP, CROSS, 2.0)[1:]),
    ("among", BOTTLE, *ring(CUP, [0, 180])),
    ("between", BOTTLE, *ring(CUP, [0, 120, 240])),
    ("between", at(BOTTLE, 0, 0.45), at(CUP, -0.5), at(CUP, 0.5)),
    ("through", at(replace(DOG, size=(0.3, 0.3, 0.5)), 0, 0.12), ARCH),
    ("connected to", *PLUGGED, CABLE),
    ("attached to", at(CUP, 0.5), OVEN),
    ("part of", TOP, CUP),
    ("outside", BOTTLE, *ring(CUP, CROSS)),
]


@pytest.mark.parametrize("case", TRUE, ids=lambda case: case[0])
def test_clearly_true(case: tuple[str, *tuple[ObjectSpec, ...]]) -> None:
    assert answer(*case) is True


@pytest.mark.parametrize("case", FALSE, ids=lambda case: case[0])
def test_clearly_false(case: tuple[str, *tuple[ObjectSpec, ...]]) -> None:
    assert answer(*case) is False


@pytest.mark.parametrize("case", UNDECIDED, ids=lambda case: case[0])
def test_dead_zones_say_nothing(case: tuple[str, *tuple[ObjectSpec, ...]]) -> None:
    assert answer(*case) is None


@pytest.mark.parametrize(("sunk", "holding"), [(0.85, 3), (0.75, 2), (0.55, 1), (0.3, 0)])
def test_the_shares_of_the_table_grade_in_within_and_inside(sunk: float, holding: int) -> None:
    cup = at(CUP, 0, 0, 0.3 - 0.2 * sunk)
    assert [answer(name, cup, BOWL) for name in ("in", "within", "inside")].count(True) == holding


def test_things_lie_apart_in_a_picture_and_nothing_else_is_known_of_containment() -> None:
    boxes = Seen("cup", (0, 0, 9, 9)), Seen("bowl", (20, 0, 40, 20)), Seen("sink", (0, 0, 50, 50))
    seen = Observation(boxes, 60, 60)
    assert [holds(name, 0, 1, seen) for name in ("in", "contains", "through", "part of")] == [False] * 4
    assert [holds(name, 0, 2, seen) for name in PREDICATES if RELATIONS[name].render_class == "M"] == [None] * 14


def test_a_relation_of_several_things_holds_of_each_and_fails_of_half() -> None:
    left = [at(CUP, -0.8), at(CUP, -1.1, 0.1)]
    mixed = [at(CUP, -0.8), at(CUP, 0.8)]
    for cups, expected in ((left, True), (mixed, False)):
        assert holds_of_all("left of", 0, 1, observe(Scene((cups[0], BOTTLE, cups[1])))) is expected
    assert holds_of_all("left of", 1, 0, observe(Scene((mixed[0], BOTTLE, mixed[1])))) is False


@given(st.lists(st.integers(0, 71), min_size=1, max_size=6, unique=True))
def test_the_empty_arc_is_what_the_bearings_leave(steps: list[int]) -> None:
    """Ten-degree-wide things at bearings on a grid of five degrees: gaps are what is left of the differences."""
    bearings = sorted(5.0 * step for step in steps)
    radius = 1.0
    thin = ObjectSpec("cup", "red", (0, 0, 0), (1e-6, 1e-6, 0.2))
    seen = observe(Scene((BOTTLE, *ring(thin, bearings, radius))))
    poses = [seen.objects[i].pose for i in range(len(seen.objects))]
    gaps = [after - before for before, after in zip(bearings, [*bearings[1:], bearings[0] + 360], strict=True)]
    assert empty_arc(poses[0], [pose for pose in poses[1:] if pose]) == pytest.approx(max(gaps), abs=1e-3)  # type: ignore[arg-type]


def test_instances_share_the_noun_and_start_with_the_one_asked_for() -> None:
    seen = observe(Scene((CUP, BOTTLE, at(CUP, 1), at(CUP, 2))))
    assert instances(2, seen) == [2, 0, 3]


def metres(low: float, high: float) -> st.SearchStrategy[float]:
    """Lengths on an odd grid, which meets no threshold exactly."""
    return st.integers(int(low / 0.01037), int(high / 0.01037)).map(lambda count: count * 0.01037)


@st.composite
def holding(draw: st.DrawFn) -> Scene:
    """Something in, partly in, on, through, in the ring of, or beside something with a cavity."""
    outer = at(draw(st.sampled_from((BOWL, OVEN, ARCH, HOOP))), 0, yaw=draw(st.integers(0, 359)) * 1.00277)
    inner = draw(st.sampled_from((CUP, BOTTLE, DOG)))
    factor = draw(metres(0.3, 1.3))
    inner = replace(inner, size=tuple(extent * factor for extent in inner.size))
    place = (draw(metres(-0.6, 0.6)), draw(metres(-0.6, 0.6)), draw(st.sampled_from((0.0, 0.051, 0.19, 0.3, 0.9))))
    return Scene((replace(inner, position=place, yaw=draw(st.integers(0, 359)) * 1.00277), outer))


@st.composite
def several(draw: st.DrawFn) -> Scene:
    """Up to six cups anywhere about a bottle."""
    bearings = draw(st.lists(st.integers(0, 359), min_size=1, max_size=6))
    cups = [ring(CUP, [b * 1.00277], draw(metres(0.05, 1.2)))[0] for b in bearings]
    return Scene((cups[0], BOTTLE, *cups[1:]))


@st.composite
def fixed(draw: st.DrawFn) -> Scene:
    """A cup and a bottle, a cable that may join them or lie anywhere, and a handle that may sit on the cup."""
    a, b = at(CUP, draw(metres(-1, 1)), draw(metres(-1, 1))), at(BOTTLE, draw(metres(-1, 1)), draw(metres(-1, 1)))
    joins = draw(st.sampled_from(((), (0,), (0, 1), (1, 0))))
    cable = replace(
        at(CABLE, draw(metres(-1, 1)), draw(metres(-1, 1)), yaw=draw(st.integers(0, 359)) * 1.00277), joins=joins
    )
    if draw(st.booleans()):
        b = replace(at(TOP, *a.position), joins=draw(st.sampled_from(((), (0,)))))
    return Scene((a, b, cable))


SCENES = st.one_of(holding(), several(), fixed())
ORDERS = st.sampled_from(((0, 1), (1, 0)))


def test_the_empty_arc_is_the_same_wherever_the_horizon_begins() -> None:
    places = ((-0.29, 0.139), (-0.176, -0.0015), (0.124, -0.385))
    arcs = [
        empty_arc(*_poses(BOTTLE, [at(CUP, *turn(x, y)) for x, y in places]))
        for turn in (lambda x, y: (x, y), lambda x, y: (-x, y), lambda x, y: (-y, x), lambda x, y: (y, -x))
    ]
    assert arcs == pytest.approx(arcs[:1] * 4, abs=1e-9)


def _poses(centre: ObjectSpec, others: list[ObjectSpec]) -> tuple[Pose, list[Pose]]:
    return pose_of(centre), [pose_of(other) for other in others]


@settings(max_examples=400, deadline=None)
@given(SCENES, ORDERS)
def test_implications_inverses_and_antonyms_agree(scene: Scene, order: tuple[int, int]) -> None:
    a, b = order
    forward, backward = readings(a, b, observe(scene)), readings(b, a, observe(scene))
    for name, truth in forward.items():
        relation = RELATIONS[name]
        assert backward.get(relation.inverse or "", truth) == truth, name
        if truth:
            assert not [implied for implied in relation.implies if forward.get(implied) is False], name
            assert not forward.get(relation.antonym or ""), name


@settings(max_examples=200, deadline=None)
@given(SCENES, ORDERS)
def test_mirroring_changes_no_mechanism(scene: Scene, order: tuple[int, int]) -> None:
    seen, reflected = (observe(view) for view in (scene, mirror(scene)))
    for name in PREDICATES:
        if RELATIONS[name].render_class == "M":
            assert holds(name, *order, seen) == holds(name, *order, reflected), name
