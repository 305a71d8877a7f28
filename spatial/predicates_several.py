"""Predicates of several things at once: around, surrounding, enclosed by, among, between.

"The cups" are all objects of the picture that share the noun of the one that a pair names. Several things are
around another where no empty arc of its horizon, seen from above, is as wide as a quarter turn: they cover more
than 270 degrees of azimuth. They are at one side of it where the empty arc is wider than half a turn.
"""

import math
from collections.abc import Sequence

from spatial import geometry
from spatial.observation import Observation, Pose
from spatial.pair import Pair, Predicate
from spatial.predicates_containment import OUT, WITHIN, encircles, share_inside

AROUND_ARC, ASIDE_ARC = 90.0, 180.0
"""Empty arcs in degrees below which things are around another, and above which they are at one side of it."""

AMONG_ARC, NOT_AMONG_ARC = 180.0, 220.0
"""Empty arcs in degrees below which a thing is among others, and above which it is outside their midst."""

ROUNDING = 1e-6
"""Footprints nearer than this in metres touch; exactly touching ones differ by rounding, not the same when mirrored."""

NEAR = 1.5
"""Things around another are within this many s of it."""


def instances(index: int, observation: Observation) -> list[int]:
    """Return the indices of all objects of the same noun, the given one first."""
    noun = observation.objects[index].name
    return [index, *(i for i, seen in enumerate(observation.objects) if seen.name == noun and i != index)]


def empty_arc(centre: Pose, others: Sequence[Pose]) -> float:
    """Return the widest arc in degrees, seen from the middle of ``centre``, in which none of the others stands."""
    spans = sorted((start % 360.0, end - start) for start, end in (_span(centre, other) for other in others))
    # One that begins before the zero of the horizon may end behind the first that begins after it.
    widest, reached = 0.0, max(start + width for start, width in spans) - 360.0
    for start, width in spans:
        widest, reached = max(widest, start - reached), max(reached, start + width)
    return widest


def around(pair: Pair) -> bool | None:
    """Three or more A, or a ring A, leave no quarter of B's horizon empty; false where they are all at one side."""
    if not pair.poses:
        return None
    if encircles(pair.poses.a, pair.poses.b):
        return True
    if pair.poses.a.opening in ("ring", "through"):
        return False if pair.apart else None
    return _ring(pair.object, pair.subject, pair.observation)


def enclosed_by(pair: Pair) -> bool | None:
    """At least 0.7 of A is in B, or three or more B are around it; false where all B are at one side of A."""
    if not pair.poses:
        return None
    share = share_inside(pair.poses.a, pair.poses.b)
    if share is not None and share >= OUT:
        return True if share >= WITHIN else None
    return _ring(pair.subject, pair.object, pair.observation)


def among(pair: Pair) -> bool | None:
    """Three or more B within 1 s of A stand on over half of its horizon; false at one side of them or 1.5 s away."""
    others = _others(pair)
    if others is None or len(others) < 3 or not pair.poses:
        return None
    a = pair.poses.a
    gaps = [geometry.surface_gap(a, other) for other in others]
    if all(gap.low > NEAR * pair.s for gap in gaps):
        return False
    if not _beside_all(a, others):
        return None
    near = [other for other, gap in zip(others, gaps, strict=True) if gap.high < pair.s]
    if len(near) >= 3 and empty_arc(a, near) < AMONG_ARC:
        return True
    return False if empty_arc(a, others) > NOT_AMONG_ARC else None


def between(pair: Pair) -> bool | None:
    """A's centre is over the middle of the line that joins two B, less than 0.3 of its length aside.

    False past either end of the line, and from 0.6 of its length aside.
    """
    others = _others(pair)
    if others is None or len(others) != 2 or not pair.poses:
        return None
    a, (one, two) = pair.poses.a, others
    span, away = geometry.offset(two, one), geometry.offset(a, one)
    length = math.hypot(*span)
    if length < 1e-6 or not _beside_all(a, others):
        return None
    along = geometry.dot(away, span) / length**2
    aside = abs(away[0] * span[1] - away[1] * span[0]) / length**2
    if not -0.1 < along < 1.1 or aside > 0.6:
        return False
    return True if 0.0 < along < 1.0 and aside < 0.3 else None


def _ring(centre: int, copy: int, observation: Observation) -> bool | None:
    """Return whether all objects of a copy's noun stand around an object; ``None`` where poses do not tell."""
    middle, others = observation.objects[centre].pose, _poses(instances(copy, observation), observation)
    if middle is None or others is None or centre in instances(copy, observation) or not _beside_all(middle, others):
        return None
    arc, gaps = empty_arc(middle, others), [geometry.surface_gap(middle, other) for other in others]
    reach = [NEAR * (geometry.diagonal(middle) + geometry.diagonal(other)) / 2 for other in others]
    if len(others) >= 3 and arc < AROUND_ARC and all(gap.high < most for gap, most in zip(gaps, reach, strict=True)):
        return True
    return False if arc > ASIDE_ARC else None


def _others(pair: Pair) -> list[Pose] | None:
    """Return the poses of all B, or ``None`` where one is unknown or A is one of them."""
    indices = instances(pair.object, pair.observation)
    return None if pair.subject in indices else _poses(indices, pair.observation)


def _poses(indices: list[int], observation: Observation) -> list[Pose] | None:
    poses = [observation.objects[index].pose for index in indices]
    known = [pose for pose in poses if pose is not None]
    return known if len(known) == len(poses) else None


def _beside_all(middle: Pose, others: Sequence[Pose]) -> bool:
    """Whether every other stands clear of the middle one on the floor and shares some height with it."""
    return all(
        geometry.footprint_gap(middle, other) > ROUNDING and geometry.height_gap(middle, other) <= 0.0
        for other in others
    )


def _span(centre: Pose, other: Pose) -> tuple[float, float]:
    """Return the azimuths in degrees, from and to, that an object covers seen from the middle of another."""
    away = geometry.offset(other, centre)
    turns = [
        math.atan2(
            away[0] * (y - centre.position[1]) - away[1] * (x - centre.position[0]),
            away[0] * (x - centre.position[0]) + away[1] * (y - centre.position[1]),
        )
        for x, y in other.footprint().tolist()
    ]
    middle = math.degrees(math.atan2(away[1], away[0]))
    return (middle + math.degrees(min(turns)), middle + math.degrees(max(turns)))


SEVERAL: dict[str, Predicate] = {
    "around": around,
    "surrounding": lambda pair: enclosed_by(pair.swapped),
    "enclosed by": enclosed_by,
    "among": among,
    "between": between,
}
