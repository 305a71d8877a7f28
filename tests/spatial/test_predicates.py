"""Laws that every predicate obeys in any scene: mirror, swap, closure, exclusion."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from spatial.observation import observe
from spatial.predicates import PREDICATES, frame_of, holds, readings
from spatial.predicates_several import SEVERAL
from spatial.relations import RELATIONS
from spatial.scene import ObjectSpec, Scene, mirror

MIRRORED = {
    "left of": "right of",
    "right of": "left of",
    "at the left side of": "at the right side of",
    "at the right side of": "at the left side of",
}
KINDS = ("plain", "platform", "table", "couch")


def metres(low: float, high: float, step: float = 0.01037) -> st.SearchStrategy[float]:
    """Lengths on a grid; odd steps, other for sizes than for places, meet no threshold exactly."""
    return st.integers(int(low / step), int(high / step)).map(lambda count: count * step)


@st.composite
def objects(draw: st.DrawFn) -> ObjectSpec:
    """An object on the floor, of any kind and shape."""
    size = (draw(metres(0.05, 1.5)), draw(metres(0.05, 1.5)), draw(metres(0.03, 1.2)))
    kind = draw(st.sampled_from(KINDS))
    top = {"plain": -1.0, "couch": size[2] / 2}.get(kind, size[2])
    long_axis = 0 if size[0] > 1.5 * size[1] else 1 if size[1] > 1.5 * size[0] else -1
    yaw = draw(
        st.one_of(
            st.sampled_from((0.0, 90.0, 180.0, 270.0)), st.integers(1, 359).map(lambda turn: turn * turn * 0.00277)
        )
    )
    position = (draw(metres(-1.5, 1.5, 0.01113)), draw(metres(-1.5, 1.5, 0.01113)), 0.0)
    front = draw(st.booleans())
    return ObjectSpec(
        kind, "red", position, size, yaw, front, long_axis, top, 0.9 * size[2] if kind == "table" else 0.0
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Two or three objects: anywhere, the first on the second, beside it, below it, or in the air."""
    first, second, *others = draw(st.lists(objects(), min_size=2, max_size=3))
    x, y, _ = second.position
    place = draw(st.sampled_from(("free", "on", "beside", "below", "air")))
    if place in ("on", "below"):
        shift_x, shift_y = (draw(metres(-0.6, 0.6)) * extent for extent in second.size[:2])
        height = max(second.top, 0.0) + draw(st.sampled_from((0.0, 0.0, 0.011, 0.13))) if place == "on" else 0.0
        first = replace(first, position=(x + shift_x, y + shift_y, height))
    elif place == "beside":
        reach = (first.size[0] + second.size[0]) / 2 + draw(st.sampled_from((0.0, 0.011, 0.13, 0.43)))
        first, second = replace(first, yaw=0.0, position=(x + reach, y, 0.0)), replace(second, yaw=0.0)
    elif place == "air":
        first = replace(first, position=(*first.position[:2], draw(metres(0.1, 1.5, 0.01113))))
    return Scene((first, second, *others))


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_mirroring_swaps_left_and_right_and_flips_nothing_else(scene: Scene) -> None:
    seen, reflected = readings(0, 1, observe(scene)), readings(0, 1, observe(mirror(scene)))
    assert {MIRRORED.get(name, name): answer for name, answer in seen.items()} == reflected


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_inverse_of_the_swapped_pair_says_the_same(scene: Scene) -> None:
    forward, backward = readings(0, 1, observe(scene)), readings(1, 0, observe(scene))
    for name, answer in forward.items():
        inverse = RELATIONS[name].inverse
        assert backward.get(inverse or "", answer) == answer, name


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_implied_relations_are_never_false(scene: Scene) -> None:
    answers = readings(0, 1, observe(scene))
    for name in (name for name, answer in answers.items() if answer):
        assert not [implied for implied in RELATIONS[name].implies if answers.get(implied) is False], name


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_antonyms_are_never_both_true(scene: Scene) -> None:
    answers = readings(0, 1, observe(scene))
    for name in (name for name, answer in answers.items() if answer):
        assert not answers.get(RELATIONS[name].antonym or ""), name


@settings(max_examples=100, deadline=None)
@given(scenes(), objects())
def test_a_third_object_matters_only_across_and_amid_others(scene: Scene, other: ObjectSpec) -> None:
    crowded = replace(scene, objects=(*scene.objects, other))
    before, after = readings(0, 1, observe(scene)), readings(0, 1, observe(crowded))
    for name in set(PREDICATES) - {"across from", "opposite to", "outside"} - set(SEVERAL):
        assert before.get(name) == after.get(name), name


@settings(max_examples=100, deadline=None)
@given(scenes())
def test_left_of_is_antisymmetric_and_never_also_behind(scene: Scene) -> None:
    seen = observe(scene)
    assert holds("left of", 0, 1, seen) == holds("right of", 1, 0, seen)
    assert not (holds("left of", 0, 1, seen) and holds("behind", 0, 1, seen))


@settings(max_examples=100, deadline=None)
@given(scenes())
def test_frames_are_named_for_viewer_relations_only(scene: Scene) -> None:
    seen = observe(scene)
    for name in PREDICATES:
        allowed = {"free": {""}, "intrinsic": {"intrinsic"}, "viewer": {"viewer", "both"}}[RELATIONS[name].frame]
        assert frame_of(name, 0, 1, seen) in allowed
