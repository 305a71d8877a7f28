"""Cables, ropes and straps: tubes along a path, drawn anew for every scene.

The path's points are joined by a smooth curve (Catmull and Rom, 1974), which passes through all of them.

Shapes: N points.
"""

from collections.abc import Sequence

import numpy as np

from datagen.assets.primitives import Mesh, Points, tube
from spatial.scene import ObjectSpec, Vector

RADII = {"cable": 0.02, "rope": 0.027, "strap": 0.022}
"""Nouns of connectors and the radius of each in metres at toy scale."""

STEPS = 5
"""Tube rings per stretch of the path."""

SIDES = 8


def curve(path: Sequence[Vector]) -> Points:
    """Return points (N, 3) of a smooth curve through all points of a path."""
    given = np.array(path, float)
    ends = np.concatenate([2 * given[:1] - given[1:2], given, 2 * given[-1:] - given[-2:-1]])
    t = (np.arange(STEPS) / STEPS)[:, None]
    pieces = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        pieces.append(((2 * b) + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3) / 2)
    return np.concatenate([*pieces, given[-1:]])


def cord(name: str, path: Sequence[Vector]) -> Mesh:
    """Return the tube of a connector along a path in metres."""
    return tube([(x, y, z) for x, y, z in curve(path).tolist()], RADII[name], SIDES)


def lay(name: str, colour: str, path: Sequence[Vector], joins: tuple[int, ...]) -> ObjectSpec:
    """Return a connector along a path of world points in metres, as an object whose bounds are those of its tube."""
    vertices = cord(name, path).vertices
    low, high = vertices.min(0), vertices.max(0)
    x, y, z = (round(float(value), 4) for value in ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]))
    width, depth, height = (round(float(extent), 4) for extent in high - low)
    own = tuple((round(px - x, 4), round(py - y, 4), round(pz - z, 4)) for px, py, pz in path)
    return ObjectSpec(name, colour, (x, y, z), (width, depth, height), path=own, joins=joins)
