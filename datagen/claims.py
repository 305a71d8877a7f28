"""What a group says of its two scenes: sentences of which exactly one of the two scenes makes each true.

Sentences come in couples, one true of each scene, so that each scene has as many true as false ones.

Left, right, front and back can be the viewer's or those of the object itself. Three ways to deal with that:
"viewer" takes the viewer's reading whatever the object's own is; "agree" drops what the two readings disagree on;
"conflict" asks for disagreement, and says both, each with whose reading is meant. As many groups again say both where
the two agree ("said"): else to say whose reading is meant would give away that it is the other one.
"""

from dataclasses import dataclass

from datagen.recipe import Recipe
from spatial.observation import Observation, observe
from spatial.predicates import holds_of_all, own_reading
from spatial.relations import RELATIONS
from spatial.scene import Scene

FRAMES = ("agree", "viewer")
"""Values of the setting ``frames``; "conflict" is drawn from "agree" by ``frame_conflict``."""

Truths = tuple[bool | None, bool | None]


@dataclass(frozen=True)
class Statement:
    """A sentence about objects ``a`` and ``b``, true of exactly one of two views; ``truth`` is of the first.

    Where several objects share a noun, the sentence is about all of them and ``a`` or ``b`` is one. ``frame`` is that
    of a record, the same in both views; ``said`` tells whether the sentence says whose left or front is meant.
    """

    relation: str
    a: int
    b: int
    truth: bool
    negative_kind: str
    frame: str
    said: bool = False


@dataclass(frozen=True)
class Claim:
    """A relation of two objects, by index, and how its falsehood is called."""

    relation: str
    a: int
    b: int
    kind: str

    def stated(self, truths: Truths, frame: str, said: bool = False) -> Statement:
        """Return the statement of this claim."""
        return Statement(self.relation, self.a, self.b, bool(truths[0]), self.kind, frame, said)


def depends_on_viewer(recipe: Recipe) -> bool:
    """Tell whether a contrast is about the viewer's left, right, front or back."""
    return any(RELATIONS[name].frame == "viewer" for name in (recipe.relation, recipe.counterpart))


SIDES = ("left of", "right of", "at the left side of", "at the right side of")
DEPTHS = ("in front of", "behind", "beyond")

OPPOSED = (
    {"left of", "right of"},
    {"at the left side of", "at the right side of"},
    {"in front of", "behind"},
)
"""Opposites that an object's own front can decide otherwise than the viewer does."""


def turns_round(recipe: Recipe, frames: str) -> bool:
    """Tell whether what has a front must turn its back to the viewer, for the frames that are asked for.

    Who faces the viewer has his left at the viewer's right, and his front where the viewer's front is; who turns his
    back has it the other way round.
    """
    about_sides = recipe.relation in SIDES or recipe.counterpart in SIDES
    return frames != "viewer" and about_sides == (frames != "conflict")


def mixes_directions(recipe: Recipe) -> bool:
    """Tell whether a contrast is about a side and about front or back, whose frames agree only without a front."""
    names = {recipe.relation, recipe.counterpart}
    return bool(names & set(SIDES)) and bool(names & set(DEPTHS))


def statements(recipe: Recipe, scenes: tuple[Scene, Scene], frames: str) -> tuple[Statement, ...]:
    """Return the statements of a group in couples; () unless its relation is true of the first scene alone.

    Args:
        recipe: the contrast.
        scenes: both scenes of the group.
        frames: "agree", "viewer", "conflict" or "said".
    """
    views = observe(scenes[0]), observe(scenes[1])
    if frames in ("conflict", "said"):
        return _in_both_frames(couples(recipe)[0], views, frames == "said")
    made: list[Statement] = []
    for index, couple in enumerate(couples(recipe)):
        truths = [_truths(claim, views) for claim in couple]
        flips = _flip(truths) and (frames == "viewer" or all(_agree(claim, views) for claim in couple))
        if flips:
            made += [claim.stated(truth, _frame(claim, views)) for claim, truth in zip(couple, truths, strict=True)]
        elif index == 0:
            return ()
    return tuple(made) if made[0].truth else ()


def _in_both_frames(
    couple: tuple[Claim, Claim], views: tuple[Observation, Observation], alike: bool
) -> tuple[Statement, ...]:
    """State a couple in the viewer's words and in the object's own, which are ``alike`` or contradict each other."""
    made: list[Statement] = []
    for frame, truths in (
        ("viewer", [_truths(claim, views) for claim in couple]),
        ("intrinsic", [_own_truths(claim, views) for claim in couple]),
    ):
        if not _flip(truths):
            return ()
        claims = couple if alike else [Claim(claim.relation, claim.a, claim.b, "frame") for claim in couple]
        made += [claim.stated(truth, frame, said=True) for claim, truth in zip(claims, truths, strict=True)]
    return tuple(made) if made[0].truth and made[2].truth == alike else ()


def _flip(truths: list[Truths]) -> bool:
    return truths in ([(True, False), (False, True)], [(False, True), (True, False)])


def _truths(claim: Claim, views: tuple[Observation, Observation]) -> Truths:
    first, second = (holds_of_all(claim.relation, claim.a, claim.b, view) for view in views)
    return first, second


def _own_truths(claim: Claim, views: tuple[Observation, Observation]) -> Truths:
    first, second = (own_reading(claim.relation, claim.a, claim.b, view) for view in views)
    return first, second


def _frame(claim: Claim, views: tuple[Observation, Observation]) -> str:
    """Return the frame that decides a claim: "both" if the object's own front says what the viewer does."""
    kind, pose = RELATIONS[claim.relation].frame, views[0].objects[claim.b].pose
    if kind != "viewer":
        return "" if kind == "free" else kind
    return "both" if pose is not None and pose.has_front and _agree(claim, views) else "viewer"


def _agree(claim: Claim, views: tuple[Observation, Observation]) -> bool:
    """Tell whether the object's own reading is the viewer's in both views, or there is none."""
    pose = views[0].objects[claim.b].pose
    if RELATIONS[claim.relation].frame != "viewer" or pose is None or not pose.has_front:
        return True
    return _own_truths(claim, views) == _truths(claim, views)


def couples(recipe: Recipe) -> list[tuple[Claim, Claim]]:
    """Return couples of claims of which exactly one should hold in each scene, the one about (A, B) first."""
    one, other, kind = recipe.relation, recipe.counterpart, recipe.negative_kind
    if kind == "swap":
        return [(Claim(one, 0, 1, kind), Claim(one, 1, 0, kind))]
    if kind == "distractor":
        return [(Claim(one, 0, 1, kind), Claim(one, 0, 2, kind))]
    symmetric = RELATIONS[one].symmetric and RELATIONS[other].symmetric
    back = "swap" if kind == "antonym" and not symmetric else kind
    return [
        (Claim(one, 0, 1, kind), Claim(other, 0, 1, kind)),
        (Claim(one, 1, 0, back), Claim(other, 1, 0, back)),
    ]
