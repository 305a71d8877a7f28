"""Fill the stage of a scene: objects as their assets declare them, camera, light, floor, and bystanders.

Nothing here knows of relations, apart from what a family of placements demands of its two nouns.
"""

import math
from dataclasses import replace

import numpy as np

from datagen.assets import ASSETS, toy_size
from datagen.config import DatagenConfig
from datagen.families import Pair, Rng, at, turned
from spatial.geometry import surface_gap
from spatial.observation import Box, observe, pose_of
from spatial.scene import Backdrop, Camera, Colour, Light, ObjectSpec, Scene

TEXTURES = ("plain", "checker", "noise", "planks")


def stand(rng: Rng, noun: str, colour: str, lean: bool) -> ObjectSpec:
    """Draw size and heading of an object; ``lean`` keeps it roughly turned to the viewer."""
    scale = rng.uniform(0.88, 1.12)
    spread = 25.0 if lean else 60.0 if rng.random() < 0.7 else 180.0
    return turned(specify(noun, colour, scale), rng.uniform(-spread, spread))


def specify(noun: str, colour: str, scale: float) -> ObjectSpec:
    """Return an object of a scaled toy size at the origin, with what its asset declares."""
    asset = ASSETS[noun]
    width, depth, height = (round(extent * scale, 4) for extent in toy_size(noun))
    return ObjectSpec(
        name=noun,
        colour=colour,
        position=(0.0, 0.0, 0.0),
        size=(width, depth, height),
        has_front=asset.has_front,
        long_axis=asset.long_axis,
        top=round(asset.top * height, 4) if asset.top >= 0 else -1.0,
        under=round(asset.under * height, 4),
    )


def suits(needs: tuple[str, ...], a: ObjectSpec, b: ObjectSpec) -> bool:
    """Tell whether two objects meet the needs of a family (see ``Family.needs``)."""
    widths = max(a.size[:2]), max(b.size[:2])
    checks = {
        "a front": a.has_front,
        "b front": b.has_front,
        "a long": a.long_axis >= 0,
        "b long": b.long_axis >= 0,
        "b top": b.top >= 0,
        "a fits": widths[0] <= 1.15 * widths[1],
        "a small": widths[0] <= 0.55,
        "b small": widths[1] <= 0.55,
        "a under b": b.under > 0 and a.size[2] <= 0.95 * b.under and widths[0] <= 0.8 * max(b.size[:2]),
    }
    return all(checks[need] for need in needs)


def stage(rng: Rng, config: DatagenConfig) -> Scene:
    """Draw camera, light, floor and wall of a scene without objects."""
    azimuth, height = rng.uniform(-math.pi, math.pi), rng.uniform(0.6, 0.9)
    flat = math.sqrt(1 - height**2)
    light = Light((round(flat * math.cos(azimuth), 4), round(flat * math.sin(azimuth), 4), round(height, 4)), 0.65)
    camera = Camera(
        target=(0.0, 0.1, round(rng.uniform(0.22, 0.36), 3)),
        distance=round(rng.uniform(2.3, 2.9), 3),
        elevation=round(rng.uniform(18, 42), 2),
        fov=round(rng.uniform(38, 46), 2),
    )
    floor, wall = (_muted(rng, low) for low in (0.45, 0.6))
    backdrop = Backdrop(floor, wall, TEXTURES[int(rng.integers(len(TEXTURES)))])
    size = config.image_size
    return Scene((), camera, (light,), backdrop, round(rng.uniform(0.35, 0.5), 3), size, size, int(rng.integers(2**31)))


def fitted(empty: Scene, first: Pair, second: Pair) -> Scene | None:
    """Step the camera back from where it was drawn until both placements are in the picture."""
    for step in range(7):
        camera = replace(empty.camera, distance=round(empty.camera.distance * 1.1**step, 3))
        fitted = replace(empty, camera=camera)
        if all(framed(replace(fitted, objects=pair)) for pair in (first, second)):
            return fitted
    return None


def _muted(rng: Rng, low: float) -> Colour:
    grey = rng.uniform(low, low + 0.3)
    red, green, blue = (float(np.clip(grey + rng.uniform(-0.08, 0.08), 0, 1)) for _ in range(3))
    return (round(red, 3), round(green, 3), round(blue, 3))


def distractors(
    rng: Rng,
    config: DatagenConfig,
    empty: Scene,
    placements: tuple[tuple[ObjectSpec, ...], ...],
    nouns: list[str],
    colours: list[str],
) -> tuple[ObjectSpec, ...]:
    """Stand further objects on the floor, clear of the named ones in space and, mostly, in the picture."""
    placed: list[ObjectSpec] = []
    for noun, colour in list(zip(nouns, colours, strict=False))[: int(rng.integers(config.distractors + 1))]:
        for _ in range(6):
            spec = at(stand(rng, noun, colour, False), rng.uniform(-1.3, 1.3), rng.uniform(-0.6, 1.2))
            clear = all(not collide(spec, other) for pair in placements for other in (*pair, *placed))
            if clear and framed(replace(empty, objects=(spec,))) and not _crowds(spec, placements, placed, empty):
                placed.append(spec)
                break
    return tuple(placed)


def _crowds(
    spec: ObjectSpec, placements: tuple[tuple[ObjectSpec, ...], ...], placed: list[ObjectSpec], empty: Scene
) -> bool:
    """Tell whether a distractor's picture box covers more than a tenth of another object's, or the reverse."""
    for pair in placements:
        boxes = [seen.box for seen in observe(replace(empty, objects=(spec, *pair, *placed))).objects]
        for other in boxes[1:]:
            width = min(boxes[0][2], other[2]) - max(boxes[0][0], other[0])
            height = min(boxes[0][3], other[3]) - max(boxes[0][1], other[1])
            if width > 0 and height > 0 and width * height > 0.1 * min(_area(boxes[0]), _area(other)):
                return True
    return False


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def framed(scene: Scene) -> bool:
    """Tell whether every object's box lies inside the image with a margin of 1 %."""
    margin_x, margin_y = 0.01 * scene.width, 0.01 * scene.height
    return all(
        margin_x <= x0 and x1 <= scene.width - margin_x and margin_y <= y0 and y1 <= scene.height - margin_y
        for x0, y0, x1, y1 in (seen.box for seen in observe(scene).objects)
    )


def collide(a: ObjectSpec, b: ObjectSpec) -> bool:
    """Tell whether two objects' boxes share space; resting on a declared surface inside the box does not count."""
    on_top = a.position[2] >= b.position[2] + b.top - 1e-6 >= b.position[2]
    under_top = b.position[2] >= a.position[2] + a.top - 1e-6 >= a.position[2]
    if on_top or under_top:
        return False
    return surface_gap(pose_of(a), pose_of(b)).low <= 0.0
