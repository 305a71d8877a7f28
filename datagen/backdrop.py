"""What lies behind the objects: a plain floor and wall, a room, or open ground.

The plain wall stands at a distance that only the camera decides, so that moving objects never moves it, and has no
depth.
"""

import numpy as np

from datagen.ground import ground_light
from datagen.outdoors import open_ground
from datagen.rays import FLOOR, NOTHING, Background, Rays
from datagen.room import room
from datagen.shadow import ShadowMap
from datagen.textures import floor_pattern
from spatial.scene import Scene


def backdrop(scene: Scene, rays: Rays, shadows: ShadowMap | None) -> Background:
    """Return the picture without its objects, their shadows included.

    Raises:
        ConfigError: a material is unknown.
        ValueError: the texture of a plain floor is unknown.
    """
    if scene.backdrop.room:
        return room(scene, scene.backdrop.room, rays, shadows)
    if scene.backdrop.outdoors:
        return open_ground(scene, scene.backdrop.outdoors, rays, shadows)
    return _plain(scene, rays, shadows)


def _plain(scene: Scene, rays: Rays, shadows: ShadowMap | None) -> Background:
    height, width = rays.height, rays.width
    rgb = np.empty((3, height, width), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    plane = np.full((height, width), NOTHING, np.int8)
    reach = rays.floor_reach()
    first = int(np.count_nonzero(rays.origin[1] + reach * rays.away > rays.wall))
    fade = np.linspace(1.08, 0.92, max(first, 1), dtype=np.float32)[:first, None]
    for channel in range(3):
        rgb[channel, :first] = fade * np.float32(scene.backdrop.wall[channel])
    if first < height:
        x, y, distance = rays.floor_points(first)
        light = ground_light(scene, shadows, x, y)
        light *= floor_pattern(scene.backdrop.texture, x, y, scene.seed)
        depth[first:] = distance
        plane[first:] = FLOOR
        for channel in range(3):
            rgb[channel, first:] = light * np.float32(scene.backdrop.floor[channel])
    return Background(rgb.reshape(3, -1), depth.reshape(-1), plane.reshape(-1))
