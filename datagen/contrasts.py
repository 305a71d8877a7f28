"""Contrasts derived from the direct ones: with the roles exchanged, with a look-alike relation, with another object.

A direct contrast (``datagen.recipe``) sets a relation against its opposite. A model could pass all of those and
still not know which object is which, what tells two similar relations apart, or that the *named* object matters
when another of its kind of place stands by. The derived ones ask exactly that:

* swap: "A faces B" against "B faces A";
* confusable: "A is on B" against "A is next to B", a relation that is easily taken for the other;
* distractor: "A is on B" against "A is on D", both B and D being there in both pictures.

Each keeps the rule of a group: two pictures, and every sentence true of exactly one of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from datagen.claims import DEPTHS
from datagen.families import (
    Family,
    Placements,
    Rng,
    at,
    diagonal,
    reach,
    stack,
    swap_places,
    turned,
    yaw_towards,
)
from datagen.families_mechanism import LEFT, RIGHT, sized
from datagen.recipe import BULKY, MECHANISM_RECIPES, RECIPES, STACK, UNDER_TABLE, Recipe
from spatial.geometry import half_extent
from spatial.observation import pose_of
from spatial.scene import ObjectSpec

KINDS = ("direct", "swap", "confusable", "distractor")
"""Kinds of contrast, as ``contrasts`` of the settings lists them."""

Place = Callable[[Rng, ObjectSpec, ObjectSpec], Placements | None]
PlaceThree = Callable[[Rng, ObjectSpec, ObjectSpec, ObjectSpec], Placements | None]

LOOKALIKES = (
    ("left of", "in front of"),
    ("left of", "behind"),
    ("right of", "in front of"),
    ("right of", "behind"),
    ("at the left side of", "in front of"),
    ("at the right side of", "in front of"),
    ("on", "next to"),
    ("on top of", "beside"),
    ("under", "next to"),
    ("beneath", "beside"),
    ("at the edge of", "next to"),
    ("in the middle of", "beside"),
)
"""Relations, each with another that is easily taken for it and that can be placed about the same object."""

CONTAINED = (("in", "next to"), ("within", "beside"), ("inside", "next to"))
"""What lies in a container, and then beside it."""

STAY = (
    "on",
    "on top of",
    "over",
    "at the edge of",
    "in the middle of",
    "touching",
    "against",
    "next to",
    "beside",
    "adjacent to",
)
"""Relations of which A can leave one object for another, both of which stay where they are.

Not those of being in or under something, nor of mere nearness: with two tables in the picture, or with two objects so
far apart that what is near one is not near the other, everything is too small to see.
"""

CLEAR_OF = {
    "touching": 0.3,
    "against": 0.3,
    "next to": 1.2,
    "beside": 1.2,
    "adjacent to": 0.65,
}
"""Of relations of nearness, the gap in units of ``s`` from which they are false, with the gap where they are true."""

GAPS = {"next to": (0.1, 0.3), "beside": (0.1, 0.3), "adjacent to": (0.04, 0.11)}
"""Bounds of the gap to A's neighbour in units of ``s``."""

ABOUT = ("left of", "right of", "at the left side of", "at the right side of", "in front of", "behind", "beyond")
"""Relations of which two objects can stand on opposite sides of A, and exchange."""


def derived(chosen: Sequence[Recipe], kinds: Sequence[str]) -> list[Recipe]:
    """Return the contrasts of ``kinds`` whose relations all occur in the direct contrasts ``chosen``."""
    names = {name for recipe in chosen for name in (recipe.relation, recipe.counterpart)}
    known = {"swap": _swaps(), "confusable": _confusables(), "distractor": _distractors()}
    return [
        recipe
        for kind in KINDS[1:]
        if kind in kinds
        for recipe in known[kind]
        if {recipe.relation, recipe.counterpart} <= names
    ]


def _swaps() -> list[Recipe]:
    facing = Family(_each_at_the_other, "swap roles", ("a face", "b face"), close=True)
    turn_away = Family(_each_from_the_other, "swap roles", ("a face", "b face"), close=True)
    queue = Family(_exchanged("ahead of"), "swap roles", ("a face", "b face"), close=True)
    pile = Family(_upside_down, "swap roles", ("a top", "b top", "a fits", "b fits"), close=True)
    made = (("facing", facing), ("facing away from", turn_away), ("ahead of", queue), ("on", pile))
    return [Recipe(name, name, family, "swap") for name, family in made]


