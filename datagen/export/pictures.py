"""Pictures of an export: an image's own bytes under its identifier, in one folder."""

from pathlib import Path
from typing import Any

from spatial.errors import RecordError, first_line
from spatial.records import ImageRow

PICTURES = "images"
"""Folder of the pictures of an export."""

SUFFIXES = {b"\x89PNG": "png", b"\xff\xd8": "jpg", b"GIF8": "gif", b"BM": "bmp", b"II*\0": "tif", b"MM\0*": "tif"}
"""First bytes of an image file and the suffix that readers expect of it."""


def picture_name(image: ImageRow) -> str:
    """Return the file name of an image: its identifier and the suffix of its format."""
    if image.image[8:12] == b"WEBP":
        return f"{image.image_id}.webp"
    suffix = next((suffix for start, suffix in SUFFIXES.items() if image.image.startswith(start)), None)
    if suffix is None:
        raise RecordError(f"image {image.image_id} is of an unknown file format; make its dataset again")
    return f"{image.image_id}.{suffix}"


def write_picture(folder: Path, image: ImageRow) -> str:
    """Write an image's own bytes under ``folder`` and return the file's name."""
    name = picture_name(image)
    pictures = folder / PICTURES
    pictures.mkdir(exist_ok=True)
    (pictures / name).write_bytes(image.image)
    return name


def read_picture(folder: Path, name: Any, where: str) -> bytes:
    """Return the bytes of a picture.

    Raises:
        RecordError: it cannot be read, or its name is no plain file name, which could leave the folder.
    """
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise RecordError(f"{where} names the picture {name!r}, which is no plain file name; correct it")
    path = folder / PICTURES / name
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a NUL
        raise RecordError(f"picture {path} of {where} cannot be read ({first_line(error)}); export again") from error
