"""Ways of placing things in, through and around each other, among and between several, with one change each.

Objects are scaled so that they fit: the container is the largest thing in the picture, and what it holds is as
large as its cavity allows. Distances are in metres.
"""

import math
from dataclasses import replace

from datagen.assets import asset
from datagen.families import Place, Placements, Rng, at, diagonal, reach, scaled, turned
from spatial.geometry import half_extent
from spatial.observation import pose_of
from spatial.scene import ObjectSpec

LEFT, RIGHT = -1, 1
"""The viewer's left and right as signs of x."""

COUNTS = (4, 4, 4, 5, 5, 6)
"""Copies about a thing, the more the rarer: the more there are, the smaller is each."""


def sized(spec: ObjectSpec, widest: float, tallest: float) -> ObjectSpec:
    """Scale an object until it is ``widest`` metres across or ``tallest`` metres high."""
    return scaled(spec, min(widest / max(spec.size[:2]), tallest / spec.size[2]))


def hollowed(spec: ObjectSpec) -> ObjectSpec:
    """Declare the cavity or hole that the object's asset has."""
    cavity = asset(spec.name).cavity
    if cavity is None:
        return spec
    edges = zip((*cavity.low, *cavity.high), (*spec.size, *spec.size), strict=True)
    return replace(spec, cavity=tuple(round(edge * extent, 4) for edge, extent in edges), opening=cavity.opening)