def _confusables() -> list[Recipe]:
    made = [Recipe(one, other, _hybrid(one, other), "confusable") for one, other in LOOKALIKES]
    boxes = [Recipe(one, other, _way(one)[0], "confusable") for one, other in CONTAINED]
    return made + boxes


def _distractors() -> list[Recipe]:
    made = [Recipe(name, name, _three(name, _stay_put(name), "move over"), "distractor") for name in STAY]
    made += [Recipe(name, name, _three(name, _about(name), "exchange"), "distractor") for name in ABOUT]
    for name in ("facing", "facing away from"):
        made.append(Recipe(name, name, _three(name, _turn_between(name), "turn"), "distractor"))
    return made


PREFERRED = {"under": UNDER_TABLE, "beneath": UNDER_TABLE, "on top of": STACK}
"""Where several contrasts place a relation, the family that a derived contrast takes."""


def _way(name: str) -> tuple[Family, int]:
    """Return the family that places a relation, and in which of its two placements it holds."""
    for recipe in (*RECIPES, *MECHANISM_RECIPES):
        if name in (recipe.relation, recipe.counterpart) and recipe.family == PREFERRED.get(name, recipe.family):
            return recipe.family, 0 if recipe.relation == name else 1
    return PREFERRED[name], 0


def _placing(name: str) -> Place:
    """Return a function that places two objects so that a relation holds, in the first placement it returns."""
    family, index = _way(name)

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
        placed = family.place(rng, a, b)
        return placed and (placed[index], placed[1 - index])

    return place


def _moved(spec: ObjectSpec, dx: float, dy: float) -> ObjectSpec:
    return at(spec, spec.position[0] + dx, spec.position[1] + dy, spec.position[2])


def _hybrid(one: str, other: str) -> Family:
    """A where one relation holds, then where the other does, about an object that stays as it is."""
    (first, i), (second, j) = _way(one), _way(other)

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
        start = first.place(rng, a, b)
        if start is None:
            return None
        a1, b1 = start[i][:2]
        end = second.place(rng, a1, b1)
        if end is None:
            return None
        a2, b2 = end[j][:2]
        return (a1, b1), (_moved(a2, b1.position[0] - b2.position[0], b1.position[1] - b2.position[1]), b1)

    meets = tuple(k for k, (family, index) in enumerate(((first, i), (second, j))) if index in family.meets)
    needs = tuple(dict.fromkeys((*first.needs, *second.needs, *BULKY)))
    return replace(first, place=place, change="move", needs=needs, meets=meets, lean=True, close=True)


def _three(name: str, place: PlaceThree, change: str) -> Family:
    family, index = _way(name)
    meets = (0, 1) if index in family.meets else ()
    needs = tuple(dict.fromkeys((*family.needs, *BULKY)))
    deep = name in DEPTHS or name in ("facing", "facing away from")
    return replace(
        family, place=place, change=change, needs=needs, meets=meets, close=True, overhead=family.overhead or deep
    )


def _stay_put(name: str) -> PlaceThree:
    """A stands so to B, then so to D; B and D stay, far enough apart that what is true of one is false of the other."""
    place_pair, clear = _placing(name), CLEAR_OF.get(name, 0.0)
    if name in GAPS:
        place_pair = _side_by_side(*GAPS[name])

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec, d: ObjectSpec) -> Placements | None:
        if clear:
            a, b, d = _alike(rng, a, b, d)
        start, end = place_pair(rng, a, b), place_pair(rng, a, d)
        if start is None or end is None:
            return None
        (a1, b1), (a2, d1) = start[0][:2], end[0][:2]
        smaller = min((a1, a2), key=lambda spec: spec.size)
        a1, a2 = (replace(smaller, position=spec.position, yaw=spec.yaw) for spec in (a1, a2))
        side = LEFT if rng.random() < 0.5 else RIGHT
        # A stands between the two, unless it stands on or over one of them.
        room = clear * max(diagonal(a1, b1), diagonal(a2, d1)) + (1.0 if clear else 0.8) * max(a1.size[:2])
        between = reach(b1, d1) + room + rng.uniform(0.1, 0.25)
        half, slant, y = between / 2, rng.uniform(-0.12, 0.12), rng.uniform(0.0, 0.3)
        b2, d2 = at(b1, side * half, y - slant, b1.position[2]), at(d1, -side * half, y + slant, d1.position[2])
        return (_beyond(a1, b1, b2, -side, clear), b2, d2), (_beyond(a2, d1, d2, side, clear), b2, d2)

    return place


