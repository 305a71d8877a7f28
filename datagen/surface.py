"""Where the surface of a placed object is: what a plug goes into and a strap runs over.

An object is cut at one height, which gives line segments seen from above.

Shapes: K segments of two floor points each.
"""

import numpy as np
from numpy.typing import NDArray

from datagen.assets import toy_size
from datagen.assets.catalogue import remembered
from datagen.rasterise import fragments, nearest
from datagen.staging import stage
from spatial.geometry import Point
from spatial.scene import ObjectSpec, Scene

Segments = NDArray[np.float64]

GRID = 0.01
"""Metres per cell of the side view in which ``gap_along_x`` looks."""

FAR = 100.0
"""Added to coordinates that have to be positive."""

FLATNESS = 0.02
"""A flat side keeps this near to the object's box, as a share of the object's largest extent."""


def gap_along_x(a: ObjectSpec, b: ObjectSpec) -> float:
    """Return how far, in metres, the meshes of two things that stand side by side are apart along x; inf if they miss.

    Both are seen along x on a grid of 1 cm cells, from where the other stands.
    """
    left, right = sorted((a, b), key=lambda spec: spec.position[0])
    corners = [stage(Scene((spec,))).corners for spec in (left, right)]
    low = np.minimum(*(part[:, 1:].min((0, 2)) for part in corners))
    high = np.maximum(*(part[:, 1:].max((0, 2)) for part in corners))
    columns, rows = (int(extent / GRID) + 2 for extent in high - low)
    sides = []
    for part, outward in zip(corners, (1.0, -1.0), strict=True):
        y, z = ((part[:, axis] - low[axis - 1]) / GRID for axis in (1, 2))
        # Faces must wind as in a picture: the left thing is seen with z down, the right one is turned by 180 degrees.
        down = rows - z if outward > 0 else z
        seen = nearest(fragments(y, down, outward * part[:, 0] + FAR, columns, rows), columns * rows)
        reached = np.full(columns * rows, -np.inf)
        reached[seen.cell] = seen.nearness - FAR
        grid = reached.reshape(rows, columns)
        sides.append(grid[::-1] if outward > 0 else grid)
    return float(-(sides[0] + sides[1]).max())


def section(spec: ObjectSpec, height: float) -> Segments:
    """Return the segments (K, 2 ends, 2 axes) in which an object's mesh meets the plane at a world height in metres."""
    corners = stage(Scene((spec,))).corners.transpose(2, 0, 1)
    above = corners[..., 2] > height
    crossed = corners[above.any(1) & ~above.all(1)]
    ends = []
    for start, stop in ((0, 1), (1, 2), (2, 0)):
        a, b = crossed[:, start], crossed[:, stop]
        rise = np.where(a[:, 2] == b[:, 2], np.inf, b[:, 2] - a[:, 2])
        share = (height - a[:, 2]) / rise
        between = (a[:, 2] > height) != (b[:, 2] > height)
        ends.append(np.where(between[:, None], a[:, :2] + share[:, None] * (b[:, :2] - a[:, :2]), np.nan))
    points = np.stack(ends, axis=1)
    kept = ~np.isnan(points[..., 0])
    return points[kept].reshape(-1, 2, 2)


def reach_along(segments: Segments, origin: Point, direction: Point) -> float | None:
    """Return how far along a floor ray from ``origin`` the last segment is, in metres; ``None`` where it meets none."""
    away = segments - np.array(origin)
    along = away[..., 0] * direction[0] + away[..., 1] * direction[1]
    across = away[..., 1] * direction[0] - away[..., 0] * direction[1]
    met = np.flatnonzero((across[:, 0] > 0) != (across[:, 1] > 0))
    if not len(met):
        return None
    share = across[met, 0] / (across[met, 0] - across[met, 1])
    reached = float((along[met, 0] + share * (along[met, 1] - along[met, 0])).max())
    return reached if reached > 0 else None


@remembered
def flat_sides(name: str) -> tuple[int, ...]:
    """Return which sides of an object are flat enough to hang something on: 0 front, 1 its right, 2 back, 3 its left.

    The middle of such a side, 0.6 of its width and from 0.3 to 0.8 of its height, reaches out to the object's box.
    """
    spec = ObjectSpec(name, "red", (0.0, 0.0, 0.0), toy_size(name))
    cuts = [section(spec, share * spec.size[2]) for share in (0.3, 0.55, 0.8)]
    return tuple(side for side in range(4) if all(_reaches_out(cut, spec, side) for cut in cuts))


def _reaches_out(cut: Segments, spec: ObjectSpec, side: int) -> bool:
    (dx, dy), width = ((0, -1), (1, 0), (0, 1), (-1, 0))[side], spec.size[side % 2]
    face = spec.size[1 - side % 2] / 2
    reached = [
        reach_along(cut, (-dy * share * width, dx * share * width), (dx, dy)) for share in (-0.3, -0.15, 0.0, 0.15, 0.3)
    ]
    return all(distance is not None and distance > face - FLATNESS * max(spec.size) for distance in reached)


def hull(points: NDArray[np.float64]) -> list[Point]:
    """Return the convex hull of floor points (K, 2), counter-clockwise (Andrew's monotone chain)."""
    ordered = sorted({(round(x, 5), round(y, 5)) for x, y in points.tolist()})
    chains: list[list[Point]] = []
    for side in (ordered, ordered[::-1]):
        chain: list[Point] = []
        for point in side:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        chains.append(chain[:-1])
    return chains[0] + chains[1]


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
