"""Predicates of an object's own frame: facing, toward, away from, parallel to, at the back of, across from.

A front is a property of the object (a car has one, a ball has none); without the front that a relation speaks
of, nothing is said. Angles are floor angles; objects that stand over one another have no direction between them.
"""

from spatial import geometry
from spatial.geometry import Point
from spatial.observation import Pose
from spatial.pair import Pair, beyond


def facing(pair: Pair) -> bool | None:
    """B lies within 25 degrees of A's heading; false beyond 60."""
    turn = _turn(pair)
    return None if turn is None else _graded(turn, 25, 60)


def facing_away_from(pair: Pair) -> bool | None:
    """B lies within 35 degrees of A's back; false within 80 of its heading."""
    turn = _turn(pair)
    return None if turn is None else _graded(180 - turn, 35, 100)


def toward(pair: Pair) -> bool | None:
    """A faces B across a gap over 0.3 s."""
    turn = facing(pair)
    return None if turn and pair.gap.low <= 0.3 * pair.s else turn


def away_from(pair: Pair) -> bool | None:
    """The gap is over 1.2 s and A, if it has a front, heads elsewhere; false within 0.6 s.

    Of a distant thing that heads at B some say that it is away from B, so nothing is said.
    """
    apart = beyond(pair.gap, 1.2 * pair.s, 0.6 * pair.s)
    if apart is False or not pair.poses:
        return False if apart is False else None
    turn = _turn(pair)
    if turn is None:
        return None if pair.poses.a.has_front else apart
    return apart if turn > 95 else None


def parallel_to(pair: Pair) -> bool | None:
    """Long axes within 10 degrees; false beyond 30."""
    between = _axes(pair)
    return None if between is None else _graded(between, 10, 30)


def perpendicular_to(pair: Pair) -> bool | None:
    """Long axes within 10 degrees of a right angle; false beyond 30."""
    between = _axes(pair)
    return None if between is None else _graded(90 - between, 10, 30)


def at_the_side_of(pair: Pair) -> bool | None:
    """A's centre is beyond B's left or right face, between front and back, gap under 0.4 s; false beyond 1 s."""
    if pair.gap.low > pair.s:
        return False
    place = _place(pair)
    if place is None:
        return None
    forward, sideward = place
    if forward * forward > 1 and abs(sideward) < 1:
        return False
    return True if abs(sideward) > 1 and abs(forward) < 1 and pair.gap.high < 0.4 * pair.s else None


def at_the_back_of(pair: Pair) -> bool | None:
    """A is behind B's own back, within a 45 degree flare of its rear face, gap under 0.5 s.

    False beyond 1 s, in B's front half, and at its sides.
    """
    if pair.gap.low > pair.s:
        return False
    place = _place(pair)
    if place is None:
        return None
    forward, sideward = place
    if forward > 0.5 or (forward > -0.5 and abs(sideward) > 1):
        return False
    return True if _flared(pair, -1) and pair.gap.high < 0.5 * pair.s else None


def ahead_of(pair: Pair) -> bool | None:
    """A is before B's own front, within a 45 degree flare of it, both heading the same way within 45 degrees."""
    place = _place(pair)
    if place is None or not pair.poses or not pair.poses.a.has_front:
        return None
    if place[0] < -1:
        return False
    same_way = geometry.angle(pair.poses.a.heading, pair.poses.b.heading) < 45
    return True if same_way and _flared(pair, 1) else None


def across_from(pair: Pair) -> bool | None:
    """Over 0.3 s apart on one level with something between them, or facing each other; false within 0.15 s.

    Where nothing is between them, also false if both head the same way, or within 0.5 s if one does not face the other.
    """
    if pair.gap.high < 0.15 * pair.s:
        return False
    if not pair.poses:
        return None
    separated, mutual = _separated(pair), facing(pair) and facing(pair.swapped)
    if separated is False:
        abreast = _fronts(pair) and geometry.angle(pair.poses.a.heading, pair.poses.b.heading) < 45
        averted = not _fronts(pair) or facing(pair) is False or facing(pair.swapped) is False
        if abreast or (averted and pair.gap.high < 0.5 * pair.s):
            return False
    apart = pair.gap.low > 0.3 * pair.s and pair.level > 0.5
    return True if apart and (separated or mutual) else None


