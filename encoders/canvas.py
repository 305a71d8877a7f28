"""A square out of a picture: the one canvas that all encoders look at.

``pad``: the picture is scaled to fit and centred on the mean colour. Nothing is cut, so no object of a relation
disappears. ``crop``: its shorter side is scaled to fit and the middle is kept, which is what CLIP's processor does, and
with it plain LLaVA-1.5 checkpoints; what lies outside of the middle square is not seen.
"""

from collections.abc import Callable

from PIL import Image

from spatial.errors import RecordError, check_known
from spatial.pictures import MAX_PIXELS, MEAN_COLOUR

BICUBIC = Image.Resampling.BICUBIC


def square(
    image: Image.Image,
    mode: str = "pad",
    side: int = 0,
    colour: tuple[int, ...] = MEAN_COLOUR,
    resample: int = BICUBIC,
) -> Image.Image:
    """Make an RGB picture square. Use it in front of any processor, to give another model the same geometry.

    Args:
        image: RGB (``spatial.pictures.to_rgb`` makes it so).
        mode: a name of ``CANVAS_MODES``.
        side: of the result in pixels; 0 keeps the scale, so that pixels are only added or cut.
        colour: what pads.
        resample: Pillow's filter.

    Raises:
        ConfigError: another mode.
        RecordError: a square of the longer side would be too large.
    """
    check_mode(mode)
    if not side:
        side = max(image.size) if mode == "pad" else min(image.size)
        if side * side > MAX_PIXELS:
            size = f"{image.width}x{image.height}"
            raise RecordError(f"a picture of {size} makes a square of more than {MAX_PIXELS} pixels; give its side")
    return CANVAS_MODES[mode](image, side, colour, resample)


def check_mode(mode: str) -> None:
    """Check the name of a canvas mode.

    Raises:
        ConfigError: there is no such mode.
    """
    check_known("canvas mode", mode, CANVAS_MODES)


def letterbox(
    image: Image.Image, side: int, colour: tuple[int, ...] = MEAN_COLOUR, resample: int = BICUBIC
) -> Image.Image:
    """Fit an RGB image into a square of ``side`` pixels, aspect kept, centred, the rest filled with ``colour``."""
    left, top, width, height = letterbox_box(image.width, image.height, side)
    if (width, height) != image.size:
        image = image.resize((width, height), resample=Image.Resampling(resample))
    if (width, height) == (side, side):
        return image
    canvas = Image.new("RGB", (side, side), colour)
    canvas.paste(image, (left, top))
    return canvas


def letterbox_box(width: int, height: int, side: int) -> tuple[int, int, int, int]:
    """Return left, top, width, height (pixels) of a picture's place on the canvas."""
    scale = side / max(width, height)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    return (side - inner_width) // 2, (side - inner_height) // 2, inner_width, inner_height


def centre_crop(
    image: Image.Image, side: int, colour: tuple[int, ...] = MEAN_COLOUR, resample: int = BICUBIC
) -> Image.Image:
    """Scale an RGB image so that its shorter side is ``side`` pixels, and keep the middle square; nothing is padded."""
    left, top, width, height = crop_box(image.width, image.height, side)
    if width * height <= MAX_PIXELS:
        if (width, height) != image.size:
            image = image.resize((width, height), resample=Image.Resampling(resample))
        return image.crop((-left, -top, side - left, side - top))
    # Of a very long picture only the middle is scaled. That may differ by a level from cutting the scaled picture,
    # because Pillow keeps the corners of the box in single precision.
    across, down = image.width / width, image.height / height
    right, bottom = min(image.width, (side - left) * across), min(image.height, (side - top) * down)
    box = (-left * across, -top * down, right, bottom)
    return image.resize((side, side), resample=Image.Resampling(resample), box=box)


def crop_box(width: int, height: int, side: int) -> tuple[int, int, int, int]:
    """Return left, top (not above 0), width, height (pixels) of the whole picture relative to the canvas.

    The longer side is rounded down, and so are the corners, as ``CLIPImageProcessor`` does it.
    """
    shorter, longer = sorted((width, height))
    long_side = int(side * longer / shorter)
    inner_width, inner_height = (side, long_side) if width <= height else (long_side, side)
    return -((inner_width - side) // 2), -((inner_height - side) // 2), inner_width, inner_height


CANVAS_MODES: dict[str, Callable[[Image.Image, int, tuple[int, ...], int], Image.Image]] = {
    "pad": letterbox,
    "crop": centre_crop,
}
