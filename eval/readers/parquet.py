"""Benchmarks that are Parquet files with the pictures in them: BLINK's spatial relations and CV-Bench's.

BLINK (arXiv 2404.12390): 143 yes/no questions of its validation part; the answers of its test part are not public.
CV-Bench (arXiv 2406.16860): the rows of its 2D part with the task "Relation"; boxes drawn into a picture show which
things are meant. Both name the right choice by its letter, "(A)".
"""

from collections.abc import Iterator
from typing import Any

from eval.config import DataConfig
from eval.readers.released import Opened, open_released
from eval.readers.rows import Row, gather, letter_choice
from spatial.dataset import FailedRow, RecordSet
from spatial.errors import RecordError

AT_A_TIME = 32
"""Rows of a file that are in memory at a time."""

PLAIN = ("idx", "question", "choices", "answer")


def read_blink(data: DataConfig) -> RecordSet:
    """Read the spatial relations of BLINK's validation part.

    Raises:
        ConfigError: no path, or a split.
        RecordError: the file is missing, damaged or not the released one in length, or no row can be used.
    """
    opened = open_released(data, "blink-spatial")
    rows = _count(opened, PLAIN)
    opened.check_counts(rows, rows)
    opened.tell_hash()
    table = _table(opened, (*PLAIN, "image_1", "image_2"))
    return gather(opened, (_row(opened, number, row, "image_1", "dev") for number, row in enumerate(table, 1)))


def read_cv_bench(data: DataConfig) -> RecordSet:
    """Read the task "Relation" of CV-Bench's 2D part.

    Raises:
        ConfigError: no path, or a split.
        RecordError: the file is missing, damaged or not the released one in length, or no row can be used.
    """
    opened = open_released(data, "cv-bench-relation")
    rows = _count(opened, ("task", *PLAIN))
    tasks = _table(opened, ("task",))
    asked = [number for number, row in enumerate(tasks, 1) if row["task"] == "Relation"]
    opened.check_counts(rows, len(asked))
    opened.tell_hash()
    kept = frozenset(asked)
    table = enumerate(_table(opened, (*PLAIN, "image")), 1)
    return gather(opened, (_row(opened, number, row, "image", "test") for number, row in table if number in kept))


def _row(opened: Opened, number: int, row: dict[str, Any], image: str, split: str) -> Row | FailedRow:
    name = f"{opened.path.name}:{number}"
    try:
        choices = [str(choice).strip() for choice in row["choices"] or ()]
        answer = letter_choice(row["answer"], choices)
        if row.get("image_2"):
            raise RecordError("it is about several pictures, and one is asked at a time; leave the row out")
        picture = (row[image] or {}).get("bytes")
        if not picture:
            raise RecordError(f"its picture is missing; fetch the file again with 'vsre fetch {opened.kind}'")
    except RecordError as error:
        return FailedRow(name, str(error))
    shown, question = f"{opened.kind} {row['idx']}", str(row["question"] or "").strip()
    return Row(name, picture, shown, question, tuple(choices), answer, split=split)


def _count(opened: Opened, columns: tuple[str, ...]) -> int:
    """Return the rows of a file that has these columns."""
    with _file(opened) as file:
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            lacking = f"{opened.path} lacks the columns {', '.join(missing)}"
            raise RecordError(f"{lacking}; fetch it again with 'vsre fetch {opened.kind}'")
        rows: int = file.metadata.num_rows
        return rows


def _table(opened: Opened, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield a file's rows; of the columns those that it has."""
    import pyarrow as pa

    with _file(opened) as file:
        known = [name for name in columns if name in file.schema_arrow.names]
        try:
            for batch in file.iter_batches(AT_A_TIME, columns=known):
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise _damaged(opened) from error


def _file(opened: Opened) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(opened.path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(opened) from error


def _damaged(opened: Opened) -> RecordError:
    what = f"{opened.path} is truncated, damaged or not Parquet"
    return RecordError(f"{what}; fetch it again with 'vsre fetch {opened.kind}'")
