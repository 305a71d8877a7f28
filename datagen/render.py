"""Draw a scene with NumPy alone: colour, depth and object ids, with shadows, on any machine, the same bytes each time.

The picture is drawn on a grid ``supersample`` times finer than asked and its colours are averaged down. Depth and ids
are not averaged (a mean of two ids means nothing): they are those of the upper left sample of every pixel. The work is
*deferred*: triangles only decide which one each sample shows, then every sample is shaded once. Objects always stand in
front of the backdrop, which is a floor (z = 0) and, behind it, a wall without depth.

Shapes: H, W picture; T triangles; N samples showing an object; fine grids are (H * supersample, W * supersample).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from datagen.backdrop import Rays, backdrop
from datagen.rasterise import fragments, nearest, slopes
from datagen.shadow import ShadowMap, shadow_map
from datagen.staging import Stage, stage
from datagen.textures import TEXELS_PER_METRE, noise
from spatial.observation import Observation, observe
from spatial.scene import Scene

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Indices = NDArray[np.int64]
NEAR = 0.05
NOISE_STRENGTH = np.float32(0.07)


@dataclass(frozen=True)
class Rendered:
    """The passes of one picture.

    Attributes:
        rgb: uint8 (H, W, 3).
        depth: float32 (H, W), metres along the viewing axis; inf on the wall.
        ids: int16 (H, W), index of the object seen, -1 on floor and wall.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    ids: NDArray[np.int16]


def render(scene: Scene, supersample: int = 2) -> Rendered:
    """Draw a scene.

    Triangles that come nearer than 5 cm to the camera are left out. The same scene always gives the same bytes.

    Raises:
        ConfigError: an object or colour is not in the catalogue.
        ValueError: the floor texture is unknown.
    """
    width, height = scene.width * supersample, scene.height * supersample
    rays = Rays(scene.camera, width, height)
    staged = stage(scene)
    shadows = shadow_map(staged.corners, scene.lights[0]) if scene.lights and scene.objects else None
    rgb, depth = backdrop(scene, rays, shadows)
    ids = np.full(height * width, -1, np.int16)
    if scene.objects:
        _draw_objects(scene, staged, rays, shadows, (rgb, depth, ids))
    step = supersample
    return Rendered(
        _shrink(rgb.reshape(3, height, width), step),
        depth.reshape(height, width)[::step, ::step].copy(),
        ids.reshape(height, width)[::step, ::step].copy(),
    )


def visible(rendered: Rendered, objects: int) -> list[int]:
    """Return how many pixels show each of the scene's ``objects``, by index."""
    counts: list[int] = np.bincount(rendered.ids.reshape(-1) + 1, minlength=objects + 1)[1:].tolist()
    return counts


def observe_rendered(scene: Scene, rendered: Rendered) -> Observation:
    """Return the scene's observation with boxes, masks and depths of what is really visible.

    An object hidden entirely keeps its projected box and depth, with an empty mask.
    """
    observation = observe(scene)
    objects = []
    for index, seen in enumerate(observation.objects):
        mask = rendered.ids == index
        seen = replace(seen, mask=mask)
        if mask.any():
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            depths = rendered.depth[mask]
            span = (float(depths.min()), float(np.median(depths)), float(depths.max()))
            seen = replace(seen, box=box, depth=span)
        objects.append(seen)
    return replace(observation, objects=tuple(objects))


def _draw_objects(
    scene: Scene,
    staged: Stage,
    rays: Rays,
    shadows: ShadowMap | None,
    passes: tuple[Image, Image, NDArray[np.int16]],
) -> None:
    """Shade every sample that shows an object into the flat passes (3, cells), (cells,), (cells,)."""
    rgb, depth, ids = passes
    right, up, forward = rays.to_view(staged.corners)
    usable = np.flatnonzero(forward.min(0) > NEAR)
    inverse = 1.0 / forward[:, usable]
    x = rays.width / 2 + rays.scale * right[:, usable] * inverse
    y = rays.height / 2 - rays.scale * up[:, usable] * inverse
    seen = nearest(fragments(x, y, inverse, rays.width, rays.height), rays.width * rays.height)
    cell, local, distance = seen.cell, seen.triangle, np.float32(1) / seen.nearness
    triangle = usable[local]
    depth[cell] = distance
    owner = staged.owner[triangle]
    ids[cell] = owner

    row, column = cell // rays.width, cell % rays.width
    world = rays.points(column, row, distance)
    # Where each sample lies in the picture, from the first corner of its triangle.
    first_x, first_y = (x[0] - 0.5).astype(np.float32), (y[0] - 0.5).astype(np.float32)
    offset = (column.astype(np.float32) - first_x[local], row.astype(np.float32) - first_y[local])
    light = _interpolate(staged.ambient[:, usable], x, y, local, offset)
    if shadows:
        light += _interpolate(staged.direct[:, usable], x, y, local, offset) * shadows.lit(*world)
    u, v = staged.surface(world, owner)
    light *= 1 + NOISE_STRENGTH * noise(u * TEXELS_PER_METRE, v * TEXELS_PER_METRE, scene.seed)
    for channel in range(3):
        rgb[channel][cell] = staged.colours[channel][triangle] * light


def _interpolate(light: Image, x: Floats, y: Floats, triangle: Indices, offset: tuple[Image, Image]) -> Image:
    """Blend light (3 corners, T) over the picture to samples (N,) at ``offset`` from their triangle's first corner."""
    along_x, along_y = slopes(x, y, light.astype(np.float64))
    along_x, along_y = along_x.astype(np.float32), along_y.astype(np.float32)
    blended: Image = light[0][triangle] + along_x[triangle] * offset[0] + along_y[triangle] * offset[1]
    return blended


def _shrink(image: Image, step: int) -> NDArray[np.uint8]:
    """Average (3, H * step, W * step) in 0..1 down to uint8 (H, W, 3)."""
    total = np.zeros((3, image.shape[1] // step, image.shape[2] // step), np.float32)
    image = np.minimum(image, np.float32(1))
    for row in range(step):
        for column in range(step):
            total += image[:, row::step, column::step]
    rounded = (total * np.float32(255 / step**2) + np.float32(0.5)).astype(np.uint8)
    return np.ascontiguousarray(rounded.transpose(1, 2, 0))
