"""Ways of placing that are made of others: roles exchanged, two relations about one object, a third object.

What they are for is told in ``datagen.contrasts``. Distances are in metres; ``s`` is the mean diagonal of two objects.
"""

from collections.abc import Callable
from dataclasses import replace

from datagen.families import (
    Family,
    Place,
    Placements,
    Rng,
    at,
    diagonal,
    reach,
    stack,
    swap_places,
    turned,
    yaw_towards,
)
from datagen.families_mechanism import LEFT, RIGHT, sized
from spatial.geometry import half_extent
from spatial.observation import pose_of
from spatial.scene import ObjectSpec

PlaceThree = Callable[[Rng, ObjectSpec, ObjectSpec, ObjectSpec], Placements | None]
"""Draws the two placements of three objects, or none where they cannot be placed so."""


def moved_over(first: Family, i: int, second: Family, j: int) -> Place:
    """Build "A as in placement ``i`` of one family, then as in ``j`` of another", about a B that stays as it is."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
        start = first.place(rng, a, b)
        if start is None:
            return None
        a1, b1 = start[i][:2]
        end = second.place(rng, a1, b1)
        if end is None:
            return None
        (x, y, z), (bx, by, _), (nx, ny, _) = (spec.position for spec in (*end[j][:2], b1))
        return (a1, b1), (at(end[j][0], x + nx - bx, y + ny - by, z), b1)

    return place


def from_one_to_the_other(place_pair: Place, clear: float) -> PlaceThree:
    """Build "A stands so to B, then so to D"; both stay, so far apart that what is true of one is false of the other.

    Args:
        place_pair: stands A to one object, in its first placement.
        clear: gap in units of ``s`` from which that is false; 0 where A stands on or over what it stands to.
    """

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec, d: ObjectSpec) -> Placements | None:
        if clear:
            a, b, d = alike(rng, a, b, d)
        start, end = place_pair(rng, a, b), place_pair(rng, a, d)
        if start is None or end is None:
            return None
        (a1, b1), (a2, d1) = start[0][:2], end[0][:2]
        smaller = min((a1, a2), key=lambda spec: spec.size)
        a1, a2 = (replace(smaller, position=spec.position, yaw=spec.yaw) for spec in (a1, a2))
        side = LEFT if rng.random() < 0.5 else RIGHT
        # A stands between the two, unless it stands on or over one of them.
        room = clear * max(diagonal(a1, b1), diagonal(a2, d1)) + (1.0 if clear else 0.8) * max(a1.size[:2])
        between = reach(b1, d1) + room + rng.uniform(0.1, 0.25)
        half, slant, y = between / 2, rng.uniform(-0.12, 0.12), rng.uniform(0.0, 0.3)
        b2, d2 = at(b1, side * half, y - slant, b1.position[2]), at(d1, -side * half, y + slant, d1.position[2])
        return (_beyond(a1, b1, b2, -side, clear), b2, d2), (_beyond(a2, d1, d2, side, clear), b2, d2)

    return place


def side_by_side(least: float, most: float) -> Place:
    """Build "A at the right of B, a gap of so many ``s`` away", twice the same."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
        reaches = sum(half_extent(pose_of(spec), (1.0, 0.0)) for spec in (a, b))
        distance = reaches + diagonal(a, b) * rng.uniform(least, most)
        placed = at(a, b.position[0] + distance, b.position[1] + rng.uniform(-0.03, 0.03)), b
        return placed, placed

    return place


def _beyond(a: ObjectSpec, old: ObjectSpec, new: ObjectSpec, side: int, clear: float) -> ObjectSpec:
    """Stand A to an object as it stood before that was moved; on its left (-1) or right (1) if ``clear`` is not 0."""
    dx, dy = a.position[0] - old.position[0], a.position[1] - old.position[1]
    if clear and side * dx < 0:
        a, dx = turned(a, -a.yaw), -dx
    return at(a, new.position[0] + dx, new.position[1] + dy, a.position[2])


def alike(rng: Rng, *specs: ObjectSpec) -> list[ObjectSpec]:
    """Scale objects to about 0.43 metres across, so that a picture of all of them shows each."""
    return [sized(spec, rng.uniform(0.36, 0.5), 0.6) for spec in specs]


def on_both_sides(place_pair: Place) -> PlaceThree:
    """Build "B on one side of A and D on the other"; then the two exchange places."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec, d: ObjectSpec) -> Placements | None:
        a, b, d = alike(rng, a, b, d)
        start = place_pair(rng, a, b)
        if start is None:
            return None
        a1, b1 = start[0][:2]
        (ax, ay, _), (bx, by, _) = a1.position, b1.position
        dx, dy = bx - ax, by - ay
        share = (reach(a, d) - reach(a, b)) / max((dx * dx + dy * dy) ** 0.5, 1e-6) + 1.0
        first = (a1, b1, at(d, ax - dx * share, ay - dy * share))
        return first, (a1, at(b1, ax - dx, ay - dy), at(d, ax + dx * share, ay + dy * share))

    return place


def turned_between(place_pair: Place) -> PlaceThree:
    """Build "A between B and D, its heading towards or from one of them"; then turned round."""
    place_around = on_both_sides(place_pair)

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec, d: ObjectSpec) -> Placements | None:
        placed = place_around(rng, a, b, d)
        if placed is None:
            return None
        a1, b1, d1 = placed[0]
        return (a1, b1, d1), (turned(a1, a1.yaw + 180), b1, d1)

    return place


def each_at_the_other(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """A turned to B, which looks elsewhere; then the reverse."""
    spread, y = reach(a, b) + rng.uniform(0.3, 0.7), rng.uniform(0.0, 0.3)
    slant = rng.uniform(-0.25, 0.25)
    side = 1 if rng.random() < 0.5 else -1
    a, b = at(a, -side * spread / 2, y - slant), at(b, side * spread / 2, y + slant)
    sway, away = rng.uniform(-12, 12), rng.uniform(-20, 20)
    first = turned(a, yaw_towards(a, b) + sway), turned(b, yaw_towards(a, b) + away)
    return first, (turned(a, yaw_towards(b, a) + away), turned(b, yaw_towards(b, a) + sway))


def each_from_the_other(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """A turned from B, which looks at it; then the reverse."""
    first, second = each_at_the_other(rng, a, b)
    return second, first


def exchanged(place_pair: Place) -> Place:
    """Build the first placement of another function; then the two exchange places, each keeping its heading."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
        placed = place_pair(rng, a, b)
        if placed is None:
            return None
        first = placed[0][0], placed[0][1]
        return first, swap_places(*first)

    return place


def upside_down(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """A on B; then B on A, where B stood."""
    (top, base), _ = stack(rng, a, b)
    (x, y, _), (tx, ty, _) = base.position, top.position
    return (top, base), (at(a, x, y), at(b, 2 * x - tx, 2 * y - ty, a.top))
