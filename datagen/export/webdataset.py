"""WebDataset shards: plain tar files in which the files of one sample share a name.

A sample is ``<image_id>.png`` (or the suffix of its format) and ``<image_id>.json`` with the image's fields and all
records, so everything is carried. Owners, times and modes are fixed: equal data gives equal bytes. ``SHA256SUMS`` has
the hash of each tar, for ``sha256sum --check`` and for the import.
"""

import io
import tarfile
from collections.abc import Iterator
from itertools import chain, count, groupby, islice
from pathlib import Path

from datagen.config import ExportConfig
from datagen.export.pictures import picture_name
from datagen.export.rows import plain, restore
from spatial.benchmarks import file_hash
from spatial.errors import ConfigError, RecordError
from spatial.json_files import decode, dump
from spatial.records import ImageRow, Record
from spatial.stream import Sample

SUMS = "SHA256SUMS"


def check(config: ExportConfig) -> None:
    """Raise ConfigError unless a shard holds an image."""
    if config.images_per_shard < 1:
        raise ConfigError(f"images_per_shard must be at least 1, not {config.images_per_shard}")


def write(samples: Iterator[Sample], folder: Path, config: ExportConfig) -> None:
    """Write all samples into ``folder``."""
    sums = []
    for index in count():
        shard = list(islice(samples, 1))  # a shard is begun when there is something to put into it
        if not shard:
            break
        path = folder / f"shard-{index:06d}.tar"
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in chain(shard, islice(samples, config.images_per_shard - 1)):
                fields = {"image": plain(sample.image), "records": [plain(record) for record in sample.records]}
                _add(tar, picture_name(sample.image), sample.image.image)
                _add(tar, f"{sample.image.image_id}.json", dump(fields).encode())
        sums.append(f"{file_hash(path)}  {path.name}\n")
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")


def read(folder: Path) -> Iterator[Sample]:
    """Yield the samples of a folder of tar files.

    Raises:
        RecordError: a tar is not the one that was written, or a sample is damaged.
    """
    sums = folder / SUMS
    lines = sums.read_text(encoding="utf-8").split("\n") if sums.is_file() else []
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines) if name}
    for path in sorted(folder.glob("*.tar")):
        try:
            if path.name in expected and file_hash(path) != expected[path.name]:
                raise RecordError(f"{path} is not the file of {sums}; copy or export it again")
            with tarfile.open(path, "r:") as tar:
                files = ((member.name, file.read()) for member in tar if (file := tar.extractfile(member)))
                for key, sample in groupby(files, lambda file: file[0].partition(".")[0]):
                    yield _sample(dict(sample), key, f"sample {key} of {path}")
        except (tarfile.TarError, OSError) as error:
            raise RecordError(f"{path} is damaged ({error}); copy or export it again") from error


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _sample(files: dict[str, bytes], key: str, where: str) -> Sample:
    text = files.pop(f"{key}.json", None)
    if text is None or len(files) != 1:
        raise RecordError(f"{where} must have one picture and one .json file; export again")
    fields = decode(text, where)
    if not isinstance(fields, dict) or not isinstance(fields.get("records"), list):
        raise RecordError(f"{where} has no records; export again")
    image = restore(ImageRow, {}, fields.get("image"), where, image=next(iter(files.values())))
    return Sample(image, tuple(restore(Record, {}, record, where) for record in fields["records"]))
