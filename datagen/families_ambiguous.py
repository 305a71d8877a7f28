"""Ways of showing what a still picture does not settle, by the conventions of ``spatial.predicates_ambiguous``.

Distances are in metres.
"""

import math

from datagen.families import Placements, Rng, at, diagonal, scaled, turned, yaw_towards
from datagen.families import stack as on_and_off
from datagen.families_mechanism import LEFT, RIGHT, beside, room_for
from spatial.geometry import half_extent
from spatial.observation import pose_of
from spatial.scene import ObjectSpec


def passing(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """With the other just behind its back; then with the other still before it, on the same course."""
    side, slant = (LEFT if rng.random() < 0.5 else RIGHT), math.radians(rng.uniform(-35, 35))
    forward = (side * math.cos(slant), math.sin(slant))
    aside = (-forward[1], forward[0]) if rng.random() < 0.5 else (forward[1], -forward[0])
    b = at(b, rng.uniform(-0.15, 0.15), rng.uniform(0.05, 0.3))
    a = turned(a, math.degrees(math.atan2(forward[0], -forward[1])))
    track = half_extent(pose_of(a), aside) + half_extent(pose_of(b), aside) + rng.uniform(0.04, 0.1)
    way = max(2.3 * track, half_extent(pose_of(a), forward) + half_extent(pose_of(b), forward) + 0.35 * diagonal(a, b))
    x, y, _ = b.position
    middle = (x + aside[0] * track, y + aside[1] * track)
    gone, coming = (at(a, middle[0] + forward[0] * sign * way, middle[1] + forward[1] * sign * way) for sign in (1, -1))
    return (gone, b), (coming, b)


def sinking(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Half below the rim of the other; then on the floor beside it."""
    sign = LEFT if rng.random() < 0.5 else RIGHT
    a, b = room_for(rng, a, b, sign, 0.6)
    share = rng.uniform(0.3, 0.65)
    rim = b.position[2] + b.cavity[5]
    return (at(a, *a.position[:2], rim - share * a.size[2]), b), (beside(rng, a, b, -sign), b)


def spanning(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Across the top of the other, both ends over its borders; then on the floor beside it."""
    b = scaled(b, min(rng.uniform(0.6, 0.8) / max(b.size[:2]), 0.45 / b.size[2]))
    b = turned(at(b, rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.3)), rng.uniform(-30, 30))
    # Across the narrow side, where one is clearly narrower.
    axis = int(b.size[1] < b.size[0])
    if max(b.size[:2]) < 1.3 * min(b.size[:2]):
        axis = int(rng.integers(2))
    a = scaled(a, rng.uniform(1.2, 1.5) * b.size[axis] / max(a.size[:2]))
    bearing = b.yaw + 90 * axis + rng.uniform(-8, 8)
    a = turned(a, bearing + 90 * int(a.size[1] > a.size[0]) + 180 * int(rng.integers(2)))
    shift = rng.uniform(-0.2, 0.2) * b.size[1 - axis]
    cos, sin = math.cos(math.radians(b.yaw)), math.sin(math.radians(b.yaw))
    dx, dy = (-sin * shift, cos * shift) if axis == 0 else (cos * shift, sin * shift)
    over = at(a, b.position[0] + dx, b.position[1] + dy, b.top)
    return (over, b), (
        beside(rng, turned(a, a.yaw + rng.uniform(-30, 30)), b, LEFT if rng.random() < 0.5 else RIGHT),
        b,
    )


def coming_down(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """On the floor beside the other; then on it."""
    resting, beside_it = on_and_off(rng, a, b)
    return beside_it, resting


def attending(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Close before the other and turned to it; then gone some way off, with its back to it."""
    sign = 1 if rng.random() < 0.5 else -1
    bearing = math.radians(rng.uniform(-35, 35))
    direction, unit = (sign * math.cos(bearing), math.sin(bearing)), diagonal(a, b)
    b = at(b, -sign * rng.uniform(0.3, 0.5), rng.uniform(0.0, 0.3))
    a = at(a, b.position[0] + direction[0], b.position[1] + direction[1])
    a = turned(a, yaw_towards(a, b) + rng.uniform(-12, 12))

    def off(spec: ObjectSpec, gap: float) -> ObjectSpec:
        distance = half_extent(pose_of(spec), direction) + half_extent(pose_of(b), direction) + gap * unit
        return at(spec, b.position[0] + direction[0] * distance, b.position[1] + direction[1] * distance)

    gone = turned(a, a.yaw + 180)
    return (off(a, rng.uniform(0.05, 0.25)), b), (off(gone, rng.uniform(1.3, 1.7)), b)
