"""Boxes of photos from a COCO-format annotation file (cocodataset.org, "Object Detection").

Only the photos that are asked for are kept, and outlines are dropped while the file is read: COCO's own file of the
training photos is half a gigabyte of them.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatial.errors import RecordError
from spatial.observation import Observation, Seen


@dataclass(frozen=True)
class AnnotatedPhoto:
    """The objects of a photo: boxes and nouns, without depth or pose.

    Attributes:
        seen: every annotated instance.
        crowds: nouns of which the photo has a region of many ("crowd") instances.
    """

    seen: Observation
    crowds: frozenset[str]

    def places(self, noun: str) -> list[int]:
        """Return the indices in ``seen.objects`` of the instances of a noun."""
        return [index for index, item in enumerate(self.seen.objects) if item.name == noun]


@dataclass(frozen=True)
class AnnotatedPhotos:
    """Photos by plain file name, and every noun that the files know."""

    photos: dict[str, AnnotatedPhoto]
    nouns: frozenset[str]


def plain_name(file_name: str) -> str:
    """Return a photo's name without folder and without the prefix of the 2014 release ("COCO_train2014_")."""
    return re.sub(r"^COCO_[a-z]+\d+_", "", file_name.replace("\\", "/").rpartition("/")[2])


def annotation_files(path: Path) -> list[Path]:
    """Return a file as it is, or the ``instances*.json`` of a folder.

    Raises:
        RecordError: there is none.
    """
    if path.is_file():
        return [path]
    found = sorted(path.glob("instances*.json")) if path.is_dir() else []
    if not found:
        raise RecordError(
            f"{path} is neither a COCO-format file nor a folder with instances*.json; "
            "pass --coco FILE (images.cocodataset.org/annotations)"
        )
    return found


def read_boxes(path: Path, wanted: Collection[str]) -> AnnotatedPhotos:
    """Read the boxes of the photos called ``wanted``.

    Args:
        path: a file, or a folder of ``instances*.json``.
        wanted: plain file names.

    Raises:
        RecordError: a file is missing or not of COCO's format.
    """
    photos: dict[str, AnnotatedPhoto] = {}
    known: set[str] = set()
    for file in annotation_files(path):
        try:
            content: dict[str, Any] = json.loads(file.read_bytes(), object_hook=_without_outline)
            nouns = {item["id"]: str(item["name"]).lower() for item in content["categories"]}
            photos |= _photos(content, nouns, wanted)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecordError(
                f"{file} is not a COCO-format file of instances ({type(error).__name__}: {error}); it needs "
                "'images', 'annotations' with 'bbox', and 'categories'"
            ) from error
        known |= set(nouns.values())
    return AnnotatedPhotos(photos, frozenset(known))


def _photos(content: dict[str, Any], nouns: dict[int, str], wanted: Collection[str]) -> dict[str, AnnotatedPhoto]:
    rows = {item["id"]: item for item in content["images"] if plain_name(item["file_name"]) in wanted}
    objects: dict[int, list[Seen]] = defaultdict(list)
    crowds: dict[int, set[str]] = defaultdict(set)
    for item in content["annotations"]:
        if (image := item["image_id"]) not in rows:
            continue
        noun = nouns[item["category_id"]]
        if item.get("iscrowd"):
            crowds[image].add(noun)
        x, y, width, height = map(float, item["bbox"])
        objects[image].append(Seen(noun, (x, y, x + width, y + height)))
    return {
        plain_name(row["file_name"]): AnnotatedPhoto(
            Observation(tuple(objects[image]), int(row["width"]), int(row["height"])), frozenset(crowds[image])
        )
        for image, row in rows.items()
    }


def _without_outline(item: dict[str, Any]) -> dict[str, Any]:
    item.pop("segmentation", None)
    return item
