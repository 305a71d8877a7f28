"""From the rows of a benchmark to records and images: the part that all readers share.

A row that cannot be used (no picture, a broken one, options that say the same) fails by its name and never disappears.
Options become neutral: sorted, whatever place the right one has in the released file.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from eval.readers.pictures import Picture, Pictures, Source, identify
from eval.readers.released import Opened
from spatial.dataset import FailedRow, RecordSet
from spatial.errors import RecordError
from spatial.records import Record
from spatial.scene import digest

BATCH = 64
"""Rows whose pictures are decoded together, and at most in memory at a time."""


@dataclass(frozen=True)
class Row:
    """A question with options about a picture that has not been looked at yet.

    Attributes:
        name: names the row where it fails: the file, and the row's number counted from 1.
        picture: where it is.
        shown: what the benchmark calls the picture.
        caption: the true sentence, or the question in the benchmark's own words (topic "question").
        options: to choose from, in any order.
        answer: the right one.
        role: what tells the row from others of its group.
        group: ties rows together; "" those of one picture.
    """

    name: str
    picture: Source
    shown: str
    caption: str
    options: tuple[str, ...]
    answer: str
    role: str = ""
    group: str = ""
    topic: str = "question"
    relation: str = ""
    concepts: tuple[str, ...] = ()
    split: str = "test"


def gather(opened: Opened, rows: Iterable[Row | FailedRow]) -> RecordSet:
    """Make a record of every row whose picture can be used.

    A row that the benchmark has twice gives two records, told apart by their roles, so that numbers stay comparable.

    Raises:
        RecordError: no row can be used.
    """
    pictures = Pictures(opened.kind, opened.released.licence)
    records: list[Record] = []
    failed: list[FailedRow] = []
    repeats: Counter[Record] = Counter()
    for found in _looked_at(rows):
        if isinstance(found, FailedRow):
            failed.append(found)
            continue
        row, picture = found
        pictures.keep(picture, row.picture)
        record = _record(row, picture.image_id, opened.kind)
        repeats[record] += 1
        records.append(_again(record, repeats[record]))
    if failed and not records:
        raise RecordError(f"none of the {len(failed)} rows of {opened.path} can be used; the first: {failed[0].reason}")
    return RecordSet(records, pictures, failed, pictures.names())


def letter_choice(letter: object, choices: Sequence[str]) -> str:
    """Return the option behind a letter, "A", "(A)" or "a".

    Raises:
        RecordError: it is no letter of an option.
    """
    plain = str(letter).strip().strip("()").upper()
    place = ord(plain) - ord("A") if len(plain) == 1 else -1
    if not 0 <= place < len(choices):
        raise RecordError(
            f"its answer {letter!r} is the letter of none of its {len(choices)} options; take another split"
        )
    return choices[place]


def _looked_at(rows: Iterable[Row | FailedRow]) -> Iterator[tuple[Row, Picture] | FailedRow]:
    """Yield each row with its picture, or as a failed one, in the order of the rows; a file is decoded once."""
    known: dict[Path, Picture] = {}

    def look(row: Row | FailedRow) -> tuple[Row, Picture] | FailedRow:
        if isinstance(row, FailedRow):
            return row
        try:
            _check(row)
            if not isinstance(row.picture, Path):
                return row, identify(row.picture, row.shown)
            if row.picture not in known:
                known[row.picture] = identify(row.picture, row.shown)
            return row, known[row.picture]
        except RecordError as error:
            return FailedRow(row.name, str(error))

    every = iter(rows)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        while batch := list(islice(every, BATCH)):
            yield from pool.map(look, batch)


def _check(row: Row) -> None:
    if not row.caption:
        raise RecordError("it asks nothing; correct the row")
    if len(set(row.options)) < 2 or "" in row.options:
        raise RecordError(f"its options {', '.join(map(repr, row.options))} are not two at least; correct the row")
    if len(set(row.options)) < len(row.options):
        raise RecordError(f"its options {', '.join(row.options)} name one twice; correct the row")
    if row.answer not in row.options:
        raise RecordError(f"its answer {row.answer!r} is none of its options; correct the row")


def _record(row: Row, image_id: str, kind: str) -> Record:
    return Record(
        image_id=image_id,
        group_id=digest(f"{kind}/{row.group or image_id}"),
        role_in_group=row.role,
        task="choice",
        topic=row.topic,
        caption=row.caption,
        answer=row.answer,
        relation=row.relation,
        options=tuple(sorted(row.options)),
        concepts=row.concepts,
        split=row.split,
    )


def _again(record: Record, time: int) -> Record:
    """Return a record that stands in the benchmark for the n-th time."""
    if time == 1:
        return record
    return replace(record, role_in_group=f"{record.role_in_group} ({time})".strip(), record_id="")
