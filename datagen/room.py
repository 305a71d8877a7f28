"""A room: a floor, a back wall, perhaps a side wall, with skirting, windows and pictures.

Corners of the room and the foot of its walls are a little darker, as less light gets there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.ground import ground_light
from datagen.materials import material
from datagen.rays import BACK_WALL, FLOOR, LEFT_WALL, RIGHT_WALL, Background, Rays
from datagen.shadow import ShadowMap, unit
from datagen.tiles import TEXELS_PER_METRE, levels
from spatial.place import Panel, Room
from spatial.scene import Colour, Scene, Vector

Image = NDArray[np.float32]
CORNER_SHADE, CORNER_REACH = 0.28, 0.4
WALL_SHARE = 0.55
"""Lights strike walls less than the floor, which is nearer to them; light from everywhere a little more."""

FRAME = 0.035
"""Width in metres of the frame of a window or picture."""


@dataclass(frozen=True)
class _Inside:
    """What all parts of a room need to be drawn."""

    scene: Scene
    room: Room
    rays: Rays
    shadows: ShadowMap | None


def room(scene: Scene, walls: Room, rays: Rays, shadows: ShadowMap | None) -> Background:
    """Draw a room without its objects, their shadows included."""
    inside = _Inside(scene, walls, rays, shadows)
    height, width = rays.height, rays.width
    back = ((walls.depth - rays.origin[1]) / np.maximum(rays.away, np.float32(1e-3))).astype(np.float32)
    reach = rays.floor_reach()
    first = int(np.count_nonzero(back < reach))
    rgb = np.empty((3, height, width), np.float32)
    depth = np.broadcast_to(np.minimum(back, reach).astype(np.float32)[:, None], (height, width)).copy()
    plane = np.full((height, width), BACK_WALL, np.int8)
    plane[first:] = FLOOR
    if first:
        rgb[:, :first] = _back_wall(inside, back[:first, None])
    if first < height:
        rgb[:, first:] = _floor(inside, first)
    flat = Background(rgb.reshape(3, -1), depth.reshape(-1), plane.reshape(-1))
    if walls.corner:
        _side_wall(inside, flat)
    return flat


def paint(name: str, colours: tuple[Colour, Colour], at: tuple[Image, Image], footprint: Image, light: Image) -> Image:
    """Return RGB (3, ...) of a surface.

    Args:
        name: of the material.
        colours: its two colours.
        at: metres along the surface's two axes.
        footprint: metres that a sample covers.
        light: that falls on it.
    """
    tile = material(name)
    level = levels(footprint * TEXELS_PER_METRE)
    tone, mix = tile.read(at[0] * TEXELS_PER_METRE, at[1] * TEXELS_PER_METRE, level)
    light = light * (1 + tone)
    if mix is None:
        return np.stack([light * np.float32(one) for one in colours[0]])
    return np.stack(
        [light * (np.float32(one) + np.float32(two - one) * mix) for one, two in zip(*colours, strict=True)]
    )


def floor_footprint(rays: Rays, distance: Image) -> Image:
    """Return how many metres of floor a sample covers at forward ``distance``: the mean of its width and length."""
    return distance * (1 + distance * np.float32(1 / rays.origin[2])) * np.float32(0.5 / rays.scale)


def _floor(inside: _Inside, first: int) -> Image:
    scene, walls = inside.scene, inside.room
    x, y, distance = inside.rays.floor_points(first)
    light = ground_light(scene, inside.shadows, x, y)
    light *= _shade(np.float32(walls.depth) - y)
    if walls.corner:
        light *= _shade(np.float32(abs(walls.corner)) - x * np.float32(np.sign(walls.corner)))
    colours = (scene.backdrop.floor, second_colour(scene))
    return paint(scene.backdrop.texture, colours, (x, y), floor_footprint(inside.rays, distance), light)


def second_colour(scene: Scene) -> Colour:
    """Return the second colour of the ground: the first one where none is given."""
    accent = scene.backdrop.accent
    return (accent[0], accent[1], accent[2]) if accent else scene.backdrop.floor


def _back_wall(inside: _Inside, distance: Image) -> Image:
    rays, walls = inside.rays, inside.room
    rows = len(distance)
    x = distance * rays.side + np.float32(rays.origin[0])
    z = distance * rays.climb[:rows, None] + np.float32(rays.origin[2])
    shade = _shade(np.float32(abs(walls.corner)) - x * np.float32(np.sign(walls.corner))) if walls.corner else None
    light = _wall_light(inside, (0.0, -1.0, 0.0), (x, np.float32(walls.depth), z), z)
    light = light if shade is None else light * shade
    rgb = _wall_paint(inside, x, z, distance * np.float32(1 / rays.scale), light)
    for panel in walls.panels:
        _draw_panel(rgb, panel, x, z, light)
    return rgb


def _side_wall(inside: _Inside, drawn: Background) -> None:
    """Draw the side wall over what is farther away, in place."""
    rays, corner = inside.rays, inside.room.corner
    toward = rays.side * np.float32(np.sign(corner))
    reach = np.float32(abs(corner - rays.origin[0])) / np.maximum(toward, np.float32(1e-6))
    cell = np.flatnonzero((reach[None] < drawn.depth.reshape(rays.height, rays.width)).reshape(-1))
    if not len(cell):
        return
    distance = reach[cell % rays.width]
    _, y, z = rays.points(cell % rays.width, cell // rays.width, distance)
    normal = (-float(np.sign(corner)), 0.0, 0.0)
    light = _wall_light(inside, normal, (np.float32(corner), y, z), z) * _shade(np.float32(inside.room.depth) - y)
    drawn.rgb[:, cell] = _wall_paint(inside, y, z, distance * np.float32(2 / rays.scale), light)
    drawn.depth[cell] = distance
    drawn.plane[cell] = LEFT_WALL if corner < 0 else RIGHT_WALL


def _wall_light(inside: _Inside, normal: Vector, at: tuple[Image | np.float32, ...], z: Image) -> Image:
    """Return the light on wall points at world ``at``, dimmed near the floor."""
    facing = []
    for light in inside.scene.lights:
        dx, dy, dz = unit(light.direction)
        facing.append(WALL_SHARE * light.strength * max(dx * normal[0] + dy * normal[1] + dz * normal[2], 0.0))
    total: Image = np.full(z.shape, 1.2 * inside.scene.ambient + sum(facing[1:]) + 0.12, np.float32)
    if facing and facing[0] > 0:
        x, y, height = at
        softness = inside.scene.lights[0].softness
        lit = inside.shadows.lit(x, y, height, softness) if inside.shadows else np.float32(1)  # type: ignore[arg-type]
        total = total + np.float32(facing[0]) * lit
    return total * _shade(z)


def _wall_paint(inside: _Inside, along: Image, z: Image, footprint: Image, light: Image) -> Image:
    walls = inside.room
    # Patterns hang from the floor up: z grows against the tile's rows.
    rgb = paint(walls.paper, (inside.scene.backdrop.wall, walls.trim), (along, -z), footprint, light)
    if walls.skirting:
        strip = z < np.float32(walls.skirting)
        edge = np.abs(z - np.float32(walls.skirting)) < 0.008
        for channel in range(3):
            painted = light * np.float32(walls.skirting_colour[channel]) * (1 - 0.3 * edge)
            rgb[channel] = np.where(strip | edge, np.broadcast_to(painted, rgb[channel].shape), rgb[channel])
    return rgb


def _shade(away: Image) -> Image:
    """Return the factor on light ``away`` metres from a corner."""
    near = np.maximum(1 - np.maximum(away, 0) * np.float32(1 / CORNER_REACH), 0)
    return 1 - np.float32(CORNER_SHADE) * near * near


def _draw_panel(rgb: Image, panel: Panel, x: Image, z: Image, light: Image) -> None:
    """Draw a window or picture into the back wall (3, rows, W), in place."""
    x0, z0, x1, z1 = panel.box
    outside_x = np.maximum(np.float32(x0) - x, x - np.float32(x1))
    outside_z = np.maximum(np.float32(z0) - z, z - np.float32(z1))
    outside = np.maximum(outside_x, outside_z)
    framed = outside < FRAME
    if not framed.any():
        return
    s, q = (x - np.float32(x0)) / np.float32(x1 - x0), (z - np.float32(z0)) / np.float32(z1 - z0)
    frame = outside > 0
    if panel.kind == "window":
        # Daylight outside does not depend on the lights of the room; the bars stand before it.
        frame |= (np.abs(s - 0.5) * np.float32(x1 - x0) < 0.014) | (np.abs(q - 0.5) * np.float32(z1 - z0) < 0.014)
        shown = (0.86 + 0.2 * q).astype(np.float32)
    else:
        mat = (np.minimum(np.minimum(s, 1 - s), np.minimum(q, 1 - q)) < 0.13).astype(np.float32)
        tone, _ = material("clouds").read(s * np.float32(90), q * np.float32(90))
        hills = (q < 0.45 + 0.25 * tone).astype(np.float32)
        shown = (1 - mat) * (1.0 - 0.35 * hills + 0.2 * tone) * light
    for channel in range(3):
        pane = shown * np.float32(panel.inside[channel])
        if panel.kind == "picture":
            pane = pane + mat * light * np.float32(0.92)
        pane = np.where(frame, light * np.float32(panel.frame[channel]), pane)
        rgb[channel] = np.where(framed, pane, rgb[channel])
