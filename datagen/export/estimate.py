"""Tell what a run of ``vsre export`` would take, by writing a few images of the dataset and removing them again.

The images are taken evenly from shards at even distances and written into a temporary folder of the system, so that
what is measured is the format itself. What pictures take counts for the number of images, all else for that of rows,
which are images and records.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from datagen.config import ExportConfig
from datagen.export.formats import FORMATS
from datagen.export.pictures import PICTURES
from datagen.tally import Tally
from spatial.disk import disk_line
from spatial.stream import Sample, Samples

MEASURED = 64
"""Images that are measured, if the dataset has as many."""

SHARDS = 4
"""Shards that they are taken from."""

BLOCK = 4096
"""Bytes that a disk gives to a file at a time."""


@dataclass(frozen=True)
class Estimate:
    """What an export would take.

    Attributes:
        images: of the dataset.
        records: of the dataset.
        counted: what the format counts beside them, such as its conversations.
        measured: images that were written for this.
        disk_bytes: to write.
        seconds: on this machine, if it has nothing else to do.
    """

    images: int
    records: int
    counted: Mapping[str, int]
    measured: int
    disk_bytes: float
    seconds: float


@dataclass(frozen=True)
class _Measure:
    """What some samples took: ``pictures`` and ``others`` are bytes, of picture files and of all else."""

    images: int
    records: int
    pictures: int
    others: int
    seconds: float
    counted: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Images and records together."""
        return self.images + self.records


def estimate(config: ExportConfig) -> Estimate:
    """Measure some images of the dataset; settings must have been checked.

    Raises:
        RecordError: the dataset folder is damaged.
    """
    samples = Samples(config.dataset)
    images, records = len(samples), samples.count_records()
    chosen, reading = _choose(samples)
    if not chosen:
        return Estimate(images, records, {}, 0, 0, 0)
    first = _measure(chosen[:1], config)  # the first write of a process also loads what later ones share
    found = _measure(chosen, config)
    more, rest = found.rows - first.rows, images + records - found.rows
    others = found.others + (rest * (found.others - first.others) / more if more else 0)
    return Estimate(
        images=images,
        records=records,
        counted={name: round(count * records / max(found.records, 1)) for name, count in found.counted.items()},
        measured=len(chosen),
        disk_bytes=found.pictures * images / len(chosen) + others,
        seconds=reading * images + found.seconds * (images + records) / found.rows,
    )


def describe(found: Estimate, config: ExportConfig) -> str:
    """Return an estimate as lines for people."""
    about = "" if found.measured == found.images else "about "
    lines = [
        f"dry run of {config.out}: {found.measured} images measured, nothing written",
        f"images         {found.images:,}",
        f"records        {found.records:,}",
        *(f"{name:<14} {about}{count:,}" for name, count in found.counted.items()),
        f"disk           {disk_line(found.disk_bytes, Path(config.out))}",
        f"time           about {timedelta(seconds=round(found.seconds))} here",
    ]
    return "\n".join(lines)


def _choose(samples: Samples) -> tuple[list[Sample], float]:
    """Return some samples, and the seconds that reading an image with its records takes."""
    few = len(samples) <= MEASURED
    shards = samples.shards if few else samples.shards[:: -(-len(samples.shards) // SHARDS)]
    chosen: list[Sample] = []
    read = 0
    started = time.perf_counter()
    for shard in shards:
        own = list(samples.read(shard))
        chosen += own[:: 1 if few else -(-len(own) * len(shards) // MEASURED)]
        read += len(own)
    return chosen, (time.perf_counter() - started) / max(read, 1)


def _measure(samples: Sequence[Sample], config: ExportConfig) -> _Measure:
    """Write samples and count what that took; nothing is left of them."""
    tally = Tally()
    with TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        counted = FORMATS[config.to].write(tally.watch(samples), folder, config) or {}
        seconds = time.perf_counter() - started
        sizes = {path: -(-path.stat().st_size // BLOCK) * BLOCK for path in folder.rglob("*") if path.is_file()}
    pictures = sum(size for path, size in sizes.items() if path.parent.name == PICTURES)
    pictures = pictures or sum(len(sample.image.image) for sample in samples)
    return _Measure(len(samples), tally.records, pictures, sum(sizes.values()) - pictures, seconds, counted)
