"""The spatial questions of SEED-Bench (arXiv 2307.16125): a JSON object with four choices a row, photos beside it.

"Spatial Relation" is its sixth evaluation dimension. A photo's file has the row's ``data_id`` for its name, without an
ending. SEED-Bench-2's file has the same rows and is read in the same way, as a selection of one's own.
"""

from collections.abc import Iterator
from typing import Any

from eval.config import DataConfig
from eval.readers.pictures import find_picture
from eval.readers.released import Opened, open_released
from eval.readers.rows import Row, gather, letter_choice
from spatial.benchmarks import SEED_SPATIAL_RELATION
from spatial.dataset import FailedRow, RecordSet
from spatial.errors import RecordError
from spatial.json_files import read_items

KIND = "seed-spatial"

FOLDERS = ("cc3m-image", "seed_bench_image")
"""Folders of photos beside the released one's: that of SEED-Bench-2, and that of SEED-Bench's own settings."""

CHOICES = ("choice_a", "choice_b", "choice_c", "choice_d")


def read_seed(data: DataConfig) -> RecordSet:
    """Read SEED-Bench's questions about spatial relations.

    Raises:
        ConfigError: no path, or a split.
        RecordError: the file is missing, damaged or has not the released number of them, or no photo was found.
    """
    opened = open_released(data, KIND)
    count, asked = 0, []
    for count, item in enumerate(read_items(opened.path, "questions"), 1):
        if isinstance(item, dict) and item.get("question_type_id") == SEED_SPATIAL_RELATION:
            asked.append((f"{opened.path.name}:{count}", item))
    opened.check_counts(count, len(asked))
    opened.tell_hash()
    return gather(opened, _rows(opened, asked))


def _rows(opened: Opened, asked: list[tuple[str, dict[str, Any]]]) -> Iterator[Row | FailedRow]:
    for name, item in asked:
        try:
            choices = [str(item[choice]).strip() for choice in CHOICES]
            shown = str(item["data_id"])
            picture = find_picture(opened.images, (*opened.folders, *FOLDERS), shown, KIND)
            question, answer = str(item["question"]).strip(), letter_choice(item["answer"], choices)
            yield Row(name, picture, shown, question, tuple(choices), answer)
        except KeyError as error:
            yield FailedRow(name, f"it lacks {error}; fetch the file again with 'vsre fetch {KIND}'")
        except RecordError as error:
            yield FailedRow(name, str(error))
