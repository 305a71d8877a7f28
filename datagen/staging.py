"""Place the meshes of a scene in the world and work out how much light reaches each triangle corner.

Shapes: T triangles of all objects together, O objects, N samples.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.assets.catalogue import unit_mesh
from datagen.assets.palette import slot_colours
from datagen.shadow import unit
from spatial.scene import ObjectSpec, Scene, Vector

Floats = NDArray[np.float64]
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Stage:
    """All triangles of a scene, lit but not yet seen.

    Attributes:
        corners: (3 corners, 3 axes, T) world metres.
        colours: (3 channels, T) RGB in 0..1.
        ambient: (3 corners, T) light that no shadow takes away.
        direct: (3 corners, T) light of the main light.
        owner: (T,) object index.
        objects: (5, O) cos and sin of the yaw and x, y, z of every object, for textures that turn with it.
    """

    corners: Floats
    colours: Image
    ambient: Image
    direct: Image
    owner: NDArray[np.int16]
    objects: Image

    def surface(self, world: tuple[Image, Image, Image], owner: NDArray[np.int16]) -> tuple[Image, Image]:
        """Return texture coordinates (N,), (N,) in metres of world points, in their object's own frame.

        The two axes are oblique so that floors, fronts and sides of an object all cross the texture.
        """
        cos, sin, x0, y0, z0 = self.objects[:, owner]
        x, y, z = world[0] - x0, world[1] - y0, world[2] - z0
        u = x * cos + y * sin + z * np.float32(0.43)
        v = y * cos - x * sin + z * np.float32(0.86) + owner
        return u, v


def stage(scene: Scene) -> Stage:
    """Place every object of a scene.

    Raises:
        ConfigError: an object or colour is not in the catalogue.
    """
    if not scene.objects:
        empty = np.zeros((3, 0), np.float32)
        return Stage(np.zeros((3, 3, 0)), empty, empty, empty, np.zeros(0, np.int16), np.zeros((5, 0), np.float32))
    parts = [_place(spec, scene) for spec in scene.objects]
    corners, colours, ambient, direct = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    counts = [part[1].shape[1] for part in parts]
    owner = np.repeat(np.arange(len(parts), dtype=np.int16), counts)
    poses = [(math.cos(math.radians(o.yaw)), math.sin(math.radians(o.yaw)), *o.position) for o in scene.objects]
    return Stage(corners, colours, ambient, direct, owner, np.array(poses, np.float32).T.copy())


def _place(spec: ObjectSpec, scene: Scene) -> tuple[Floats, Image, Image, Image]:
    """Return world corners (3, 3, T), colours (3, T), ambient (3, T) and direct light (3, T) of one object."""
    mesh = unit_mesh(spec.name)
    cos, sin = math.cos(math.radians(spec.yaw)), math.sin(math.radians(spec.yaw))
    x, y, z = (mesh.corners[axis] * spec.size[axis] for axis in range(3))
    px, py, pz = spec.position
    corners = np.stack([x * cos - y * sin + px, x * sin + y * cos + py, z + pz], axis=1)

    # Normals of a stretched mesh stretch the other way. The light is turned into the object's frame instead of them.
    stretched = [mesh.normals[axis] * np.float32(1 / spec.size[axis]) for axis in range(3)]
    length = np.sqrt(stretched[0] ** 2 + stretched[1] ** 2 + stretched[2] ** 2)
    normals = [component / length for component in stretched]

    def lambert(direction: Vector, strength: float) -> Image:
        dx, dy, dz = unit(direction)
        facing = normals[0] * (dx * cos + dy * sin) + normals[1] * (dy * cos - dx * sin) + normals[2] * dz
        lit: Image = np.maximum(facing, 0).astype(np.float32) * np.float32(strength)
        return lit

    # The sky is brighter than the floor's reflection, which keeps form visible inside shadows.
    ambient = (np.float32(0.82) + np.float32(0.18) * normals[2]) * np.float32(scene.ambient)
    for light in scene.lights[1:]:
        ambient = ambient + lambert(light.direction, light.strength)
    first = scene.lights[:1]
    direct = lambert(first[0].direction, first[0].strength) if first else np.zeros_like(ambient)
    return corners, slot_colours(spec.colour)[mesh.slots].T, ambient.astype(np.float32), direct
