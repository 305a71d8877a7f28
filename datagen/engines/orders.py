"""From scenes to orders: a group's pictures have one seed and one style, and differ only in what controls them."""

from collections.abc import Sequence

from datagen.engines.base import Order
from datagen.engines.prompts import rng_of, scene_prompts, style_of
from datagen.passes import render_passes
from spatial.scene import Scene

SEEDS = 2**63
"""Seeds of ``torch.Generator`` are below this."""


def orders_of(
    scenes: Sequence[Scene],
    seed: int,
    group_id: str,
    captions: Sequence[str] = (),
    draw: int = 0,
    supersample: int = 2,
) -> list[Order]:
    """Return an order for every scene of a group.

    Args:
        scenes: of one group.
        seed: of the run.
        group_id: names the group; with ``seed`` and ``draw`` it decides the style and the seed of all its pictures.
        captions: what is true of each scene, in order; empty to say only what is there.
        draw: number of the painting, where a group is painted several times.
        supersample: samples per pixel and axis of the passes.

    Raises:
        ValueError: there are not as many captions as scenes.
        ConfigError: an object, colour or material is not in the catalogue.
    """
    style = style_of(scenes[0].backdrop, seed, group_id, draw)
    picture_seed = seed_of(seed, group_id, draw)
    said = captions or [""] * len(scenes)
    return [
        Order(scene.scene_id, picture_seed, scene_prompts(scene, style, caption), render_passes(scene, supersample))
        for scene, caption in zip(scenes, said, strict=True)
    ]


def seed_of(seed: int, *names: object) -> int:
    """Return the seed of a picture, the same whatever was painted before it."""
    return int(rng_of("picture", seed, *names).integers(SEEDS))