def swapped(place: Place) -> Place:
    """Build the same placements with the two named objects in the other order."""

    def swap(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
        placed = place(rng, b, a)
        return placed and ((placed[0][1], placed[0][0]), (placed[1][1], placed[1][0]))

    return swap


def contained(least: float) -> Place:
    """In the other, at least this share of its volume below the rim; then on the floor beside the other."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
        sign = _side(rng)
        inner, b = room_for(rng, a, b, sign, least)
        return (inner, b), (beside(rng, inner, b, -sign), b)

    return place


def room_for(rng: Rng, a: ObjectSpec, b: ObjectSpec, sign: int, least: float) -> tuple[ObjectSpec, ObjectSpec]:
    """Stand a container left (-1) or right (1) of the middle and the other in it, at least that share of it inside."""
    # A long truck may be longer than a round bowl is wide: its bed is what has to be seen into.
    factor = min(rng.uniform(0.75, 0.9) / math.sqrt(b.size[0] * b.size[1]), 0.9 / b.size[2])
    b = hollowed(at(scaled(b, factor), sign * rng.uniform(0.15, 0.3), rng.uniform(-0.1, 0.3)))
    if b.opening == "front":
        b = turned(b, rng.uniform(-35, 35))
    return _put_in(rng, a, b, least), b


def _put_in(rng: Rng, a: ObjectSpec, b: ObjectSpec, least: float) -> ObjectSpec:
    """Scale an object to the cavity of another and put it on the cavity's floor."""
    x0, y0, z0, x1, y1, z1 = b.cavity
    a, pose = turned(a, b.yaw + 90 * int(rng.integers(4)) + rng.uniform(-6, 6)), pose_of(b)
    half = half_extent(pose_of(a), pose.side), half_extent(pose_of(a), pose.heading)
    sunk = rng.uniform(least + 0.03, 1.08) if b.opening == "top" else 1.05
    factor = min(0.48 * (x1 - x0) / half[0], 0.48 * (y1 - y0) / half[1], (z1 - z0) / sunk / a.size[2])
    a = scaled(a, factor * rng.uniform(0.85, 1.0))
    spare = (x1 - x0) / 2 - half[0] * factor, (y1 - y0) / 2 - half[1] * factor
    u, v = (x0 + x1) / 2 + rng.uniform(-0.5, 0.5) * spare[0], (y0 + y1) / 2 + rng.uniform(-0.5, 0.5) * spare[1]
    return at(a, *pose.world(u, v, z0 + 0.002))


def beside(rng: Rng, a: ObjectSpec, b: ObjectSpec, sign: int) -> ObjectSpec:
    """Put ``a`` on the floor at the left (-1) or right (1) of ``b``, a small gap away."""
    across = (1.0, 0.0)
    gap = max(0.07, rng.uniform(0.08, 0.2) * diagonal(a, b))
    distance = half_extent(pose_of(a), across) + half_extent(pose_of(b), across) + gap
    return at(a, b.position[0] + sign * distance, b.position[1] + rng.uniform(-0.06, 0.06))


def _side(rng: Rng) -> int:
    return LEFT if rng.random() < 0.5 else RIGHT


def ring(side: int) -> Place:
    """Copies of the first all round the other; then all of them at one side of it."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
        a, b = sized(a, rng.uniform(0.26, 0.36), 0.4), at(sized(b, rng.uniform(0.3, 0.5), 0.6), 0.0, 0.15)
        round_b, aside = _copies_around(rng, a, b, side)
        return (round_b[0], b, *round_b[1:]), (aside[0], b, *aside[1:])

    return place


def ringed(side: int) -> Place:
    """The first with copies of the other all round it; then with all of them at one side."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
        b, a = sized(b, rng.uniform(0.26, 0.36), 0.4), at(sized(a, rng.uniform(0.3, 0.5), 0.6), 0.0, 0.15)
        round_a, aside = _copies_around(rng, b, a, side)
        return (a, *round_a), (a, *aside)

    return place


def _copies_around(
    rng: Rng, copy: ObjectSpec, middle: ObjectSpec, side: int
) -> tuple[list[ObjectSpec], list[ObjectSpec]]:
    """Return four to six copies about an object in a ring, and the same at its left (-1) or right (1) in two rows."""
    count, step = int(rng.choice(COUNTS)), 1.12 * math.hypot(*copy.size[:2])
    copies = [turned(copy, copy.yaw + rng.uniform(-20, 20)) for _ in range(count)]
    away = (math.hypot(*copy.size[:2]) + math.hypot(*middle.size[:2])) / 2 + rng.uniform(0.06, 0.15)
    away = max(away, step / 2 / _half_chord(count))
    x, y, _ = middle.position
    around, aside = [], []
    for k, (spec, turn) in enumerate(zip(copies, _turns(rng, count, side), strict=True)):
        around.append(at(spec, x + away * math.cos(turn), y + away * math.sin(turn)))
        column, row = k // 2, k % 2 - 0.5
        aside.append(at(spec, x + side * (away + step * column), y + row * step))
    return around, aside


def _half_chord(count: int) -> float:
    """Half the distance of the nearest two members of a ring of radius 1, as ``_turns`` places them."""
    return math.sin(math.radians(45 if count == 4 else 30))


def _turns(rng: Rng, count: int, side: int) -> list[float]:
    """Return the bearings in radians of a ring's members, at least half of which are clearly not at ``side``."""
    bearings = {4: (0, 90, 180, 270), 5: (30, 95, 180, 265, 330), 6: (30, 90, 150, 210, 270, 330)}[count]
    start = rng.uniform(-4, 4)
    turns = [math.radians(bearing + start + rng.uniform(-3, 3)) for bearing in bearings]
    return turns if side == LEFT else [math.pi - turn for turn in turns]


def among(side: int) -> Place:
    """In the midst of copies of the other; then past all of them at one side."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
        a, b = sized(a, rng.uniform(0.26, 0.36), 0.45), sized(b, rng.uniform(0.26, 0.36), 0.4)
        count = int(rng.choice(COUNTS))
        near = (math.hypot(*a.size[:2]) + math.hypot(*b.size[:2])) / 2 + 0.03
        near = max(near, 0.56 * math.hypot(*b.size[:2]) / _half_chord(count))
        copies = []
        for turn in _turns(rng, count, -side):
            distance = near * rng.uniform(1.0, 1.2)
            copy = turned(b, b.yaw + rng.uniform(-40, 40))
            copies.append(at(copy, -side * 0.2 + distance * math.cos(turn), 0.1 + distance * math.sin(turn)))
        inside = at(a, -side * 0.2 + rng.uniform(-0.02, 0.02), 0.1 + rng.uniform(-0.02, 0.02))
        edge = max(side * copy.position[0] for copy in copies)
        outside = at(a, side * (edge + reach(a, b) + rng.uniform(0.2, 0.35)), 0.1 + rng.uniform(-0.03, 0.03))
        return (inside, *copies), (outside, *copies)

    return place


def between(side: int) -> Place:
    """Between two copies of the other, one left and one right; then past the end of the row."""

    def place(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
        a, b = sized(a, rng.uniform(0.28, 0.42), 0.5), sized(b, rng.uniform(0.28, 0.42), 0.5)
        apart = reach(a, b) + rng.uniform(0.08, 0.22)
        slant, y = rng.uniform(-0.2, 0.2) * apart, rng.uniform(0.0, 0.25)
        middle = -side * 0.45 * apart
        ends = [at(turned(b, b.yaw + rng.uniform(-15, 15)), middle + end * apart, y + end * slant) for end in (-1, 1)]
        inside = at(a, middle + rng.uniform(-0.04, 0.04), y + rng.uniform(-0.08, 0.08))
        return (inside, *ends), (at(a, middle + side * 2 * apart, y + side * 1.6 * slant), *ends)

    return place


def between_in_depth(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Between two copies of the other, one near and one far; then in front of both."""
    a, b = sized(a, rng.uniform(0.28, 0.4), 0.4), sized(b, rng.uniform(0.28, 0.4), 0.35)
    apart = reach(a, b) + rng.uniform(0.05, 0.15)
    x, slant = rng.uniform(-0.4, 0.4), rng.uniform(-0.35, 0.35) * apart
    ends = [at(turned(b, b.yaw + rng.uniform(-15, 15)), x + end * slant, 0.35 + end * apart) for end in (-1, 1)]
    return (at(a, x, 0.35), *ends), (at(a, x - 1.5 * slant, 0.35 - 2 * apart), *ends)


def hoop(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """A hoop around the other on the floor; then beside it."""
    b = at(sized(b, rng.uniform(0.2, 0.4), 0.5), rng.uniform(-0.3, 0.3), rng.uniform(0.0, 0.3))
    a = hollowed(scaled(a, (math.hypot(*b.size[:2]) + rng.uniform(0.05, 0.15)) / 0.62 / a.size[0]))
    x, y = b.position[0] + rng.uniform(-0.02, 0.02), b.position[1] + rng.uniform(-0.02, 0.02)
    return (at(a, x, y), b), (beside(rng, a, b, LEFT if x > 0 else RIGHT), b)


def arch(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """Through an arch and out at both ends; then beside it, with the same heading."""
    slant = _side(rng)
    b = hollowed(
        turned(
            at(sized(b, rng.uniform(0.75, 0.95), 1.0), slant * 0.2, rng.uniform(0.1, 0.3)), slant * rng.uniform(25, 55)
        )
    )
    x0, _, _, x1, _, z1 = b.cavity
    wide, long = a.size[1 - a.long_axis], a.size[a.long_axis]
    a = scaled(a, min(0.85 * (x1 - x0) / wide, 0.92 * z1 / a.size[2], 1.0 / long))
    ends = 0.0 if rng.random() < 0.5 else 180.0
    a = turned(a, b.yaw + (90.0 if a.long_axis == 0 else 0.0) + ends + rng.uniform(-4, 4))
    forth = rng.uniform(-0.15, 0.15) * a.size[a.long_axis]
    u = rng.uniform(-0.3, 0.3) * (x1 - x0 - a.size[1 - a.long_axis])
    return (at(a, *pose_of(b).world(u, forth, 0.0)), b), (beside(rng, a, b, -slant), b)
