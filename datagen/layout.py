"""Fill the stage of a scene: objects as their assets declare them, camera, light, floor, and bystanders.

Nothing here knows of relations.
"""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np

from datagen.assets import asset, toy_size
from datagen.config import DatagenConfig
from datagen.families import Family, Placements, Rng, at, turned
from datagen.visibility import clearly_seen, outlines, shows
from spatial.boxes import area, shared
from spatial.geometry import surface_gap
from spatial.observation import Box, observe, pose_of
from spatial.scene import Backdrop, Camera, Colour, Light, ObjectSpec, Scene, Vector

TEXTURES = ("plain", "checker", "noise", "planks")


def stand(rng: Rng, noun: str, colour: str, lean: bool) -> ObjectSpec:
    """Draw size and heading of an object; ``lean`` keeps it roughly turned to the viewer."""
    scale = rng.uniform(0.88, 1.12)
    spread = 25.0 if lean else 60.0 if rng.random() < 0.7 else 180.0
    return turned(specify(noun, colour, scale), rng.uniform(-spread, spread))


def specify(noun: str, colour: str, scale: float) -> ObjectSpec:
    """Return an object of a scaled toy size at the origin, with what its asset declares; ``noun`` is its key."""
    it = asset(noun)
    width, depth, height = (round(extent * scale, 4) for extent in toy_size(noun))
    return ObjectSpec(
        name=it.name,
        colour=colour,
        position=(0.0, 0.0, 0.0),
        size=(width, depth, height),
        has_front=it.has_front,
        long_axis=it.long_axis,
        top=round(it.top * height, 4) if it.top >= 0 else -1.0,
        under=round(it.under * height, 4),
        mesh="" if it.name == noun else noun,
    )


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


def viewed(empty: Scene, family: Family, placements: Placements, moves: bool) -> Scene | None:
    """Return a stage as a family wants it seen: from nearby, from 40 to 55 degrees up, or as it was drawn.

    Where the camera as drawn misses something or shows it too small or hidden, and it ``moves``, it comes as near as
    with ``close``.
    """
    camera = empty.camera
    if family.overhead:
        camera = replace(camera, elevation=round(min(max(30 + 0.55 * camera.elevation, 39.5), 55.0), 2))
    drawn = None if family.close else fitted(replace(empty, camera=camera), placements)
    if not family.close and (not moves or (drawn and _all_seen(drawn, family, placements))):
        return drawn
    camera = replace(camera, distance=round(0.5 * camera.distance, 3), target=_middle(placements))
    return fitted(replace(empty, camera=camera), placements, 27, 1.05)


def _all_seen(empty: Scene, family: Family, placements: Placements) -> bool:
    scenes = (replace(empty, objects=placement) for placement in placements)
    return all(clearly_seen(scene, outlines(scene), family.shown) for scene in scenes)


def _middle(placements: Placements) -> Vector:
    """The middle of all that two placements fill, in metres."""
    corners = np.concatenate([pose_of(spec).corners() for placement in placements for spec in placement])
    x, y, z = ((corners.min(0) + corners.max(0)) / 2).tolist()
    return (round(x, 3), round(y, 3), round(z, 3))


def fitted(empty: Scene, placements: Placements, steps: int = 7, stride: float = 1.1) -> Scene | None:
    """Step the camera back from where it was drawn, by ``stride``, until both placements are in the picture."""
    for step in range(steps):
        camera = replace(empty.camera, distance=round(empty.camera.distance * stride**step, 3))
        fitted = replace(empty, camera=camera)
        if all(framed(replace(fitted, objects=placement)) for placement in placements):
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
    placements: Placements,
    nouns: list[str],
    colours: list[str],
) -> tuple[ObjectSpec, ...]:
    """Stand further objects on the floor, clear of the named ones in space and, mostly, in the picture."""
    there = {spec.name for spec in placements[0]}
    chosen = [(noun, colour) for noun, colour in zip(nouns, colours, strict=False) if noun not in there]
    boxes = [seen.box for placement in placements for seen in observe(replace(empty, objects=placement)).objects]
    placed: list[ObjectSpec] = []
    for noun, colour in chosen[: int(rng.integers(config.distractors + 1))]:
        for _ in range(6):
            spec = at(stand(rng, noun, colour, False), rng.uniform(-1.3, 1.3), rng.uniform(-0.6, 1.2))
            box = observe(replace(empty, objects=(spec,))).objects[0].box
            if not _inside(box, empty) or any(_crowds(box, other) for other in boxes):
                continue
            clear = all(not collide(spec, other) for pair in placements for other in (*pair, *placed))
            if clear and shows(empty, spec):
                placed.append(spec)
                boxes.append(box)
                break
    return tuple(placed)


def _crowds(one: Box, other: Box) -> bool:
    """Tell whether two picture boxes share more than a tenth of the smaller."""
    return shared(one, other) > 0.1 * min(area(one), area(other))


def framed(scene: Scene) -> bool:
    """Tell whether every object's box lies inside the image with a margin of 1 %."""
    return all(_inside(seen.box, scene) for seen in observe(scene).objects)


def _inside(box: Box, scene: Scene) -> bool:
    x, y = 0.01 * scene.width, 0.01 * scene.height
    return x <= box[0] and box[2] <= scene.width - x and y <= box[1] and box[3] <= scene.height - y


def clash(family: Family, placements: Placements) -> bool:
    """Tell whether objects share space in a placement in which their family does not mean them to."""
    return any(
        collide(a, b)
        for index, placement in enumerate(placements)
        if index not in family.meets
        for a, b in combinations([spec for spec in placement if not spec.path], 2)
    )


def collide(a: ObjectSpec, b: ObjectSpec) -> bool:
    """Tell whether two objects' boxes share space; resting on a declared surface inside the box does not count."""
    on_top = a.position[2] >= b.position[2] + b.top - 1e-6 >= b.position[2]
    under_top = b.position[2] >= a.position[2] + a.top - 1e-6 >= a.position[2]
    around = math.hypot(*a.size[:2]) + math.hypot(*b.size[:2])
    if on_top or under_top or 2 * math.dist(a.position[:2], b.position[:2]) > around:
        return False
    return surface_gap(pose_of(a), pose_of(b)).low <= 0.0
