"""Which relation is contrasted with which, and by what change of the scene.

A group shows two scenes. In the first ``relation`` holds of (A, B) and ``counterpart`` does not; in the second
it is the other way round. Stating both of both scenes makes every caption text and every image true exactly
half of the time, so that no text-only and no image-only rule can beat a coin.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from datagen import families
from datagen.families import Family
from spatial.errors import ConfigError, nearest
from spatial.relations import RELATIONS

LATERAL = Family(families.lateral, "swap")
LATERAL_CLOSE = Family(families.lateral_close, "swap")
DEPTH = Family(families.depth, "depth swap", lean=True)
HOVER = Family(families.hover, "swap")
HOVER_OVER = Family(families.hover_over, "swap")
STACK = Family(families.stack, "lift", ("b top", "a fits"))
UNDER_TABLE = Family(families.under_table, "lower", ("b top", "a under b"))
EDGE = Family(families.edge, "move", ("b top", "a small"))
CONTACT = Family(families.contact, "pull apart", lean=True)
NEAR_FAR = Family(families.near_far, "pull apart", ("a small", "b small"))
BESIDE_AWAY = Family(families.beside_away, "pull apart", lean=True)
HEADING = Family(families.heading, "turn", ("a front",))
HEADING_DISTANT = Family(families.heading_distant, "turn", ("a front",))
QUARTER_TURN = Family(families.quarter_turn, "turn", ("a long", "b long"))
AHEAD_BEHIND = Family(families.ahead_behind, "move", ("a front", "b front"))
SIDE_BACK = Family(families.side_back, "move", ("b front",))


@dataclass(frozen=True)
class Recipe:
    """One contrast: a relation, its counterpart, and the family that places both."""

    relation: str
    counterpart: str
    family: Family


RECIPES: tuple[Recipe, ...] = (
    Recipe("left of", "right of", LATERAL),
    Recipe("at the left side of", "at the right side of", LATERAL_CLOSE),
    Recipe("in front of", "behind", DEPTH),
    Recipe("in front of", "beyond", DEPTH),
    Recipe("above", "below", HOVER),
    Recipe("over", "under", HOVER_OVER),
    Recipe("on", "off", STACK),
    Recipe("on top of", "beneath", UNDER_TABLE),
    Recipe("on", "under", UNDER_TABLE),
    Recipe("at the edge of", "in the middle of", EDGE),
    Recipe("touching", "detached from", CONTACT),
    Recipe("against", "detached from", CONTACT),
    Recipe("near", "far from", NEAR_FAR),
    Recipe("close to", "far away from", NEAR_FAR),
    Recipe("by", "far from", NEAR_FAR),
    Recipe("next to", "away from", BESIDE_AWAY),
    Recipe("beside", "away from", BESIDE_AWAY),
    Recipe("adjacent to", "away from", BESIDE_AWAY),
    Recipe("facing", "facing away from", HEADING),
    Recipe("toward", "away from", HEADING_DISTANT),
    Recipe("parallel to", "perpendicular to", QUARTER_TURN),
    Recipe("at the back of", "ahead of", AHEAD_BEHIND),
    Recipe("at the side of", "at the back of", SIDE_BACK),
)


def choose_recipes(relations: list[str]) -> list[Recipe]:
    """Return the recipes whose relation and counterpart are both asked for ("all" asks for everything).

    Raises:
        ConfigError: a relation is unknown, refused, or has no recipe among those asked for.
    """
    if relations == ["all"]:
        return list(RECIPES)
    for name in relations:
        if name not in RELATIONS:
            raise ConfigError(f"unknown relation {name!r}{nearest(name, RELATIONS)}")
        if RELATIONS[name].refused:
            raise ConfigError(f"relation {name!r} is not generated: {RELATIONS[name].refused}")
    chosen = [recipe for recipe in RECIPES if recipe.relation in relations and recipe.counterpart in relations]
    covered = {name for recipe in chosen for name in (recipe.relation, recipe.counterpart)}
    for name in relations:
        if name not in covered:
            partners = sorted(
                {
                    r.counterpart if r.relation == name else r.relation
                    for r in RECIPES
                    if name in (r.relation, r.counterpart)
                }
            )
            mend = f"add one of {partners}" if partners else "remove it: it has no constructive proposal"
            raise ConfigError(f"relation {name!r} has no counterpart among the relations asked for; {mend}")
    return chosen


def axes(recipes: Sequence[Recipe]) -> list[tuple[str, ...]]:
    """Return the relations of ``recipes`` with those that contrast, directly or through others, together."""
    groups: list[list[str]] = []
    for recipe in recipes:
        names = [recipe.relation, recipe.counterpart]
        joined = [group for group in groups if set(group) & set(names)]
        merged = list(dict.fromkeys(name for group in [*joined, names] for name in group))
        place = groups.index(joined[0]) if joined else len(groups)
        groups = [group for group in groups if group not in joined]
        groups.insert(place, merged)
    return [tuple(group) for group in groups]
