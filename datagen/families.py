"""Ways of placing two objects, and of changing exactly one thing about the placement.

A family returns two placements of the same objects: the two that are named, then any that go with them (further
copies of one, a rope). In the first a relation holds by construction and its
counterpart does not; in the second it is the other way round. Predicates decide afterwards whether that is so:
a family only has to succeed often, never to be trusted.

Distances are in metres; ``reach`` is half the sum of two objects' largest horizontal extents.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from datagen.assets import COLOURS
from datagen.surface import gap_along_x
from spatial.geometry import half_extent
from spatial.observation import pose_of
from spatial.scene import ObjectSpec

Pair = tuple[ObjectSpec, ObjectSpec]
Placement = tuple[ObjectSpec, ...]
Placements = tuple[Placement, Placement]
Rng = np.random.Generator
Place = Callable[[Rng, ObjectSpec, ObjectSpec], Placements | None]
"""Draws the two placements of a pair, or none where the two cannot be placed so."""


@dataclass(frozen=True)
class Family:
    """A placing function and what it asks of the two assets.

    Attributes:
        place: draws the two placements of the two named objects, and of a third that is named or brought.
        change: name of the counterfactual, stored with every record of the second scene.
        needs: requirements on a and b, by the names of ``datagen.needs``.
        lean: whether headings should stay near the viewer, so that viewer and intrinsic frames agree.
        meets: which of the two placements (0, 1) let boxes share space by design.
        close: whether to look from as near as the objects allow; what matters is smaller than a whole object.
        overhead: whether to look down steeply, into things and over the nearest of several.
        shown: share of a named object that must be visible.
        brings: nouns of which one is the third object, though no sentence is about it.
    """

    place: Callable[..., Placements | None]
    change: str
    needs: tuple[str, ...] = ()
    lean: bool = False
    meets: tuple[int, ...] = ()
    close: bool = False
    overhead: bool = False
    shown: float = 0.35
    brings: tuple[str, ...] = ()


MOST_SLACK = 0.15
"""Boxes of things that touch may overlap by this share of the narrower one, where a ball meets a cone."""


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


def scaled(spec: ObjectSpec, factor: float) -> ObjectSpec:
    """Scale an object, with the heights of its support surface and of the clear space below it."""
    width, depth, height = (round(extent * factor, 4) for extent in spec.size)
    top = round(spec.top * factor, 4) if spec.top >= 0 else -1.0
    return replace(spec, size=(width, depth, height), top=top, under=round(spec.under * factor, 4))


def yaw_towards(origin: ObjectSpec, target: ObjectSpec) -> float:
    """Heading in degrees that looks from one object's centre to another's."""
    dx, dy = target.position[0] - origin.position[0], target.position[1] - origin.position[1]
    return math.degrees(math.atan2(dx, -dy))


def other_colour(rng: Rng, *specs: ObjectSpec) -> str:
    """Draw a colour word that none of the objects has."""
    return str(rng.choice(sorted(set(COLOURS) - {spec.colour for spec in specs})))


def swap_places(a: ObjectSpec, b: ObjectSpec) -> Pair:
    """Exchange the floor positions of two objects, each keeping its own height and heading."""
    return at(a, b.position[0], b.position[1], a.position[2]), at(b, a.position[0], a.position[1], b.position[2])


def _square(spec: ObjectSpec) -> float:
    """The nearer of 0 and 180 degrees to an object's yaw: turned to the viewer, or from him."""
    return 180.0 if 90 < spec.yaw % 360 < 270 else 0.0


