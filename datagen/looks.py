"""How scenes look: camera, light, place and surfaces, drawn without a glance at what is said of the objects.

A look first draws the camera of an empty scene, before anything is known of the two scenes of a group, and then dresses
both scenes in one go with the same light, place and surfaces. What it may regard is where the objects of *both* scenes
stand (so that no wall cuts through one and no shadow leaves the picture) and what colours they have (so that they show
against the ground), never which of the two scenes is which, nor the relation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from datagen.config import DatagenConfig
from datagen.families import Rng
from datagen.layout import stage as plain_stage
from datagen.materials import SURFACES
from datagen.places import draw_place
from spatial.observation import pose_of
from spatial.scene import Camera, Light, Scene, Vector

Pair = tuple[Scene, Scene]
PLAIN_SURFACES = 0.35
"""Share of colours without a pattern."""

MATT = 0.3
"""Share of colours without gloss."""

BLURRED = 0.3
"""Share of groups whose images are blurred."""

COMPRESSED = 0.5
"""Share of groups whose images go through JPEG, where the look has that."""

KEY_DRAWS = 8
"""So many directions of the main light are tried for one that keeps all shadows in the picture."""


@dataclass(frozen=True)
class Look:
    """A way of drawing what is not said of a scene.

    Attributes:
        stage: draws the camera of an empty scene, and what else is known before objects are.
        dress: gives both scenes of a group the same light, place and surfaces.
        camera_moves: whether the camera comes nearer where it shows too little.
    """

    stage: Callable[[Rng, DatagenConfig], Scene]
    dress: Callable[[Rng, Pair], Pair]
    camera_moves: bool = True


def _undressed(_: Rng, scenes: Pair) -> Pair:
    return scenes


def varied_stage(rng: Rng, config: DatagenConfig) -> Scene:
    """Draw the camera: 10 to 55 degrees up, field of view 35 to 60 degrees, objects about as large in each.

    Low views are drawn more often than high ones: only they show the horizon.
    """
    fov = rng.uniform(35, 60)
    distance = 2.6 * math.tan(math.radians(21)) / math.tan(math.radians(fov / 2)) * rng.uniform(0.85, 1.1)
    camera = Camera(
        target=(round(rng.uniform(-0.12, 0.12), 3), 0.1, round(rng.uniform(0.2, 0.36), 3)),
        distance=round(distance, 3),
        elevation=round(10 + 45 * rng.uniform() ** 1.3, 2),
        fov=round(fov, 2),
    )
    size = config.image_size
    return Scene((), camera, width=size, height=size, seed=int(rng.integers(2**31)))


def varied_dress(rng: Rng, scenes: Pair) -> Pair:
    """Draw place, lights and surfaces, and now and then a blur."""
    backdrop = draw_place(rng, scenes)
    lights, ambient = _lights(rng, scenes, overcast=backdrop.outdoors is not None and rng.random() < 0.3)
    blur = round(rng.uniform(0.25, 0.55), 2) if rng.random() < BLURRED else 0.0
    dressed = _surfaces(rng, scenes)
    first, second = (replace(scene, backdrop=backdrop, lights=lights, ambient=ambient, blur=blur) for scene in dressed)
    return first, second


def _compressed_dress(rng: Rng, scenes: Pair) -> Pair:
    first, second = varied_dress(rng, scenes)
    quality = int(rng.integers(50, 96)) if rng.random() < COMPRESSED else 0
    return replace(first, jpeg=quality), replace(second, jpeg=quality)


def _lights(rng: Rng, scenes: Pair, overcast: bool) -> tuple[tuple[Light, ...], float]:
    """Return key, fill and perhaps rim light, and the ambient light, for floors of about the same brightness."""
    key, softness = _key_direction(rng, scenes), rng.uniform(0.03, 0.05) if overcast else rng.uniform(0.004, 0.03)
    side = -1 if key[0] > 0 else 1
    fill = _direction(side * rng.uniform(20, 80), rng.uniform(10, 35))
    strengths = [(rng.uniform(0.3, 0.45) if overcast else rng.uniform(0.55, 0.8)), rng.uniform(0.15, 0.32)]
    directions = [key, fill]
    if rng.random() < 0.7:
        directions.append(_direction(180 + rng.uniform(-50, 50), rng.uniform(20, 45)))
        strengths.append(rng.uniform(0.1, 0.3))
    ambient = rng.uniform(0.5, 0.65) if overcast else rng.uniform(0.28, 0.45)
    floor = ambient + sum(strength * direction[2] for strength, direction in zip(strengths, directions, strict=True))
    scale = rng.uniform(0.95, 1.15) / floor
    lights = [
        Light(direction, round(scale * strength, 3)) for direction, strength in zip(directions, strengths, strict=True)
    ]
    lights[0] = replace(lights[0], softness=round(softness, 4))
    return tuple(lights), round(scale * ambient, 3)


def _direction(azimuth: float, height: float) -> Vector:
    """Return the direction to a light ``azimuth`` degrees to the right of the viewer, ``height`` above the floor."""
    flat = math.cos(math.radians(height))
    across, away = math.sin(math.radians(azimuth)), -math.cos(math.radians(azimuth))
    return (round(flat * across, 4), round(flat * away, 4), round(math.sin(math.radians(height)), 4))


def _key_direction(rng: Rng, scenes: Pair) -> Vector:
    """Draw a high light from the viewer's side whose shadows stay in both pictures, or nearly so."""
    drawn = [_direction(rng.uniform(-105, 105), rng.uniform(40, 70)) for _ in range(KEY_DRAWS)]
    outside = [max(shadow_outside(scene, direction) for scene in scenes) for direction in drawn]
    return drawn[min(range(KEY_DRAWS), key=lambda k: (max(outside[k], 0.02), k))]


def shadow_outside(scene: Scene, direction: Vector) -> float:
    """Return how far shadows on the floor reach out of the picture at most, as a share of its side."""
    worst = 0.0
    for spec in scene.objects:
        for x, y, z in pose_of(spec).corners().tolist():
            shift = z / direction[2]
            point = (x - direction[0] * shift, y - direction[1] * shift, 0.0)
            column, row, _ = scene.camera.project(point, scene.width, scene.height)
            worst = max(worst, -column, column - scene.width, -row, row - scene.height)
    return worst / scene.width


def _surfaces(rng: Rng, scenes: Pair) -> Pair:
    """Give every colour of the scenes a pattern and a gloss: copies of a thing, and its parts, stay alike."""
    found = {}
    for colour in sorted({spec.colour for scene in scenes for spec in scene.objects}):
        pattern = "" if rng.random() < PLAIN_SURFACES else list(SURFACES)[int(rng.integers(len(SURFACES)))]
        found[colour] = (pattern, 0.0 if rng.random() < MATT else round(rng.uniform(0.3, 1.0), 2))

    def covered(scene: Scene) -> Scene:
        objects = (replace(o, material=found[o.colour][0], gloss=found[o.colour][1]) for o in scene.objects)
        return replace(scene, objects=tuple(objects))

    return covered(scenes[0]), covered(scenes[1])


LOOKS: dict[str, Look] = {
    "plain": Look(plain_stage, _undressed, camera_moves=False),
    "varied": Look(varied_stage, varied_dress),
    "varied-jpeg": Look(varied_stage, _compressed_dress),
}
"""Looks by the name that ``DatagenConfig.looks`` gives. The pixels of "varied-jpeg" depend on Pillow's version."""
