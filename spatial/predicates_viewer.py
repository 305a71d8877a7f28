"""Predicates of the viewer's frame: left of, right of, in front of, behind, beyond.

The frame is the sight line through the middle of the two objects, so that swapping them flips every answer
and mirroring the scene flips left and right exactly. A direction holds when the centres differ by most of the
objects' reach and the displacement lies within a cone about that direction; it fails on the other side, and
where the displacement is clearly along the other direction. Objects that stand over one another have neither.
"""

import math
from dataclasses import dataclass

from spatial import geometry
from spatial.geometry import Point
from spatial.pair import Pair, below

MARGIN = 0.8
"""Centres must differ by this fraction of the summed half extents."""

SIDE_CONE = 1.0
"""Left and right: within 45 degrees of the lateral direction (tangent)."""

DEPTH_CONE = math.tan(math.radians(35))
"""In front and behind: within 35 degrees of the sight line (tangent)."""

CROSS = math.tan(math.radians(20))
"""Within 20 degrees of the other direction, a displacement is clearly not along this one (tangent)."""


@dataclass(frozen=True)
class Shift:
    """A displacement along a direction and across it, each with the summed half extents of the two objects."""

    along: float
    along_reach: float
    across: float
    across_reach: float
    rise: float = 0.0


def directed(shift: Shift, cone: float) -> bool | None:
    """Return whether a shift points along its direction, within ``cone`` (a tangent)."""
    if shift.along < -MARGIN * shift.along_reach:
        return False
    if abs(shift.across) > MARGIN * shift.across_reach and abs(shift.along) < CROSS * abs(shift.across):
        return False
    far_enough = shift.along > MARGIN * shift.along_reach
    within = abs(shift.across) <= cone * shift.along and shift.rise <= shift.along
    return True if far_enough and within else None


def posed_shift(pair: Pair, along: Point, across: Point) -> Shift:
    """Return the displacement from B to A on the floor in two orthogonal unit directions; poses must be known."""
    assert pair.poses is not None
    a, b = pair.poses.a, pair.poses.b
    away = geometry.offset(a, b)
    return Shift(
        geometry.dot(away, along),
        geometry.half_extent(a, along) + geometry.half_extent(b, along),
        geometry.dot(away, across),
        geometry.half_extent(a, across) + geometry.half_extent(b, across),
        geometry.height_gap(a, b),
    )


def left_of(pair: Pair) -> bool | None:
    """A is to the viewer's left of B."""
    return right_of(pair.swapped)


def right_of(pair: Pair) -> bool | None:
    """A is to the viewer's right of B; by boxes alone where poses are missing."""
    if pair.stacked:
        return None
    if pair.poses:
        x, y = geometry.sight_line(pair.poses.a, pair.poses.b, pair.observation.camera)
        return directed(posed_shift(pair, (y, -x), (x, y)), SIDE_CONE)
    return directed(_box_shift(pair), SIDE_CONE)


def behind(pair: Pair) -> bool | None:
    """A is farther along the sight line than B; by boxes and depth where poses are missing."""
    if pair.stacked:
        return None
    if pair.poses:
        x, y = geometry.sight_line(pair.poses.a, pair.poses.b, pair.observation.camera)
        return directed(posed_shift(pair, (x, y), (y, -x)), DEPTH_CONE)
    return _behind_in_picture(pair)


def in_front_of(pair: Pair) -> bool | None:
    """A is nearer along the sight line than B."""
    return behind(pair.swapped)


def at_the_right_side_of(pair: Pair) -> bool | None:
    """A is right of B with a gap under 0.5 s; false beyond 1 s."""
    return _and(right_of(pair), below(pair.gap, 0.5 * pair.s, pair.s))


def at_the_left_side_of(pair: Pair) -> bool | None:
    """A is left of B with a gap under 0.5 s; false beyond 1 s."""
    return _and(left_of(pair), below(pair.gap, 0.5 * pair.s, pair.s))


def _and(*values: bool | None) -> bool | None:
    if any(value is False for value in values):
        return False
    return True if all(values) else None


def _box_shift(pair: Pair) -> Shift:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = pair.a.box, pair.b.box
    width, height = (ax1 - ax0 + bx1 - bx0) / 2, (ay1 - ay0 + by1 - by0) / 2
    return Shift((ax0 + ax1 - bx0 - bx1) / 2, width, (ay0 + ay1 - by0 - by1) / 2, height)


def _behind_in_picture(pair: Pair) -> bool | None:
    # Depth may have any monotone unit, so depths are compared with depths and columns with columns only.
    if pair.a.depth is None or pair.b.depth is None:
        return None
    farther = pair.a.depth[1] - pair.b.depth[1]
    reach = (pair.a.depth[2] - pair.a.depth[0] + pair.b.depth[2] - pair.b.depth[0]) / 2
    shift = _box_shift(pair)
    if farther < -MARGIN * reach:
        return False
    if abs(shift.along) > 1.2 * shift.along_reach and abs(farther) < 0.25 * reach:
        return False
    aligned = abs(shift.along) < 0.7 * shift.along_reach
    return True if aligned and farther > MARGIN * reach else None


VIEWER = {
    "left of": left_of,
    "right of": right_of,
    "at the left side of": at_the_left_side_of,
    "at the right side of": at_the_right_side_of,
    "in front of": in_front_of,
    "behind": behind,
    "beyond": behind,
}
