"""VSR's photos on disk: found once to decode, known by the hash of their pixels, read when they are asked for."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spatial.errors import RecordError
from spatial.machine import usable_cores
from spatial.records import ImageObject, ImageRow, decode_image, image_id_of

SOURCE = "vsr"
"""The ``source`` of an image that is one of VSR's photos."""

LICENCE = "COCO photo under its Flickr author's licence; VSR annotation Apache-2.0"


@dataclass(frozen=True)
class Photo:
    """A photo on disk that decodes: VSR's name for it, and the hash and the upright size of its pixels."""

    path: Path
    name: str
    image_id: str
    width: int
    height: int


class PhotoImages(Mapping[str, ImageRow]):
    """Photos by ``image_id``; a photo's bytes are read when it is asked for."""

    def __init__(self, photos: Iterator[Photo]) -> None:
        self._photos = {photo.image_id: photo for photo in photos}

    def __getitem__(self, image_id: str) -> ImageRow:
        return photo_row(self._photos[image_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._photos)

    def __len__(self) -> int:
        return len(self._photos)


def photo_row(photo: Photo, objects: tuple[ImageObject, ...] = ()) -> ImageRow:
    """Return a photo as an image of a dataset, with the bytes of its file.

    Raises:
        RecordError: the file can no longer be read.
    """
    try:
        data = photo.path.read_bytes()
    except OSError as error:
        raise RecordError(f"photo {photo.path} can no longer be read ({error.strerror}); restore it") from error
    provenance = json.dumps({"file": photo.name})
    size = (photo.width, photo.height)
    return ImageRow(photo.image_id, data, *size, SOURCE, objects, licence=LICENCE, provenance=provenance)


def index_photos(names: Mapping[Path, str]) -> dict[Path, Photo | RecordError]:
    """Decode every photo once; a broken one maps to its error."""
    paths = sorted(names)
    with ThreadPoolExecutor(max_workers=min(8, usable_cores())) as pool:
        return dict(zip(paths, pool.map(lambda path: _index_photo(path, names[path]), paths), strict=True))


def _index_photo(path: Path, name: str) -> Photo | RecordError:
    try:
        image = decode_image(path.read_bytes(), name)
    except RecordError as error:
        return error
    except OSError as error:
        return RecordError(f"image {path} cannot be read ({error.strerror}); correct its permissions")
    return Photo(path, name, image_id_of(np.asarray(image)), image.width, image.height)