def lateral(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Side by side across the view; then the two exchange places."""
    spread = reach(a, b) + rng.uniform(0.05, 0.55)
    middle, y, slant = rng.uniform(-0.25, 0.25), rng.uniform(-0.4, 0.5), rng.uniform(-0.2, 0.2)
    first = at(a, middle - spread / 2, y - slant), at(b, middle + spread / 2, y + slant)
    return first, swap_places(*first)


def lateral_close(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Side by side with a small gap; then the two exchange places."""
    spread = (a.size[0] + b.size[0]) / 2 + rng.uniform(0.05, 0.25)
    a, b = (turned(spec, _square(spec) + rng.uniform(-12, 12)) for spec in (a, b))
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
    """One floats higher than the top of the other, hardly aside of it; then the two exchange places."""
    spread = rng.uniform(0.0, 0.5) * reach(a, b) * (1 if rng.random() < 0.5 else -1)
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
    top = _resting(rng, scaled(a, min(1.0, under_scale(a, b))), b, 0.3)
    return (top, b), (at(top, top.position[0], top.position[1]), b)


def under_scale(a: ObjectSpec, b: ObjectSpec) -> float:
    """Return how many times as large ``a`` may be to fit under ``b``."""
    return min(0.95 * b.under / a.size[2], 0.8 * max(b.size[:2]) / max(a.size[:2]))


def edge(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """At the border of a support surface; then at its middle."""
    b = at(b, rng.uniform(-0.5, 0.5), rng.uniform(0.0, 0.4))
    yaw, sign = math.radians(b.yaw), 1 if rng.random() < 0.5 else -1
    u = sign * b.size[0] / 2 * rng.uniform(0.86, 0.98)
    rim = at(a, b.position[0] + u * math.cos(yaw), b.position[1] + u * math.sin(yaw), b.top)
    return (rim, b), (_resting(rng, a, b, 0.06), b)


def contact(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
    """Side faces in contact, so that no gap is seen; then pulled a little apart along the same line."""
    heading = 0.0 if rng.random() < 0.5 else 180.0
    a, b = turned(a, heading), turned(b, heading)
    sign, distance = (1 if rng.random() < 0.5 else -1), (a.size[0] + b.size[0]) / 2
    b = at(b, -sign * rng.uniform(-0.3, 0.9), rng.uniform(-0.2, 0.4))
    apart = distance + diagonal(a, b) * rng.uniform(0.35, 0.7)
    shift = rng.uniform(-0.05, 0.05)
    touching = at(a, b.position[0] + sign * (distance + 0.004), b.position[1] + shift)
    gap = gap_along_x(touching, b)
    if gap > MOST_SLACK * min(a.size[0], b.size[0]):
        return None
    touching = at(touching, touching.position[0] - sign * (gap - 0.002), touching.position[1])
    return (touching, b), (at(a, b.position[0] + sign * apart, b.position[1] + shift), b)


def near_far(least: float) -> Place:
    """Build "a short way apart; then over ``least`` mean diagonals apart", of two things about as large."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
        sign = 1 if rng.random() < 0.5 else -1
        size = rng.uniform(0.42, 0.5)
        a, b = (scaled(spec, size * rng.uniform(0.9, 1.1) / math.hypot(*spec.size)) for spec in (a, b))
        b = at(b, sign * rng.uniform(0.7, 1.0), rng.uniform(-0.2, 0.5))
        bearing = math.radians(90 + sign * rng.uniform(60, 120))
        direction, unit = (math.cos(bearing), math.sin(bearing)), diagonal(a, b)
        touch = half_extent(pose_of(a), direction) + half_extent(pose_of(b), direction)

        def along(gap: float) -> ObjectSpec:
            distance = touch + gap * unit
            return at(a, b.position[0] + direction[0] * distance, b.position[1] + direction[1] * distance)

        return (along(rng.uniform(0.06, 0.25)), b), (along(least + rng.uniform(0.05, 0.25)), b)

    return place


def beside_away(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Side by side; then clearly apart on the same line."""
    sign = 1 if rng.random() < 0.5 else -1
    b = at(b, sign * rng.uniform(0.5, 0.9), rng.uniform(-0.2, 0.5))
    # A looks slightly to the far side: what faces another thing is hardly away from it.
    a, b = turned(a, -sign * rng.uniform(3, 25)), turned(b, rng.uniform(-8, 8))
    across = (1.0, 0.0)
    unit, touch = diagonal(a, b), half_extent(pose_of(a), across) + half_extent(pose_of(b), across)
    y = b.position[1] + rng.uniform(-0.04, 0.04)
    close, distant = touch + unit * rng.uniform(0.03, 0.12), touch + unit * rng.uniform(1.35, 2.2)
    return (at(a, b.position[0] - sign * close, y), b), (at(a, b.position[0] - sign * distant, y), b)


def heading(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Front towards the other object; then turned round."""
    distance = reach(a, b) + diagonal(a, b) * rng.uniform(0.4, 1.0)
    # Seen from the side: from straight behind, a back and a front look alike.
    bearing = math.radians(rng.uniform(-50, 50) + 180 * int(rng.integers(2)))
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
