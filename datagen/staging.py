"""Place the meshes of a scene in the world and work out how much light reaches each triangle corner.

Shapes: T triangles of all objects together, O objects, N samples.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.assets.catalogue import UnitMesh, mesh_of
from datagen.assets.palette import LIGHT, paint
from datagen.shadow import unit
from spatial.scene import ObjectSpec, Scene, Vector

Floats = NDArray[np.float64]
Image = NDArray[np.float32]


GROUND_SHADE, GROUND_REACH = 0.25, 0.15
"""In rooms and outdoors, light from all around is dimmed by this share close to the floor, within these metres."""

VEIL, POLISH = 0.05, 0.05
"""In rooms and outdoors every surface reflects this share of white beside its colour, and a polished one this much
more, so that black things show their form."""

RIM, HIGHLIGHT = 0.16, 0.30
"""How bright the outline and the highlight of a polished surface are."""

FIXED_STRENGTH = 0.25
"""Paints that do not take the object's colour (glass, steel) show this share of its pattern."""


@dataclass(frozen=True)
class Stage:
    """All triangles of a scene, lit but not yet seen.

    Attributes:
        corners: (3 corners, 3 axes, T) world metres.
        colours: (3 channels, T) RGB in 0..1.
        ambient: (3 corners, T) light that no shadow takes away.
        direct: (3 corners, T) light of the main light.
        shine: (3 corners, T) white light that is reflected beside the colour; ``None`` where nothing is polished.
        facing: (T,) axis 0, 1 or 2 of the object's own frame that a triangle faces most.
        patterned: (T,) strength of its object's pattern.
        owner: (T,) object index.
        objects: (5, O) cos and sin of the yaw and x, y, z of every object, for textures that turn with it.
    """

    corners: Floats
    colours: Image
    ambient: Image
    direct: Image
    shine: Image | None
    facing: NDArray[np.int8]
    patterned: Image
    owner: NDArray[np.int16]
    objects: Image

    def surface(self, world: tuple[Image, Image, Image], owner: NDArray[np.int16]) -> tuple[Image, Image]:
        """Return texture coordinates (N,), (N,) in metres of world points, in their object's own frame.

        The two axes are oblique so that floors, fronts and sides of an object all cross the texture.
        """
        x, y, z = self.own(world, owner)
        u = x + z * np.float32(0.43)
        v: Image = y + z * np.float32(0.86) + owner.astype(np.float32)
        return u, v

    def own(self, world: tuple[Image, Image, Image], owner: NDArray[np.int16] | int) -> tuple[Image, Image, Image]:
        """Return world points (N,) in metres in their object's own frame."""
        cos, sin, x0, y0, z0 = self.objects[:, owner]
        x, y, z = world[0] - x0, world[1] - y0, world[2] - z0
        return x * cos + y * sin, y * cos - x * sin, z


def stage(scene: Scene) -> Stage:
    """Place every object of a scene.

    Raises:
        ConfigError: an object or colour is not in the catalogue.
    """
    if not scene.objects:
        empty = np.zeros((3, 0), np.float32)
        none = np.zeros(0, np.int16)
        return Stage(
            np.zeros((3, 3, 0)),
            empty,
            empty,
            empty,
            None,
            none.astype(np.int8),
            empty[0],
            none,
            np.zeros((5, 0), np.float32),
        )
    meshes = [mesh_of(spec) for spec in scene.objects]
    parts = [_place(spec, mesh, scene) for spec, mesh in zip(scene.objects, meshes, strict=True)]
    corners, colours, ambient, direct, facing, patterned = (
        np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)
    )
    shine = None
    if any(spec.gloss for spec in scene.objects):
        shine = np.concatenate(
            [_shine(spec, mesh, scene, part[0]) for spec, mesh, part in zip(scene.objects, meshes, parts, strict=True)],
            axis=-1,
        )
    owner = np.repeat(np.arange(len(parts), dtype=np.int16), [part[1].shape[1] for part in parts])
    poses = [(*_turn(o), *o.position) for o in scene.objects]
    objects = np.array(poses, np.float32).T.copy()
    return Stage(corners, colours, ambient, direct, shine, facing, patterned, owner, objects)


def world_normals(scene: Scene) -> Image:
    """Return the unit normals (3 axes, 3 corners, T) of all triangle corners, in the order of ``stage``."""
    turned = []
    for spec in scene.objects:
        x, y, z = _normals(spec, mesh_of(spec))
        cos, sin = (np.float32(value) for value in _turn(spec))
        turned.append(np.stack([x * cos - y * sin, x * sin + y * cos, z]))
    return np.concatenate(turned, axis=-1) if turned else np.zeros((3, 3, 0), np.float32)


