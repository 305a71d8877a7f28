"""Predicates of distance and neighbourhood: near, far from, next to, beside, adjacent to, along.

Every bound is a multiple of ``s``, the mean diagonal of the two objects; between the bound that makes a
statement true and the one that makes it false lies a dead zone, in which nothing is said.
"""

from spatial import geometry
from spatial.pair import Pair, Predicate, below, beyond
from spatial.predicates_containment import encircles
from spatial.predicates_viewer import left_of, right_of


def closer_than(yes: float, no: float) -> Predicate:
    """Build "gap < yes * s", false beyond ``no * s``."""
    return lambda pair: below(pair.gap, yes * pair.s, no * pair.s)


def farther_than(yes: float, no: float) -> Predicate:
    """Build "gap > yes * s", false within ``no * s``."""
    return lambda pair: beyond(pair.gap, yes * pair.s, no * pair.s)


def lateral_neighbour(yes: float) -> Predicate:
    """Build "at A's left or right, at one level, gap < yes * s"; false beyond 1 s, where stacked, or through a hole."""

    def predicate(pair: Pair) -> bool | None:
        if pair.gap.low > pair.s or (pair.column or 0.0) > geometry.OVERLAP_MOST:
            return False
        if pair.poses and (encircles(pair.poses.a, pair.poses.b) or encircles(pair.poses.b, pair.poses.a)):
            return False
        sideways = left_of(pair) or right_of(pair)
        return True if sideways and pair.gap.high < yes * pair.s and pair.level > 0.5 else None

    return predicate


def adjacent_to(pair: Pair) -> bool | None:
    """Gap under 0.15 s on one supporting plane, neither on the other; false beyond 0.5 s."""
    if pair.gap.low > 0.5 * pair.s:
        return False
    if not pair.poses or pair.stacked or abs(pair.poses.a.bottom - pair.poses.b.bottom) > 0.05:
        return None
    return True if pair.gap.high < 0.15 * pair.s else None


def alongside(pair: Pair) -> bool | None:
    """Adjacent, long axes within 20 degrees, and side by side instead of end to end."""
    if pair.gap.low > 0.5 * pair.s:
        return False
    if not pair.poses:
        return None
    a, b = pair.poses.a, pair.poses.b
    between, one, other = geometry.axis_angle(a, b), geometry.long_direction(a), geometry.long_direction(b)
    if between is None or one is None or other is None:
        return None
    if between > 45:
        return False
    away = geometry.offset(a, b)
    abreast = all(60 < geometry.angle(away, axis) < 120 for axis in (one, other))
    return True if between < 20 and abreast and adjacent_to(pair) else None


def along(pair: Pair) -> bool | None:
    """Beside the length of an elongated B (aspect over 2.5), long axes within 20 degrees, gap under 0.2 s."""
    if pair.gap.low > pair.s:
        return False
    if not pair.poses:
        return None
    a, b = pair.poses.a, pair.poses.b
    between, axis = geometry.axis_angle(a, b), geometry.long_direction(b)
    if between is None or axis is None:
        return None
    if between > 45:
        return False
    aspect = b.size[b.long_axis] / b.size[1 - b.long_axis]
    within = abs(geometry.dot(geometry.offset(a, b), axis)) < b.size[b.long_axis] / 2
    return True if between < 20 and aspect > 2.5 and within and pair.gap.high < 0.2 * pair.s else None


DISTANCE: dict[str, Predicate] = {
    "by": closer_than(0.5, 2.5),
    "close to": closer_than(0.5, 2.5),
    "near": closer_than(0.7, 2.5),
    "far from": farther_than(2.5, 0.7),
    "far away from": farther_than(3.0, 0.7),
    "next to": lateral_neighbour(0.4),
    "beside": lateral_neighbour(0.5),
    "adjacent to": adjacent_to,
    "alongside": alongside,
    "along": along,
}
