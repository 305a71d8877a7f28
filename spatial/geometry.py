"""Measures between two posed objects: gaps, overlaps, support and angles.

An object is a box standing upright with a yaw, so a box is a floor rectangle (its footprint) times a height
interval, and the distance of two boxes is exact: the footprints' distance and the heights' distance at right
angles. A box may be hollow: a table is empty below its top, a couch empty above its seat. What is surely
solid is the slab between ``under`` and ``top``; distances are therefore intervals, from box to slab.
All lengths are metres, all angles degrees.
"""

import math
from dataclasses import dataclass

from spatial.observation import Pose
from spatial.scene import Camera

Point = tuple[float, float]

CONTACT = 0.02
"""Two surfaces closer than this, in metres, touch (less for small and thin objects, see ``contact_tolerance``)."""

CLEAR = 0.05
"""Surfaces at least this far apart, in metres, are visibly apart."""

ELONGATED = 1.6
"""A thing has a direction if it is this many times as long as wide; a book at an angle to a table has none."""

OVERLAP_MOST, OVERLAP_NONE = 0.5, 0.05
"""Column fractions above and below which one object counts as over the other, or clear of it."""


@dataclass(frozen=True)
class Interval:
    """Bounds of a length that is not known exactly."""

    low: float
    high: float


def diagonal(pose: Pose) -> float:
    """Return the length of the box's space diagonal."""
    return math.hypot(*pose.size)


def contact_tolerance(first: Pose, second: Pose) -> float:
    """Return how close two surfaces must be to touch: 2 cm, less where the objects themselves are small or flat."""
    size = (diagonal(first) + diagonal(second)) / 2
    thickness = min(high - low for low, high in (_slab(first), _slab(second)))
    return min(CONTACT, 0.2 * size, 0.25 * thickness)


def offset(first: Pose, second: Pose) -> Point:
    """Return the floor vector from the second object's centre to the first's."""
    return (first.position[0] - second.position[0], first.position[1] - second.position[1])


def dot(first: Point, second: Point) -> float:
    """Return the inner product of two floor vectors."""
    return first[0] * second[0] + first[1] * second[1]


def angle(first: Point, second: Point) -> float:
    """Return the angle between two floor vectors, 0 to 180."""
    cross = first[0] * second[1] - first[1] * second[0]
    return math.degrees(math.atan2(abs(cross), dot(first, second)))


def long_direction(pose: Pose) -> Point | None:
    """Return the floor direction of the long axis, or ``None`` where the object is not clearly elongated."""
    if pose.long_axis < 0 or pose.size[pose.long_axis] < ELONGATED * pose.size[1 - pose.long_axis]:
        return None
    return (pose.side, pose.heading)[pose.long_axis]


def axis_angle(first: Pose, second: Pose) -> float | None:
    """Return the angle between the long axes, 0 to 90, or ``None`` unless both are elongated."""
    one, other = long_direction(first), long_direction(second)
    if one is None or other is None:
        return None
    between = angle(one, other)
    return min(between, 180 - between)


def half_extent(pose: Pose, direction: Point) -> float:
    """Return how far the footprint reaches from its centre along a unit floor vector."""
    return abs(dot(pose.side, direction)) * pose.size[0] / 2 + abs(dot(pose.heading, direction)) * pose.size[1] / 2


def sight_line(first: Pose, second: Pose, camera: Camera | None) -> Point:
    """Return the unit floor vector from the viewer to the middle of two objects; straight ahead without a camera.

    Taking the middle makes every viewer relation exactly antisymmetric in its two objects.
    """
    if camera is None:
        return (0.0, 1.0)
    origin = camera.origin
    x = (first.position[0] + second.position[0]) / 2 - origin[0]
    y = (first.position[1] + second.position[1]) / 2 - origin[1]
    length = math.hypot(x, y)
    return (x / length, y / length) if length > 1e-9 else (0.0, 1.0)


def column(first: Pose, second: Pose) -> float:
    """Return the overlap of the footprints as a fraction of the smaller one, 0 to 1."""
    smaller = min(first.size[0] * first.size[1], second.size[0] * second.size[1])
    return min(1.0, _overlap_area(_corners(first), _corners(second)) / max(smaller, 1e-12))


def containment(inner: Pose, outer: Pose) -> float:
    """Return the fraction of the inner box's volume that lies in the outer box, 0 to 1."""
    area = _overlap_area(_corners(inner), _corners(outer))
    height = max(0.0, min(inner.ceiling, outer.ceiling) - max(inner.bottom, outer.bottom))
    return min(1.0, area * height / max(math.prod(inner.size), 1e-12))


def surface_gap(first: Pose, second: Pose) -> Interval:
    """Return the distance between two objects: at least that of their boxes, at most that of their solid slabs."""
    flat = _polygon_distance(_corners(first), _corners(second))
    boxes = _apart((first.bottom, first.ceiling), (second.bottom, second.ceiling))
    slabs = _apart(_slab(first), _slab(second))
    return Interval(math.hypot(flat, boxes), math.hypot(flat, slabs))


