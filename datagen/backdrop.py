"""What lies behind the objects: a textured floor with shadows, and a wall.

The camera never turns sideways, so a whole row of the picture sees the floor at one depth: rows carry the depth and the
world y, columns carry x. The wall stands at a distance that only the camera decides, so that moving objects never
moves it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from datagen.assets.catalogue import unit_mesh
from datagen.shadow import ShadowMap, unit
from datagen.textures import floor_pattern
from spatial.observation import pose_of
from spatial.scene import Camera, ObjectSpec, Scene

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
CONTACT_REACH = 0.09
CONTACT_STRENGTH = 0.40
CONTACT_HEIGHT = 0.15


class Rays:
    """The viewing rays of a ``width`` x ``height`` grid of samples; the same pinhole as ``Camera.project``."""

    def __init__(self, camera: Camera, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.origin = camera.origin
        self.cos, self.sin = math.cos(math.radians(camera.elevation)), math.sin(math.radians(camera.elevation))
        self.scale = 0.5 * height / math.tan(math.radians(camera.fov) / 2)
        rise = (height / 2 - 0.5 - np.arange(height)) / self.scale
        self.side = ((np.arange(width) + 0.5 - width / 2) / self.scale).astype(np.float32)
        self.away = (rise * self.sin + self.cos).astype(np.float32)
        self.climb = (rise * self.cos - self.sin).astype(np.float32)
        self.wall = camera.target[1] + 0.75 * camera.distance

    def to_view(self, corners: Floats) -> tuple[Floats, Floats, Floats]:
        """Return (right, up, forward), each (3, T), of world corners (3 corners, 3 axes, T)."""
        x, y, z = (corners[:, axis] - self.origin[axis] for axis in range(3))
        return x, y * self.sin + z * self.cos, y * self.cos - z * self.sin

    def points(self, column: NDArray[np.int64], row: NDArray[np.int64], distance: Image) -> tuple[Image, Image, Image]:
        """Return world x, y, z of samples at forward ``distance`` metres."""
        ox, oy, oz = (np.float32(value) for value in self.origin)
        return ox + distance * self.side[column], oy + distance * self.away[row], oz + distance * self.climb[row]


def backdrop(scene: Scene, rays: Rays, shadows: ShadowMap | None) -> tuple[Image, Image]:
    """Return flat RGB (3, cells) in 0..1 and depth (cells,) in metres of the empty room, objects' shadows included."""
    height, width = rays.height, rays.width
    rgb = np.empty((3, height, width), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    origin_y, origin_z = rays.origin[1], rays.origin[2]
    reach = origin_z / np.maximum(-rays.climb, np.float32(1e-6))
    first = int(np.count_nonzero(origin_y + reach * rays.away > rays.wall))
    fade = np.linspace(1.08, 0.92, max(first, 1), dtype=np.float32)[:first, None]
    for channel in range(3):
        rgb[channel, :first] = fade * np.float32(scene.backdrop.wall[channel])
    if first < height:
        light, distance = _floor(scene, rays, shadows, reach[first:, None].astype(np.float32), first)
        depth[first:] = distance
        for channel in range(3):
            rgb[channel, first:] = light * np.float32(scene.backdrop.floor[channel])
    return rgb.reshape(3, -1), depth.reshape(-1)


def _floor(scene: Scene, rays: Rays, shadows: ShadowMap | None, distance: Image, first: int) -> tuple[Image, Image]:
    """Return the brightness (rows, W) of the floor and its depth (rows, 1), for the grid's rows from ``first`` on."""
    x = distance * rays.side + np.float32(rays.origin[0])
    y = distance * rays.away[first:, None] + np.float32(rays.origin[1])
    strengths = [light.strength * max(unit(light.direction)[2], 0.0) for light in scene.lights]
    light: Image = np.full(x.shape, scene.ambient + sum(strengths[1:]), np.float32)
    if strengths:
        light += np.float32(strengths[0]) * (shadows.lit(x, y, 0.0) if shadows else np.float32(1))
    for spec in scene.objects:
        _darken_contact(light, x, y, spec)
    light *= floor_pattern(scene.backdrop.texture, x, y, scene.seed)
    return light, distance


def _darken_contact(light: Image, x: Image, y: Image, spec: ObjectSpec) -> None:
    """Dim the floor softly around the base of an object that stands on or just above it, in place."""
    strength = CONTACT_STRENGTH * (1 - spec.position[2] / CONTACT_HEIGHT)
    if strength <= 0 or spec.under > 0:
        return
    base = unit_mesh(spec.name).base
    half = (base[0] * spec.size[0], base[1] * spec.size[1])
    spread = math.sqrt(half[0] ** 2 + half[1] ** 2) + CONTACT_REACH
    rows = np.flatnonzero(np.abs(y[:, 0] - np.float32(spec.position[1])) < spread)
    if not len(rows):
        return
    band = slice(int(rows[0]), int(rows[-1]) + 1)
    columns = np.flatnonzero((np.abs(x[band] - np.float32(spec.position[0])) < spread).any(0))
    if not len(columns):
        return
    window = (band, slice(int(columns[0]), int(columns[-1]) + 1))
    dx, dy = x[window] - np.float32(spec.position[0]), y[band] - np.float32(spec.position[1])
    pose = pose_of(spec)
    (sx, sy), (hx, hy) = pose.side, pose.heading
    # Distance outside the base, taken as a rectangle with round ends: a circle for a cup, a bar for a bus.
    radius = min(half)
    out_x = np.maximum(np.abs(dx * np.float32(sx) + dy * np.float32(sy)) - np.float32(half[0] - radius), 0)
    out_y = np.maximum(np.abs(dx * np.float32(hx) + dy * np.float32(hy)) - np.float32(half[1] - radius), 0)
    outside = np.maximum(np.sqrt(out_x * out_x + out_y * out_y) - np.float32(radius), 0)
    fade = np.maximum(1 - outside * np.float32(1 / CONTACT_REACH), 0)
    light[window] *= 1 - np.float32(strength) * fade * fade
