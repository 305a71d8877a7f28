"""Turn triangles into pixels: for every sample of a grid, which triangle lies nearest.

All triangles are filled at once, without a Python loop: each is cut into the spans it covers on each row, each span
into samples, and the nearest sample wins by one ``maximum.at``. Edges run from their lower to their upper end whatever
the triangle they belong to, so that two triangles that share an edge compute the same crossing and leave no gap. Only
elementwise arithmetic is used, never ``@``: results do not depend on the BLAS kernel or the number of threads.

Shapes: T triangles, S spans, N covered samples; grids are (height, width).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FLAT = 1e-9


@dataclass(frozen=True)
class Fragments:
    """Samples covered by triangles, several per grid cell where triangles overlap.

    Attributes:
        cell: (N,) flat index into the grid.
        nearness: (N,) value of the interpolated quantity, larger is nearer.
        triangle: (N,) index of the triangle.
    """

    cell: NDArray[np.int64]
    nearness: NDArray[np.float32]
    triangle: NDArray[np.int64]


def fragments(x: Floats, y: Floats, nearness: Floats, width: int, height: int) -> Fragments:
    """Return every sample that lies inside a triangle that is wound counter-clockwise to the eye (rows grow downwards).

    Args:
        x: (3, T) columns of the three corners; sample centres are at integers + 0.5.
        y: (3, T) rows.
        nearness: (3, T) a positive quantity that is affine over the grid (1 / depth under perspective).
        width: columns of the grid.
        height: rows of the grid.
    """
    # Outside to the left means that no corner lies right of column 0, and so on; reducing three rows is slower.
    inside = ((x[0] > 0) | (x[1] > 0) | (x[2] > 0)) & ((x[0] < width) | (x[1] < width) | (x[2] < width))
    inside &= ((y[0] > 0) | (y[1] > 0) | (y[2] > 0)) & ((y[0] < height) | (y[1] < height) | (y[2] < height))
    kept = np.flatnonzero(inside & (_area(x, y) < -FLAT))
    x, y, nearness = x[:, kept], y[:, kept], nearness[:, kept]
    grad_x, grad_y = slopes(x, y, nearness)
    origin = nearness[0] + grad_x * (0.5 - x[0]) + grad_y * (0.5 - y[0])

    which, row, left, right = _spans(x, y, height)
    start = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
    stop = np.clip(np.ceil(right - 0.5), 0, width).astype(np.int64)
    used = np.flatnonzero(stop > start)
    which, row, start, stop = which[used], row[used], start[used], stop[used]
    lengths = stop - start
    before = np.cumsum(lengths) - lengths
    span = np.repeat(np.arange(len(used)), lengths)
    index = np.arange(len(span))
    first = origin[which] + grad_x[which] * start + grad_y[which] * row
    step = (index - before[span]).astype(np.float32)
    value = first.astype(np.float32)[span] + grad_x[which].astype(np.float32)[span] * step
    return Fragments(index + (row * width + start - before)[span], value, kept[which][span])


def nearest(found: Fragments, cells: int) -> Fragments:
    """Keep the nearest sample of every covered cell of a grid of ``cells`` cells, in the order of the cells.

    Both values are packed into one integer (positive floats sort like their bits): ties always fall the same way.
    """
    keys = np.zeros(cells, np.int64)
    packed = np.maximum(found.nearness, np.float32(1e-9)).view(np.int32).astype(np.int64)
    packed <<= 32
    packed |= found.triangle
    np.maximum.at(keys, found.cell, packed)
    cell = np.flatnonzero(keys)
    keys = keys[cell]
    return Fragments(cell, (keys >> 32).astype(np.int32).view(np.float32), keys & 0xFFFFFFFF)


def slopes(x: Floats, y: Floats, value: Floats) -> tuple[Floats, Floats]:
    """Return how fast ``value`` (3, T) at the corners grows along x and y, (T,) each; 0 for a triangle seen edge-on."""
    area = _area(x, y)
    area = np.where(np.abs(area) > FLAT, area, np.inf)
    first, second = value[1] - value[0], value[2] - value[0]
    along_x = (first * (y[2] - y[0]) - second * (y[1] - y[0])) / area
    along_y = (second * (x[1] - x[0]) - first * (x[2] - x[0])) / area
    return along_x, along_y


def _area(x: Floats, y: Floats) -> Floats:
    """Return twice the signed area (T,), negative for triangles wound counter-clockwise to the eye."""
    area: Floats = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    return area


def _spans(x: Floats, y: Floats, height: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    """Cut triangles into rows: return (S,) triangle, row, left and right crossing of the row's centre line."""
    order = np.argsort(y, axis=0, kind="stable")
    x, y = np.take_along_axis(x, order, 0), np.take_along_axis(y, order, 0)
    count = x.shape[1]
    # Edges of each triangle: lower half, upper half, long side; each from its lower to its upper end.
    low, high = np.concatenate([y[0], y[1], y[0]]), np.concatenate([y[1], y[2], y[2]])
    base, reach = np.concatenate([x[0], x[1], x[0]]), np.concatenate([x[1], x[2], x[2]])
    slope = (reach - base) / np.maximum(high - low, 1e-12)

    top = np.clip(np.ceil(y[0] - 0.5), 0, height).astype(np.int64)
    rows = np.clip(np.ceil(y[2] - 0.5), 0, height).astype(np.int64) - top
    which = np.repeat(np.arange(count), rows)
    row = np.arange(len(which)) + (top - (np.cumsum(rows) - rows))[which]
    centre = row + 0.5
    short = which + count * (centre >= y[1][which])
    long = which + 2 * count
    one = base[short] + (centre - low[short]) * slope[short]
    two = base[long] + (centre - low[long]) * slope[long]
    return which, row, np.minimum(one, two), np.maximum(one, two)
