"""The passes of a picture as small images: what the renderer knows of its scene, and the masks of its objects.

The list of passes is not written down here: every line of ``datagen.control.CONTROLS`` that gives one image is one.
Depth is drawn to one scale for the images of a group, and labels in the colours of the objects' boxes.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor

from datagen.control import CONTROLS, inverse_depth, labels
from datagen.passes import Passes, render_passes
from spatial.errors import UserError
from spatial.records import ImageRow, decode_mask, image_id_of
from spatial.scene import Scene
from vsre.pictures import OBJECT_COLOURS, Layer, png_uri

BACKGROUND = (24, 28, 34)
"""Where a map of labels has none."""

LABELS = "one colour per label, objects as in their boxes"
LEGENDS = {
    "ids": LABELS,
    "masks": LABELS,
    "parts": "one colour per part",
    "normals": "red to the right, green up, blue towards the camera",
}

NOT_SHOWN = ("rgb", "depth", "inverse_depth", "amodal")
"""The picture itself, depth in millimetres and masks that overlap; depth in shades is drawn for a group at once."""

Drawing = dict[str, tuple[Image.Image, str]]
"""Image and legend of the passes of one picture, by name."""


def layers_of(images: Sequence[ImageRow], supersample: int) -> tuple[list[list[Layer]], list[str]]:
    """Return the passes of each image of a group, drawn to one scale, and what there is to say about them.

    Args:
        images: of one group; those without a scene have no passes but their masks.
        supersample: of the renderer when the data was made; with another one, edges differ slightly.
    """
    notes: list[str] = []
    passes = [_passes(image, supersample, notes) for image in images]
    depths = [found.depth for found in passes if found]
    shades, near, far = inverse_depth(depths) if depths else ([], 0.0, 0.0)
    rest = iter(shades)
    drawings: list[Drawing] = []
    for image, found in zip(images, passes, strict=True):
        drawing = _drawing(image, found, next(rest), f"{near:.4g} is white, {far:.4g} is black") if found else {}
        drawings.append(drawing | _masks(image, notes))
    layers = [[Layer(name, png_uri(shown), legend) for name, (shown, legend) in it.items()] for it in drawings]
    return layers, list(dict.fromkeys(notes))


def _passes(image: ImageRow, supersample: int, notes: list[str]) -> Passes | None:
    """Draw an image's scene again."""
    if not image.scene:
        return None
    try:
        passes = render_passes(Scene.from_json(image.scene), supersample)
    except (UserError, ValueError, KeyError, TypeError, AttributeError) as error:
        notes.append(f"The scene cannot be drawn again: {error}")
        return None
    if image.source == "render" and image_id_of(passes.rgb) != image.image_id:
        notes.append("The scene drawn again (pass rgb) differs from the stored image: another version made the data.")
    return passes


def _drawing(image: ImageRow, passes: Passes, depth: Image.Image, scale: str) -> Drawing:
    """Return what is shown of a picture; its colours only where they differ from the stored image."""
    drawing: Drawing = {}
    if image_id_of(passes.rgb) != image.image_id:
        drawing["rgb"] = (Image.fromarray(passes.rgb), "")
    drawing["depth"] = (depth, scale)
    for name in CONTROLS:
        if name in ("ids", "parts"):
            drawing[name] = (labels(getattr(passes, name), _palette()), LEGENDS[name])
        elif name not in NOT_SHOWN:
            drawing[name] = (CONTROLS[name](passes)[0], LEGENDS.get(name, ""))
    return drawing


def _masks(image: ImageRow, notes: list[str]) -> Drawing:
    """Return the stored masks as one map of object indices; the last object lies on top."""
    if not any(item.mask_rle for item in image.objects):
        return {}
    numbers = np.full((image.height, image.width), -1, np.int16)
    for index, item in enumerate(image.objects):
        try:
            numbers[decode_mask(item.mask_rle, image.height, image.width)] = index
        except (UserError, ValueError) as error:
            notes.append(f"A mask cannot be drawn: {error}")
    return {"masks": (labels(numbers, _palette()), LEGENDS["masks"])}


def _palette() -> list[tuple[int, int, int]]:
    """Return the background's colour and those of the objects' boxes."""
    return [BACKGROUND, *((red, green, blue) for red, green, blue, *_ in map(ImageColor.getrgb, OBJECT_COLOURS))]
