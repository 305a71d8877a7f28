"""The objects a scene can hold, each a few numbers and a builder: the library, and those of users.

An asset's mesh is built once, fitted exactly to the unit box (footprint centred on the origin, z from 0 to 1, front
towards -y) and cached; ``ObjectSpec.size`` stretches it, so that a mesh's bounds are the declared size by construction.
Adding an object is one builder function and one line in its theme's ``ASSETS``; a user's meshes join for a run
(``stocked``, ``datagen.assets.folder``).

Shapes: F triangles.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from datagen.assets import (
    animals,
    belongings,
    food,
    furniture,
    household,
    kitchen,
    people,
    rooms,
    tools,
    transport,
    vehicles,
    wildlife,
)
from datagen.assets.asset import Asset
from datagen.assets.cord import cord
from datagen.assets.cut import comes_off, cut
from datagen.assets.primitives import Mesh, fitted
from spatial.errors import ConfigError, nearest
from spatial.scene import ObjectSpec, Vector
from spatial.vocabulary import PARTS

CREASE_DEGREES = 50.0
BASE_HEIGHT = 0.15
LARGE_PART = 0.05


@dataclass(frozen=True)
class UnitMesh:
    """A mesh fitted to the unit box, ready to place.

    Attributes:
        corners: (3 axes, 3 corners, F) coordinates of every triangle's corners.
        normals: (3 axes, 3 corners, F) normals there, smooth within creases, for the unit box as the object's size.
        slots: (F,) paint slot of every triangle.
        parts: (F,) part that every triangle belongs to, such as "wheel"; empty for the body.
        base: x and y half-extents, in the unit box, of what is near the floor (a plant's pot, not its leaves).
    """

    corners: NDArray[np.float32]
    normals: NDArray[np.float32]
    slots: NDArray[np.int64]
    parts: NDArray[np.str_]
    base: tuple[float, float]


CORE_THEMES = (animals, furniture, household, vehicles)
THEMES = (*CORE_THEMES, belongings, food, kitchen, people, rooms, transport, wildlife)

LIBRARY: dict[str, Asset] = {asset.name: asset for theme in THEMES for asset in theme.ASSETS}
"""Every object that there is a builder for."""

CORE = tuple(asset.name for theme in CORE_THEMES for asset in theme.ASSETS)
"""The sixteen nouns that the shipped models know."""

ASSETS: dict[str, Asset] = dict(LIBRARY)
"""The objects that scenes can be drawn of: the library, and what ``stocked`` adds to it."""

TOOLS: dict[str, Asset] = {asset.name: asset for asset in tools.ASSETS}
"""Assets that only the relations which need them draw."""

Cached = TypeVar("Cached", bound=Callable[..., Any])

_REMEMBERED: list[Any] = []

OFF = " without "
"""Joins a whole and a part in the key of what is left: ``"cup without handle"``; the part is ``"cup/handle"``."""


def remembered(function: Cached) -> Cached:
    """Cache a function for as long as the catalogue stays the same (a decorator)."""
    cached = cache(function)
    _REMEMBERED.append(cached)
    return cached  # type: ignore[return-value]


def stock(assets: Iterable[Asset]) -> None:
    """Add assets to those that are drawn; one of a known name takes its place."""
    ASSETS.update({it.name: it for it in assets})
    for cached in _REMEMBERED:
        cached.cache_clear()


@contextmanager
def stocked(assets: Iterable[Asset]) -> Iterator[None]:
    """Add assets to those that are drawn until the block ends."""
    before = dict(ASSETS)
    stock(assets)
    try:
        yield
    finally:
        ASSETS.clear()
        stock(before.values())


def asset(name: str) -> Asset:
    """Return the asset of this name, or of this key of a part taken off or of what is left without it.

    Raises:
        ConfigError: there is no such asset.
    """
    if "/" in name or OFF in name:
        return _taken_apart(name)
    for shelf in (ASSETS, LIBRARY, TOOLS):
        if name in shelf:
            return shelf[name]
    known = {**ASSETS, **LIBRARY, **TOOLS}
    raise ConfigError(
        f"no asset draws {name!r}{nearest(name, known)}; known: {', '.join(known)}; your own need --assets DIR"
    )


def is_own(name: str) -> bool:
    """Tell whether the object drawn under this name is a user's, not the library's."""
    return name in ASSETS and ASSETS[name] is not LIBRARY.get(name)


@remembered
def part_keys() -> tuple[tuple[str, str], ...]:
    """Return the key and the whole of every part that comes off in one piece, such as ``("cup/handle", "cup")``."""
    return tuple(
        (f"{name}/{part}", name)
        for name in sorted(ASSETS)
        for part in ASSETS[name].parts
        if part in PARTS and comes_off(ASSETS[name].builder(), part) and _is_large(f"{name}/{part}", ASSETS[name].size)
    )


def _is_large(key: str, size: Vector) -> bool:
    """Tell whether a part shows at least 0.05 of what its whole shows, each from its broadest side."""
    low, high = part_box(key)
    part = [(top - bottom) * extent for bottom, top, extent in zip(low, high, size, strict=True)]
    return math.prod(sorted(part)[1:]) >= LARGE_PART * math.prod(sorted(size)[1:])


def part_box(key: str) -> tuple[Vector, Vector]:
    """Return the low and high corner of a part such as ``"cup/handle"`` in its whole's unit box."""
    whole, part = key.split("/")
    mesh = ASSETS[whole].builder()
    piece, _ = cut(mesh, part)
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    corners = [(ends - low) / (high - low) - np.array([0.5, 0.5, 0.0]) for ends in _bounds(piece)]
    (x0, y0, z0), (x1, y1, z1) = (corner.tolist() for corner in corners)
    return (x0, y0, z0), (x1, y1, z1)


@remembered
def _taken_apart(key: str) -> Asset:
    whole, part = key.split("/" if "/" in key else OFF)
    it = asset(whole)
    if part not in it.parts:
        raise ConfigError(f"a {whole} has no part {part!r} (any more); known: {', '.join(it.parts) or 'none'}")
    piece, rest = cut(it.builder(), part)
    if OFF in key:
        return replace(it, builder=lambda: rest)
    low, high = _bounds(piece)
    width, depth, height = (high - low).tolist()
    return Asset(part, lambda: piece, (width, depth, height))


def _bounds(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return mesh.vertices.min(0), mesh.vertices.max(0)


def toy_size(name: str) -> Vector:
    """Return the width, depth and height in metres at toy scale, in the asset's realistic proportions.

    Real sizes differ 60-fold, which no single picture can hold; the fourth root of the largest dimension keeps their
    order (a cup is about 0.33 m, a bus about 0.93 m). Furniture is boosted so that small things fit on and under it.
    """
    it = asset(name)
    scale = 0.57 * it.toy_boost * max(it.size) ** 0.25 / max(it.size)
    return (it.size[0] * scale, it.size[1] * scale, it.size[2] * scale)


def unit_mesh(name: str) -> UnitMesh:
    """Return the cached mesh of an asset, fitted to x, y in -0.5..0.5 and z in 0..1.

    Raises:
        ConfigError: there is no such asset.
    """
    return _unit_mesh(asset(name))


@lru_cache(maxsize=1024)
def _unit_mesh(it: Asset) -> UnitMesh:
    return _fitted(it.builder(), it.size)


def mesh_of(spec: ObjectSpec) -> UnitMesh:
    """Return the mesh of a placed object: its asset's, or a tube along its own path.

    Raises:
        ConfigError: there is no such asset.
    """
    return _cord_mesh(spec.name, spec.path, spec.size) if spec.path else unit_mesh(spec.mesh or spec.name)


@lru_cache(maxsize=64)
def _cord_mesh(name: str, path: tuple[Vector, ...], size: Vector) -> UnitMesh:
    return _fitted(cord(name, path), size)


def _fitted(mesh: Mesh, size: Vector) -> UnitMesh:
    unit = fitted(mesh)
    # Creases are judged at realistic proportions; a normal then stretches inversely to its surface.
    normals = corner_normals(replace(mesh, vertices=unit * np.array(size))) * np.array(size)
    corners = np.ascontiguousarray(unit[mesh.faces].transpose(2, 1, 0), np.float32)
    low_points = np.abs(unit[unit[:, 2] < BASE_HEIGHT])
    base = (float(low_points[:, 0].max()), float(low_points[:, 1].max()))
    return UnitMesh(corners, np.ascontiguousarray(normals.transpose(2, 1, 0), np.float32), mesh.slots, mesh.parts, base)


def corner_normals(mesh: Mesh) -> NDArray[np.float64]:
    """Return (F, 3 corners, 3) unit normals: the area-weighted mean over the neighbours within the crease angle."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    areas = np.cross(b - a, c - a)
    flat = areas / np.sqrt((areas * areas).sum(1, keepdims=True))
    _, welded = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    at_vertex = welded.reshape(-1)[mesh.faces].reshape(-1)
    # Every corner (one row of at_vertex) is paired with all corners at its vertex, in the order of their faces.
    degree = np.bincount(at_vertex)
    order, starts = np.argsort(at_vertex, kind="stable"), np.cumsum(degree) - degree
    lengths = degree[at_vertex]
    corner = np.repeat(np.arange(len(at_vertex)), lengths)
    within = np.arange(len(corner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    near = order[starts[at_vertex[corner]] + within] // 3
    smooth = (flat[corner // 3] * flat[near]).sum(1) > math.cos(math.radians(CREASE_DEGREES))
    corner, near = corner[smooth], near[smooth]
    sums = [np.bincount(corner, weights=areas[near, axis], minlength=len(at_vertex)) for axis in range(3)]
    totals = np.stack(sums, axis=1)
    normals: NDArray[np.float64] = totals / np.sqrt((totals * totals).sum(1, keepdims=True))
    return normals.reshape(-1, 3, 3)
