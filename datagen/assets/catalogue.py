"""The sixteen objects a scene can hold, each a few numbers and a builder.

An asset's mesh is built once, fitted exactly to the unit box (footprint centred on the origin, z from 0 to 1, front
towards -y) and cached; ``ObjectSpec.size`` stretches it, so that a mesh's bounds are the declared size by construction.
Adding an object is one builder function and one line in ``ASSETS``.

Shapes: F triangles.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from datagen.assets import animals, furniture, household, vehicles
from datagen.assets.primitives import Mesh
from spatial.errors import ConfigError, nearest
from spatial.scene import Vector

CREASE_DEGREES = 50.0
BASE_HEIGHT = 0.15


@dataclass(frozen=True)
class Asset:
    """A kind of object.

    Attributes:
        name: COCO noun.
        builder: returns the mesh in any scale, front towards -y.
        size: realistic width, depth and height in metres.
        has_front: whether it faces somewhere.
        long_axis: 0 or 1 for the own x or y axis where it is elongated, else -1.
        top: height of the support surface as a fraction of the height; -1 where nothing can stand on it.
        under: clear height below the body as a fraction of the height; 0 where there is none.
        toy_boost: factor on the toy size, above 1 for furniture that other objects must fit on or under.
    """

    name: str
    builder: Callable[[], Mesh]
    size: Vector
    has_front: bool = False
    long_axis: int = -1
    top: float = -1.0
    under: float = 0.0
    toy_boost: float = 1.0


@dataclass(frozen=True)
class UnitMesh:
    """A mesh fitted to the unit box, ready to place.

    Attributes:
        corners: (3 axes, 3 corners, F) coordinates of every triangle's corners.
        normals: (3 axes, 3 corners, F) normals there, smooth within creases, for the unit box as the object's size.
        slots: (F,) paint slot of every triangle.
        base: x and y half-extents, in the unit box, of what is near the floor (a plant's pot, not its leaves).
    """

    corners: NDArray[np.float32]
    normals: NDArray[np.float32]
    slots: NDArray[np.int64]
    base: tuple[float, float]


ASSETS: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset("cup", household.cup, (0.118, 0.088, 0.10)),
        Asset("bottle", household.bottle, (0.078, 0.078, 0.28)),
        Asset("book", household.book, (0.184, 0.245, 0.058), long_axis=1, top=0.965),
        Asset("laptop", household.laptop, (0.34, 0.29, 0.235), has_front=True),
        Asset("chair", furniture.chair, (0.46, 0.47, 0.94), has_front=True, top=0.50, under=0.44, toy_boost=1.75),
        Asset("couch", furniture.couch, (1.84, 0.85, 0.83), has_front=True, long_axis=0, top=0.54, toy_boost=1.6),
        Asset(
            "bench",
            furniture.bench,
            (1.5, 0.55, 0.86),
            has_front=True,
            long_axis=0,
            top=0.51,
            under=0.43,
            toy_boost=1.9,
        ),
        Asset(
            "dining table", furniture.dining_table, (1.4, 0.9, 0.75), long_axis=0, top=1.0, under=0.84, toy_boost=2.0
        ),
        Asset("car", vehicles.car, (1.86, 4.38, 1.48), has_front=True, long_axis=1, top=1.0),
        Asset("bus", vehicles.bus, (2.45, 7.0, 3.0), has_front=True, long_axis=1),
        Asset("dog", animals.dog, (0.32, 0.98, 0.72), has_front=True, long_axis=1),
        Asset("cat", animals.cat, (0.31, 0.39, 0.51), has_front=True),
        Asset("potted plant", household.potted_plant, (0.56, 0.56, 0.84)),
        Asset("suitcase", household.suitcase, (0.48, 0.29, 0.84), long_axis=0, top=0.78),
        Asset("tv", household.tv, (1.1, 0.26, 0.78), has_front=True, long_axis=0),
        Asset("teddy bear", animals.teddy_bear, (0.41, 0.34, 0.445), has_front=True),
    )
}


def asset(name: str) -> Asset:
    """Return the asset of this name.

    Raises:
        ConfigError: there is no such asset.
    """
    if name not in ASSETS:
        raise ConfigError(f"no asset draws {name!r}{nearest(name, ASSETS)}; known: {', '.join(ASSETS)}")
    return ASSETS[name]


def toy_size(name: str) -> Vector:
    """Return the width, depth and height in metres at toy scale, in the asset's realistic proportions.

    Real sizes differ 60-fold, which no single picture can hold; the fourth root of the largest dimension keeps their
    order (a cup is about 0.33 m, a bus about 0.93 m). Furniture is boosted so that small things fit on and under it.
    """
    it = asset(name)
    scale = 0.57 * it.toy_boost * max(it.size) ** 0.25 / max(it.size)
    return (it.size[0] * scale, it.size[1] * scale, it.size[2] * scale)


@cache
def unit_mesh(name: str) -> UnitMesh:
    """Return the cached mesh of an asset, fitted to x, y in -0.5..0.5 and z in 0..1.

    Raises:
        ConfigError: there is no such asset.
    """
    it = asset(name)
    mesh = it.builder()
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    unit = (mesh.vertices - low) / (high - low) - np.array([0.5, 0.5, 0.0])
    # Creases are judged at realistic proportions; a normal then stretches inversely to its surface.
    normals = corner_normals(Mesh(unit * np.array(it.size), mesh.faces, mesh.slots)) * np.array(it.size)
    corners = np.ascontiguousarray(unit[mesh.faces].transpose(2, 1, 0), np.float32)
    low_points = np.abs(unit[unit[:, 2] < BASE_HEIGHT])
    base = (float(low_points[:, 0].max()), float(low_points[:, 1].max()))
    return UnitMesh(corners, np.ascontiguousarray(normals.transpose(2, 1, 0), np.float32), mesh.slots, base)


def corner_normals(mesh: Mesh) -> NDArray[np.float64]:
    """Return (F, 3 corners, 3) unit normals: the area-weighted mean over the neighbours within the crease angle."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    areas = np.cross(b - a, c - a)
    flat = areas / np.sqrt((areas * areas).sum(1, keepdims=True))
    _, welded = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    faces_at: dict[int, list[int]] = {}
    for face, corners in enumerate(welded.reshape(-1)[mesh.faces].tolist()):
        for corner in corners:
            faces_at.setdefault(corner, []).append(face)
    normals = np.empty((len(mesh.faces), 3, 3))
    threshold = math.cos(math.radians(CREASE_DEGREES))
    for face, corners in enumerate(welded.reshape(-1)[mesh.faces].tolist()):
        for k, corner in enumerate(corners):
            near = np.array(faces_at[corner])
            smooth = (flat[near] * flat[face]).sum(1) > threshold
            total = areas[near[smooth]].sum(0)
            normals[face, k] = total / math.sqrt((total * total).sum())
    return normals
