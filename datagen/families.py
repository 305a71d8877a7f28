"""Ways of placing two objects, and of changing exactly one thing about the placement.

A family returns two placements of the same two objects. In the first a relation holds by construction and its
counterpart does not; in the second it is the other way round. Predicates decide afterwards whether that is so:
a family only has to succeed often, never to be trusted.

Distances are in metres; ``reach`` is half the sum of two objects' largest horizontal extents.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from spatial.scene import ObjectSpec

Pair = tuple[ObjectSpec, ObjectSpec]
Placements = tuple[Pair, Pair]
Rng = np.random.Generator


@dataclass(frozen=True)
class Family:
    """A placing function and what it asks of the two assets.

    Attributes:
        place: draws the two placements.
        change: name of the counterfactual, stored with every record of the second scene.
        needs: requirements among "a front", "b front", "a long", "b long", "b top",
            "a fits" (on b), "a small", "b small", "a under b".
        lean: whether headings should stay near the viewer, so that viewer and intrinsic frames agree.
    """

    place: Callable[[Rng, ObjectSpec, ObjectSpec], Placements]
    change: str
    needs: tuple[str, ...] = ()
    lean: bool = False


def reach(a: ObjectSpec, b: ObjectSpec) -> float:
    """Half the sum of the largest horizontal extents: centres this far apart do not overlap."""
    return (max(a.size[:2]) + max(b.size[:2])) / 2


def diagonal(a: ObjectSpec, b: ObjectSpec) -> float:
    """Mean three-dimensional diagonal, the unit ``s`` of the graded relations."""
    return (math.hypot(*a.size) + math.hypot(*b.size)) / 2


def at(spec: ObjectSpec, x: float, y: float, z: float = 0.0) -> ObjectSpec:
    """Move an object."""
    return replace(spec, position=(round(x, 4), round(y, 4), round(z, 4)))


def turned(spec: ObjectSpec, yaw: float) -> ObjectSpec:
    """Turn an object to a heading in degrees."""
    return replace(spec, yaw=round(yaw % 360, 2))


def yaw_towards(origin: ObjectSpec, target: ObjectSpec) -> float:
    """Heading in degrees that looks from one object's centre to another's."""
    dx, dy = target.position[0] - origin.position[0], target.position[1] - origin.position[1]
    return math.degrees(math.atan2(dx, -dy))


def swap_places(a: ObjectSpec, b: ObjectSpec) -> Pair:
    """Exchange the floor positions of two objects, each keeping its own height and heading."""
    return at(a, b.position[0], b.position[1], a.position[2]), at(b, a.position[0], a.position[1], b.position[2])


def lateral(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Side by side across the view; then the two exchange places."""
    spread = reach(a, b) + rng.uniform(0.05, 0.55)
    middle, y, slant = rng.uniform(-0.25, 0.25), rng.uniform(-0.4, 0.5), rng.uniform(-0.2, 0.2)
    first = at(a, middle - spread / 2, y - slant), at(b, middle + spread / 2, y + slant)
    return first, swap_places(*first)


