"""The passes of a picture as small images: what the renderer knows of its scene, and the masks of its objects.

The list of passes is not written down here. Every array that the renderer returns is one, and its type says how it is
drawn: integers are labels, floats shades, three floats a direction, truth values black and white, bytes are shown as
they are. A new pass of the renderer therefore appears by itself.
"""

import io
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from spatial.errors import UserError
from spatial.records import ImageRow, decode_mask, image_id_of
from spatial.scene import Scene
from vsre.pictures import OBJECT_COLOURS, Layer, data_uri

Array = NDArray[Any]

BACKGROUND = (24, 28, 34)
"""Where a map of labels has none."""

NEAR_IS_BRIGHT = ("depth",)
"""Shades of these grow with the reciprocal, so that what is near, and not the far wall, has most of them."""


def layers_of(images: Sequence[ImageRow], supersample: int) -> tuple[list[list[Layer]], list[str]]:
    """Return the passes of each image of a group, drawn to one scale, and what there is to say about them.

    Args:
        images: of one group; those without a scene have no passes but their masks.
        supersample: of the renderer when the data was made; with another one, edges differ slightly.
    """
    notes: list[str] = []
    arrays = [_passes(image, supersample, notes) | _masks(image, notes) for image in images]
    layers: list[list[Layer]] = [[] for _ in images]
    for name in dict.fromkeys(name for found in arrays for name in found):
        places = [place for place, found in enumerate(arrays) if name in found]
        drawn, legend = draw_pass(name, [arrays[place][name] for place in places])
        if not drawn:
            notes.append(f"Pass {name} of shape {arrays[places[0]][name].shape} cannot be drawn.")
        for place, image in zip(places, drawn, strict=False):
            layers[place].append(Layer(name, data_uri(_png(image)), legend))
    return layers, list(dict.fromkeys(notes))


def draw_pass(name: str, arrays: Sequence[Array]) -> tuple[list[Image.Image], str]:
    """Return arrays of one pass as images with one scale for all, and the meaning of the shades.

    Args:
        name: of the pass.
        arrays: (height, width) or (height, width, 3) each; other shapes cannot be drawn and give no image.
    """
    first = arrays[0]
    if first.ndim == 3 and first.shape[2] == 3:
        return [Image.fromarray(array if array.dtype == np.uint8 else _directions(array)) for array in arrays], ""
    if first.ndim != 2:
        return [], ""
    if first.dtype == np.bool_ or first.dtype == np.uint8:
        return [Image.fromarray(array) for array in arrays], ""
    if np.issubdtype(first.dtype, np.integer):
        return [_labels(array) for array in arrays], "one colour per label, objects as in their boxes"
    return _shades(arrays, name in NEAR_IS_BRIGHT)


def _passes(image: ImageRow, supersample: int, notes: list[str]) -> dict[str, Array]:
    """Draw an image's scene again; the colours themselves are a pass only where they differ from the stored image."""
    if not image.scene:
        return {}
    from datagen.render import render

    try:
        rendered = render(Scene.from_json(image.scene), supersample)
    except (UserError, ValueError, KeyError, TypeError) as error:
        notes.append(f"The scene cannot be drawn again: {error}")
        return {}
    found = arrays_of(rendered)
    if image_id_of(rendered.rgb) == image.image_id:
        found.pop("rgb")
    elif image.source == "render":
        notes.append("The scene drawn again (pass rgb) differs from the stored image: another version made the data.")
    return found


def arrays_of(rendered: Any) -> dict[str, Array]:
    """Return the passes of a dataclass of arrays by name; what was not drawn (``None``) is left out."""
    values = {field.name: getattr(rendered, field.name) for field in fields(rendered)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _masks(image: ImageRow, notes: list[str]) -> dict[str, Array]:
    """Return the stored masks as one map of object indices; the last object lies on top."""
    if not any(item.mask_rle for item in image.objects):
        return {}
    labels = np.full((image.height, image.width), -1, np.int16)
    for index, item in enumerate(image.objects):
        try:
            labels[decode_mask(item.mask_rle, image.height, image.width)] = index
        except (UserError, ValueError) as error:
            notes.append(f"A mask cannot be drawn: {error}")
    return {"masks": labels}


def _labels(array: Array) -> Image.Image:
    """Colour labels like the boxes of objects; negative ones are background."""
    colours = [ImageColor.getrgb(colour) for colour in OBJECT_COLOURS]
    image = Image.fromarray(np.where(array < 0, 0, array % len(colours) + 1).astype(np.uint8))
    image.putpalette([part for colour in (BACKGROUND, *colours) for part in colour[:3]])
    return image


def _shades(arrays: Sequence[Array], reciprocal: bool) -> tuple[list[Image.Image], str]:
    """Draw numbers in shades of grey between the smallest and the largest finite one of all arrays."""
    known = np.concatenate([array[np.isfinite(array)] for array in arrays])
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    reciprocal = reciprocal and low > 0
    ends = (1 / high, 1 / low) if reciprocal else (low, high)
    images = []
    for array in arrays:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = 1 / array if reciprocal else array
            share = (values - ends[0]) / max(ends[1] - ends[0], 1e-12)
        share = np.clip(np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
        images.append(Image.fromarray(np.round(255 * share).astype(np.uint8)))
    words = ("black", "white")[:: -1 if reciprocal else 1]
    return images, f"{low:.4g} is {words[0]}, {high:.4g} is {words[1]}"


def _directions(array: Array) -> Array:
    """Map directions in -1..1 to colours; what is in 0..1 already is taken for a colour."""
    share = (array + 1) / 2 if np.nanmin(array, initial=0.0) < 0 else array
    return np.round(255 * np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
