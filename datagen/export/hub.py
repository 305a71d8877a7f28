"""A Hugging Face ``datasets`` folder: one row per image, with the picture as an ``Image`` and its records as a list.

Everything is a column, so everything is carried. Splits become the splits of a ``DatasetDict``; an image is in the
split of its first record, and every record keeps its own. The folder is what ``DatasetDict.save_to_disk`` writes. It
can be pushed to the hub, where rows lie in Parquet.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.card import CARD
from datagen.config import ExportConfig
from datagen.export.rows import MANIFEST
from datagen.export.vsr import file_split
from spatial.dataset import image_dict, image_features, image_of, record_features, record_of
from spatial.errors import RecordError
from spatial.hub import hub_errors
from spatial.records import row_dict
from spatial.stream import Sample

if TYPE_CHECKING:
    import datasets

BATCH = 64
"""Rows that are written or read together."""


def features() -> "datasets.Features":
    """Return the columns: those of an image, and ``records``."""
    from datasets import Features, Image, List

    return Features({**image_features(), "image": Image(), "records": List(dict(record_features()))})


def write(samples: Iterator[Sample], folder: Path, config: ExportConfig) -> None:
    """Write all samples into ``folder``."""
    from datasets import Dataset, DatasetDict, NamedSplit
    from datasets.arrow_reader import ArrowReader
    from datasets.arrow_writer import ArrowWriter

    drafts = folder / ".drafts"
    drafts.mkdir()
    writers: dict[str, Any] = {}
    hashes: dict[str, Any] = {}
    with ExitStack() as stack:
        for sample in samples:
            split = hub_name(sample.records[0].split if sample.records else "")
            if split not in writers:
                writer = ArrowWriter(features=features(), path=str(drafts / split), writer_batch_size=BATCH)
                writers[split] = stack.enter_context(writer)
                hashes[split] = blake2b(digest_size=8)
            records = [row_dict(record) for record in sample.records]
            writers[split].write(image_dict(sample.image) | {"records": records})
            identifiers = (sample.image.image_id, *(record.record_id for record in sample.records))
            hashes[split].update(" ".join(identifiers).encode())
        for writer in writers.values():
            writer.finalize()
    # Left to itself, the fingerprint would hash the time of the file.
    splits = {
        split: Dataset(
            ArrowReader.read_table(str(drafts / split)), split=NamedSplit(split), fingerprint=hashes[split].hexdigest()
        )
        for split in writers
    }
    DatasetDict(splits).save_to_disk(str(folder))
    shutil.rmtree(drafts)


def read(folder: Path) -> Iterator[Sample]:
    """Yield the samples of a folder that ``save_to_disk`` wrote.

    Raises:
        RecordError: it is damaged, or lacks a column.
    """
    from datasets import Dataset, load_from_disk

    wanted = features()
    try:
        loaded = load_from_disk(str(folder))
        for dataset in [loaded] if isinstance(loaded, Dataset) else loaded.values():
            missing = [name for name in wanted if name not in dataset.column_names]
            if missing:
                raise RecordError(f"{folder} lacks the columns {', '.join(missing)}; export the dataset again")
            for table in dataset.select_columns(list(wanted)).with_format("arrow").iter(BATCH):
                for row in table.to_pylist():
                    records = row.pop("records")
                    yield Sample(image_of(row), tuple(record_of(record) for record in records))
    except (OSError, ValueError) as error:
        raise RecordError(f"{folder} is no whole folder of 'datasets' ({error}); export the dataset again") from error


def push(folder: Path, repository: str, private: bool) -> str:
    """Push an exported folder with its card to the hub, with the user's own token, and return the repository's name.

    Raises:
        UserError: the hub cannot be reached, knows no such user or refuses the token.
    """
    from datasets import load_from_disk
    from huggingface_hub import DatasetCard, HfApi

    card = DatasetCard.load(str(folder / CARD))
    card.data.configs = None  # the files of the folder; pushing names those on the hub
    api = HfApi()
    with hub_errors(folder, repository):
        name = str(api.create_repo(repository, repo_type="dataset", private=private or None, exist_ok=True).repo_id)
        # The rows come after the card, because pushing them adds their columns and files to a card that is there.
        files = {CARD: str(card).encode(), MANIFEST: (folder / MANIFEST).read_bytes()}
        for path, content in files.items():
            api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=name, repo_type="dataset")
        load_from_disk(str(folder)).push_to_hub(name)
    return name


def hub_name(split: str) -> str:
    """Return the name of a split in the letters that the hub allows."""
    return file_split(split).replace("-", "_")
