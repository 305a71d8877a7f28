"""Ways of laying one long thing along another, and of setting two things on opposite sides of a third.

Distances are in metres.
"""

import math

from datagen.families import Place, Placements, Rng, at, diagonal, scaled, turned
from spatial.geometry import Point, half_extent
from spatial.observation import pose_of
from spatial.scene import ObjectSpec

SEPARATORS = ("dining table", "bench", "couch", "bed")
"""What two things stand on opposite sides of."""


def lengthwise(shortest: float, longest: float) -> Place:
    """Build "by the length of the other, as long as these shares of it; then turned so that its end points there"."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
        b = scaled(b, rng.uniform(0.75, 0.95) / _length(b))
        length = rng.uniform(shortest, longest) * _length(b)
        a = scaled(a, min(length / _length(a), 1.2 * b.size[2] / a.size[2], 1.3 * _width(b) / _width(a)))
        bearing = rng.uniform(-30, 30) + (0 if rng.random() < 0.6 else 90)
        b = _laid(rng, at(b, rng.uniform(-0.2, 0.2), rng.uniform(0.0, 0.3)), bearing)
        # The lower of the two stands nearer to the viewer, where it hides less.
        normal = _direction(bearing + (-90 if bearing < 60 or rng.random() < 0.5 else 90))
        gap, shift = rng.uniform(0.03, 0.09) * diagonal(a, b), rng.uniform(-0.4, 0.4) * abs(_length(b) - _length(a))
        along = _laid(rng, a, bearing + rng.uniform(-7, 7))
        first, second = (_next_to(spec, b, normal, gap, shift) for spec in (along, turned(along, along.yaw + 90)))
        return (first, b), (second, b)

    return place


def _length(spec: ObjectSpec) -> float:
    return max(spec.size[:2])


def _width(spec: ObjectSpec) -> float:
    return min(spec.size[:2])


def _direction(bearing: float) -> Point:
    return math.cos(math.radians(bearing)), math.sin(math.radians(bearing))


def _laid(rng: Rng, spec: ObjectSpec, bearing: float) -> ObjectSpec:
    """Turn an object so that its long axis lies along a floor bearing in degrees, either end first."""
    longer = int(spec.size[1] > spec.size[0])
    return turned(spec, bearing + 90 * longer + 180 * int(rng.integers(2)))


def _next_to(a: ObjectSpec, b: ObjectSpec, normal: Point, gap: float, shift: float) -> ObjectSpec:
    """Put ``a`` beyond the face of ``b`` that looks along ``normal``, ``gap`` away and ``shift`` aside."""
    distance = half_extent(pose_of(a), normal) + half_extent(pose_of(b), normal) + gap
    x, y, _ = b.position
    return at(a, x + normal[0] * distance - normal[1] * shift, y + normal[1] * distance + normal[0] * shift)


def across_separator(rng: Rng, a: ObjectSpec, b: ObjectSpec, middle: ObjectSpec) -> Placements:
    """On opposite sides of a table, bench, couch or bed; then the first comes round to the side of the other."""
    a, b = (scaled(spec, rng.uniform(0.4, 0.5) / math.hypot(*spec.size)) for spec in (a, b))
    # A separator is low enough to look over.
    middle = scaled(middle, min(rng.uniform(0.7, 0.9) / max(middle.size[:2]), 0.4 / middle.size[2]))
    bearing = rng.uniform(-25, 25) + (0 if rng.random() < 0.6 else 90) + 180 * int(rng.integers(2))
    direction = _direction(bearing)
    middle = _laid(rng, at(middle, 0.0, 0.15), bearing + 90)
    shift, gap = rng.uniform(-0.06, 0.06), rng.uniform(0.03, 0.1)
    b = _next_to(b, middle, direction, gap, shift)
    opposite = _next_to(a, middle, (-direction[0], -direction[1]), gap, -shift)
    a, b = (turned(spec, yaw + rng.uniform(-8, 8)) for spec, yaw in ((opposite, bearing + 90), (b, bearing - 90)))
    side = (-direction[1], direction[0]) if rng.random() < 0.5 else (direction[1], -direction[0])
    beside = turned(a, b.yaw + rng.uniform(-8, 8))
    return (a, b, middle), (_next_to(beside, b, side, 0.09 * diagonal(a, b), 0.0), b, middle)
