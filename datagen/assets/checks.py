"""Hold what is declared of an object against its mesh: size, closed skin, cavity, support surface, parts.

Predicates and placing functions believe the declaration: a cup whose "cavity" is solid would make false records.
The same checks are run on the catalogue by its tests and on every mesh that a user brings.

All lengths are in the unit box that meshes are fitted to. Shapes: F triangles, P points, E edges.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from datagen.assets.asset import Asset, Cavity
from datagen.assets.cut import shells
from datagen.assets.primitives import Mesh, Points, fitted
from spatial.scene import Vector

PROPORTION = 0.02
"""Each bound of a mesh is in this proportion to the declared one."""

LEVEL, LEVEL_OF_LENGTH = 0.03, 0.01
"""A surface carries if it lies this near to the declared height: a share of the height, or of the largest extent."""

FLOOR = 0.2
"""The floor of a cavity lies at most this far below its box, which is inscribed in what may be round."""

CARRIED = 0.85
"""Share of the points of a support surface, or of a cavity's floor, that must be there; slats have gaps."""

CLEAR_BELOW = 0.7
"""Share of the middle of an object with room below that must be clear; a pole may stand in it."""

OPEN = 0.6
"""Share of a cavity's floor or back that is seen straight through its opening."""

ELONGATED, LONGEST = 1.25, 1.45
"""A footprint of the first aspect may have a long axis, one of the second must."""

GRID = 9
TOUCHING = 1e-3


def problems(asset: Asset, proportion: float = PROPORTION) -> Iterator[str]:
    """Yield what of an asset's declaration its mesh, whose skin has no fault, does not keep; "the mesh" is implied."""
    mesh = asset.builder()
    corners = fitted(mesh)[mesh.faces]
    yield from _size(mesh, asset, proportion)
    yield from _long_axis(asset)
    missing = [part for part in asset.parts if part not in mesh.parts]
    if missing:
        yield f"has no part {', '.join(missing)}"
    if asset.top >= 0:
        yield from _support(corners, asset)
    if asset.under > 0:
        yield from _room_below(corners, asset.under)
    if asset.cavity:
        yield from _cavity(corners, asset.cavity)


def fault_of_skin(mesh: Mesh) -> str:
    """Return why a mesh cannot be drawn, or an empty string: it must be finite, solid, closed, and face outwards."""
    if not len(mesh.faces):
        return "has no triangles"
    if not np.isfinite(mesh.vertices).all():
        return "has coordinates that are not finite numbers"
    used = mesh.vertices[mesh.faces]
    extent = used.max((0, 1)) - used.min((0, 1))
    if extent.min() <= 1e-6 * extent.max():
        return "is flat: it has no width, depth or height"
    unpaired = open_edges(mesh)
    if len(unpaired):
        return f"is not closed: {len(unpaired)} edges have a face on one side only, or two that face opposite ways"
    if any(volume(mesh, shell) < 0 for shell in shells(mesh)):
        return "is inside out in places"
    return ""


