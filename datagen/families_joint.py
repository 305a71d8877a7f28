"""Ways of fixing one thing to another, by a cable or rope, a strap, or as a part of it; then of undoing that.

Distances are in metres.
"""

import math
from dataclasses import replace

import numpy as np

from datagen.assets import part_box
from datagen.assets.catalogue import OFF
from datagen.assets.cord import RADII, lay
from datagen.families import Placements, Rng, at, diagonal, other_colour, reach, turned
from datagen.families_mechanism import LEFT, RIGHT, sized
from datagen.surface import flat_sides, hull, reach_along, section
from spatial.geometry import Point, contact_tolerance, half_extent
from spatial.observation import pose_of
from spatial.scene import ObjectSpec, Vector


def cable(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
    """Joined by a cable or rope over the floor; then with one end, or both, lying loose."""
    name = "cable" if rng.random() < 0.5 else "rope"
    a, b = sized(a, rng.uniform(0.4, 0.65), 0.6), sized(b, rng.uniform(0.4, 0.65), 0.6)
    apart, y = reach(a, b) + rng.uniform(0.4, 0.6), rng.uniform(0.0, 0.25)
    side, slant = (LEFT if rng.random() < 0.5 else RIGHT), rng.uniform(-0.15, 0.15)
    a, b = at(a, side * apart / 2, y + slant), at(b, -side * apart / 2, y - slant)
    colour, low = other_colour(rng, a, b), RADII[name]
    lead, tail = _plug(rng, a, -side, low), _plug(rng, b, side, low)
    if lead is None or tail is None:
        return None
    bend = _bend(rng, lead[-1], tail[-1])
    tied = lay(name, colour, [*lead, bend, *tail[::-1]], (0, 1))
    front = min(spec.position[1] - half_extent(pose_of(spec), (0.0, 1.0)) for spec in (a, b))
    if rng.random() < 0.5:
        loose = lay(name, colour, [*lead, *_wander(lead[-1], front, -side, low)], (0,))
    else:
        loose = lay(name, colour, _lying(rng, front, low), ())
    return (a, b, tied), (a, b, loose)


def _plug(rng: Rng, spec: ObjectSpec, side: int, low: float) -> list[Vector] | None:
    """Return path points from just inside an object out of its side (-1 left, 1 right) and down to height ``low``.

    They come out half towards the viewer, where they are seen; ``None`` where the object is hollow there.
    """
    height = spec.position[2] + spec.size[2] * rng.uniform(0.3, 0.45)
    turn = math.radians(rng.uniform(-50, -25))
    direction = (side * math.cos(turn), math.sin(turn))
    distance = reach_along(section(spec, height), spec.position[:2], direction)
    if distance is None:
        return None
    steps = ((-0.04, height), (0.0, height), (0.06, height + 0.01), (0.13, 0.5 * height), (0.2, low))
    return [_outwards(spec, direction, distance + out, rise) for out, rise in steps]


def _outwards(spec: ObjectSpec, direction: Point, distance: float, height: float) -> Vector:
    x, y, _ = spec.position
    return (x + direction[0] * distance, y + direction[1] * distance, height)


def _bend(rng: Rng, start: Vector, stop: Vector) -> Vector:
    """A point on the floor half way between two others, nearer to the viewer."""
    return ((start[0] + stop[0]) / 2, (start[1] + stop[1]) / 2 - rng.uniform(0.06, 0.14), start[2])


def _wander(start: Vector, front: float, side: int, height: float) -> list[Vector]:
    """Floor points that lead from ``start`` to the viewer and away from the other object."""
    x, y = start[0], min(start[1], front)
    return [
        (x - side * 0.02, y - 0.13, height),
        (x - side * 0.16, y - 0.24, height),
        (x - side * 0.36, y - 0.2, height),
    ]


def _lying(rng: Rng, front: float, height: float) -> list[Vector]:
    """Floor points of a wave across the view, before both objects."""
    x, y, swing = rng.uniform(-0.2, 0.2), front - rng.uniform(0.22, 0.32), rng.uniform(0.05, 0.09)
    return [(x - 0.4 + 0.2 * k, y + swing * (-1) ** k, height) for k in range(5)]


def strap(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements | None:
    """Strapped to a side of the other, above the floor; then set down beside it, the strap lying by."""
    side = LEFT if rng.random() < 0.5 else RIGHT
    b = at(sized(b, rng.uniform(0.8, 1.0), 0.9), -side * 0.25, rng.uniform(0.2, 0.4))
    quarter = int(rng.choice(flat_sides(b.name)))
    b = turned(b, 90 * quarter + rng.uniform(-25, 25))
    width = b.size[quarter % 2]
    a = sized(a, min(rng.uniform(0.25, 0.35), 0.5 * width), 0.4 * b.size[2])
    facing = math.radians(b.yaw - 90 * quarter)
    direction = (math.sin(facing), -math.cos(facing))
    a = turned(a, math.degrees(facing) + rng.uniform(-5, 5))
    height = rng.uniform(0.3 * b.size[2], 0.8 * b.size[2] - a.size[2])
    shift = rng.uniform(-0.5, 0.5) * max(0.0, 0.6 * width - a.size[0])
    hung = _against(a, b, direction, shift, height)
    if not _flat(b, hung, direction):
        return None
    colour = other_colour(rng, a, b)
    tied = lay("strap", colour, _over(hung, b, direction), (0, 1))
    distance = half_extent(pose_of(a), (1.0, 0.0)) + half_extent(pose_of(b), (1.0, 0.0)) + 0.3 * diagonal(a, b)
    down = at(a, b.position[0] + side * distance, b.position[1] - rng.uniform(0.0, 0.1))
    front = min(spec.position[1] - half_extent(pose_of(spec), (0.0, 1.0)) for spec in (down, b))
    return (hung, b, tied), (down, b, lay("strap", colour, _lying(rng, front, RADII["strap"]), ()))


def _against(a: ObjectSpec, b: ObjectSpec, direction: Point, shift: float, height: float) -> ObjectSpec:
    """Put ``a`` in contact with the face of ``b`` that looks along ``direction``, ``shift`` aside of its middle."""
    distance = half_extent(pose_of(a), direction) + half_extent(pose_of(b), direction) + 0.001
    x, y = b.position[0] + direction[0] * distance, b.position[1] + direction[1] * distance
    return at(a, x - direction[1] * shift, y + direction[0] * shift, b.position[2] + height)


def _flat(b: ObjectSpec, hung: ObjectSpec, direction: Point) -> bool:
    """Tell whether the mesh of ``b`` reaches out to its box all over the patch that an object hangs on."""
    face, across = half_extent(pose_of(b), direction), (-direction[1], direction[0])
    away = (hung.position[0] - b.position[0]) * across[0] + (hung.position[1] - b.position[1]) * across[1]
    for share in (0.1, 0.5, 0.9):
        cut = section(b, hung.position[2] + share * hung.size[2])
        for aside in (-0.75, 0.0, 0.75):
            u = away + aside * (hung.size[0] / 2 + 0.04)
            origin = (b.position[0] + u * across[0], b.position[1] + u * across[1])
            reached = reach_along(cut, origin, direction)
            if reached is None or reached < face - contact_tolerance(pose_of(hung), pose_of(b)):
                return False
    return True


def _over(hung: ObjectSpec, b: ObjectSpec, direction: Point) -> list[Vector]:
    """Return the path of a strap from the face of ``b``, over the front of what hangs on it, back to the face."""
    height, across = hung.position[2] + 0.5 * hung.size[2], (-direction[1], direction[0])
    back = -half_extent(pose_of(hung), direction)
    x, y, _ = hung.position

    def point(u: float, v: float) -> Point:
        return (x + across[0] * u + direction[0] * v, y + across[1] * u + direction[1] * v)

    half = half_extent(pose_of(hung), across)
    ends = [point(-half - 0.05, back), point(half + 0.05, back)]
    outline = hull(np.concatenate([section(hung, height).reshape(-1, 2), np.array(ends)]))
    start = min(range(len(outline)), key=lambda k: math.dist(outline[k], ends[0]))
    ordered = outline[start:] + outline[:start]
    stop = min(range(len(ordered)), key=lambda k: math.dist(ordered[k], ends[1]))
    front = ordered[: stop + 1]
    grown = [(px + direction[0] * RADII["strap"], py + direction[1] * RADII["strap"]) for px, py in front[1:-1]]
    return [(px, py, height) for px, py in _thinned([front[0], *grown, front[-1]])]


def _thinned(points: list[Point]) -> list[Point]:
    """Drop points that lie nearer than 4 cm to the one before, keeping the first and the last."""
    kept = points[:1]
    for point in points[1:-1]:
        if math.dist(point, kept[-1]) > 0.04 and math.dist(point, points[-1]) > 0.04:
            kept.append(point)
    return [*kept, points[-1]]


def part(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """A part in its place on its whole; then taken off and lying beside it."""
    side, it = (LEFT if rng.random() < 0.5 else RIGHT), a.mesh
    b = at(sized(b, rng.uniform(0.75, 0.95), 0.9), -side * 0.2, rng.uniform(0.0, 0.3))
    (x0, y0, z0), (x1, y1, z1) = part_box(it)
    (width, depth, height), extents = b.size, (x1 - x0, y1 - y0, z1 - z0)
    size = (round(extents[0] * width, 4), round(extents[1] * depth, 4), round(extents[2] * height, 4))
    a = replace(a, size=size, colour=b.colour, joins=(1,))
    place = pose_of(b).world((x0 + x1) / 2 * width, (y0 + y1) / 2 * depth, z0 * height)
    a, b = turned(at(a, *place), b.yaw), replace(b, mesh=it.replace("/", OFF))
    across = (1.0, 0.0)
    distance = (
        half_extent(pose_of(a), across) + half_extent(pose_of(b), across) + rng.uniform(0.28, 0.45) * diagonal(a, b)
    )
    off = at(a, b.position[0] + side * distance, b.position[1] - rng.uniform(0.0, 0.15))
    return (a, b), (replace(off, joins=()), b)


def whole(rng: Rng, a: ObjectSpec, b: ObjectSpec) -> Placements:
    """The same of the other order: the whole is named first."""
    (seat, rest), (off, _) = part(rng, b, a)
    return (rest, replace(seat, joins=(0,))), (rest, off)
