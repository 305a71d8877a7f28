"""A dataset folder: ``images/*.parquet`` and ``records/*.parquet`` in atomic shards.

A shard is finished when both of its files have their final names; the records file is renamed last, so a
killed writer leaves at most a shard that is written again. ``RecordSet`` is what every reader of data takes,
whether the images lie in such a folder or in a directory of photos.
"""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from spatial.errors import RecordError
from spatial.files import atomic
from spatial.records import ImageObject, ImageRow, Record, row_dict
from spatial.scene import digest

if TYPE_CHECKING:
    import datasets
    import pyarrow

SHARD_NAME = "shard-{index:05d}.parquet"


@dataclass(frozen=True)
class FailedRow:
    """A row that cannot be used, and why."""

    name: str
    reason: str


@dataclass
class RecordSet:
    """Records, the images they speak of by ``image_id``, and the rows that could not be used.

    Attributes:
        files: what the source calls the picture file of an ``image_id``, where it has such files.
    """

    records: list[Record]
    images: Mapping[str, ImageRow]
    failed: list[FailedRow] = field(default_factory=list)
    files: Mapping[str, str] = field(default_factory=dict)


def image_features() -> "datasets.Features":
    """Return the column types of ``images/*.parquet``."""
    from datasets import Features, Image, List, Value

    text, number = Value("string"), Value("int64")
    objects = {
        "name": text,
        "box_xyxy": List(Value("float64")),
        "colour": text,
        "mask_rle": text,
        "depth": Value("float64"),
        "pose": List(Value("float64")),
    }
    return Features(
        {
            "image_id": text,
            "image": Image(decode=False),
            "width": number,
            "height": number,
            "source": text,
            "objects": List(objects),
            "scene_id": text,
            "scene": text,
            "licence": text,
            "provenance": text,
            "verdicts": text,
        }
    )


def record_features() -> "datasets.Features":
    """Return the column types of ``records/*.parquet``."""
    from datasets import Features, List, Value

    listed = {"options", "concepts"}
    whole = {"subject", "object"}
    return Features(
        {
            name: List(Value("string")) if name in listed else Value("int64" if name in whole else "string")
            for name in Record.__dataclass_fields__
        }
    )


def write_shard(folder: Path, index: int, images: Iterable[ImageRow], records: Iterable[Record]) -> None:
    """Write one shard atomically; an existing shard of that index is replaced."""
    for part, table in _tables(images, records).items():
        with atomic(shard_path(folder, part, index)) as temporary:
            _write_table(table, temporary)


def shard_bytes(images: Iterable[ImageRow], records: Iterable[Record]) -> int:
    """Return the size that a shard would have on disk."""
    size = 0
    for table in _tables(images, records).values():
        buffer = io.BytesIO()
        _write_table(table, buffer)
        size += buffer.tell()
    return size


def image_dict(row: ImageRow) -> dict[str, Any]:
    """Return an image as the columns of ``image_features`` take it."""
    return row_dict(row) | {"image": {"bytes": row.image, "path": None}}


def finished_shards(folder: Path) -> set[int]:
    """Return the indices of the shards that are complete in a dataset folder (empty if there is none)."""
    pattern = re.compile(r"shard-(\d{5,})\.parquet")
    found = [
        {int(match[1]) for path in (folder / part).glob("shard-*.parquet") if (match := pattern.fullmatch(path.name))}
        for part in ("images", "records")
    ]
    return found[0] & found[1]


def is_finished(folder: Path, index: int) -> bool:
    """Tell whether a shard is complete in a dataset folder, without looking at the others."""
    return all(shard_path(folder, part, index).is_file() for part in ("images", "records"))


