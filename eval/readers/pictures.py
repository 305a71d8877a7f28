"""The pictures of a benchmark: decoded once to name them by their pixels, their bytes read when they are asked for.

Those that are files stay where they are. Those that stand in a table (base64, Parquet) are copied once to an unnamed
temporary file, so that a benchmark of hundreds of megabytes takes no memory.
"""

import base64
import binascii
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spatial.benchmarks import PLAIN_NAME
from spatial.errors import RecordError
from spatial.records import ImageRow, decode_image, image_id_of

Source = Path | bytes
"""Where a picture is had: its file, or its encoded bytes."""

MAX_BYTES = 64 * 2**20
"""No encoded picture of a benchmark is larger; what claims to be is refused before it is decoded."""

ENDINGS = ("", ".jpg", ".jpeg", ".png")
"""What may follow the name by which a data file calls a picture."""


@dataclass(frozen=True)
class Picture:
    """A picture that decodes: its name in the benchmark, and the hash and upright size of its pixels."""

    name: str
    image_id: str
    width: int
    height: int


class Pictures(Mapping[str, ImageRow]):
    """Pictures by ``image_id``.

    Args:
        source: the ``source`` of the images.
        licence: the ``licence`` of the images.
    """

    def __init__(self, source: str, licence: str) -> None:
        self._source, self._licence = source, licence
        self._known: dict[str, tuple[Picture, Path | tuple[int, int]]] = {}
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the pictures, and ends with them
        self._end = 0

    def keep(self, picture: Picture, source: Source) -> None:
        """Add a picture; of equal ones the first is kept."""
        if picture.image_id in self._known:
            return
        if isinstance(source, Path):
            self._known[picture.image_id] = (picture, source)
            return
        os.pwrite(self._spool.fileno(), source, self._end)
        self._known[picture.image_id] = (picture, (self._end, len(source)))
        self._end += len(source)

    def __getitem__(self, image_id: str) -> ImageRow:
        picture, place = self._known[image_id]
        data = read_file(place) if isinstance(place, Path) else os.pread(self._spool.fileno(), place[1], place[0])
        size = (picture.width, picture.height)
        provenance = json.dumps({"file": picture.name})
        return ImageRow(image_id, data, *size, self._source, licence=self._licence, provenance=provenance)

    def names(self) -> dict[str, str]:
        """Return what the benchmark calls each picture, by ``image_id``."""
        return {image_id: picture.name for image_id, (picture, _) in self._known.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def identify(source: Source, name: str) -> Picture:
    """Decode a picture, bounded in size, and name it by its pixels.

    Raises:
        RecordError: it cannot be read or decoded, or is too large.
    """
    image = decode_image(read_file(source) if isinstance(source, Path) else source, name)
    return Picture(name, image_id_of(np.asarray(image)), image.width, image.height)


def read_file(path: Path) -> bytes:
    """Return the bytes of a picture's file.

    Raises:
        RecordError: it cannot be read, or is too large for a picture.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecordError(f"image {path} has more than {MAX_BYTES:,} bytes; replace the file")
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"image {path} cannot be read ({error.strerror}); restore the file") from error


def find_picture(root: Path, folders: tuple[str, ...], name: str, kind: str) -> Path:
    """Return where a picture lies under ``root``, looked for in these folders by a plain name.

    Args:
        root: nothing outside it is looked at, whatever the name is.
        folders: under ``root``; "" is ``root`` itself.
        name: as a data file has it, with its ending or without.
        kind: the benchmark, for the mend.

    Raises:
        RecordError: the name is not plain, or there is no such picture.
    """
    if not PLAIN_NAME.fullmatch(name):
        raise RecordError(f"{name!r} is not the plain name of a picture; correct the row")
    candidates = (root / folder / f"{name}{ending}" for folder in folders for ending in ENDINGS)
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise RecordError(f"image {name} is missing under {root}; run 'vsre fetch {kind}', or set data.images")
    return found


def from_base64(text: object) -> bytes:
    """Return the bytes of a picture that a table holds as base64.

    Raises:
        RecordError: it is no such text.
    """
    if not isinstance(text, str) or not text:
        raise RecordError("its picture is missing; fetch the file again")
    if len(text) > MAX_BYTES * 4 // 3:
        raise RecordError(f"its picture has more than {MAX_BYTES:,} bytes; fetch the file again")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordError(f"its picture is no base64 ({error}); fetch the file again") from error
