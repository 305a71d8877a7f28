"""VSRE's three ways to repaint photos (arXiv 2412.18224): image to image, text to image, and a box inpainted.

They are here to be compared with, and nothing in them holds a relation: the first keeps as much of the photo's layout
as its strength leaves, the second has the caption alone, the third repaints a region in its place. VSRE names no model;
here it is SDXL. The first and the second also take scenes: a render is a picture to start from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from datagen.config import EngineSettings
from datagen.engines.base import LOADED, Engine, EngineKind, Order
from datagen.engines.controls import Canvas, Picture, grown, hash_of, mask_image, reference, resized
from datagen.engines.loading import Facts, kit_weights, load_kit
from datagen.engines.painting import DiffusionEngine, Painted, generators, words
from datagen.engines.sdxl import BASE, PARTS, PIPELINES
from datagen.engines.weights import Need
from spatial.errors import CheckpointError, ConfigError

INPAINTING = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"

Arguments = tuple[dict[str, Any], list[dict[str, Any]]]
"""What a pipeline is given beside words, steps and noise, and what provenance says of each picture."""


@dataclass(frozen=True)
class Way:
    """One of the three.

    Attributes:
        pipeline: its class.
        default: hub name of its weights.
        channels: of the UNets that will do.
        takes: of ``datagen.engines.base.CONTROLS``.
        given: from a batch to the pipeline's further arguments.
        settings: see ``EngineKind``.
    """

    pipeline: str
    default: str
    channels: tuple[int, ...]
    takes: frozenset[str]
    given: Callable[[Sequence[Order], Canvas, EngineSettings], Arguments]
    settings: frozenset[str] = LOADED | {"strength"}


def _from_picture(orders: Sequence[Order], canvas: Canvas, settings: EngineSettings) -> Arguments:
    starts = [reference(order, canvas) for order in orders]
    facts = [{"controls": {"reference": hash_of(start)}} for start in starts]
    return {"image": starts, "strength": settings.strength}, facts


def _from_text(orders: Sequence[Order], canvas: Canvas, settings: EngineSettings) -> Arguments:
    return {"width": canvas.width, "height": canvas.height}, [{"controls": {}} for _ in orders]


def _in_region(orders: Sequence[Order], canvas: Canvas, settings: EngineSettings) -> Arguments:
    starts, masks = [reference(order, canvas) for order in orders], [_mask(order, canvas) for order in orders]
    facts = [
        {"controls": {"reference": hash_of(start), "mask": hash_of(mask)}}
        for start, mask in zip(starts, masks, strict=True)
    ]
    size = {"width": canvas.width, "height": canvas.height}
    return {"image": starts, "mask_image": masks, "strength": settings.strength, **size}, facts


def _mask(order: Order, canvas: Canvas) -> Picture:
    if order.photo is None or order.region is None or not order.region.any():
        raise ConfigError(f"box-inpaint repaints a region of a photo, and order {order.key} has none")
    return mask_image(grown(resized(order.region, canvas)))


WAYS: Mapping[str, Way] = {
    "img2img": Way("StableDiffusionXLImg2ImgPipeline", BASE, (4,), frozenset({"reference", "prompt"}), _from_picture),
    "txt2img": Way("StableDiffusionXLPipeline", BASE, (4,), frozenset({"prompt"}), _from_text, LOADED),
    "box-inpaint": Way(
        "StableDiffusionXLInpaintPipeline", INPAINTING, (4, 9), frozenset({"mask", "reference", "prompt"}), _in_region
    ),
}


def _paint(orders: Sequence[Order], canvas: Canvas, pipeline: Any, way: Way, settings: EngineSettings) -> list[Painted]:
    given, facts = way.given(orders, canvas, settings)
    images = pipeline(
        **words([(order.prompts.whole, order.prompts.negative) for order in orders]),
        **given,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        generator=generators([order.seed for order in orders]),
    ).images
    return list(zip(images, facts, strict=True))


def facts_of(way: Way) -> Facts:
    """Return what an engine is made of."""
    mend = f"fetch SDXL: hf download {way.default} --local-dir DIR, then set model DIR"
    return Facts(Need(PIPELINES, PARTS, mend), way.default, "CreativeML Open RAIL++-M (SDXL)", steps=30, guidance=5.0)


def load(settings: EngineSettings, name: str) -> Engine:
    """Return one of the three engines.

    Raises:
        ConfigError: a setting cannot be used.
        CheckpointError: weights are missing, incomplete or of another engine.
    """
    way = WAYS[name]
    kit = load_kit(settings, facts_of(way), repaints="reference" in way.takes)
    channels = kit.parts["unet"].config.in_channels
    if channels not in way.channels:
        raise CheckpointError(
            f"the UNet takes {channels} channels, as one for inpainting alone does; {facts_of(way).need.mend}"
        )
    pipeline = kit.pipeline(way.pipeline)
    paint = partial(_paint, pipeline=pipeline, way=way, settings=kit.settings)
    provenance = {**kit.provenance, "pipelines": [way.pipeline], "controls": sorted(way.takes - {"prompt"})}
    return DiffusionEngine(paint, kit.settings.size, kit.settings.batch_size, provenance)


KINDS = {
    name: EngineKind(
        way.takes,
        facts_of(way).licence,
        partial(load, name=name),
        way.default,
        seconds=2.5,
        settings=way.settings,
        photo=name,
        weights=partial(kit_weights, facts=facts_of(way)),
    )
    for name, way in WAYS.items()
}
