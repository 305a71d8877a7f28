"""What engines of diffusers share: batches of pictures of one size, and a fresh generator for every picture."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from datagen.engines.base import Order, Painting
from datagen.engines.controls import Canvas, Picture, canvas_of, composed, shape_of
from datagen.engines.options import quiet
from spatial.errors import ConfigError

Painted = tuple[Picture, dict[str, Any]]
"""A picture of the canvas's size, and what provenance says of how it came about."""

PaintBatch = Callable[[Sequence[Order], Canvas], list[Painted]]


@dataclass(frozen=True)
class DiffusionEngine:
    """Paints orders in batches; of the ``Engine`` contract.

    Attributes:
        paint_batch: paints a few orders at one size.
        size: about how many pixels a side.
        batch_size: most orders at once.
        provenance: of the engine.
    """

    paint_batch: PaintBatch
    size: int
    batch_size: int
    provenance: dict[str, Any]

    def paint(self, orders: Sequence[Order]) -> list[Painting]:
        """Return a painting for every order, in order.

        Raises:
            ConfigError: an order lacks what the engine paints from, or a batch does not fit the GPU.
        """
        import torch

        alike: dict[Canvas, list[int]] = defaultdict(list)
        for index, order in enumerate(orders):
            alike[canvas_of(order, self.size)].append(index)
        done: dict[int, Painting] = {}
        for canvas, indices in alike.items():
            for start in range(0, len(indices), self.batch_size):
                batch = indices[start : start + self.batch_size]
                try:
                    with quiet():
                        painted = self.paint_batch([orders[index] for index in batch], canvas)
                except torch.cuda.OutOfMemoryError as error:
                    raise ConfigError(
                        f"{len(batch)} pictures of {canvas.width}x{canvas.height} do not fit the GPU; lower batch_size "
                        "or size, or set offload model"
                    ) from error
                for index, result in zip(batch, painted, strict=True):
                    done[index] = _finished(orders[index], canvas, *result)
        return [done[index] for index in range(len(orders))]


def _finished(order: Order, canvas: Canvas, picture: Picture, facts: dict[str, Any]) -> Painting:
    """Return a painting of the size that the order asks for; of a region, without a change outside it."""
    height, width = shape_of(order)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    if order.region is not None and order.photo is not None:
        picture = composed(picture, Image.fromarray(order.photo), order.region)
    provenance = {
        "key": order.key,
        "seed": order.seed,
        "prompt": order.prompts.whole,
        "negative_prompt": order.prompts.negative,
        "canvas": list(canvas),
        **facts,
    }
    return Painting(np.array(picture.convert("RGB")), provenance)


def generators(seeds: Sequence[int]) -> list[Any]:
    """Return a fresh generator on the CPU for every picture.

    The noise of a picture then depends neither on its batch nor on the device.
    """
    import torch

    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def words(said: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Return prompts and negative prompts as arguments; new lists every time, since a pipeline may write into them."""
    return {"prompt": [prompt for prompt, _ in said], "negative_prompt": [negative for _, negative in said]}
