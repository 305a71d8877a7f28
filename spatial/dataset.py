"""A dataset folder: ``images/*.parquet`` and ``records/*.parquet`` in atomic shards.

A shard is finished when both of its files have their final names; the records file is renamed last, so a
killed writer leaves at most a shard that is written again. ``RecordSet`` is what every reader of data takes,
whether the images lie in such a folder or in a directory of photos.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatial.errors import RecordError
from spatial.files import atomic
from spatial.records import ImageObject, ImageRow, Record, row_dict

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
    """Records, the images they speak of by ``image_id``, and the rows that could not be used."""

    records: list[Record]
    images: Mapping[str, ImageRow]
    failed: list[FailedRow] = field(default_factory=list)


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
    image_rows = [row_dict(row) for row in images]
    for row in image_rows:
        row["image"] = {"bytes": row["image"], "path": None}
    name = SHARD_NAME.format(index=index)
    _write_table(folder / "images" / name, image_rows, image_features())
    _write_table(folder / "records" / name, [row_dict(record) for record in records], record_features())


def finished_shards(folder: Path) -> set[int]:
    """Return the indices of the shards that are complete in a dataset folder (empty if there is none)."""
    pattern = re.compile(r"shard-(\d{5})\.parquet")
    found = [
        {int(match[1]) for path in (folder / part).glob("shard-*.parquet") if (match := pattern.fullmatch(path.name))}
        for part in ("images", "records")
    ]
    return found[0] & found[1]


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
        rows = (row for path in self._shards("records") for row in _read_table(path, record_features()).to_pylist())
        return [Record(**_tuples(row)) for row in rows]

    @cached_property
    def images(self) -> "FolderImages":
        """Images by identifier, held compressed in memory."""
        return FolderImages(self._shards("images"))

    def record_set(self) -> RecordSet:
        """Return everything in the folder."""
        return RecordSet(self.records, self.images)

    def content_hash(self) -> str:
        """Return the hash over sorted record and image identifiers; shards, order and times do not change it."""
        identifiers = sorted({record.record_id for record in self.records} | set(self.images))
        return hashlib.blake2b("\n".join(identifiers).encode(), digest_size=16).hexdigest()

    def _shards(self, part: str) -> list[Path]:
        return [self.path / part / SHARD_NAME.format(index=index) for index in sorted(finished_shards(self.path))]


class FolderImages(Mapping[str, ImageRow]):
    """The images of a dataset folder, read on demand; equal images in several shards count once."""

    def __init__(self, paths: list[Path]) -> None:
        import pyarrow as pa

        # Images of up to a few hundred thousand renders fit; Arrow keeps them as one zero-copy table.
        self._table = pa.concat_tables([_read_table(path, image_features()) for path in paths])
        self._row = {image_id: row for row, image_id in enumerate(self._table.column("image_id").to_pylist())}

    def __getitem__(self, image_id: str) -> ImageRow:
        row: dict[str, Any] = self._table.slice(self._row[image_id], 1).to_pylist()[0]
        row["image"] = row["image"]["bytes"]
        row["objects"] = tuple(ImageObject(**_tuples(item)) for item in row["objects"])
        return ImageRow(**row)

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _write_table(path: Path, rows: list[dict[str, Any]], features: "datasets.Features") -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=features.arrow_schema), temporary, compression="zstd")


def _read_table(path: Path, features: "datasets.Features") -> "pyarrow.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise RecordError(
            f"{path} is truncated or not Parquet; delete it and run its 'vsre datagen' command again"
        ) from error
    missing = [name for name in features if name not in table.column_names]
    if missing:
        raise RecordError(f"{path} lacks the columns {', '.join(missing)}; make the dataset again with 'vsre datagen'")
    return table.select(list(features))
