"""Which relation is contrasted with which, and by what change of the scene.

A group shows two scenes. In the first ``relation`` holds of (A, B) and ``counterpart`` does not; in the second
it is the other way round. Stating both of both scenes makes every caption text and every image true exactly
half of the time, so that no text-only and no image-only rule can beat a coin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from datagen import families, families_ambiguous, families_arranged, families_joint
from datagen import families_mechanism as mechanism
from datagen.families import Family
from spatial.errors import ConfigError, nearest
from spatial.relations import RELATIONS

LATERAL = Family(families.lateral, "swap")
LATERAL_CLOSE = Family(families.lateral_close, "swap")
DEPTH = Family(families.depth, "depth swap", lean=True)
HOVER = Family(families.hover, "swap")
HOVER_OVER = Family(families.hover_over, "swap")
STACK = Family(families.stack, "lift", ("b top", "a fits", "a rests on b"))
UNDER_TABLE = Family(families.under_table, "lower", ("b top", "a under b"), meets=(0, 1))
EDGE = Family(families.edge, "move", ("b top", "a small", "b has room for a"))
CONTACT = Family(families.contact, "pull apart", lean=True, meets=(0,))
NEAR_FAR = Family(families.near_far(2.5), "pull apart", ("a broad", "b broad"), close=True)
NEAR_FAR_AWAY = Family(families.near_far(3.0), "pull apart", ("a broad", "b broad"), close=True)
BESIDE_AWAY = Family(families.beside_away, "pull apart", lean=True)
HEADING = Family(families.heading, "turn", ("a face",))
HEADING_DISTANT = Family(families.heading_distant, "turn", ("a face", "a moves"))
QUARTER_TURN = Family(families.quarter_turn, "turn", ("a long", "b long"))
AHEAD_BEHIND = Family(families.ahead_behind, "move", ("a face", "b face"))
SIDE_BACK = Family(families.side_back, "move", ("b face",))


BULKY = ("a bulky", "b bulky")


def _contained(least: float) -> Family:
    return Family(
        mechanism.contained(least),
        "take out",
        ("b holds a", "a bulky"),
        meets=(0,),
        close=True,
        overhead=True,
        shown=0.25,
    )


CONTAINER = Family(
    mechanism.swapped(mechanism.contained(0.7)),
    "take out",
    ("a holds b", "b bulky"),
    meets=(0,),
    close=True,
    overhead=True,
    shown=0.25,
)
RING_LEFT = Family(mechanism.ring(mechanism.LEFT), "move aside", BULKY, lean=True, close=True, overhead=True)
RING_RIGHT = Family(mechanism.ring(mechanism.RIGHT), "move aside", BULKY, lean=True, close=True, overhead=True)
RINGED = Family(mechanism.ringed(mechanism.LEFT), "move aside", BULKY, lean=True, close=True, overhead=True)
AMONG_LEFT = Family(mechanism.among(mechanism.LEFT), "move out", BULKY, lean=True, close=True, overhead=True)
AMONG_RIGHT = Family(mechanism.among(mechanism.RIGHT), "move out", BULKY, lean=True, close=True, overhead=True)
BETWEEN_LEFT = Family(mechanism.between(mechanism.LEFT), "move out", BULKY, lean=True, close=True)
BETWEEN_RIGHT = Family(mechanism.between(mechanism.RIGHT), "move out", BULKY, lean=True, close=True)
BETWEEN_DEPTH = Family(mechanism.between_in_depth, "move out", BULKY, lean=True, close=True, overhead=True)
HOOP = Family(mechanism.hoop, "move aside", ("a hoop", "b bulky"), meets=(0,), close=True, overhead=True)
ARCH = Family(mechanism.arch, "move aside", ("a rod", "b arch"), meets=(0,), close=True)
CABLE = Family(families_joint.cable, "unplug", lean=True, close=True)
STRAP = Family(families_joint.strap, "take off", ("a bulky", "b bulky", "b flat side"), meets=(0,), close=True)
ALONGSIDE = Family(families_arranged.lengthwise(0.6, 1.1), "turn", ("a long", "b long"), close=True)
ALONG = Family(families_arranged.lengthwise(0.4, 0.7), "turn", ("a long", "b low and long"), close=True)
ACROSS = Family(
    families_arranged.across_separator,
    "come round",
    BULKY,
    close=True,
    overhead=True,
    shown=0.5,
    brings=families_arranged.SEPARATORS,
)
PASSING = Family(families_ambiguous.passing, "move", ("a face", "a moves"), close=True)
SINKING = Family(
    families_ambiguous.sinking, "take out", ("b holds a", "a bulky"), meets=(0,), close=True, overhead=True, shown=0.25
)
SPANNING = Family(families_ambiguous.spanning, "take off", ("a bar", "b flat top"), close=True)
DOWN = Family(families_ambiguous.coming_down, "lift", ("b top", "a fits", "a rests on b", "a alive"))
ATTENDING = Family(families_ambiguous.attending, "leave", ("a face", "a alive"), close=True)
WITH = Family(families.near_far(2.5), "pull apart", ("a alive", "a solid", "b broad"), close=True)
PART = Family(families_joint.part, "take off", ("a part of b",), meets=(0,), close=True)
WHOLE = Family(families_joint.whole, "take off", ("b part of a",), meets=(0,), close=True)


NEGATIONS = ("detached from", "outside", "away from", "off")
"""Counterparts that only deny the relation they stand against."""


@dataclass(frozen=True)
class Recipe:
    """One contrast.

    Attributes:
        relation: holds in the first scene.
        counterpart: holds in the second; the relation itself where it then holds of other objects.
        family: places both.
        kind: "direct", or one of the derived ones of ``datagen.contrasts``.
    """

    relation: str
    counterpart: str
    family: Family
    kind: str = "direct"

    @property
    def three(self) -> bool:
        """Whether a third object is named: the distractor."""
        return self.kind == "distractor"

    @property
    def negative_kind(self) -> str:
        """How the false statements about (A, B) are made; a direct contrast is one of opposites or of look-alikes."""
        if self.kind != "direct":
            return self.kind
        first, second = RELATIONS[self.relation], RELATIONS[self.counterpart]
        opposed = second.name in (first.antonym, first.inverse) or first.name in (second.antonym, second.inverse)
        return "antonym" if opposed or second.name in NEGATIONS else "confusable"

    @property
    def ambiguous(self) -> bool:
        """Whether the relation holds by convention only."""
        return RELATIONS[self.relation].render_class == "A"

    def partners(self, name: str) -> list[str]:
        """Return what this recipe contrasts a relation with."""
        return [other for one, other in permutations((self.relation, self.counterpart)) if one == name]


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
    Recipe("close to", "far away from", NEAR_FAR_AWAY),
    Recipe("by", "far from", NEAR_FAR),
    Recipe("next to", "away from", BESIDE_AWAY),
    Recipe("beside", "away from", BESIDE_AWAY),
    Recipe("adjacent to", "away from", BESIDE_AWAY),
    Recipe("facing", "facing away from", HEADING),
    Recipe("toward", "facing away from", HEADING_DISTANT),
    Recipe("parallel to", "perpendicular to", QUARTER_TURN),
    Recipe("at the back of", "ahead of", AHEAD_BEHIND),
    Recipe("at the side of", "at the back of", SIDE_BACK),
)

MECHANISM_RECIPES: tuple[Recipe, ...] = (
    Recipe("in", "outside", _contained(0.5)),
    Recipe("within", "outside", _contained(0.7)),
    Recipe("inside", "outside", _contained(0.8)),
    Recipe("enclosed by", "outside", _contained(0.7)),
    Recipe("contains", "beside", CONTAINER),
    Recipe("around", "left of", RING_LEFT),
    Recipe("around", "beside", HOOP),
    Recipe("surrounding", "right of", RING_RIGHT),
    Recipe("enclosed by", "right of", RINGED),
    Recipe("among", "left of", AMONG_LEFT),
    Recipe("among", "right of", AMONG_RIGHT),
    Recipe("between", "left of", BETWEEN_LEFT),
    Recipe("between", "right of", BETWEEN_RIGHT),
    Recipe("between", "in front of", BETWEEN_DEPTH),
    Recipe("through", "beside", ARCH),
    Recipe("connected to", "detached from", CABLE),
    Recipe("attached to", "detached from", STRAP),
    Recipe("attached to", "detached from", PART),
    Recipe("part of", "detached from", PART),
    Recipe("has as a part", "detached from", WHOLE),
)
"""Contrasts of the relations that need a mechanism: a cavity, a hole, several instances, a connector or a part."""


ARRANGED_RECIPES: tuple[Recipe, ...] = (
    Recipe("alongside", "perpendicular to", ALONGSIDE),
    Recipe("along", "perpendicular to", ALONG),
    Recipe("across from", "adjacent to", ACROSS),
    Recipe("opposite to", "adjacent to", ACROSS),
)
"""Contrasts of long things that lie along each other, and of things on two sides of a third."""

AMBIGUOUS_RECIPES: tuple[Recipe, ...] = (
    Recipe("past", "toward", PASSING),
    Recipe("into", "out of", SINKING),
    Recipe("across", "off", SPANNING),
    Recipe("down from", "on", DOWN),
    Recipe("at", "away from", ATTENDING),
    Recipe("with", "far from", WITH),
)
"""Contrasts of relations that hold by convention only (``spatial.predicates_ambiguous``)."""

SETS = {"all": (*RECIPES, *ARRANGED_RECIPES, *MECHANISM_RECIPES), "ambiguous": AMBIGUOUS_RECIPES}
"""Recipes that one word asks for."""


def choose_recipes(relations: list[str]) -> list[Recipe]:
    """Return the recipes of the sets asked for, and those whose relation and counterpart are both asked for.

    Raises:
        ConfigError: a relation is unknown, refused, or has no recipe among those asked for.
    """
    named = [name for name in relations if name not in SETS]
    for name in named:
        if name not in RELATIONS:
            raise ConfigError(f"unknown relation {name!r}{nearest(name, [*RELATIONS, *SETS])}")
        if RELATIONS[name].refused:
            raise ConfigError(f"relation {name!r} is not generated: {RELATIONS[name].refused}")
    known = (*RECIPES, *ARRANGED_RECIPES, *MECHANISM_RECIPES, *AMBIGUOUS_RECIPES)
    chosen = [recipe for recipe in known if {recipe.relation, recipe.counterpart} <= set(named)]
    for name in named:
        partners = sorted({other for recipe in known for other in recipe.partners(name)})
        if not set(partners) & set(named):
            mend = f"add one of {partners}"
            raise ConfigError(f"relation {name!r} has no counterpart among the relations asked for; {mend}")
    asked = [recipe for name in relations for recipe in SETS.get(name, ())]
    return list(dict.fromkeys([*asked, *chosen]))


def axes(recipes: Sequence[Recipe]) -> list[tuple[str, ...]]:
    """Return the relations of ``recipes`` with those that exclude each other, directly or through others, together."""
    groups: list[list[str]] = []
    for recipe in (recipe for recipe in recipes if recipe.kind == "direct"):
        apart = recipe in MECHANISM_RECIPES and recipe.negative_kind != "antonym"
        for names in [[recipe.relation], [recipe.counterpart]] if apart else [[recipe.relation, recipe.counterpart]]:
            joined = [group for group in groups if set(group) & set(names)]
            merged = list(dict.fromkeys(name for group in [*joined, names] for name in group))
            place = groups.index(joined[0]) if joined else len(groups)
            groups = [group for group in groups if group not in joined]
            groups.insert(place, merged)
    return [tuple(group) for group in groups]
