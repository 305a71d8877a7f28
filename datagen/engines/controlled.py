"""Painting under a control network: the whole picture by its geometry, then its objects one by one if asked for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from datagen.config import EngineSettings
from datagen.engines.base import Order
from datagen.engines.controls import (
    CONTROL_IMAGES,
    Canvas,
    Picture,
    composed,
    hash_of,
    mask_image,
    object_masks,
)
from datagen.engines.loading import Kit
from datagen.engines.orders import seed_of
from datagen.engines.painting import DiffusionEngine, Painted, generators, words
from datagen.engines.prompts import object_prompt
from datagen.passes import Mask, Passes
from spatial.errors import ConfigError

Controls = dict[str, Picture]
"""Control images of one picture by name."""


@dataclass(frozen=True)
class Controlled:
    """Pipelines that paint what a control network shows them.

    Attributes:
        settings: with nothing left open.
        whole: pipeline that paints a picture as a whole.
        told: how the control images of a batch are handed to a pipeline.
        kinds: names of the control images; empty where there is no control network.
        by_object: pipeline that repaints one object after the other, if that is asked for.
        repainting: further arguments of ``by_object``.
    """

    settings: EngineSettings
    whole: Any
    told: Callable[[Sequence[Controls]], dict[str, Any]]
    kinds: tuple[str, ...] = ()
    by_object: Any = None
    repainting: dict[str, Any] = field(default_factory=dict)

    @property
    def pipelines(self) -> list[str]:
        """Names of the pipeline classes, for provenance."""
        return [type(each).__name__ for each in (self.whole, self.by_object) if each is not None]

    def paint(self, orders: Sequence[Order], canvas: Canvas) -> list[Painted]:
        """Paint a batch."""
        controls = [self._controls(order, canvas) for order in orders]
        prompts = words([(order.prompts.whole, order.prompts.negative) for order in orders])
        pictures = self._run(self.whole, prompts, [order.seed for order in orders], controls, canvas)
        facts: list[dict[str, Any]] = [
            {"controls": {name: hash_of(image) for name, image in images.items()}} for images in controls
        ]
        if self.by_object is None:
            return list(zip(pictures, facts, strict=True))
        touched = paint_objects(orders, pictures, canvas, self._repaint)
        return [(picture, {**own, "objects": told}) for (picture, told), own in zip(touched, facts, strict=True)]

    def _controls(self, order: Order, canvas: Canvas) -> Controls:
        if not self.kinds:
            return {}
        passes = geometry(order, self.settings.name)
        return {name: CONTROL_IMAGES[name](passes, canvas) for name in self.kinds}

    def _repaint(self, touches: Sequence["Touch"], canvas: Canvas) -> list[Picture]:
        return self._run(
            self.by_object,
            words([(touch.prompt, touch.order.prompts.negative) for touch in touches]),
            [touch.seed for touch in touches],
            [self._controls(touch.order, canvas) for touch in touches],
            canvas,
            image=[touch.picture for touch in touches],
            mask_image=[mask_image(touch.mask) for touch in touches],
            **self.repainting,
        )

    def _run(
        self,
        pipeline: Any,
        prompts: dict[str, list[str]],
        seeds: Sequence[int],
        controls: Sequence[Controls],
        canvas: Canvas,
        **further: Any,
    ) -> list[Picture]:
        arguments = {
            **prompts,
            **further,
            "width": canvas.width,
            "height": canvas.height,
            "num_inference_steps": self.settings.steps,
            "guidance_scale": self.settings.guidance,
            "generator": generators(seeds),
        }
        if not self.kinds:
            return list(pipeline(**arguments).images)
        arguments |= {"controlnet_conditioning_scale": float(self.settings.control_strength), **self.told(controls)}
        with only_within(pipeline, self.settings.control_start, self.settings.control_end) as count:
            return list(pipeline(**arguments, callback_on_step_end=count).images)


def engine_of(painter: Controlled, kit: Kit) -> DiffusionEngine:
    """Return the engine that paints with these pipelines."""
    provenance = {**kit.provenance, "pipelines": painter.pipelines, "controls": list(painter.kinds)}
    return DiffusionEngine(painter.paint, kit.settings.size, kit.settings.batch_size, provenance)


def geometry(order: Order, engine: str) -> Passes:
    """Return an order's geometry.

    Raises:
        ConfigError: it has none.
    """
    if order.passes is None:
        raise ConfigError(
            f"{engine} paints from a scene's geometry, which {order.key} has not; take img2img for photos"
        )
    return order.passes


@contextmanager
def only_within(pipeline: Any, start: float, end: float) -> Iterator[Callable[..., dict[str, Any]]]:
    """Let a pipeline's control network speak only from share ``start`` to share ``end`` of the steps.

    Pipelines do not do that themselves: Z-Image's has no schedule, and SDXL's scales the control images to nothing,
    after which the network still says something. By diffusers' rule, a step counts if it lies within as a whole.

    Yields:
        What the pipeline is to call at the end of every step (``callback_on_step_end``).
    """
    step = 0

    def gate(network: Any, given: Any, said: Any) -> Any:
        total = pipeline.num_timesteps
        if step / total >= start and (step + 1) / total <= end:
            return said
        return (None, None) if isinstance(said, tuple) else {}  # SDXL's and Z-Image's ways to add nothing

    def count(_: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        nonlocal step
        step = index + 1
        return tensors

    handle = pipeline.controlnet.register_forward_hook(gate)
    try:
        yield count
    finally:
        handle.remove()


@dataclass(frozen=True)
class Touch:
    """One object of one picture to repaint: the picture so far, where, and with what words and noise."""

    order: Order
    index: int
    picture: Picture
    mask: Mask
    seed: int

    @property
    def prompt(self) -> str:
        """The object's own prompt; it names no other object and no relation."""
        return object_prompt(self.order.prompts, self.index)

    @property
    def facts(self) -> dict[str, Any]:
        """What provenance says of it."""
        return {
            "object": self.index,
            "prompt": self.prompt,
            "seed": self.seed,
            "mask": hash_of(mask_image(self.mask)),
        }


def paint_objects(
    orders: Sequence[Order],
    pictures: Sequence[Picture],
    canvas: Canvas,
    repaint: Callable[[Sequence[Touch], Canvas], list[Picture]],
) -> list[tuple[Picture, list[dict[str, Any]]]]:
    """Repaint the objects of every picture, the farthest first, those of equal rank in one batch.

    Args:
        orders: with geometry.
        pictures: painted as a whole, of the canvas's size.
        canvas: the size that is painted.
        repaint: paints the objects of several pictures.

    Returns:
        The pictures, and what provenance says of each object in the order of painting.
    """
    masks = [object_masks(geometry(order, "painting by object"), canvas) for order in orders]
    current, facts = list(pictures), [list[dict[str, Any]]() for _ in orders]
    for rank in range(max(map(len, masks), default=0)):
        among = [number for number, found in enumerate(masks) if rank < len(found)]
        touches = [_touch(orders[number], current[number], *masks[number][rank]) for number in among]
        for number, touch, painted in zip(among, touches, repaint(touches, canvas), strict=True):
            current[number] = composed(painted, touch.picture, touch.mask)
            facts[number].append(touch.facts)
    return list(zip(current, facts, strict=True))


def _touch(order: Order, picture: Picture, index: int, mask: Mask) -> Touch:
    return Touch(order, index, picture, mask, seed_of(order.seed, "object", index))
