"""COCO's annotation files (Lin et al., 2014, arXiv 1405.0312): boxes and masks of objects, and captions.

``annotations/instances.json`` carries width, height, licence, and each object's noun, box and mask;
``annotations/captions.json`` carries the true sentences of statements and captions, each once per image. The rest is
under ``vsre`` of the image, the annotation or the caption. Records that are no caption (false statements, questions, a
sentence said twice) are the list ``vsre`` of the captions file, which readers of captions do not look at. Images are
numbered in order, and captions and other records together, so that their order is known.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen.config import ExportConfig
from datagen.export.coco_categories import Categories
from datagen.export.pictures import read_picture, write_picture
from datagen.export.rows import KEY, Fields, plain, rest, restore
from datagen.export.sidecar import Ordered
from spatial.errors import RecordError
from spatial.json_files import json_list, read_items, write_object
from spatial.records import ImageObject, ImageRow, Record
from spatial.stream import Sample

INSTANCES, CAPTIONS = "annotations/instances.json", "annotations/captions.json"
PARTS = ("images", "bare_images", "objects", "captions", "others")
INFO = {"description": "Spatial relations, exported by vsre", "version": "1.0", "url": "", "contributor": "vsre"}


@dataclass
class _Lists:
    """Where the lists of both files are written, and the numbers given so far."""

    write: dict[str, Callable[[Any], None]]
    categories: Categories = field(default_factory=Categories)
    licences: dict[str, int] = field(default_factory=dict)
    images: int = 0
    objects: int = 0
    records: int = 0


def write(samples: Iterator[Sample], folder: Path, config: ExportConfig) -> None:
    """Write all samples into ``folder``."""
    (folder / "annotations").mkdir()
    with _parts(folder / "annotations") as parts:
        with ExitStack() as stack:
            lists = _Lists({name: stack.enter_context(json_list(path)) for name, path in parts.items()})
            for sample in samples:
                lists.images += 1
                _write_image(lists, sample.image, write_picture(folder, sample.image))
                _write_records(lists, sample.records)
        head = {"info": INFO, "licenses": [{"id": n, "name": name, "url": ""} for name, n in lists.licences.items()]}
        instances = {"categories": lists.categories.listed(), "images": parts["images"]}
        write_object(folder / INSTANCES, head | instances | {"annotations": parts["objects"]})
        captions = {"images": parts["bare_images"], "annotations": parts["captions"]}
        write_object(folder / CAPTIONS, head | captions | {KEY: parts["others"]})


@contextmanager
def _parts(folder: Path) -> Iterator[dict[str, Path]]:
    """Give the files of the single lists, which are written side by side, and remove them in the end."""
    paths = {name: folder / f".{name}.json" for name in PARTS}
    yield paths
    for path in paths.values():
        path.unlink()


def _write_image(lists: _Lists, image: ImageRow, picture: str) -> None:
    licence = lists.licences.setdefault(image.licence, len(lists.licences) + 1)
    row: Fields = {
        "id": lists.images,
        "file_name": picture,
        "width": image.width,
        "height": image.height,
        "license": licence,
    }
    lists.write["bare_images"](row)
    carried = _carried_image(row, image.licence) | {"objects": plain(image)["objects"]}
    numbers = list(range(lists.objects + 1, lists.objects + len(image.objects) + 1))
    lists.write["images"](row | {KEY: {"annotations": numbers} | rest(image, carried)})
    for item in image.objects:
        lists.objects += 1
        box = item.box_xyxy
        size = (box[2] - box[0], box[3] - box[1])
        counts = _counts(item.mask_rle)
        shape = {
            "bbox": [*box[:2], *size],
            "segmentation": {"counts": counts, "size": [image.height, image.width]} if counts else [],
            "area": sum(counts[1::2]) if counts else size[0] * size[1],
            "iscrowd": 0,
        }
        head = {"id": lists.objects, "image_id": lists.images, "category_id": lists.categories[item.name]}
        lists.write["objects"](head | shape | {KEY: rest(item, _carried_object(shape, item.name))})


def _write_records(lists: _Lists, records: Sequence[Record]) -> None:
    said = set()
    for record in records:
        lists.records += 1
        numbers: Fields = {"id": lists.records, "image_id": lists.images}
        name = _sentence_field(record.task)
        sentence = getattr(record, name)
        if (record.task == "caption" or (record.task, record.answer) == ("statement", "true")) and sentence not in said:
            said.add(sentence)
            kept = rest(record, {"image_id": record.image_id, name: sentence})
            lists.write["captions"](numbers | {"caption": sentence, KEY: kept})
        else:
            lists.write["others"](numbers | {KEY: rest(record, {"image_id": record.image_id})})


def read(folder: Path) -> Iterator[Sample]:
    """Yield the samples of a folder that ``write`` wrote.

    Raises:
        RecordError: a file is damaged, annotations of an image were removed, or their order was changed.
    """
    instances, captions = folder / INSTANCES, folder / CAPTIONS
    names, licences = (_names(instances, member) for member in ("categories", "licenses"))
    objects = Ordered(str(instances), read_items(instances, "annotations"), "image_id")
    files = [
        Ordered(str(captions), read_items(captions, "annotations"), "image_id"),
        Ordered(str(captions), read_items(captions, KEY), "image_id"),
    ]
    for row in read_items(instances, "images"):
        where = f"image {row.get('id')} of {instances}" if isinstance(row, dict) else str(instances)
        try:
            number, picture, kept = row["id"], row["file_name"], dict(row[KEY])
            carried = _carried_image(row, licences[row["license"]])
            found = _objects(objects.take(number), kept.pop("annotations"), names, where)
            rows = sorted((item for file in files for item in file.take(number)), key=lambda item: item["id"])
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{where} is not as 'vsre export' writes it ({error!r}); export again") from error
        data = read_picture(folder, picture, where)
        image = restore(ImageRow, carried, kept, where, image=data, objects=found)
        yield Sample(image, tuple(_record(item, image.image_id, where) for item in rows))
    for file in (objects, *files):
        file.finish()


def _names(instances: Path, member: str) -> dict[int, str]:
    """Return the names of categories or licences by their numbers."""
    try:
        return {item["id"]: item["name"] for item in read_items(instances, member)}
    except (KeyError, TypeError) as error:
        raise RecordError(f"{instances}: {member} are not as 'vsre export' writes them; export again") from error


def _objects(rows: list[Fields], expected: Any, names: dict[int, str], where: str) -> tuple[ImageObject, ...]:
    """Return the objects of an image, which records name by their place."""
    if [row["id"] for row in rows] != expected:
        raise RecordError(f"{where}: annotations were removed, added or moved, but records count them; export again")
    return tuple(
        restore(ImageObject, _carried_object(row, names[row["category_id"]]), row.get(KEY), where) for row in rows
    )


def _record(row: Fields, image_id: str, where: str) -> Record:
    kept = row.get(KEY)
    carried = {"image_id": image_id}
    if "caption" in row and isinstance(kept, dict):
        carried[_sentence_field(kept.get("task", ""))] = row["caption"]
    return restore(Record, carried, kept, where)


def _sentence_field(task: str) -> str:
    """Return the field whose text is true of the image: a caption's answer, otherwise the caption."""
    return "answer" if task == "caption" else "caption"


def _carried_image(row: Fields, licence: str) -> Fields:
    image_id = row["file_name"].rpartition(".")[0]
    return {"image_id": image_id, "width": row["width"], "height": row["height"], "licence": licence}


def _carried_object(shape: Fields, name: str) -> Fields:
    """Return what COCO's fields say of an object; its box went through a subtraction and may differ in the last bit."""
    x, y, width, height = shape["bbox"]
    mask = shape["segmentation"]
    counts = mask["counts"] if isinstance(mask, dict) else []
    return {"name": name, "box_xyxy": [x, y, x + width, y + height], "mask_rle": ",".join(map(str, counts))}


def _counts(mask_rle: str) -> list[int]:
    """Return the run lengths of a mask; none where there is no mask or it is not written as we write it."""
    try:
        return [int(count) for count in mask_rle.split(",")] if mask_rle else []
    except ValueError:
        return []
