"""EmbSpatial-Bench (arXiv 2406.05756): a JSON list of questions about rendered and scanned rooms, pictures as base64.

Six relations as the camera sees them: above, under, left, right, and which of four objects is closest or farthest.
Scores are told by relation, under the names that the project has for them. All questions about a scene are one group,
so a split cannot show a model one view of a room and test it on another.
"""

from collections.abc import Iterator
from typing import Any

from eval.config import DataConfig
from eval.readers.pictures import from_base64
from eval.readers.released import Opened, open_released
from eval.readers.rows import Row, gather
from spatial.dataset import FailedRow, RecordSet
from spatial.errors import RecordError
from spatial.json_files import read_items

KIND = "embspatial"

RELATIONS = {
    "above": "above",
    "under": "under",
    "left": "left of",
    "right": "right of",
    "close": "close to",
    "far": "far from",
}
"""Our name for each of its relations; one by another name would be asked about, and not told apart."""


def read_embspatial(data: DataConfig) -> RecordSet:
    """Read EmbSpatial-Bench.

    Raises:
        ConfigError: no path, or a split.
        RecordError: the file is missing, damaged or not the released one in length, or no row can be used.
    """
    opened = open_released(data, KIND)
    count = sum(1 for _ in read_items(opened.path))
    opened.check_counts(count, count)
    opened.tell_hash()
    return gather(opened, _rows(opened))


def _rows(opened: Opened) -> Iterator[Row | FailedRow]:
    for number, item in enumerate(read_items(opened.path), 1):
        name = f"{opened.path.name}:{number}"
        try:
            yield _row(item, name)
        except (KeyError, TypeError) as error:
            yield FailedRow(name, f"it is no row of {KIND} ({error!r}); fetch the file again with 'vsre fetch {KIND}'")
        except RecordError as error:
            yield FailedRow(name, str(error))


def _row(item: Any, name: str) -> Row:
    choices = tuple(str(choice).strip() for choice in item["answer_options"])
    place = item["answer"]
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(choices):
        raise RecordError(f"its answer {place!r} is the number of none of its {len(choices)} options; correct the row")
    return Row(
        name,
        picture=from_base64(item["image"]),
        shown=str(item["question_id"]),
        caption=str(item["question"]).strip(),
        options=choices,
        answer=choices[place],
        role=str(item["relation"]),
        relation=RELATIONS.get(str(item["relation"]), ""),
        group=f"{item['data_source']}/{item['scene_id']}",
    )
