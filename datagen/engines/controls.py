"""Control images as control networks are trained on them, drawn from a scene's geometry at the size that is painted.

Depth: inverse depth from 0 to 255, near is white, three equal channels, as MiDaS and its like estimate it. Edges: white
lines on black, as Canny finds them. Masks: white is repainted; they are grown by one cell of the latent picture, since
a pipeline samples the mask at one pixel of each cell and would leave out cells that an object only touches.

Shapes: H, W picture; h, w canvas, the size that is painted.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from datagen.control import inverse_depth, lines
from datagen.engines.base import Order
from datagen.passes import Mask, Passes
from spatial.errors import ConfigError
from spatial.records import image_id_of

Picture = Image.Image

MULTIPLE = 64
"""Sides of a canvas are multiples of this many pixels, as SDXL's were in training; every engine can paint them."""

CELL = 8
"""Pixels along a cell of the latent picture, of every engine here."""


class Canvas(NamedTuple):
    """The size in pixels that is painted."""

    width: int
    height: int


def shape_of(order: Order) -> tuple[int, int]:
    """Return height and width of the picture that an order asks for.

    Raises:
        ConfigError: it has neither geometry nor a photo.
    """
    if order.passes is not None:
        height, width = order.passes.depth.shape
    elif order.photo is not None:
        height, width, _ = order.photo.shape
    else:
        raise ConfigError(f"order {order.key} has neither passes nor a photo; one of them says how large to paint")
    return height, width


def canvas_of(order: Order, size: int) -> Canvas:
    """Return the canvas with about ``size`` x ``size`` pixels and the picture's shape."""
    height, width = shape_of(order)
    scale = size / math.sqrt(height * width)
    sides = (max(1, round(side * scale / MULTIPLE)) * MULTIPLE for side in (width, height))
    return Canvas(*sides)


def reference(order: Order, canvas: Canvas) -> Picture:
    """Return the picture that an order starts from (h, w, 3): its photo, or its scene's render.

    Raises:
        ConfigError: it has neither.
    """
    shape_of(order)
    pixels = order.photo if order.photo is not None or order.passes is None else order.passes.rgb
    return Image.fromarray(np.asarray(pixels)).resize(canvas, Image.Resampling.LANCZOS)


def depth_control(passes: Passes, canvas: Canvas) -> Picture:
    """Return inverse depth (h, w, 3), near white; the sky is black."""
    shades, _, _ = inverse_depth([passes.depth])
    return shades[0].resize(canvas, Image.Resampling.BILINEAR).convert("RGB")


def edge_control(passes: Passes, canvas: Canvas) -> Picture:
    """Return white lines on black (h, w, 3); no line is lost where the canvas is smaller than the picture."""
    return lines(resized(passes.edges, canvas)).convert("RGB")


CONTROL_IMAGES: dict[str, Callable[[Passes, Canvas], Picture]] = {"depth": depth_control, "edge": edge_control}
"""Control images by the name of what they control."""


def resized(mask: NDArray[np.bool_], canvas: Canvas) -> Mask:
    """Return a mask (H, W) at the canvas's size (h, w): a pixel is in it that covers any pixel of it."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.resize(canvas, Image.Resampling.BOX)) > 0


def grown(mask: NDArray[np.bool_], pixels: int = CELL) -> Mask:
    """Return a mask with all that is within so many pixels of it, diagonals included."""
    reach = 2 * pixels + 1
    return ndimage.maximum_filter(mask, size=reach, mode="constant", cval=False) if mask.any() else mask.copy()


def far_to_near(passes: Passes) -> list[int]:
    """Return the objects that are seen, the farthest by median depth first."""
    depths = {int(index): float(np.median(passes.depth[passes.ids == index])) for index in np.unique(passes.ids)}
    return sorted((index for index in depths if index >= 0), key=lambda index: (-depths[index], index))


def object_masks(passes: Passes, canvas: Canvas) -> list[tuple[int, Mask]]:
    """Return the objects that are seen, the farthest first, each with where it may be repainted (h, w).

    That is what is seen of it, grown, without what is nearer: nearer objects are painted after it, over the rim that
    their own masks take from it.
    """
    nearer = np.zeros((canvas.height, canvas.width), np.bool_)
    found = []
    for index in reversed(far_to_near(passes)):
        seen = resized(passes.ids == index, canvas)
        mask = grown(seen) & ~nearer
        nearer |= seen
        if mask.any():
            found.append((index, mask))
    return found[::-1]


def mask_image(mask: NDArray[np.bool_]) -> Picture:
    """Return a mask as pipelines take it: one channel, white is repainted."""
    return lines(mask)


def composed(painted: Picture, under: Picture, mask: NDArray[np.bool_]) -> Picture:
    """Return ``under`` with ``painted`` inside the mask; outside it no pixel changes.

    A pipeline changes them a little, since the whole picture goes through its autoencoder.
    """
    return Image.fromarray(np.where(mask[..., None], np.asarray(painted), np.asarray(under)))


def hash_of(image: Picture) -> str:
    """Return the hash of a control image's pixels, by which provenance names it."""
    return image_id_of(np.asarray(image.convert("RGB")))
