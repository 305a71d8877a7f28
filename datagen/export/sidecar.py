"""What formats without a place for images keep beside their rows: one line per image, in ``vsre.images.jsonl``.

A line has the image's picture, the image's fields, and its records in order: by identifier those that lie in the
format's own rows, in full those that the format has no words for. The format's rows come in the order of the lines, so
both are read side by side. Rows may be removed or added, but not moved from one image to another's place.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from datagen.export.pictures import read_picture, write_picture
from datagen.export.rows import KEY, Fields, rest, restore
from spatial.errors import RecordError
from spatial.json_files import dump, read_lines
from spatial.records import ImageRow, Record
from spatial.stream import Sample

NAME = "vsre.images.jsonl"

Unpack = Callable[[Fields, str, str], Iterable[Record]]
"""From a row of the format, the identifier of its image, and its place for messages, to its records."""


def picture_line(folder: Path, sample: Sample, native: Collection[str]) -> tuple[str, str]:
    """Write the sample's picture and return its name, and the line about it.

    Args:
        folder: of the export.
        sample: an image with its records.
        native: identifiers of the records that lie in the format's own rows.
    """
    name = write_picture(folder, sample.image)
    records = [
        record.record_id if record.record_id in native else rest(record, {"image_id": record.image_id})
        for record in sample.records
    ]
    return name, dump({"file": name, KEY: rest(sample.image, {}), "records": records}) + "\n"


class Ordered:
    """Rows of a file that come in the order of the images."""

    def __init__(self, place: str, rows: Iterable[Any], key: str) -> None:
        self._place = place
        self._groups = groupby(rows, lambda row: self._key(row, key))
        self._next = next(self._groups, None)

    def take(self, value: Any) -> list[Fields]:
        """Return the rows whose key is ``value``, if they are next in the file."""
        if self._next is None or self._next[0] != value:
            return []
        rows = list(self._next[1])
        self._next = next(self._groups, None)
        return rows

    def finish(self) -> None:
        """Raise RecordError unless all rows have been taken."""
        if self._next is not None:
            raise RecordError(
                f"{self._place}: the rows about {self._next[0]!r} are out of order or about an unknown image;"
                " keep the order of the export"
            )

    def _key(self, row: Any, key: str) -> Any:
        if not isinstance(row, dict) or key not in row:
            raise RecordError(f"{self._place} has a row without {key!r}; export the dataset again")
        return row[key]


def read_samples(folder: Path, files: list[tuple[Ordered, Unpack]]) -> Iterator[Sample]:
    """Yield the samples of an export: the lines of ``vsre.images.jsonl`` with the rows that belong to them.

    Raises:
        RecordError: a file is damaged, or rows are out of order.
    """
    path = folder / NAME
    for line in read_lines(path):
        if not isinstance(line, dict) or not isinstance(line.get("records"), list):
            raise RecordError(f"{path} has a line without records; export the dataset again")
        name = line.get("file")
        where = f"{path}, {name}"
        image = restore(ImageRow, {}, line.get(KEY), where, image=read_picture(folder, name, where))
        native = _once(
            record for rows, unpack in files for row in rows.take(name) for record in unpack(row, image.image_id, where)
        )
        yield Sample(image, tuple(_in_order(line["records"], native, image.image_id, where)))
    for rows, _ in files:
        rows.finish()


def _once(records: Iterable[Record]) -> dict[str, Record]:
    """Return records by identifier; RecordError where rows about the same one differ."""
    found: dict[str, Record] = {}
    for record in records:
        if found.setdefault(record.record_id, record) != record:
            raise RecordError(
                f"record {record.record_id} about image {record.image_id} was changed in one of its rows since it was"
                " exported; remove the record_id there to import it as a new record, or export the dataset again"
            )
    return found


def _in_order(listed: list[Any], native: dict[str, Record], image_id: str, where: str) -> Iterator[Record]:
    for item in listed:
        if not isinstance(item, str):
            yield restore(Record, {"image_id": image_id}, item, where)
        elif item in native:
            yield native.pop(item)
    yield from native.values()