class DatasetFolder:
    """A dataset folder opened for reading.

    Raises:
        RecordError: the folder is missing, empty, or one of its shards is truncated.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise RecordError(
                f"dataset folder {self.path} does not exist; make it with 'vsre datagen' or correct the path"
            )
        if not finished_shards(self.path):
            raise RecordError(f"dataset folder {self.path} has no finished shard; run its 'vsre datagen' command again")

    @cached_property
    def records(self) -> list[Record]:
        """All records, in shard order."""
        shards = sorted(finished_shards(self.path))
        return [record for shard in shards for record in self.read_records(shard)]

    @cached_property
    def images(self) -> "FolderImages":
        """Images by identifier, held compressed in memory."""
        return FolderImages([shard_path(self.path, "images", index) for index in sorted(finished_shards(self.path))])

    def record_set(self) -> RecordSet:
        """Return everything in the folder."""
        return RecordSet(self.records, self.images)

    def content_hash(self) -> str:
        """Return the hash over sorted record and image identifiers; shards, order and times do not change it."""
        identifiers: set[str] = set()
        for index in finished_shards(self.path):
            identifiers.update(self.read_column(index, "records", "record_id"))
            identifiers.update(self.read_column(index, "images", "image_id"))
        return digest("\n".join(sorted(identifiers)))

    def read_records(self, shard: int) -> list[Record]:
        """Return the records of one shard."""
        table = _read_table(shard_path(self.path, "records", shard), list(record_features()))
        return [record_of(row) for row in table.to_pylist()]

    def read_images(self, shard: int) -> list[ImageRow]:
        """Return the images of one shard."""
        table = _read_table(shard_path(self.path, "images", shard), list(image_features()))
        return [image_of(row) for row in table.to_pylist()]

    def read_column(self, shard: int, part: str, name: str) -> list[Any]:
        """Return one column of a shard's "images" or "records", without reading the others."""
        values: list[Any] = _read_table(shard_path(self.path, part, shard), [name]).column(name).to_pylist()
        return values

    def sources(self) -> set[str]:
        """Return where the images come from: "render", "vsr", ..."""
        shards = finished_shards(self.path)
        return {source for shard in shards for source in self.read_column(shard, "images", "source")}

    def object_names(self, without: str = "") -> dict[str, set[str]]:
        """Return the nouns of each image, without reading pixels; images of one source may be left out."""
        import pyarrow.compute as pc

        found: dict[str, set[str]] = {}
        for shard in finished_shards(self.path):
            table = _read_table(shard_path(self.path, "images", shard), ["image_id", "source", "objects"])
            table = table.filter(pc.not_equal(table.column("source"), without))
            objects = table.column("objects")
            names = iter(pc.struct_field(pc.list_flatten(objects), "name").to_pylist())
            counts = pc.list_value_length(objects).to_pylist()
            for image_id, count in zip(table.column("image_id").to_pylist(), counts, strict=True):
                found[image_id] = set(islice(names, count))
        return found


class FolderImages(Mapping[str, ImageRow]):
    """The images of a dataset folder, read on demand; equal images in several shards count once."""

    def __init__(self, paths: list[Path]) -> None:
        import pyarrow as pa

        # Images of up to a few hundred thousand renders fit; Arrow keeps them as one zero-copy table.
        self._table = pa.concat_tables([_read_table(path, list(image_features())) for path in paths])
        self._row = {image_id: row for row, image_id in enumerate(self._table.column("image_id").to_pylist())}

    def __getitem__(self, image_id: str) -> ImageRow:
        return self.at(self._row[image_id])

    def at(self, row: int) -> ImageRow:
        """Return the image of a row, counted over all shards; equal images have rows of their own."""
        return image_of(self._table.slice(row, 1).to_pylist()[0])

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


class PooledImages(Mapping[str, ImageRow]):
    """The images of several sets, in their order; what several hold counts once, as the last of them has it."""

    def __init__(self, sets: Iterable[Mapping[str, ImageRow]]) -> None:
        self._holder = {image_id: images for images in sets for image_id in images}

    def __getitem__(self, image_id: str) -> ImageRow:
        return self._holder[image_id][image_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._holder)

    def __len__(self) -> int:
        return len(self._holder)


def shard_path(folder: Path, part: str, index: int) -> Path:
    """Return the file of a shard's "images" or "records"."""
    return folder / part / SHARD_NAME.format(index=index)


def record_of(row: dict[str, Any]) -> Record:
    """Return the record of a table's row."""
    return Record(**_tuples(row))


def image_of(row: dict[str, Any]) -> ImageRow:
    """Return the image of a table's row."""
    objects = tuple(ImageObject(**_tuples(item)) for item in row["objects"])
    return ImageRow(**{**row, "image": row["image"]["bytes"], "objects": objects})


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _tables(images: Iterable[ImageRow], records: Iterable[Record]) -> "dict[str, pyarrow.Table]":
    """Return both tables of a shard, in the order in which they are written."""
    import pyarrow as pa

    rows = {"images": [image_dict(row) for row in images], "records": [row_dict(record) for record in records]}
    schemas = {"images": image_features().arrow_schema, "records": record_features().arrow_schema}
    return {part: pa.Table.from_pylist(rows[part], schema=schemas[part]) for part in rows}


def _write_table(table: "pyarrow.Table", place: Path | BinaryIO) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, place, compression="zstd", write_page_checksum=True)


def _read_table(path: Path, columns: list[str]) -> "pyarrow.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
            found = file.schema_arrow.names
            table = file.read([name for name in columns if name in found])
    except (pa.ArrowException, OSError) as error:
        raise RecordError(
            f"{path} is truncated, damaged or not Parquet; delete it and run its 'vsre datagen' command again"
        ) from error
    missing = [name for name in columns if name not in found]
    if missing:
        raise RecordError(f"{path} lacks the columns {', '.join(missing)}; make the dataset again with 'vsre datagen'")
    return table.select(columns)