def _turn(spec: ObjectSpec) -> tuple[float, float]:
    return math.cos(math.radians(spec.yaw)), math.sin(math.radians(spec.yaw))


def _normals(spec: ObjectSpec, mesh: UnitMesh) -> list[Image]:
    """Return unit normals (3 corners, T) along x, y and z of an object's own frame.

    Normals of a stretched mesh stretch the other way.
    """
    stretched = [mesh.normals[axis] * np.float32(1 / spec.size[axis]) for axis in range(3)]
    length = np.sqrt(stretched[0] ** 2 + stretched[1] ** 2 + stretched[2] ** 2)
    return [component / length for component in stretched]


def _facing(spec: ObjectSpec, normals: list[Image]) -> Callable[[Vector], Image]:
    """Return a function that gives the cosine (3 corners, T) between normals and a world direction.

    The direction is turned into the object's frame instead of the normals into the world's.
    """
    cos, sin = _turn(spec)

    def facing(direction: Vector) -> Image:
        dx, dy, dz = unit(direction)
        found: Image = normals[0] * (dx * cos + dy * sin) + normals[1] * (dy * cos - dx * sin) + normals[2] * dz
        return found

    return facing


def _place(
    spec: ObjectSpec, mesh: UnitMesh, scene: Scene
) -> tuple[Floats, Image, Image, Image, NDArray[np.int8], Image]:
    """Return corners (3, 3, T), colours (3, T), ambient (3, T), direct light (3, T), facing and pattern (T,)."""
    cos, sin = _turn(spec)
    x, y, z = (mesh.corners[axis] * spec.size[axis] for axis in range(3))
    px, py, pz = spec.position
    corners = np.stack([x * cos - y * sin + px, x * sin + y * cos + py, z + pz], axis=1)
    normals = _normals(spec, mesh)
    facing = _facing(spec, normals)

    def lambert(direction: Vector, strength: float) -> Image:
        lit: Image = np.maximum(facing(direction), 0).astype(np.float32) * np.float32(strength)
        return lit

    # The sky is brighter than the floor's reflection, which keeps form visible inside shadows.
    low, high = (0.72, 0.28) if scene.backdrop.is_place else (0.82, 0.18)
    ambient = (np.float32(low) + np.float32(high) * normals[2]) * np.float32(scene.ambient)
    if scene.backdrop.is_place:
        near = np.maximum(1 - (z + np.float32(pz)) * np.float32(1 / GROUND_REACH), 0)
        ambient *= 1 - np.float32(GROUND_SHADE) * near
    for light in scene.lights[1:]:
        ambient = ambient + lambert(light.direction, light.strength)
    first = scene.lights[:1]
    direct = lambert(first[0].direction, first[0].strength) if first else np.zeros_like(ambient)
    colours = paint(spec.colour, mesh.slots).T
    if scene.backdrop.is_place or spec.gloss:
        colours = colours + (1 - colours) * np.float32(VEIL * scene.backdrop.is_place + POLISH * spec.gloss)
    total = np.stack([np.abs(part[0] + part[1] + part[2]) for part in normals])
    patterned = np.where(mesh.slots <= LIGHT, np.float32(1), np.float32(FIXED_STRENGTH))
    return corners, colours, ambient.astype(np.float32), direct, total.argmax(0).astype(np.int8), patterned


def _shine(spec: ObjectSpec, mesh: UnitMesh, scene: Scene, corners: Floats) -> Image:
    """Return the white reflection (3 corners, T): a highlight of the main light and a brighter outline."""
    normals = _normals(spec, mesh)
    cos, sin = _turn(spec)
    view = [np.float32(scene.camera.origin[axis]) - corners[:, axis].astype(np.float32) for axis in range(3)]
    length = np.sqrt(view[0] ** 2 + view[1] ** 2 + view[2] ** 2)
    x, y, z = (part / length for part in view)
    facing = normals[0] * (x * cos + y * sin) + normals[1] * (y * cos - x * sin) + normals[2] * z
    away = 1 - np.clip(facing, 0, 1)
    shine = np.float32(RIM) * away * away * away * (np.float32(0.6) + np.float32(0.4) * normals[2])
    if scene.lights:
        dx, dy, dz = unit(scene.lights[0].direction)
        x, y, z = x + np.float32(dx), y + np.float32(dy), z + np.float32(dz)
        length = np.maximum(np.sqrt(x**2 + y**2 + z**2), np.float32(1e-6))
        half = normals[0] * (x * cos + y * sin) + normals[1] * (y * cos - x * sin) + normals[2] * z
        peak = np.clip(half / length, 0, 1)
        for _ in range(4):
            peak = peak * peak
        shine = shine + np.float32(HIGHLIGHT * scene.lights[0].strength) * peak
    return (np.float32(spec.gloss) * np.maximum(shine, 0)).astype(np.float32)