def opposite_to(pair: Pair) -> bool | None:
    """Across from each other, and if not separated by something then with headings 180 degrees apart within 20."""
    across = across_from(pair)
    if not across or not pair.poses:
        return across
    turned = _fronts(pair) and geometry.angle(pair.poses.a.heading, pair.poses.b.heading) > 160
    return True if turned or _separated(pair) else None


def _graded(angle: float, yes: float, no: float) -> bool | None:
    return True if angle < yes else (False if angle > no else None)


def _turn(pair: Pair) -> float | None:
    """Angle from A's heading to B, or ``None`` without a front or a direction."""
    if not pair.poses or not pair.poses.a.has_front or pair.stacked:
        return None
    away = geometry.offset(pair.poses.b, pair.poses.a)
    return geometry.angle(pair.poses.a.heading, away) if any(away) else None  # one place has no direction to itself


def _axes(pair: Pair) -> float | None:
    return geometry.axis_angle(pair.poses.a, pair.poses.b) if pair.poses else None


def _place(pair: Pair) -> Point | None:
    """A's centre in B's frame (forward, sideward), in units of B's half extents; ``None`` without B's front."""
    if not pair.poses or not pair.poses.b.has_front or pair.stacked:
        return None
    b, away = pair.poses.b, geometry.offset(pair.poses.a, pair.poses.b)
    return (geometry.dot(away, b.heading) / (b.size[1] / 2), geometry.dot(away, b.side) / (b.size[0] / 2))


def _flared(pair: Pair, sign: int) -> bool:
    """Whether A's centre is beyond B's front (1) or rear (-1) face, within 45 degrees of its corners."""
    assert pair.poses is not None
    b, away = pair.poses.b, geometry.offset(pair.poses.a, pair.poses.b)
    past = sign * geometry.dot(away, b.heading) - b.size[1] / 2
    aside = abs(geometry.dot(away, b.side)) - b.size[0] / 2
    return past > 0 and aside <= past


def _fronts(pair: Pair) -> bool:
    return pair.poses is not None and pair.poses.a.has_front and pair.poses.b.has_front


def _separated(pair: Pair) -> bool | None:
    """Whether something stands between two things; ``None`` where it is small or not in the middle."""
    assert pair.poses is not None
    skipped = {pair.subject, pair.object}
    others = [seen.pose for index, seen in enumerate(pair.observation.objects) if index not in skipped]
    found = [_between(pose, pair.poses.a, pair.poses.b) for pose in others if pose is not None]
    return True if True in found else (None if None in found else False)


def _between(middle: Pose, a: Pose, b: Pose) -> bool | None:
    """Whether the segment between two centres crosses the middle of a third object on their level.

    The third is at least as wide as the narrower of the two: a cup between two cars separates nothing.
    """
    span = geometry.offset(b, a)
    squared = geometry.dot(span, span)
    if squared == 0 or geometry.level(middle, a) <= 0 or geometry.level(middle, b) <= 0:
        return False
    away = geometry.offset(middle, a)
    length = squared**0.5
    across, half = (span[1] / length, -span[0] / length), geometry.half_extent
    share, aside = geometry.dot(away, span) / squared, abs(geometry.dot(away, across))
    if not 0 < share < 1 or aside > half(middle, across):
        return False
    wide = half(middle, across) >= min(half(a, across), half(b, across))
    return True if wide and 0.25 < share < 0.75 and aside < 0.5 * half(middle, across) else None


HEADING = {
    "facing": facing,
    "facing away from": facing_away_from,
    "toward": toward,
    "away from": away_from,
    "parallel to": parallel_to,
    "perpendicular to": perpendicular_to,
    "at the side of": at_the_side_of,
    "at the back of": at_the_back_of,
    "ahead of": ahead_of,
    "across from": across_from,
    "opposite to": opposite_to,
}
