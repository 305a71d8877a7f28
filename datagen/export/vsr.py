"""VSR's annotation files (Liu, Emerson, Collier, TACL 2023, arXiv 2205.00363): one true or false caption a line.

``<split>.jsonl`` holds the statements about relations with VSR's keys, ``images`` the pictures; readers of VSR take
both as they are. Carried: caption, label, relation, nouns, frame, split. VSR has no place for objects, other tasks,
groups and the source of an image: see ``datagen.export.sidecar``.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from datagen.config import ExportConfig
from datagen.export.rows import KEY, Fields, rest, restore
from datagen.export.sidecar import NAME, Ordered, Unpack, picture_line, read_samples
from spatial.errors import RecordError
from spatial.json_files import dump, read_lines
from spatial.records import Record
from spatial.stream import Sample
from spatial.templates import split_caption

NOBODY = -1
"""The annotator of a statement that was computed."""

UNNAMED = "all"
"""Name of the file of records without a split that could name a file."""


def write(samples: Iterator[Sample], folder: Path, config: ExportConfig) -> None:
    """Write all samples into ``folder``."""
    with ExitStack() as stack:
        images = stack.enter_context((folder / NAME).open("w", encoding="utf-8", newline="\n"))
        files: dict[str, TextIO] = {}
        for sample in samples:
            native = {record.record_id for record in sample.records if _is_vsr(record)}
            picture, line = picture_line(folder, sample, native)
            images.write(line)
            for record in sample.records:
                if record.record_id in native:
                    split = file_split(record.split)
                    if split not in files:
                        path = folder / f"{split}.jsonl"
                        files[split] = stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
                    files[split].write(dump(_row(record, picture)) + "\n")


def read(folder: Path) -> Iterator[Sample]:
    """Yield the samples of a folder that ``write`` wrote.

    Raises:
        RecordError: a file is damaged, or rows are out of order.
    """
    paths = sorted(path for path in folder.glob("*.jsonl") if path.name != NAME)
    files = [(Ordered(str(path), read_lines(path), "image"), _unpacker(path.stem)) for path in paths]
    yield from read_samples(folder, files)


def file_split(split: str) -> str:
    """Return the split if it can name a file, else ``UNNAMED``."""
    return split if re.fullmatch(r"\w[\w-]*", split, re.ASCII) and split != KEY else UNNAMED


def _is_vsr(record: Record) -> bool:
    return (record.task, record.topic) == ("statement", "relation") and record.answer in ("true", "false")


def _row(record: Record, picture: str) -> Fields:
    subject, other = _nouns(record)
    row: Fields = {
        "image": picture,
        "image_link": "",
        "caption": record.caption,
        "label": int(record.answer == "true"),
        "relation": record.relation,
        "subj": subject,
        "obj": other,
        "annotator_id": NOBODY,
        "vote_true_validator_id": "[]",
        "vote_false_validator_id": "[]",
        "reference_frame": record.frame or None,
    }
    return row | {KEY: rest(record, _carried(row, record.image_id, file_split(record.split)))}


def _nouns(record: Record) -> tuple[str, str]:
    if len(record.concepts) == 2:
        return record.concepts[0], record.concepts[1]
    try:
        subject, _, other = split_caption(record.caption, record.relation)
    except ValueError:
        return "", ""
    return subject, other


def _carried(row: Fields, image_id: str, split: str) -> Fields:
    return {
        "image_id": image_id,
        "task": "statement",
        "topic": "relation",
        "caption": row["caption"],
        "answer": "true" if row["label"] else "false",
        "relation": row["relation"],
        "frame": row["reference_frame"] or "",
        "concepts": [row["subj"], row["obj"]],
        "split": split,
    }


def _unpacker(split: str) -> Unpack:
    def unpack(row: Fields, image_id: str, where: str) -> list[Record]:
        try:
            carried = _carried(row, image_id, split)
        except KeyError as error:
            raise RecordError(f"{split}.jsonl, {where}: a row has no {error}; export the dataset again") from error
        return [restore(Record, carried, row.get(KEY), where)]

    return unpack
