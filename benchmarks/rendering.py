"""How many training images the renderer draws per second of CPU time, and whether a second process doubles it.

    python benchmarks/rendering.py [--quick] [--out FILE]

Each image holds four objects of 300 triangles or more (median), floor and object textures, and shadows of objects on
objects; it stands in a room or outdoors with two or three lights, polished and patterned surfaces and sometimes a blur
(``looks: varied``), and yields colour, depth and ids at 128 x 128 with 2 x 2 samples per pixel. The same objects before
a plain wall (``looks: plain``) are timed beside it. PNG encoding is not counted. CPU seconds are counted rather than
wall seconds, because they hardly change when the machine is shared; the speed-up of two processes is the one number
that needs wall time, and so two free cores. Beside it stands the same ratio in CPU seconds, which tells on a busy
machine whether the two processes get in each other's way.
"""

import multiprocessing
import random
import statistics
import time
from dataclasses import replace
from multiprocessing.pool import Pool

import numpy as np
from _report import finish, machine, options

from datagen.assets import ASSETS, COLOURS, toy_size, unit_mesh
from datagen.config import DatagenConfig
from datagen.looks import varied_dress, varied_stage
from datagen.render import render
from spatial.scene import Backdrop, Camera, Light, ObjectSpec, Scene

SPOTS = ((-0.6, -0.4), (0.6, -0.3), (-0.5, 0.6), (0.6, 0.6))
SIDE = 128


def scenes(count: int, seed: int = 0) -> list[Scene]:
    """Return ``count`` plain scenes of four different objects, differing in everything that costs time."""
    rng = random.Random(seed)
    return [_scene(rng, seed + index) for index in range(count)]


def varied(plain: list[Scene], seed: int = 0) -> list[Scene]:
    """Return the same objects as the varied look shows them, from as near as the plain scenes do."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    dressed = []
    for scene in plain:
        camera = replace(varied_stage(rng, DatagenConfig()).camera, distance=scene.camera.distance)
        dressed.append(varied_dress(rng, (replace(scene, camera=camera),) * 2)[0])
    return dressed


def images_per_cpu_second(batch: list[Scene], rounds: int) -> list[float]:
    """Return one rate per round, each over the whole batch."""
    return [len(batch) / _draw(batch) for _ in range(rounds)]


def two_process_speedups(batch: list[Scene], rounds: int) -> tuple[list[float], list[float]]:
    """Return, per round, the rate of two processes over that of one, in wall and in CPU seconds (ideal: 2)."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        _seconds(pool, [batch, batch])  # builds the meshes in both
        wall, cpu = [], []
        for _ in range(rounds):
            (wall_one, cpu_one), (wall_two, cpu_two) = _seconds(pool, [batch]), _seconds(pool, [batch, batch])
            wall.append(2 * wall_one / wall_two)
            cpu.append(2 * cpu_one / cpu_two)
        return wall, cpu


def main() -> None:
    """Measure, print a table, and end with one line of JSON."""
    arguments, before = options(__doc__, "fewer images, the same number of rounds"), machine()
    plain = scenes(40 if arguments.quick else 200)
    batch = varied(plain)
    _draw([*batch, *plain[:10]])  # builds meshes and materials
    rates, plain_rates = images_per_cpu_second(batch, 7), images_per_cpu_second(plain, 7)
    speedups, cpu_speedups = two_process_speedups(batch, 5)
    triangles = [len(unit_mesh(spec.name).slots) for scene in batch for spec in scene.objects]
    result = {
        "benchmark": "rendering",
        "images_per_cpu_second": round(statistics.median(rates), 2),
        "images_per_cpu_second_plain": round(statistics.median(plain_rates), 2),
        "two_process_speedup": round(statistics.median(speedups), 3),
        "two_process_speedup_cpu": round(statistics.median(cpu_speedups), 3),
        "n": len(batch),
        "resolution": SIDE,
        "supersample": 2,
        "triangles_median": statistics.median(triangles),
        **before,
    }
    print(f"{'quantity':<28}{'median':>10}{'lowest':>10}{'highest':>10}{'target':>10}")
    print(f"{'images per CPU-second':<28}{_row(rates)}{'>= 20':>10}")
    print(f"{'the same, plain looks':<28}{_row(plain_rates)}")
    print(f"{'two processes, wall':<28}{_row(speedups)}{'>= 1.7':>10}")
    print(f"{'two processes, CPU':<28}{_row(cpu_speedups)}")
    print(f"{'triangles per object':<28}{_row(triangles)}{'>= 300':>10}")
    finish(result, arguments.out)


def _scene(rng: random.Random, seed: int) -> Scene:
    objects = []
    for name, (x, y) in zip(rng.sample(sorted(ASSETS), 4), SPOTS, strict=True):
        position = (x + rng.uniform(-0.2, 0.2), y + rng.uniform(-0.2, 0.2), 0.0)
        objects.append(ObjectSpec(name, rng.choice(sorted(COLOURS)), position, toy_size(name), rng.uniform(0, 360)))
    return Scene(
        tuple(objects),
        Camera((0.0, 0.0, 0.3), 3.4, rng.uniform(15, 50)),
        (Light(), Light((0.5, -0.5, 0.5), 0.15)),
        Backdrop(texture=rng.choice(["checker", "noise", "planks"])),
        width=SIDE,
        height=SIDE,
        seed=seed,
    )


def _draw(batch: list[Scene]) -> float:
    """Render all scenes and return the CPU seconds it took."""
    start = time.process_time()
    for scene in batch:
        render(scene)
    return time.process_time() - start


def _seconds(pool: Pool, batches: list[list[Scene]]) -> tuple[float, float]:
    """Return wall seconds until all batches were drawn, and the mean CPU seconds of one batch."""
    start = time.perf_counter()
    spent = pool.map(_draw, batches, chunksize=1)
    return time.perf_counter() - start, statistics.mean(spent)


def _row(values: list[float] | list[int]) -> str:
    return "".join(f"{value:>10.2f}" for value in (statistics.median(values), min(values), max(values)))


if __name__ == "__main__":
    main()
