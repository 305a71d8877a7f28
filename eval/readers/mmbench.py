"""The spatial questions of MMBench (arXiv 2307.06281): a table with tabs, pictures as base64.

Of its twenty abilities "spatial_relationship" alone asks how things lie to one another. "object_localization" mixes
where one thing is with how many there are and how they are turned, so it is left out. The table repeats each question
with its options turned round ("circular evaluation"), under indices from a million on; every question is asked once
here, its options in an order that its group draws. To save space, a row may hold the index of another row in place of
a picture.
"""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from eval.config import DataConfig
from eval.readers.pictures import MAX_BYTES, from_base64
from eval.readers.released import Opened, open_released
from eval.readers.rows import Row, gather, letter_choice
from spatial.dataset import FailedRow, RecordSet
from spatial.errors import RecordError

KIND = "mmbench-spatial"
CATEGORY = "spatial_relationship"
COLUMNS = ("index", "question", "A", "B", "answer", "category", "image")
LETTERS = "ABCDEF"

CIRCULAR = 1_000_000
"""Indices from here on are of questions that stand in the table before, with their options turned round."""

LONGEST_INDEX = 64
"""What is no longer than this in place of a picture is the index of the row that has it."""

Line = Mapping[str, str | None]


def read_mmbench(data: DataConfig) -> RecordSet:
    """Read MMBench's questions about spatial relationships.

    Raises:
        ConfigError: no path, or a split.
        RecordError: the file is missing, damaged or not the released one in length, or no row can be used.
    """
    opened = open_released(data, KIND)
    count = 0
    asked: dict[int, Line] = {}
    for count, line in enumerate(_table(opened.path), 1):
        if line["category"] == CATEGORY and _is_original(line["index"]):
            asked[count] = {**line, "image": _holder(line)}
    opened.check_counts(count, len(asked))
    opened.tell_hash()
    holders = {line["image"] for line in asked.values()}
    pictures = {line["index"]: line["image"] for line in _table(opened.path) if line["index"] in holders}
    return gather(opened, (_row(opened, number, line, pictures) for number, line in asked.items()))


def _table(path: Path) -> Iterator[Line]:
    try:
        with path.open(encoding="utf-8", newline="") as file, _wide_fields():
            table = csv.DictReader(file, delimiter="\t")
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise RecordError(
                    f"{path} lacks the columns {', '.join(missing)}; fetch it again with 'vsre fetch {KIND}'"
                )
            yield from table
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{path} is damaged ({error}); fetch it again with 'vsre fetch {KIND}'") from error


@contextmanager
def _wide_fields() -> Iterator[None]:
    """Let a field be as long as a picture is while the block runs."""
    before = csv.field_size_limit(MAX_BYTES * 2)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _is_original(index: str | None) -> bool:
    return index is not None and index.isdecimal() and int(index) < CIRCULAR


def _holder(line: Line) -> str | None:
    """Return the index of the row that has a row's picture."""
    image = line["image"] or ""
    return image if 0 < len(image) <= LONGEST_INDEX else line["index"]


def _row(opened: Opened, number: int, line: Line, pictures: Mapping[str | None, str | None]) -> Row | FailedRow:
    name = f"{opened.path.name}:{number}"
    try:
        choices = [text for letter in LETTERS if (text := _said(line.get(letter)))]
        question = "\n".join(filter(None, (_said(line.get("hint")), _said(line["question"]))))
        answer = letter_choice(line["answer"], choices)
        picture = from_base64(pictures.get(line["image"]))
    except RecordError as error:
        return FailedRow(name, str(error))
    return Row(name, picture, f"MMBench {line['image']}", question, tuple(choices), answer, split="dev")


def _said(text: str | None) -> str:
    """Return a cell's text; the table writes "nan" where there is none."""
    plain = (text or "").strip()
    return "" if plain == "nan" else plain