def lateral_close(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Side by side with a small gap; then the two exchange places."""
    spread = (a.size[0] + b.size[0]) / 2 + rng.uniform(0.05, 0.25)
    a, b = turned(a, rng.uniform(-12, 12)), turned(b, rng.uniform(-12, 12))
    middle, y = rng.uniform(-0.35, 0.35), rng.uniform(-0.4, 0.5)
    first = at(a, middle - spread / 2, y), at(b, middle + spread / 2, y + rng.uniform(-0.08, 0.08))
    return first, swap_places(*first)


def depth(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """One nearer to the viewer than the other; then the two exchange places."""
    spread = reach(a, b) + rng.uniform(0.2, 0.6)
    x, y, slant = rng.uniform(-0.6, 0.6), rng.uniform(-0.1, 0.25), rng.uniform(-0.35, 0.35)
    first = at(a, x - slant / 2, y - spread / 2), at(b, x + slant / 2, y + spread / 2)
    return first, swap_places(*first)


def hover(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """One floats higher than the top of the other, not straight over it; then the two exchange places."""
    spread = rng.uniform(0.0, 1.0) * reach(a, b) * (1 if rng.random() < 0.5 else -1)
    middle, y, clear = rng.uniform(-0.3, 0.3), rng.uniform(-0.1, 0.3), rng.uniform(0.12, 0.4)
    first = at(a, middle - spread / 2, y, b.size[2] + clear), at(b, middle + spread / 2, y)
    second = at(a, middle - spread / 2, y), at(b, middle + spread / 2, y, a.size[2] + clear)
    return first, second


def hover_over(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """One floats straight over the other; then the two exchange places."""
    x, y, clear = rng.uniform(-0.6, 0.6), rng.uniform(-0.1, 0.3), rng.uniform(0.12, 0.35)
    dx = rng.uniform(-0.05, 0.05)
    first = at(a, x + dx, y, b.size[2] + clear), at(b, x, y)
    second = at(a, x + dx, y), at(b, x, y, a.size[2] + clear)
    return first, second


def _resting(rng: Rng, a: ObjectSpec, b: ObjectSpec, share: float) -> ObjectSpec:
    """Put ``a`` on the support surface of ``b``, its centre within ``share`` of the half extents."""
    yaw = math.radians(b.yaw)
    u, v = rng.uniform(-share, share) * b.size[0] / 2, rng.uniform(-share, share) * b.size[1] / 2
    x = b.position[0] + u * math.cos(yaw) - v * math.sin(yaw)
    y = b.position[1] + u * math.sin(yaw) + v * math.cos(yaw)
    return at(a, x, y, b.position[2] + b.top)


def _beside(rng: Rng, a: ObjectSpec, b: ObjectSpec, gap: float) -> ObjectSpec:
    """Put ``a`` on the floor beside ``b``, left, right or in front, ``gap`` metres clear of its reach."""
    bearing = rng.choice([0.0, 180.0, 270.0]) + rng.uniform(-25, 25)
    distance = reach(a, b) + gap
    dx, dy = math.cos(math.radians(bearing)) * distance, math.sin(math.radians(bearing)) * distance
    return at(a, b.position[0] + dx, b.position[1] + dy)


def stack(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """On the support surface of the other; then on the floor beside it."""
    b = at(b, rng.uniform(-0.6, 0.6), rng.uniform(-0.1, 0.4))
    return (_resting(rng, a, b, 0.35), b), (_beside(rng, a, b, rng.uniform(0.15, 0.35)), b)


def under_table(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """On the surface of a table or bench; then on the floor beneath it."""
    b = at(b, rng.uniform(-0.5, 0.5), rng.uniform(0.0, 0.4))
    top = _resting(rng, a, b, 0.3)
    return (top, b), (at(a, top.position[0], top.position[1]), b)


def edge(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """At the border of a support surface; then at its middle."""
    b = at(b, rng.uniform(-0.5, 0.5), rng.uniform(0.0, 0.4))
    yaw, sign = math.radians(b.yaw), 1 if rng.random() < 0.5 else -1
    u = sign * b.size[0] / 2 * rng.uniform(0.86, 0.98)
    rim = at(a, b.position[0] + u * math.cos(yaw), b.position[1] + u * math.sin(yaw), b.top)
    return (rim, b), (_resting(rng, a, b, 0.06), b)


def contact(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Side faces in contact; then pulled a little apart along the same line."""
    heading = 0.0 if rng.random() < 0.5 else 180.0
    a, b = turned(a, heading), turned(b, heading)
    sign, distance = (1 if rng.random() < 0.5 else -1), (a.size[0] + b.size[0]) / 2
    b = at(b, -sign * rng.uniform(-0.3, 0.9), rng.uniform(-0.2, 0.4))
    apart = distance + diagonal(a, b) * rng.uniform(0.35, 0.7)
    shift = rng.uniform(-0.05, 0.05)
    touching = at(a, b.position[0] + sign * (distance + 0.004), b.position[1] + shift)
    return (touching, b), (at(a, b.position[0] + sign * apart, b.position[1] + shift), b)


def near_far(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """A short way apart; then at the other end of the stage."""
    sign = 1 if rng.random() < 0.5 else -1
    b = at(b, sign * rng.uniform(0.8, 1.1), rng.uniform(-0.3, 0.7))
    unit = diagonal(a, b)
    bearing = math.radians(90 + sign * rng.uniform(50, 130))
    close, distant = reach(a, b) + unit * rng.uniform(0.05, 0.22), reach(a, b) + unit * rng.uniform(2.7, 3.9)

    def along(distance: float) -> ObjectSpec:
        return at(a, b.position[0] + math.cos(bearing) * distance, b.position[1] + math.sin(bearing) * distance)

    return (along(close), b), (along(distant), b)


def beside_away(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Side by side; then clearly apart on the same line."""
    sign = 1 if rng.random() < 0.5 else -1
    b = at(b, sign * rng.uniform(0.5, 0.9), rng.uniform(-0.2, 0.5))
    # A looks slightly to the far side: what faces another thing is hardly away from it.
    a, b = turned(a, -sign * rng.uniform(3, 25)), turned(b, rng.uniform(-8, 8))
    unit, touch = diagonal(a, b), (a.size[0] + b.size[0]) / 2
    y = b.position[1] + rng.uniform(-0.04, 0.04)
    close, distant = touch + unit * rng.uniform(0.03, 0.12), touch + unit * rng.uniform(1.35, 2.2)
    return (at(a, b.position[0] - sign * close, y), b), (at(a, b.position[0] - sign * distant, y), b)


def heading(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Front towards the other object; then turned round."""
    distance = reach(a, b) + diagonal(a, b) * rng.uniform(0.4, 1.0)
    bearing = math.radians(rng.uniform(0, 360))
    dx, dy = math.cos(bearing) * distance / 2, math.sin(bearing) * distance / 2
    y = rng.uniform(0.0, 0.3)
    a, b = at(a, -dx, y - dy), at(b, dx, y + dy)
    yaw = yaw_towards(a, b) + rng.uniform(-15, 15)
    return (turned(a, yaw), b), (turned(a, yaw + 180), b)


def heading_distant(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Front towards a distant object; then turned round, at the same distance."""
    sign = 1 if rng.random() < 0.5 else -1
    distance = reach(a, b) + diagonal(a, b) * rng.uniform(1.25, 1.8)
    bearing = math.radians(rng.uniform(-40, 40))
    dx, dy = sign * math.cos(bearing) * distance / 2, math.sin(bearing) * distance / 2
    y = rng.uniform(0.0, 0.3)
    a, b = at(a, -dx, y - dy), at(b, dx, y + dy)
    yaw = yaw_towards(a, b) + rng.uniform(-15, 15)
    return (turned(a, yaw), b), (turned(a, yaw + 180), b)


def quarter_turn(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Long axes in one direction; then one of the two a quarter turn round."""
    first, _ = lateral(rng, a, b) if rng.random() < 0.6 else depth(rng, a, b)
    a, b = first
    aligned = b.yaw + 90.0 * (b.long_axis - a.long_axis) + rng.uniform(-6, 6)
    aligned += 180.0 * (rng.random() < 0.5)
    return (turned(a, aligned), b), (turned(a, aligned + 90), b)


def ahead_behind(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Past the other's rear with the same heading; then past its front."""
    yaw = rng.uniform(0, 360)
    b = turned(at(b, rng.uniform(-0.2, 0.2), rng.uniform(0.0, 0.3)), yaw)
    a = turned(a, yaw + rng.uniform(-15, 15))
    distance = (a.size[1] + b.size[1]) / 2 + diagonal(a, b) * rng.uniform(0.1, 0.3)
    dx, dy = math.sin(math.radians(yaw)) * distance, -math.cos(math.radians(yaw)) * distance
    x, y, _ = b.position
    return (at(a, x - dx, y - dy), b), (at(a, x + dx, y + dy), b)


def side_back(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """At the other's own side; then past its rear."""
    yaw, sign = rng.uniform(0, 360), 1 if rng.random() < 0.5 else -1
    b = turned(at(b, rng.uniform(-0.2, 0.2), rng.uniform(0.0, 0.3)), yaw)
    a = turned(a, yaw + rng.uniform(-10, 10))
    gap = diagonal(a, b) * rng.uniform(0.05, 0.25)
    beside, behind = sign * ((a.size[0] + b.size[0]) / 2 + gap), (a.size[1] + b.size[1]) / 2 + gap
    cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    x, y, _ = b.position
    return (at(a, x + beside * cos, y + beside * sin), b), (at(a, x - behind * sin, y + behind * cos), b)
