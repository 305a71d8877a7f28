"""Open a picture of any kind safely: upright, RGB, bounded in size, or one error that names it.

Everything that takes pictures from outside comes through here: images of datasets, photos, and what users give to the
processor. Every kind of pixel gets the meaning that it has on a screen:

* transparent pictures (with an alpha channel, or a transparent palette entry or colour) are laid over the colour that
  also pads canvases, so that what cannot be seen adds nothing that stands out;
* 16-bit pictures are scaled by their range, 0..65535, which Pillow would clip to white;
* 32-bit and float pictures say nothing of their range, which is taken from their largest value: 0..1 (float only),
  0..255 or 0..65535;
* photos are turned as their EXIF orientation says; of an animation, the first frame counts.
"""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from spatial.errors import RecordError, first_line

MAX_PIXELS = 64_000_000
"""Images that would decode to more pixels than this are refused (decompression bombs)."""

FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "AVIF",
    "JPEG2000",
    "TIFF",
    "GIF",
    "QOI",
    "BMP",
    "DIB",
    "ICO",
    "PCX",
    "PPM",
    "SGI",
    "TGA",
)
"""Pillow's names of the kinds of files that are opened: pictures of pixels. Of others, EPS would start Ghostscript."""

MEAN_COLOUR = (122, 116, 104)
"""CLIP's mean colour, which LLaVA pads with too."""


def decode_image(data: bytes, name: str) -> Image.Image:
    """Decode image bytes to RGB, upright, bounded in size.

    Raises:
        RecordError: the bytes are not an image, are truncated, or decode to more than ``MAX_PIXELS``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise RecordError(f"image {name} has more than {MAX_PIXELS} pixels ({first_line(error)}); resize it") from error
    except UnidentifiedImageError as error:
        raise _undecodable(name, ValueError("cannot identify it as a picture of a kind that is read here")) from error
    except Exception as error:
        raise _undecodable(name, error) from error
    with opened:
        return to_rgb(opened, name)


def read_picture(path: str | Path) -> Image.Image:
    """Read a picture file as ``decode_image`` decodes it.

    Raises:
        RecordError: the file is missing, or is not a picture that can be used.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise RecordError(f"image {path} cannot be read ({first_line(error)}); correct the path") from error
    return decode_image(data, str(path))


def to_rgb(image: Image.Image, name: str, background: tuple[int, ...] = MEAN_COLOUR) -> Image.Image:
    """Turn an opened picture of any mode upright and into RGB; transparency shows ``background``.

    Raises:
        RecordError: the picture cannot be decoded, has more than ``MAX_PIXELS``, none, or values of no known range.
    """
    if image.width * image.height > MAX_PIXELS:
        raise RecordError(f"image {name} has {image.width}x{image.height} pixels, more than {MAX_PIXELS}; resize it")
    try:
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "I" or upright.mode.startswith("I;16") or upright.mode == "F":
            upright = _to_eight_bits(upright)
        if upright.has_transparency_data:
            return _over(upright, background)
        return upright.convert("RGB")
    except Exception as error:
        raise _undecodable(name, error) from error


def _over(image: Image.Image, background: tuple[int, ...]) -> Image.Image:
    if image.mode == "La":  # premultiplied grey, which Pillow turns into RGBA by way of LA only
        image = image.convert("LA")
    canvas = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image, dtype=np.float64)
    ranges = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, (65535,))
    low, high = float(values.min()), float(values.max())
    top = next((top for top in ranges if high <= top), 0)
    if not (low >= 0 and top):  # also true of values that are no numbers
        raise ValueError(f"values from {low:g} to {high:g}, not within 0..{' or 0..'.join(map(str, ranges))}")
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def _undecodable(name: str, error: Exception) -> RecordError:
    return RecordError(f"image {name} cannot be decoded ({first_line(error)}); replace the file")
