"""Contrasts derived from the direct ones: with the roles exchanged, with a look-alike relation, with another object.

A direct contrast (``datagen.recipe``) sets a relation against its opposite. A model could pass all of those and
still not know which object is which, what tells two similar relations apart, or that the *named* object matters
when another of its kind of place stands by. The derived ones ask exactly that:

* swap: "A faces B" against "B faces A";
* confusable: "A is on B" against "A is next to B", a relation that is easily taken for the other;
* distractor: "A is on B" against "A is on D", both B and D being there in both pictures.

Each keeps the rule of a group: two pictures, and every sentence true of exactly one of them.
"""

from collections.abc import Sequence
from dataclasses import replace

from datagen import families_derived as derive
from datagen.claims import DEPTHS, SIDES
from datagen.families import Family, Place, Placements, Rng
from datagen.recipe import BULKY, MECHANISM_RECIPES, RECIPES, STACK, UNDER_TABLE, Recipe
from spatial.scene import ObjectSpec

KINDS = ("direct", "swap", "confusable", "distractor")
"""Kinds of contrast, as ``contrasts`` of the settings lists them."""

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
    ("in the middle of", "beside"),
)
"""Relations, each with another that is easily taken for it and that can be placed about the same object.

Not "at the edge of" with "next to": what stands by the end of a couch is at its edge, too.
"""

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

ABOUT = (*SIDES, *DEPTHS)
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
    facing = Family(derive.each_at_the_other, "swap roles", ("a face", "b face"), close=True)
    turn_away = Family(derive.each_from_the_other, "swap roles", ("a face", "b face"), close=True)
    queue = Family(derive.exchanged(_placing("ahead of")), "swap roles", ("a face", "b face"), close=True)
    pile = Family(derive.upside_down, "swap roles", ("a top", "b top", "a fits", "b fits"), close=True)
    made = (("facing", facing), ("facing away from", turn_away), ("ahead of", queue), ("on", pile))
    return [Recipe(name, name, family, "swap") for name, family in made]


def _confusables() -> list[Recipe]:
    made = [Recipe(one, other, _hybrid(one, other), "confusable") for one, other in LOOKALIKES]
    boxes = [Recipe(one, other, _way(one)[0], "confusable") for one, other in CONTAINED]
    return made + boxes


def _distractors() -> list[Recipe]:
    made = [(name, _stay_put(name), "move over") for name in STAY]
    made += [(name, derive.on_both_sides(_placing(name)), "exchange") for name in ABOUT]
    made += [(name, derive.turned_between(_placing(name)), "turn") for name in ("facing", "facing away from")]
    return [Recipe(name, name, _three(name, place, change), "distractor") for name, place, change in made]


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


def _stay_put(name: str) -> derive.PlaceThree:
    beside = derive.side_by_side(*GAPS[name]) if name in GAPS else _placing(name)
    return derive.from_one_to_the_other(beside, CLEAR_OF.get(name, 0.0))


def _hybrid(one: str, other: str) -> Family:
    """A where one relation holds, then where the other does, about an object that stays as it is."""
    (first, i), (second, j) = _way(one), _way(other)
    meets = tuple(k for k, (family, index) in enumerate(((first, i), (second, j))) if index in family.meets)
    needs = tuple(dict.fromkeys((*first.needs, *second.needs, *BULKY)))
    place = derive.moved_over(first, i, second, j)
    return replace(first, place=place, change="move", needs=needs, meets=meets, lean=True, close=True)


def _three(name: str, place: derive.PlaceThree, change: str) -> Family:
    family, index = _way(name)
    meets = (0, 1) if index in family.meets else ()
    needs = tuple(dict.fromkeys((*family.needs, *BULKY)))
    deep = name in DEPTHS or name in ("facing", "facing away from")
    return replace(
        family, place=place, change=change, needs=needs, meets=meets, close=True, overhead=family.overhead or deep
    )