def open_edges(mesh: Mesh) -> NDArray[np.int64]:
    """Return the directed edges (E, 2) that more faces have than have the reverse; points at one place are one."""
    _, welded = np.unique(np.round(mesh.vertices, 7), axis=0, return_inverse=True)
    faces = welded.reshape(-1)[mesh.faces].astype(np.int64)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = edges[edges[:, 0] != edges[:, 1]]
    size = faces.max() + 1
    forward, backward = edges[:, 0] * size + edges[:, 1], edges[:, 1] * size + edges[:, 0]
    codes, places = np.unique(np.concatenate([forward, backward]), return_inverse=True)
    ahead, back = (np.bincount(part, minlength=len(codes)) for part in np.split(places.reshape(-1), 2))
    odd = codes[ahead > back]
    return np.stack([odd // size, odd % size], 1)


def volume(mesh: Mesh, shell: NDArray[np.int64]) -> float:
    """Return what a closed surface of some faces encloses, negative where they face inwards."""
    a, b, c = (mesh.vertices[mesh.faces[shell, corner]] - mesh.vertices[0] for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def _size(mesh: Mesh, asset: Asset, proportion: float) -> Iterator[str]:
    extent = mesh.vertices.max(0) - mesh.vertices.min(0)
    ratio = extent / np.array(asset.size)
    ratio /= np.median(ratio)
    if np.abs(ratio - 1).max() > proportion:
        own = extent * (max(asset.size) / extent.max())
        told, shown = (" x ".join(f"{length:.4g}" for length in sides) for sides in (asset.size, own))
        yield f"is not in the proportions of its size {told}; as tall, wide and deep as itself it would be {shown}"


def _long_axis(asset: Asset) -> Iterator[str]:
    """A long axis is that of a footprint; what stands upright, as a person does, need not have one."""
    width, depth, height = asset.size
    aspect = max(width, depth) / min(width, depth)
    if asset.long_axis >= 0 and (aspect < ELONGATED or asset.size[asset.long_axis] < max(width, depth)):
        yield f"has no long axis {asset.long_axis}: its footprint is {width:.3g} x {depth:.3g} metres"
    if asset.long_axis < 0 and aspect >= LONGEST and height < 0.9 * max(width, depth):
        yield f"is longer along axis {int(depth > width)}, which is not declared as its long_axis"


def _support(corners: Points, asset: Asset) -> Iterator[str]:
    x0, y0, x1, y1 = asset.surface
    level = max(LEVEL, LEVEL_OF_LENGTH * max(asset.size) / asset.size[2])
    above = np.nanmax(_crossings(corners, _grid((x0, y0), (x1, y1)), 2), axis=1, initial=-1.0) - asset.top
    carried = float((np.abs(above) <= level).mean())
    if carried < CARRIED:
        yield (
            f"carries at {asset.top:.3g} of its height under {carried:.0%} of its surface {list(asset.surface)} alone; "
            "declare a smaller one or another top"
        )
    if above.max() > level:
        highest = above.max() + asset.top
        yield f"rises to {highest:.3g} of its height above its surface at {asset.top:.3g}; declare the flat part"


def _room_below(corners: Points, under: float) -> Iterator[str]:
    lowest = np.nanmin(_crossings(corners, _grid((-0.3, -0.3), (0.3, 0.3)), 2), axis=1, initial=2.0)
    free = float((lowest >= under - LEVEL).mean())
    if free < CLEAR_BELOW:
        yield f"has something below {under:.3g} of its height over {1 - free:.0%} of its middle"


def _cavity(corners: Points, cavity: Cavity) -> Iterator[str]:
    low, high = np.array(cavity.low), np.array(cavity.high)
    inside = boxes_hit(corners, low + TOUCHING, high - TOUCHING)
    if inside.any():
        yield f"has {inside.sum()} triangles in its cavity"
    if cavity.opening in ("through", "ring"):
        return
    points = _grid((cavity.low[0], cavity.low[1]), (cavity.high[0], cavity.high[1]))
    heights = _crossings(corners, points, 2)
    below = np.nanmax(np.where(heights <= low[2] + TOUCHING, heights, np.nan), axis=1, initial=-1.0)
    floor = float((below >= low[2] - FLOOR).mean())
    if floor < CARRIED:
        yield f"has a floor under {floor:.0%} of its cavity alone"
    clear = float(_seen(corners, cavity).mean())
    if clear < OPEN:
        yield f"hides its cavity: {clear:.0%} of it is seen through the {cavity.opening}"


def _seen(corners: Points, cavity: Cavity) -> NDArray[np.bool_]:
    """Tell of points on the far side of a cavity whether nothing is between them and the outside of its opening."""
    if cavity.opening == "top":
        points = _grid(cavity.low[:2], cavity.high[:2])
        between = _crossings(corners, points, 2) > cavity.low[2] + TOUCHING
    else:
        points = _grid((cavity.low[0], cavity.low[2]), (cavity.high[0], cavity.high[2]))
        between = _crossings(corners, points, 1) < cavity.high[1] - TOUCHING
    hidden = np.logical_or.reduce(between, axis=1)
    return np.logical_not(hidden)


def _grid(low: tuple[float, float], high: tuple[float, float]) -> Points:
    """Return (P, 2) points over a rectangle, those at its rim a twentieth inside."""
    share = np.linspace(0.05, 0.95, GRID)
    # An irrational offset keeps points off the edges of regular meshes, where a ray would cross two faces or none.
    first, second = (low[k] + (high[k] - low[k]) * (share + 1e-3 * (k + 0.618)) for k in range(2))
    return np.stack(np.meshgrid(first, second), -1).reshape(-1, 2)


def _crossings(corners: Points, points: Points, axis: int) -> Points:
    """Return (P, F) where lines along an axis cross triangles (F, 3, 3), NaN where they do not."""
    u, v = (k for k in range(3) if k != axis)
    (ax, bx, cx), (ay, by, cy) = (corners[:, :, k].T for k in (u, v))
    x, y = points[:, :1], points[:, 1:]
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    with np.errstate(divide="ignore", invalid="ignore"):
        second = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        third = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        inside = (second >= 0) & (third >= 0) & (second + third <= 1)
        a, b, c = corners[:, :, axis].T
        crossed: Points = np.where(inside, a + second * (b - a) + third * (c - a), np.nan)
    return crossed


def boxes_hit(corners: Points, low: Points | Vector, high: Points | Vector) -> NDArray[np.bool_]:
    """Tell of triangles (F, 3, 3) whether they reach into a box, by separating axes (Akenine-Möller 2001)."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    half = (high - low) / 2
    points = corners - (low + high) / 2
    edges = np.roll(points, -1, axis=1) - points
    hit = np.ones(len(corners), bool)
    normals = np.cross(edges[:, 0], edges[:, 1])[:, None]
    crossed = [np.cross(edges, axis) for axis in np.eye(3)]
    for axes in (np.broadcast_to(np.eye(3), (len(corners), 3, 3)), normals, *crossed):
        for k in range(axes.shape[1]):
            along = (points * axes[:, k : k + 1]).sum(2)
            reach = (np.abs(axes[:, k]) * half).sum(1)
            hit &= (along.min(1) <= reach) & (along.max(1) >= -reach)
    return hit
