"""One predicate per relation: it places objects, labels renders, checks generated pictures and audits VSR.

A predicate answers ``True``, ``False``, or ``None`` where the relation is undecided: in the dead zone between
a clear yes and a clear no, or because the picture does not tell. Only decided answers become records.
"""

from spatial.observation import Observation
from spatial.pair import Pair, Predicate
from spatial.predicates_ambiguous import AMBIGUOUS
from spatial.predicates_contact import CONTACT_AND_HEIGHT
from spatial.predicates_containment import CONTAINMENT
from spatial.predicates_distance import DISTANCE
from spatial.predicates_heading import HEADING
from spatial.predicates_joint import JOINT
from spatial.predicates_several import SEVERAL, instances
from spatial.predicates_viewer import DEPTH_CONE, SIDE_CONE, VIEWER, directed, posed_shift
from spatial.relations import relation_named

PREDICATES: dict[str, Predicate] = {
    **VIEWER,
    **DISTANCE,
    **CONTACT_AND_HEIGHT,
    **HEADING,
    **CONTAINMENT,
    **SEVERAL,
    **JOINT,
}
"""The predicate of every relation of render class E, F or M; those of class A are in ``AMBIGUOUS``."""


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
        ValueError: the relation is unknown (the nearest is named) or refused.
    """
    return _predicate(relation)(Pair(a, b, observation))


def holds_of_all(relation: str, a: int, b: int, observation: Observation) -> bool | None:
    """Return whether "the A's are <relation> the B's", of everything that shares the noun of either object.

    Relations between a thing and several ("around", "between") read the instances themselves. Any other holds of
    the several if it holds of each, and fails if it fails of half of them or more. With one instance of each noun
    this is ``holds``.
    """
    predicate = _predicate(relation)
    if relation in SEVERAL:
        return predicate(Pair(a, b, observation))
    pairs = [Pair(i, j, observation) for i in instances(a, observation) for j in instances(b, observation)]
    answers = [predicate(pair) for pair in pairs]
    if all(answers):
        return True
    return False if 2 * answers.count(False) >= len(answers) else None


def readings(a: int, b: int, observation: Observation) -> dict[str, bool]:
    """Return every decided relation of a pair, measuring the pair only once; conventions (class A) are left out."""
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
    own = own_reading(relation, a, b, observation)
    return "both" if own is not None and own == holds(relation, a, b, observation) else "viewer"


def _predicate(relation: str) -> Predicate:
    known = relation_named(relation)
    predicate = PREDICATES.get(relation) or AMBIGUOUS.get(relation)
    if predicate is None:
        raise ValueError(f"relation {relation!r} (class {known.render_class}) has no predicate: {known.refused}")
    return predicate


def own_reading(relation: str, a: int, b: int, observation: Observation) -> bool | None:
    """Return whether a relation of left, right, front or back is true by B's own front; ``None`` if one has none."""
    pair = Pair(a, b, observation)
    if not pair.poses or not pair.poses.b.has_front or pair.stacked:
        return None
    (hx, hy), (sx, sy) = pair.poses.b.heading, pair.poses.b.side
    # An object that faces the viewer has its own left, +side, at the viewer's right.
    if "left" in relation:
        return directed(posed_shift(pair, (sx, sy), (hx, hy)), SIDE_CONE)
    if "right" in relation:
        return directed(posed_shift(pair, (-sx, -sy), (hx, hy)), SIDE_CONE)
    if relation == "in front of":
        return directed(posed_shift(pair, (hx, hy), (sx, sy)), DEPTH_CONE)
    if relation in ("behind", "beyond"):
        return directed(posed_shift(pair, (-hx, -hy), (sx, sy)), DEPTH_CONE)
    return None
