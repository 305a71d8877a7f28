"""Walk through a dataset folder image by image: each image once, with all of its records.

Only one shard is in memory at a time, beside the identifiers of the images. Shards may repeat an image, because two
scenes can look alike, and its records may then lie in several shards; such records, which are few, are kept aside.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import RecordError
from spatial.records import ImageRow, Record


@dataclass(frozen=True)
class Sample:
    """An image and all records about it, in the order of the data."""

    image: ImageRow
    records: tuple[Record, ...]


class Samples:
    """The samples of a dataset folder; may be walked through several times.

    A record or image that several shards hold counts once; of an image's rows the last one is taken, as
    ``DatasetFolder.images`` does.

    Attributes:
        shards: indices of the finished shards, in order.

    Raises:
        RecordError: the folder cannot be read, or a record is about an image that it does not hold.
    """

    def __init__(self, path: str | Path) -> None:
        self._folder = DatasetFolder(path)
        self.shards = sorted(finished_shards(self._folder.path))
        self._home = {
            image_id: shard
            for shard in self.shards
            for image_id in self._folder.read_column(shard, "images", "image_id")
        }
        strayed = [shard for shard in self.shards if self._has_strays(shard)]
        self._strays: dict[str, list[Record]] = defaultdict(list)
        for shard in strayed:
            for record in self._folder.read_records(shard):
                if self._home[record.image_id] != shard:
                    self._strays[record.image_id].append(record)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._home)

    def __iter__(self) -> Iterator[Sample]:
        for shard in self.shards:
            yield from self.read(shard)

    def read(self, shard: int) -> Iterator[Sample]:
        """Yield the samples of one of ``shards``."""
        own: dict[str, list[Record]] = defaultdict(list)
        for record in self._folder.read_records(shard):
            own[record.image_id].append(record)
        images = {row.image_id: row for row in self._folder.read_images(shard)}
        for image_id, image in images.items():
            if self._home[image_id] == shard:
                records = [*self._strays.get(image_id, ()), *own[image_id]]
                yield Sample(image, tuple({record.record_id: record for record in records}.values()))

    def count_records(self) -> int:
        """Return the number of records of all samples, reading only their identifiers."""
        strays = {(image_id, record.record_id) for image_id, rows in self._strays.items() for record in rows}
        count = len(strays)
        for shard in self.shards:
            columns = [self._folder.read_column(shard, "records", name) for name in ("image_id", "record_id")]
            count += len(set(zip(*columns, strict=True)) - strays)
        return count

    def _has_strays(self, shard: int) -> bool:
        image_ids = set(self._folder.read_column(shard, "records", "image_id"))
        missing = image_ids - self._home.keys()
        if missing:
            raise RecordError(
                f"{self._folder.path}: a record is about image {min(missing)}, which is missing; make the data again"
            )
        return any(self._home[image_id] != shard for image_id in image_ids)