def _side_by_side(least: float, most: float) -> Place:
    """A at the right of B, a gap of so many ``s`` away; again in the second placement."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
        reaches = sum(half_extent(pose_of(spec), (1.0, 0.0)) for spec in (a, b))
        distance = reaches + diagonal(a, b) * rng.uniform(least, most)
        placed = at(a, b.position[0] + distance, b.position[1] + rng.uniform(-0.03, 0.03)), b
        return placed, placed

    return place


def _alike(rng: Rng, *specs: ObjectSpec) -> list[ObjectSpec]:
    """Scale objects to about 0.43 metres across, so that a picture of all of them shows each."""
    return [sized(spec, rng.uniform(0.36, 0.5), 0.6) for spec in specs]


def _beyond(a: ObjectSpec, old: ObjectSpec, new: ObjectSpec, side: int, clear: float) -> ObjectSpec:
    """Stand A to an object as it stood before that was moved; on its left (-1) or right (1) if ``clear`` is not 0."""
    dx, dy = a.position[0] - old.position[0], a.position[1] - old.position[1]
    if clear and side * dx < 0:
        a, dx = turned(a, -a.yaw), -dx
    return at(a, new.position[0] + dx, new.position[1] + dy, a.position[2])


def _about(name: str) -> PlaceThree:
    """B on one side of A and D on the other; then the two exchange places."""
    place_pair = _placing(name)

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec, d: ObjectSpec) -> Placements | None:
        a, b, d = _alike(rng, a, b, d)
        start = place_pair(rng, a, b)
        if start is None:
            return None
        a1, b1 = start[0][:2]
        (ax, ay, _), (bx, by, _) = a1.position, b1.position
        dx, dy = bx - ax, by - ay
        share = (reach(a, d) - reach(a, b)) / max((dx * dx + dy * dy) ** 0.5, 1e-6) + 1.0
        first = (a1, b1, at(d, ax - dx * share, ay - dy * share))
        return first, (a1, at(b1, ax - dx, ay - dy), at(d, ax + dx * share, ay + dy * share))

    return place


def _turn_between(name: str) -> PlaceThree:
    """A between B and D, its heading towards or from one of them; then turned round."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec, d: ObjectSpec) -> Placements | None:
        placed = _about(name)(rng, a, b, d)
        if placed is None:
            return None
        a1, b1, d1 = placed[0]
        return (a1, b1, d1), (turned(a1, a1.yaw + 180), b1, d1)

    return place


def _each_at_the_other(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """A turned to B, which looks elsewhere; then the reverse."""
    spread, y = reach(a, b) + rng.uniform(0.3, 0.7), rng.uniform(0.0, 0.3)
    slant = rng.uniform(-0.25, 0.25)
    side = 1 if rng.random() < 0.5 else -1
    a, b = at(a, -side * spread / 2, y - slant), at(b, side * spread / 2, y + slant)
    sway, away = rng.uniform(-12, 12), rng.uniform(-20, 20)
    first = turned(a, yaw_towards(a, b) + sway), turned(b, yaw_towards(a, b) + away)
    return first, (turned(a, yaw_towards(b, a) + away), turned(b, yaw_towards(b, a) + sway))


def _each_from_the_other(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """A turned from B, which looks at it; then the reverse."""
    first, second = _each_at_the_other(rng, a, b)
    return second, first


def _exchanged(name: str) -> Place:
    place_pair = _placing(name)

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
        placed = place_pair(rng, a, b)
        if placed is None:
            return None
        first = placed[0][0], placed[0][1]
        return first, swap_places(*first)

    return place


def _upside_down(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """A on B; then B on A, where B stood."""
    (top, base), _ = stack(rng, a, b)
    (x, y, _), (tx, ty, _) = base.position, top.position
    return (top, base), (at(a, x, y), at(b, 2 * x - tx, 2 * y - ty, a.top))