def footprint_gap(first: Pose, second: Pose) -> float:
    """Return the floor distance between two footprints."""
    return _polygon_distance(_corners(first), _corners(second))


def height_gap(first: Pose, second: Pose) -> float:
    """Return the vertical distance between two boxes, 0 where their heights overlap."""
    return _apart((first.bottom, first.ceiling), (second.bottom, second.ceiling))


def level(first: Pose, second: Pose) -> float:
    """Return the overlap of the height intervals as a fraction of the lower object's height, 0 to 1."""
    shared = min(first.ceiling, second.ceiling) - max(first.bottom, second.bottom)
    return max(0.0, min(1.0, shared / max(min(first.size[2], second.size[2]), 1e-12)))


def underside(upper: Pose, lower: Pose) -> float | None:
    """Return the height of what hangs over ``lower``: the body of a table for a cat below it, else the bottom.

    ``None`` where ``lower`` is only partly below a hollow object.
    """
    return _by_column(upper, lower, upper.bottom + upper.under, upper.bottom)


def roof(lower: Pose, upper: Pose) -> float | None:
    """Return the height of what ``upper`` would rest on: the seat of a couch for a cat over it, else the ceiling.

    ``None`` where ``upper`` is only partly over such an object.
    """
    surface = lower.bottom + lower.top if lower.top >= 0 else lower.ceiling
    return _by_column(upper, lower, surface, lower.ceiling)


def support(upper: Pose, lower: Pose) -> bool | None:
    """Return whether ``upper`` rests on the declared surface of ``lower``; ``None`` in the dead zone.

    Resting means: bottom at the surface within the contact tolerance, most of the smaller footprint shared,
    and the centre of ``upper`` over ``lower``.
    """
    shared = column(upper, lower)
    if shared < OVERLAP_NONE:
        return False
    if lower.top < 0:
        return False if surface_gap(upper, lower).low > 0.05 else None
    error = abs(upper.bottom - (lower.bottom + lower.top))
    if error > 0.05:
        return False
    rests = error <= contact_tolerance(upper, lower) and shared > OVERLAP_MOST and eccentricity(upper, lower) <= 0.5
    return True if rests else None


def eccentricity(inner: Pose, outer: Pose) -> float:
    """Return how far off the middle of ``outer`` the centre of ``inner`` is on the worse axis: 0 middle, 0.5 border."""
    away = offset(inner, outer)
    return max(abs(dot(away, outer.side)) / outer.size[0], abs(dot(away, outer.heading)) / outer.size[1])


def _by_column(upper: Pose, lower: Pose, within: float, beyond: float) -> float | None:
    if within == beyond:
        return beyond
    shared = column(upper, lower)
    if shared > OVERLAP_MOST:
        return within
    return beyond if shared < OVERLAP_NONE else None


def _slab(pose: Pose) -> Point:
    top = pose.bottom + pose.top if pose.top >= 0 else pose.ceiling
    return (min(pose.bottom + pose.under, top), top)


def _apart(first: Point, second: Point) -> float:
    return max(0.0, first[0] - second[1], second[0] - first[1])


def _corners(pose: Pose) -> list[Point]:
    return [(x, y) for x, y in pose.footprint().tolist()]


def _edges(polygon: list[Point]) -> list[tuple[Point, Point]]:
    return list(zip(polygon, polygon[1:] + polygon[:1], strict=True))


def _overlap_area(first: list[Point], second: list[Point]) -> float:
    """Area shared by two convex counter-clockwise polygons (Sutherland-Hodgman clipping)."""
    kept = first
    for (ax, ay), (bx, by) in _edges(second):
        clipped: list[Point] = []
        for here, there in _edges(kept):
            near = (bx - ax) * (here[1] - ay) - (by - ay) * (here[0] - ax)
            far = (bx - ax) * (there[1] - ay) - (by - ay) * (there[0] - ax)
            if near >= 0:
                clipped.append(here)
            if (near >= 0) != (far >= 0):
                t = near / (near - far)
                clipped.append((here[0] + t * (there[0] - here[0]), here[1] + t * (there[1] - here[1])))
        kept = clipped
        if not kept:
            return 0.0
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in _edges(kept))) / 2


def _polygon_distance(first: list[Point], second: list[Point]) -> float:
    if _overlap_area(first, second) > 0 or _overlap_area(second, first) > 0:
        return 0.0
    pairs = ((first, second), (second, first))
    return min(_to_segment(point, edge) for points, polygon in pairs for point in points for edge in _edges(polygon))


def _to_segment(point: Point, edge: tuple[Point, Point]) -> float:
    (ax, ay), (bx, by) = edge
    length = (bx - ax) ** 2 + (by - ay) ** 2
    t = 0.0 if length == 0 else max(0.0, min(1.0, ((point[0] - ax) * (bx - ax) + (point[1] - ay) * (by - ay)) / length))
    return math.hypot(point[0] - ax - t * (bx - ax), point[1] - ay - t * (by - ay))
