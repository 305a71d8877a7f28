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

from datagen import tiles
from datagen.backdrop import backdrop
from datagen.finish import finish
from datagen.materials import material
from datagen.rasterise import fragments, nearest, slopes
from datagen.rays import Rays
from datagen.shadow import ShadowMap, shadow_map
from datagen.staging import Stage, stage
from datagen.textures import TEXELS_PER_METRE, hashed, noise
from spatial.boxes import bounds_of
from spatial.observation import Observation, observe
from spatial.scene import Scene

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
Indices = NDArray[np.int64]
NEAR = 0.05
NOISE_STRENGTH = np.float32(0.07)


@dataclass(frozen=True)
class Rendered:
    """The passes of one picture that every dataset needs; ``datagen.passes`` has more.

    Attributes:
        rgb: uint8 (H, W, 3).
        depth: float32 (H, W), metres along the viewing axis; inf in the sky and on the plain wall.
        ids: int16 (H, W), index of the object seen, -1 where there is none.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    ids: NDArray[np.int16]


@dataclass(frozen=True)
class Seen:
    """The samples that show an object.

    Attributes:
        cell: (N,) flat index into the fine grid.
        triangle: (N,) index into the triangles of the stage.
        distance: (N,) metres along the viewing axis.
        local: (N,) index into the triangles in front of the camera.
        x: (3, K) columns of the corners of those K triangles.
        y: (3, K) rows.
        usable: (K,) which triangles of the stage they are.
    """

    cell: Indices
    triangle: Indices
    distance: Image
    local: Indices
    x: Floats
    y: Floats
    usable: Indices

    def blend(self, values: Image, rays: Rays) -> Image:
        """Blend values (3 corners, T of the stage) over the picture to the samples (N,)."""
        values = values[:, self.usable]
        along_x, along_y = (part.astype(np.float32) for part in slopes(self.x, self.y, values.astype(np.float64)))
        # Where each sample lies in the picture, from the first corner of its triangle.
        first_x, first_y = (self.x[0] - 0.5).astype(np.float32), (self.y[0] - 0.5).astype(np.float32)
        across = (self.cell % rays.width).astype(np.float32) - first_x[self.local]
        down = (self.cell // rays.width).astype(np.float32) - first_y[self.local]
        blended: Image = values[0][self.local] + along_x[self.local] * across + along_y[self.local] * down
        return blended


@dataclass(frozen=True)
class Drawn:
    """A picture and how it came about.

    Attributes:
        rendered: the picture.
        rays: of the fine grid.
        staged: the triangles.
        seen: the samples that show an object.
        plane: (cells,) the plane of the backdrop behind every sample, by its number in ``datagen.rays``.
    """

    rendered: Rendered
    rays: Rays
    staged: Stage
    seen: Seen
    plane: NDArray[np.int8]


def render(scene: Scene, supersample: int = 2) -> Rendered:
    """Draw a scene.

    Triangles that come nearer than 5 cm to the camera are left out. The same scene always gives the same bytes.

    Raises:
        ConfigError: an object, colour or material is not in the catalogue.
        ValueError: the floor texture is unknown.
    """
    return draw(scene, supersample).rendered


def draw(scene: Scene, supersample: int = 2) -> Drawn:
    """Draw a scene and keep what else is known of every sample (see ``render``).

    Raises:
        ConfigError: an object, colour or material is not in the catalogue.
        ValueError: the floor texture is unknown.
    """
    width, height = scene.width * supersample, scene.height * supersample
    rays = Rays(scene.camera, width, height)
    staged = stage(scene)
    shadows = shadow_map(staged.corners, scene.lights[0]) if scene.lights and scene.objects else None
    behind = backdrop(scene, rays, shadows)
    depth, ids = behind.depth, np.full(height * width, -1, np.int16)
    seen = sight(staged, rays)
    if len(seen.cell):
        depth[seen.cell] = seen.distance
        ids[seen.cell] = staged.owner[seen.triangle]
        _shade(scene, staged, rays, shadows, seen, behind.rgb)
    step = supersample
    rendered = Rendered(
        finish(scene, _shrink(behind.rgb.reshape(3, height, width), step)),
        depth.reshape(height, width)[::step, ::step].copy(),
        ids.reshape(height, width)[::step, ::step].copy(),
    )
    return Drawn(rendered, rays, staged, seen, behind.plane)


def sight(staged: Stage, rays: Rays) -> Seen:
    """Find which triangle every sample shows."""
    right, up, forward = rays.to_view(staged.corners)
    usable = np.flatnonzero(forward.min(0) > NEAR)
    inverse = 1.0 / forward[:, usable]
    x = rays.width / 2 + rays.scale * right[:, usable] * inverse
    y = rays.height / 2 - rays.scale * up[:, usable] * inverse
    found = nearest(fragments(x, y, inverse, rays.width, rays.height), rays.width * rays.height)
    distance: Image = np.float32(1) / found.nearness
    return Seen(found.cell, usable[found.triangle], distance, found.triangle, x, y, usable)


def silhouette(scene: Scene, index: int, supersample: int = 1) -> NDArray[np.bool_]:
    """Return the mask (H, W) of one object of a scene as if it stood alone, without drawing it."""
    width, height = scene.width * supersample, scene.height * supersample
    seen = sight(stage(replace(scene, objects=(scene.objects[index],))), Rays(scene.camera, width, height))
    mask = np.zeros(width * height, np.bool_)
    mask[seen.cell] = True
    return mask.reshape(height, width)[::supersample, ::supersample].copy()


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
            x0, y0, x1, y1 = map(float, bounds_of(mask))
            depths = rendered.depth[mask]
            span = (float(depths.min()), float(np.median(depths)), float(depths.max()))
            seen = replace(seen, box=(x0, y0, x1, y1), depth=span)
        objects.append(seen)
    return replace(observation, objects=tuple(objects))


def _shade(scene: Scene, staged: Stage, rays: Rays, shadows: ShadowMap | None, seen: Seen, rgb: Image) -> None:
    """Colour every sample that shows an object, in the flat picture (3, cells)."""
    world = rays.points(seen.cell % rays.width, seen.cell // rays.width, seen.distance)
    owner = staged.owner[seen.triangle]
    light = seen.blend(staged.ambient, rays)
    if shadows:
        light += seen.blend(staged.direct, rays) * shadows.lit(*world, scene.lights[0].softness)
    u, v = staged.surface(world, owner)
    light *= 1 + NOISE_STRENGTH * noise(u * TEXELS_PER_METRE, v * TEXELS_PER_METRE, scene.seed)
    _pattern(scene, staged, rays, seen, world, light)
    shine = None if staged.shine is None else np.maximum(seen.blend(staged.shine, rays), 0)
    for channel in range(3):
        colour = staged.colours[channel][seen.triangle] * light
        rgb[channel][seen.cell] = colour if shine is None else colour + shine


def _pattern(
    scene: Scene, staged: Stage, rays: Rays, seen: Seen, world: tuple[Image, Image, Image], light: Image
) -> None:
    """Lay the patterns of objects over their light (N,), each side of an object along its own two axes, in place."""
    owner = staged.owner[seen.triangle]
    for index, spec in enumerate(scene.objects):
        mine = np.flatnonzero(owner == index) if spec.material else ()
        if not len(mine):
            continue
        triangle = seen.triangle[mine]
        x, y, z = staged.own((world[0][mine], world[1][mine], world[2][mine]), index)
        facing = staged.facing[triangle]
        shift = np.float32(hashed(scene.seed, 11 + index) % tiles.SIDE)
        across = np.where(facing == 0, y, x) * tiles.TEXELS_PER_METRE + shift
        down = np.where(facing == 2, y, -z) * tiles.TEXELS_PER_METRE + shift
        texels = np.float32(scene.camera.distance / rays.scale) * tiles.TEXELS_PER_METRE
        tone, _ = material(spec.material).read(across, down, int(tiles.levels(np.full(1, texels))[0]))
        light[mine] *= 1 + tone * staged.patterned[triangle]


def _shrink(image: Image, step: int) -> Image:
    """Average (3, H * step, W * step) in 0..1 down to (3, H, W) in 0..255."""
    total = np.zeros((3, image.shape[1] // step, image.shape[2] // step), np.float32)
    image = np.minimum(image, np.float32(1))
    for row in range(step):
        for column in range(step):
            total += image[:, row::step, column::step]
    total *= np.float32(255 / step**2)
    return total
