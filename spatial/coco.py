"""Boxes of photos from COCO-format files of instances (cocodataset.org, "Object Detection").

Only the photos that are asked for are kept, and outlines are dropped while a file is read: COCO's own file of the
training photos is half a gigabyte of them.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatial.errors import RecordError
from spatial.leakage import photo_key
from spatial.records import ImageObject


@dataclass(frozen=True)
class AnnotatedPhoto:
    """What a file says of a photo.

    Attributes:
        objects: the single instances, the largest first.
        crowds: nouns of regions of many instances ("crowds"), whose box is nobody's.
        width: of the photo in pixels, as the file states it.
        height: likewise.
    """

    objects: tuple[ImageObject, ...]
    crowds: frozenset[str]
    width: int
    height: int

    def places(self, noun: str) -> list[int]:
        """Return the indices in ``objects`` of the instances of a noun, the largest first."""
        return [index for index, item in enumerate(self.objects) if item.name == noun]


def instances_files(path: Path) -> list[Path]:
    """Return a file as it is, or the ``instances*.json`` of a folder.

    Raises:
        RecordError: there is none.
    """
    if path.is_file():
        return [path]
    found = sorted(path.glob("instances*.json")) if path.is_dir() else []
    if not found:
        raise RecordError(
            f"{path} is neither a COCO-format file nor a folder with instances*.json; correct the path "
            "(COCO's own are in images.cocodataset.org/annotations)"
        )
    return found


def read_instances(files: Sequence[str | Path], photos: Collection[str]) -> dict[str, AnnotatedPhoto]:
    """Read the boxes of photos from COCO-format files.

    Args:
        files: such as ``instances_train2017.json``, or folders of ``instances*.json``.
        photos: names of the photos to keep, in any of COCO's namings.

    Returns:
        What is annotated of each photo, by ``spatial.leakage.photo_key``; photos that no file has are absent.

    Raises:
        RecordError: a file is missing or not of COCO's format.
    """
    wanted = {photo_key(name) for name in photos}
    found: dict[str, AnnotatedPhoto] = {}
    for file in (file for path in files for file in instances_files(Path(path))):
        try:
            found |= _photos(json.loads(file.read_bytes(), object_hook=_without_outline), wanted)
        except OSError as error:
            raise RecordError(f"{file} cannot be read ({error.strerror}); correct its permissions") from error
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"{file} is not a COCO-format file of instances ({type(error).__name__}: {error}); it needs 'images', "
                "'annotations' with 'bbox', and 'categories'"
            ) from error
    return found


def _photos(content: dict[str, Any], wanted: Collection[str]) -> dict[str, AnnotatedPhoto]:
    nouns = {item["id"]: str(item["name"]).lower() for item in content["categories"]}
    rows = {item["id"]: item for item in content["images"] if photo_key(item["file_name"]) in wanted}
    boxes: dict[int, list[tuple[float, ImageObject]]] = defaultdict(list)
    crowds: dict[int, set[str]] = defaultdict(set)
    for item in content["annotations"]:
        if (image := item["image_id"]) not in rows:
            continue
        noun = nouns[item["category_id"]]
        if item.get("iscrowd"):
            crowds[image].add(noun)
            continue
        x, y, width, height = map(float, item["bbox"])
        box = (round(x, 2), round(y, 2), round(x + width, 2), round(y + height, 2))
        boxes[image].append((float(item.get("area", width * height)), ImageObject(noun, box)))
    return {
        photo_key(row["file_name"]): AnnotatedPhoto(
            tuple(item for _, item in sorted(boxes[image], key=lambda pair: -pair[0])),
            frozenset(crowds[image]),
            int(row["width"]),
            int(row["height"]),
        )
        for image, row in rows.items()
    }


def _without_outline(item: dict[str, Any]) -> dict[str, Any]:
    item.pop("segmentation", None)
    return item
