"""Everything that is known of a rendered picture, pixel by pixel: what controls an image generator, and what checks it.

All passes show the upper left sample of a pixel, as depth and ids of ``datagen.render`` do, so that they agree.

Shapes: H, W picture; O objects of the scene; N samples showing an object.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from datagen.assets.catalogue import mesh_of
from datagen.rays import NORMALS
from datagen.render import Drawn, draw, silhouette
from datagen.staging import world_normals
from spatial.scene import Camera, Scene

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

Number = TypeVar("Number", bound=np.generic)

CREASE = np.float32(math.cos(math.radians(40)))
"""Neighbours whose normals are further apart have an edge between them."""

STEP = np.float32(0.02)
"""So do neighbours between which inverse depth changes by more than this share beyond its change beside them."""

GRAZING = np.float32(0.02)
"""A smoothed normal is turned until it faces the camera at least with this cosine."""


@dataclass(frozen=True)
class Passes:
    """The passes of one picture.

    Attributes:
        rgb: uint8 (H, W, 3).
        depth: float32 (H, W), metres along the viewing axis; inf in the sky and on the wall of a plain backdrop.
        ids: int16 (H, W), index of the object seen, -1 where there is none.
        parts: int16 (H, W), index into ``part_names`` of the part seen, -1 where there is no object.
        normals: float32 (H, W, 3), unit normals in world axes, facing the camera; 0 where depth is inf.
        amodal: bool (O, H, W), each object's mask as if it stood alone.
        edges: bool (H, W), lines at outlines, creases and steps in depth, on the nearer side.
        part_names: object index and part of each number in ``parts``; the body of an object is called "".
        camera: that the picture was taken with.
    """

    rgb: NDArray[np.uint8]
    depth: Image
    ids: NDArray[np.int16]
    parts: NDArray[np.int16]
    normals: Image
    amodal: Mask
    edges: Mask
    part_names: tuple[tuple[int, str], ...]
    camera: Camera


def render_passes(scene: Scene, supersample: int = 2) -> Passes:
    """Draw a scene with all passes.

    Args:
        scene: what to draw.
        supersample: samples per pixel and axis; with the one that made a dataset, ``rgb`` is the stored picture.

    Raises:
        ConfigError: an object, colour or material is not in the catalogue.
        ValueError: the floor texture is unknown.
    """
    drawn = draw(scene, supersample)
    shown = drawn.rendered
    parts, names = _parts(scene, drawn)
    normals = np.stack([_picked(axis, drawn) for axis in _normals(scene, drawn)], axis=-1)
    masks = [silhouette(scene, index, supersample) for index in range(len(scene.objects))]
    height, width = shown.ids.shape
    return Passes(
        rgb=shown.rgb,
        depth=shown.depth,
        ids=shown.ids,
        parts=_picked(parts, drawn),
        normals=normals,
        amodal=np.array(masks, np.bool_).reshape(len(masks), height, width),
        edges=edges(shown.depth, normals, shown.ids),
        part_names=names,
        camera=scene.camera,
    )


def edges(depth: Image, normals: Image, ids: NDArray[np.int16]) -> Mask:
    """Return a line map (H, W): where the object, the direction of the surface or its depth changes abruptly.

    Inverse depth grows evenly over a plane, whatever its slant; a step is where it changes more than on either side.
    Of two pixels with an edge between them, the nearer one is marked.

    Args:
        depth: (H, W) metres, inf where nothing is.
        normals: (H, W, 3), 0 where nothing is.
        ids: (H, W).
    """
    near = np.where(np.isfinite(depth), 1 / depth, 0).astype(np.float32)
    lines = np.zeros(depth.shape, np.bool_)
    _mark(lines, near, normals, ids)
    _mark(lines.T, near.T, normals.transpose(1, 0, 2), ids.T)
    return lines


def _mark(lines: Mask, near: Image, normals: Image, ids: NDArray[np.int16]) -> None:
    """Mark edges between neighbours in a row, in place."""
    change = near[:, 1:] - near[:, :-1]
    padded = np.abs(np.pad(change, ((0, 0), (1, 1)), mode="edge"))
    steady = np.minimum(padded[:, :-2], padded[:, 2:])
    step = np.abs(change) - steady > STEP * np.maximum(near[:, 1:], near[:, :-1])
    one, two = normals[:, :-1], normals[:, 1:]
    crease = one[..., 0] * two[..., 0] + one[..., 1] * two[..., 1] + one[..., 2] * two[..., 2] < CREASE
    nothing = (near[:, 1:] == 0) & (near[:, :-1] == 0)
    found = ((ids[:, 1:] != ids[:, :-1]) | crease | step) & ~nothing
    lines[:, 1:] |= found & (change > 0)
    lines[:, :-1] |= found & (change <= 0)


def _picked(fine: NDArray[Number], drawn: Drawn) -> NDArray[Number]:
    """Return the upper left sample of every pixel of a flat fine grid (cells,), as (H, W)."""
    height = drawn.rendered.ids.shape[0]
    step = drawn.rays.height // height
    return fine.reshape(drawn.rays.height, drawn.rays.width)[::step, ::step].copy()


def _parts(scene: Scene, drawn: Drawn) -> tuple[NDArray[np.int16], tuple[tuple[int, str], ...]]:
    """Return the part (cells,) that every sample shows, and what the numbers mean."""
    names: list[tuple[int, str]] = []
    numbers = []
    for index, spec in enumerate(scene.objects):
        known, number = np.unique(mesh_of(spec).parts, return_inverse=True)
        numbers.append(number + len(names))
        names += [(index, str(name)) for name in known]
    fine = np.full(drawn.plane.shape, -1, np.int16)
    if numbers:
        fine[drawn.seen.cell] = np.concatenate(numbers)[drawn.seen.triangle]
    return fine, tuple(names)


def _normals(scene: Scene, drawn: Drawn) -> tuple[Image, Image, Image]:
    """Return unit normals (cells,) along the three world axes."""
    fine = np.array(NORMALS, np.float32)[drawn.plane]
    seen, rays = drawn.seen, drawn.rays
    if len(seen.cell):
        corner = world_normals(scene)
        x, y, z = _unit(*(seen.blend(corner[axis], rays) for axis in range(3)))
        column, row = seen.cell % rays.width, seen.cell // rays.width
        away = _unit(rays.side[column], rays.away[row], rays.climb[row])
        # Normals are blended between corners: at an outline they can turn away although the surface does not.
        facing = x * away[0] + y * away[1] + z * away[2]
        back = np.maximum(facing + GRAZING, 0)
        turned = _unit(*(part - back * toward for part, toward in zip((x, y, z), away, strict=True)))
        for axis in range(3):
            fine[seen.cell, axis] = turned[axis]
    return fine[:, 0], fine[:, 1], fine[:, 2]


def _unit(x: Image, y: Image, z: Image) -> tuple[Image, Image, Image]:
    length = np.maximum(np.sqrt(x * x + y * y + z * z), np.float32(1e-6))
    return x / length, y / length, z / length
