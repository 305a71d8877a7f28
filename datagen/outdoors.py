"""Open ground under a sky: one or two grounds, haze with distance, clouds, and silhouettes on the horizon."""

import numpy as np
from numpy.typing import NDArray

from datagen.ground import ground_light
from datagen.materials import material
from datagen.rays import FLOOR, NOTHING, Background, Rays
from datagen.room import floor_footprint, paint, second_colour
from datagen.shadow import ShadowMap
from datagen.textures import hashed
from datagen.tiles import levels, scattered
from spatial.errors import ConfigError, nearest
from spatial.place import Outdoors
from spatial.scene import Scene

Image = NDArray[np.float32]
HAZE_METRES = np.float32(9)
"""At this distance half of the haze has been reached."""

SKYLINES: dict[str, tuple[float, float, int, bool]] = {
    "hills": (0.02, 0.07, 3, False),
    "mountains": (0.03, 0.16, 9, False),
    "trees": (0.045, 0.05, 40, False),
    "roofs": (0.03, 0.10, 16, True),
}
"""Lowest height, span of heights (tangents of angles), lumps per unit of tangent sideways, and whether in blocks."""


def open_ground(scene: Scene, around: Outdoors, rays: Rays, shadows: ShadowMap | None) -> Background:
    """Draw open ground without its objects, their shadows included; the sky and skyline have no depth.

    Raises:
        ConfigError: the skyline or a ground is unknown.
    """
    height, width = rays.height, rays.width
    rgb = np.empty((3, height, width), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    plane = np.full((height, width), NOTHING, np.int8)
    first = int(np.count_nonzero(rays.climb > -0.002))
    if first:
        rgb[:, :first] = _sky(scene, around, rays, first)
    if first < height:
        rgb[:, first:], distance = _ground(scene, around, rays, shadows, first)
        depth[first:] = distance
        plane[first:] = FLOOR
    return Background(rgb.reshape(3, -1), depth.reshape(-1), plane.reshape(-1))


def _ground(scene: Scene, around: Outdoors, rays: Rays, shadows: ShadowMap | None, first: int) -> tuple[Image, Image]:
    """Return RGB (3, rows, W) and depth (rows, 1) of the ground from row ``first`` on."""
    x, y, distance = rays.floor_points(first)
    light, footprint = ground_light(scene, shadows, x, y), floor_footprint(rays, distance)
    rgb = paint(scene.backdrop.texture, (scene.backdrop.floor, second_colour(scene)), (x, y), footprint, light)
    if around.beyond:
        _paint_beyond(rgb, around, (x, y), footprint, light)
    share = np.float32(around.haze) * distance / (distance + HAZE_METRES)
    for channel in range(3):
        rgb[channel] += share * (np.float32(scene.backdrop.wall[channel]) - rgb[channel])
    return rgb, distance


def _paint_beyond(rgb: Image, around: Outdoors, at: tuple[Image, Image], footprint: Image, light: Image) -> None:
    """Paint the second ground, with a dark line where it begins, over the first (3, rows, W), in place."""
    x, y = at
    past = y - np.float32(around.border) - np.float32(around.slant) * x
    rows = int(np.count_nonzero((past > -0.03).any(1)))
    if not rows:
        return
    part = (x[:rows], y[:rows])
    shade = tuple(0.8 * value for value in around.beyond_colour)
    colours = (around.beyond_colour, (shade[0], shade[1], shade[2]))
    other = paint(around.beyond, colours, part, footprint[:rows], light[:rows])
    line = 1 - 0.35 * (np.abs(past[:rows]) < 0.03)
    for channel in range(3):
        rgb[channel, :rows] = np.where(past[:rows] > 0, other[channel], rgb[channel, :rows]) * line


def _sky(scene: Scene, around: Outdoors, rays: Rays, first: int) -> Image:
    """Return RGB (3, first, W) of the sky with clouds and skyline."""
    up = (rays.climb[:first] / rays.away[:first])[:, None]
    share = np.clip(up * np.float32(1.6), 0, 1)
    share = share * (2 - share)
    horizon = scene.backdrop.wall
    cloud = _clouds(around, rays, up, scene.seed)
    outline, tone = _skyline(around, rays, scene.seed)
    below = up < outline
    rgb = np.empty((3, first, rays.width), np.float32)
    for channel in range(3):
        low, high = np.float32(horizon[channel]), np.float32(around.sky[channel])
        sky = low + share * (high - low)
        sky = sky + cloud * (np.float32(0.97) - sky)
        far = np.float32(around.skyline_colour[channel]) * tone
        rgb[channel] = np.where(below, far + np.float32(0.5 * around.haze) * (low - far), sky)
    return rgb


def _clouds(around: Outdoors, rays: Rays, up: Image, seed: int) -> Image:
    """Return how white the sky is (first, W): noise on a ceiling far above, fading to the horizon."""
    if around.clouds <= 0:
        return np.zeros((1, 1), np.float32)
    away = np.reciprocal(np.maximum(up, 0) + np.float32(0.25))
    level = levels(away * away * np.float32(60 / rays.scale))
    shift = np.float32(hashed(seed, 7) % 512)
    tone, _ = material("clouds").read(rays.side * away * np.float32(60) + shift, away * np.float32(60) + shift, level)
    cover = np.clip((tone + np.float32(1.3 * around.clouds - 0.75)) * np.float32(2.2), 0, 1)
    shown: Image = cover * np.clip(up * 9, 0, 1) * np.float32(0.85)
    return shown


def _skyline(around: Outdoors, rays: Rays, seed: int) -> tuple[Image, Image]:
    """Return the height (W,) of the skyline as the tangent of an angle, and its brightness (W,)."""
    if not around.skyline:
        return np.full(rays.width, -1, np.float32), np.ones(rays.width, np.float32)
    if around.skyline not in SKYLINES:
        raise ConfigError(f"no skyline is called {around.skyline!r}{nearest(around.skyline, SKYLINES)}")
    least, span, lumps, blocks = SKYLINES[around.skyline]
    place = rays.side + np.float32(2)
    total = np.zeros(rays.width, np.float32)
    for octave, weight in enumerate((0.62, 0.26, 0.12) if not blocks else (1.0,)):
        along = place * np.float32(lumps * 2**octave)
        low = np.floor(along).astype(np.int64)
        share = along - low.astype(np.float32)
        share = np.zeros_like(share) if blocks else share * share * (3 - 2 * share)
        one, two = (scattered(low + step, seed % 65536, 300 + octave) for step in (0, 1))
        total += np.float32(weight) * (one + (two - one) * share)
    tone = (
        0.9 + 0.2 * total if not blocks else 0.85 + 0.3 * scattered((place * lumps).astype(np.int64), 5, seed % 65536)
    )
    return np.float32(least) + np.float32(span) * total, tone.astype(np.float32)
