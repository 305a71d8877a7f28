"""Closed triangle meshes from a few numbers: boxes, lofts, revolved profiles, tubes, extruded outlines.

Almost every shape here is one idea, the *loft*: rings of points joined by quads and closed by two caps. A cylinder
is a loft of two circles, a sphere of many, a rounded box of rounded squares, a tail of circles along a path.
Every mesh is closed and wound so that the right-hand normal of each face points outwards; an object is a
``join`` of such parts, which may overlap. Axes as in ``spatial.scene``: z up; lengths in metres.

Shapes: V vertices, F triangles, M points per ring.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Mesh:
    """Triangles: vertices (V, 3) metres, faces (F, 3) indices, and of each face its colour slot and its part.

    Attributes:
        slots: (F,) indices of paint slots.
        parts: (F,) names such as "wheel"; empty for the body.
    """

    vertices: Points
    faces: NDArray[np.int64]
    slots: NDArray[np.int64]
    parts: NDArray[np.str_]

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Mesh":
        """Return the mesh shifted by metres along each axis."""
        return replace(self, vertices=self.vertices + np.array([x, y, z]))

    def scaled(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> "Mesh":
        """Return the mesh stretched about the origin; negative factors mirror it and keep its faces outward."""
        return outward(replace(self, vertices=self.vertices * np.array([x, y, z])))

    def turned(self, axis: str, degrees: float) -> "Mesh":
        """Return the mesh turned about the ``"x"``, ``"y"`` or ``"z"`` axis through the origin, right-handed."""
        first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turned = self.vertices.copy()
        turned[:, first] = cos * self.vertices[:, first] - sin * self.vertices[:, second]
        turned[:, second] = sin * self.vertices[:, first] + cos * self.vertices[:, second]
        return replace(self, vertices=turned)

    def painted(self, slot: int) -> "Mesh":
        """Return the mesh with every face in one colour slot."""
        return replace(self, slots=np.full(len(self.faces), slot))

    def named(self, part: str) -> "Mesh":
        """Return the mesh with every face belonging to one named part."""
        return replace(self, parts=np.full(len(self.faces), part))

    def mirrored_pair(self) -> "Mesh":
        """Return the mesh together with its left-right mirror image (x -> -x)."""
        return join(self, self.scaled(x=-1.0))


def join(*parts: Mesh) -> Mesh:
    """Return all parts as one mesh."""
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.slots for part in parts]),
        np.concatenate([part.parts for part in parts]),
    )


def fitted(mesh: Mesh) -> Points:
    """Return the vertices (V, 3) moved and stretched to the unit box: x, y in -0.5..0.5, z in 0..1."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    unit: Points = (mesh.vertices - low) / (high - low) - np.array([0.5, 0.5, 0.0])
    return unit


