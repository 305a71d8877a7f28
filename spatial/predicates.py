"""One predicate per relation: it places objects, labels renders, checks generated pictures and audits VSR.

A predicate answers ``True``, ``False``, or ``None`` where the relation is undecided: in the dead zone between
a clear yes and a clear no, or because the picture does not tell. Only decided answers become records.
"""

from spatial.observation import Observation
from spatial.pair import Pair
from spatial.predicates_contact import CONTACT_AND_HEIGHT
from spatial.predicates_distance import DISTANCE, Predicate
from spatial.predicates_heading import HEADING
from spatial.predicates_viewer import DEPTH_CONE, SIDE_CONE, VIEWER, directed, posed_shift
from spatial.relations import relation_named

PREDICATES: dict[str, Predicate] = {**VIEWER, **DISTANCE, **CONTACT_AND_HEIGHT, **HEADING}
"""The predicate of every relation of render class E or F."""

UNDECIDABLE = {
    "M": "it needs assets with a mechanism (a cavity, a named part, a connector or several instances), "
    "which scenes do not describe",
    "A": "a still picture does not settle it",
}


def holds(relation: str, a: int, b: int, observation: Observation) -> bool | None:
    """Return whether "A is <relation> B" is true of what is seen.

    Args:
        relation: a name of ``RELATIONS``.
        a: index of the subject in ``observation.objects``.
        b: index of the object.
        observation: poses decide where both are known; else boxes and depth, where that reading is sound.

    Returns:
        ``None`` in the dead zone, or where what is known does not decide.

    Raises:
        ValueError: the relation is unknown (the nearest is named) or belongs to a class without predicates.
    """
    return _predicate(relation)(Pair(a, b, observation))


def readings(a: int, b: int, observation: Observation) -> dict[str, bool]:
    """Return every decided relation of a pair, measuring the pair only once."""
    pair = Pair(a, b, observation)
    answers = {name: predicate(pair) for name, predicate in PREDICATES.items()}
    return {name: answer for name, answer in answers.items() if answer is not None}


def frame_of(relation: str, a: int, b: int, observation: Observation) -> str:
    """Return the frame in which a relation of this pair is decided, as ``Record.frame`` takes it.

    "" for frame-free relations, "intrinsic" or "viewer", and "both" where B has a front and its own frame
    gives the viewer's answer. Where B has a front and the answer is "viewer", the frames disagree.
    """
    kind = relation_named(relation).frame
    if kind != "viewer":
        return "" if kind == "free" else kind
    own = _own_reading(relation, Pair(a, b, observation))
    return "both" if own is not None and own == holds(relation, a, b, observation) else "viewer"


def _predicate(relation: str) -> Predicate:
    known = relation_named(relation)
    if relation not in PREDICATES:
        why = known.refused or UNDECIDABLE[known.render_class]
        raise ValueError(f"relation {relation!r} (class {known.render_class}) has no predicate: {why}")
    return PREDICATES[relation]


def _own_reading(relation: str, pair: Pair) -> bool | None:
    """Read left, right, front or back by B's own front."""
    if not pair.poses or not pair.poses.b.has_front or pair.stacked:
        return None
    (hx, hy), (sx, sy) = pair.poses.b.heading, pair.poses.b.side
    # An object that faces the viewer has its own left, +side, at the viewer's right.
    if "left" in relation:
        return directed(posed_shift(pair, (sx, sy), (hx, hy)), SIDE_CONE)
    if "right" in relation:
        return directed(posed_shift(pair, (-sx, -sy), (hx, hy)), SIDE_CONE)
    ahead = (hx, hy) if relation == "in front of" else (-hx, -hy)
    return directed(posed_shift(pair, ahead, (sx, sy)), DEPTH_CONE)