def outward(mesh: Mesh) -> Mesh:
    """Return a closed mesh whose faces enclose a positive volume, flipping all of them if they did not."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    volume = float((a * np.cross(b, c)).sum())
    return mesh if volume >= 0 else replace(mesh, faces=mesh.faces[:, ::-1].copy())


def loft(rings: Sequence[Points], slot: int = 0) -> Mesh:
    """Join rings of (M, 3) points, equally many in each, into a closed tube; the end rings become flat caps.

    A ring whose points coincide is a tip. Faces of no area are dropped.
    """
    count, size = len(rings), len(rings[0])
    vertices = np.concatenate([*rings, rings[0].mean(0, keepdims=True), rings[-1].mean(0, keepdims=True)])
    here = np.arange(size)
    after = (here + 1) % size
    parts = []
    for ring in range(count - 1):
        low, high = ring * size, (ring + 1) * size
        parts.append(np.column_stack([low + here, low + after, high + after]))
        parts.append(np.column_stack([low + here, high + after, high + here]))
    last = (count - 1) * size
    parts.append(np.column_stack([after, here, np.full(size, count * size)]))
    parts.append(np.column_stack([last + here, last + after, np.full(size, count * size + 1)]))
    faces = np.concatenate(parts)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    faces = faces[(np.cross(b - a, c - a) ** 2).sum(1) > 1e-24]
    return outward(Mesh(vertices, faces, np.full(len(faces), slot), np.full(len(faces), "")))


def prism(outline: Sequence[tuple[float, float]], low: float, high: float, slot: int = 0) -> Mesh:
    """Raise an outline of (x, y) points, seen whole from its mean, from z ``low`` to ``high``."""
    return loft([np.array([(x, y, z) for x, y in outline]) for z in (low, high)], slot)


def spindle(stations: Sequence[tuple[float, float, float, float]], segments: int = 10) -> Mesh:
    """Return a round body along y: of every station y, middle height, half width and half height."""
    ring = circle(1.0, segments)
    return loft(
        [np.column_stack([w * ring[:, 0], np.full(segments, y), z + h * ring[:, 1]]) for y, z, w, h in stations]
    )


def circle(radius: float, segments: int, z: float = 0.0) -> Points:
    """Return (segments, 3) points of a circle about the z axis."""
    turns = [2 * math.pi * k / segments for k in range(segments)]
    return np.array([(radius * math.cos(turn), radius * math.sin(turn), z) for turn in turns])


def box(size: Vector, centre: Vector = (0.0, 0.0, 0.0), slot: int = 0) -> Mesh:
    """Return an upright box (12 triangles) of ``size`` about ``centre``."""
    return taper(size[:2], size[:2], size[2], slot).moved(centre[0], centre[1], centre[2] - size[2] / 2)


def taper(
    bottom: tuple[float, float], top: tuple[float, float], height: float, slot: int = 0, shift: float = 0.0
) -> Mesh:
    """Return a box standing on z = 0 whose top rectangle differs from its bottom one, shifted by ``shift`` along y."""
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    low = np.column_stack([corners * np.array(bottom), np.zeros(4)])
    high = np.column_stack([corners * np.array(top) + np.array([0.0, shift]), np.full(4, height)])
    quads = [(0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    return Mesh(np.concatenate([low, high]), faces, np.full(12, slot), np.full(12, ""))


def rounded_box(
    size: Vector, centre: Vector = (0.0, 0.0, 0.0), radius: float = 0.05, steps: int = 1, slot: int = 0
) -> Mesh:
    """Return a box with edges rounded by ``radius`` in ``steps`` facets per quarter turn (1 is a bevel)."""
    half = np.array(size) / 2
    radius = min(radius, float(half.min()))
    inner = half - radius
    quarter = [math.pi / 2 * k / steps for k in range(steps + 1)]
    around = [angle + k * math.pi / 2 for k in range(4) for angle in quarter]
    rim = np.array([(math.cos(angle), math.sin(angle)) for angle in around])
    signs = np.repeat(np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]), steps + 1, axis=0)
    rings = []
    for sign in (-1, 1):
        for latitude in (angle - math.pi / 2 if sign < 0 else angle for angle in quarter):
            flat = rim * (math.cos(latitude) * radius)
            height = sign * inner[2] + radius * math.sin(latitude)
            rings.append(np.column_stack([flat + signs * inner[:2], np.full(len(around), height)]))
    return loft(rings, slot).moved(*centre)


def revolve(profile: Sequence[tuple[float, float]], segments: int = 16, slot: int = 0) -> Mesh:
    """Turn (radius, z) points about the z axis; the first and last points close the shape with flat caps."""
    return loft([circle(radius, segments, z) for radius, z in profile], slot)


def cylinder(radius: float, height: float, segments: int = 16, slot: int = 0) -> Mesh:
    """Return a cylinder standing on z = 0."""
    return revolve([(radius, 0.0), (radius, height)], segments, slot)


def cone(radius: float, height: float, segments: int = 16, tip: float = 0.0, slot: int = 0) -> Mesh:
    """Return a cone standing on z = 0, cut at radius ``tip``."""
    return revolve([(radius, 0.0), (tip, height)], segments, slot)


def sphere(
    radii: float | Vector, centre: Vector = (0.0, 0.0, 0.0), segments: int = 12, rings: int = 8, slot: int = 0
) -> Mesh:
    """Return a sphere, or an ellipsoid when ``radii`` gives one radius per axis."""
    x, y, z = (radii, radii, radii) if isinstance(radii, float | int) else radii
    angles = [math.pi * k / rings - math.pi / 2 for k in range(rings + 1)]
    profile = [(math.cos(angle) if 0 < k < rings else 0.0, math.sin(angle)) for k, angle in enumerate(angles)]
    return revolve(profile, segments, slot).scaled(x, y, z).moved(*centre)


def tube(path: Sequence[Vector], radii: float | Sequence[float], segments: int = 8, slot: int = 0) -> Mesh:
    """Sweep a circle along a path of points, with one radius for all or one for each, and flat ends."""
    points = np.array(path, float)
    widths = np.broadcast_to(np.array(radii, float), len(points))
    tangents = np.gradient(points, axis=0)
    tangents /= np.sqrt((tangents * tangents).sum(1, keepdims=True))
    # The axis least along the path gives every ring the same seam, so that the skin does not twist.
    reference = np.eye(3)[int(np.abs(tangents).sum(0).argmin())]
    rings = []
    for point, tangent, width in zip(points, tangents, widths, strict=True):
        side = np.cross(reference, tangent)
        side /= math.sqrt((side * side).sum())
        rise = np.cross(tangent, side)
        flat = circle(float(width), segments)
        rings.append(point + flat[:, :1] * side + flat[:, 1:2] * rise)
    return loft(rings, slot)


def capsule(start: Vector, end: Vector, radius: float, segments: int = 10, slot: int = 0, steps: int = 2) -> Mesh:
    """Return a tube with half-sphere ends whose centres are ``start`` and ``end``."""
    a, b = np.array(start, float), np.array(end, float)
    along = (b - a) / math.dist(start, end)
    angles = [math.pi / 2 * k / steps for k in range(steps)]
    near = [(a - along * radius * math.cos(t), radius * math.sin(t)) for t in angles]
    far = [(b + along * radius * math.cos(t), radius * math.sin(t)) for t in reversed(angles)]
    spine = [*near, (a, radius), (b, radius), *far]
    return tube([tuple(p) for p, _ in spine], [max(r, 1e-4 * radius) for _, r in spine], segments, slot)


def torus(
    radius: float, thickness: float, segments: int = 16, sides: int = 8, arc: float = 360.0, slot: int = 0
) -> Mesh:
    """Return a ring, or an open arc of it in degrees, about the z axis; ``thickness`` is the radius of the tube."""
    if arc < 360:
        angles = [math.radians(arc) * k / (segments - 1) for k in range(segments)]
        return tube([(radius * math.cos(t), radius * math.sin(t), 0.0) for t in angles], thickness, sides, slot)
    around, across = np.arange(segments), np.arange(sides)
    turn, wrap = circle(1.0, segments)[:, None], circle(thickness, sides)[None]
    reach = radius + wrap[..., 0]
    grid = np.stack([reach * turn[..., 0], reach * turn[..., 1], wrap[..., 1] + 0 * turn[..., 0]], -1)
    a = around[:, None] * sides + across
    b = (around[:, None] + 1) % segments * sides + across
    c, d = np.roll(b, -1, axis=1), np.roll(a, -1, axis=1)
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return outward(Mesh(grid.reshape(-1, 3), faces, np.full(len(faces), slot), np.full(len(faces), "")))


def extrude(outline: Sequence[tuple[float, float]], width: float, slot: int = 0) -> Mesh:
    """Pull a simple polygon of (y, z) points, convex or not, into a prism ``width`` metres wide about x = 0."""
    flat = np.array(outline, float)
    if _area(flat) < 0:
        flat = flat[::-1]
    count = len(flat)
    left = np.column_stack([np.full(count, -width / 2), flat])
    right = np.column_stack([np.full(count, width / 2), flat])
    cap = np.array(_ears(flat))
    here = np.arange(count)
    after = (here + 1) % count
    sides = [np.column_stack([here, after, after + count]), np.column_stack([here, after + count, here + count])]
    faces = np.concatenate([cap[:, ::-1], cap + count, *sides])
    mesh = Mesh(np.concatenate([left, right]), faces, np.full(len(faces), slot), np.full(len(faces), ""))
    return outward(mesh)


def _area(polygon: Points) -> float:
    y, z = polygon.T
    return float((y * np.roll(z, -1) - np.roll(y, -1) * z).sum() / 2)


def _ears(polygon: Points) -> list[tuple[int, int, int]]:
    """Triangulate a counter-clockwise simple polygon by cutting ears."""

    def cross(a: int, b: int, c: int) -> float:
        (ax, ay), (bx, by), (cx, cy) = polygon[a], polygon[b], polygon[c]
        return float((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))

    def is_ear(a: int, b: int, c: int) -> bool:
        others = (p for p in left if p not in (a, b, c))
        return cross(a, b, c) > 0 and not any(
            cross(a, b, p) >= 0 and cross(b, c, p) >= 0 and cross(c, a, p) >= 0 for p in others
        )

    left, ears = list(range(len(polygon))), []
    while len(left) > 3:
        k = next(k for k in range(len(left)) if is_ear(left[k - 1], left[k], left[(k + 1) % len(left)]))
        ears.append((left[k - 1], left[k], left[(k + 1) % len(left)]))
        del left[k]
    return [*ears, (left[0], left[1], left[2])]
