"""Counterfactual groups made by editing: a picture, its edited copy, and what is then true of which.

For data that has only one picture of two objects (VSR, COCO, our own images taken alone). "mirrored" exchanges left and
right of everything; "exchanged" lets two objects change places and needs their masks. The records that come out are
like any others: ``from_records`` makes pairs of them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from eval.interpret.edits import EXCHANGED, FLIPPED, exchanged, mirrored
from eval.interpret.from_records import by_group
from eval.interpret.wording import usable
from spatial.dataset import FailedRow, PooledImages, RecordSet
from spatial.errors import check_known
from spatial.observation import Observation, Seen
from spatial.predicates import holds
from spatial.records import ImageRow, Record
from spatial.sentences import sentence, take_apart

SAME_DEPTH = 0.1
"""Share by which the depths of two objects may differ that are told to be above or below each other by their boxes."""

EDITS: dict[str, tuple[dict[str, str], Callable[[ImageRow, Record], ImageRow]]] = {
    "mirrored": (FLIPPED, lambda row, record: mirrored(row)),
    "exchanged": (EXCHANGED, lambda row, record: _exchange(row, record)),
}
"""Edits by name: what each makes of a relation, and how it makes the picture."""


def edited_records(records: RecordSet, edit: str) -> RecordSet:
    """Return the records of one picture of each group, and those of the edited picture, whose answers are turned round.

    Of a group, the first picture counts that can be edited; so pairs of one scene stay in one group.

    Args:
        records: about relations that the edit turns round; of others nothing is made.
        edit: a name of ``EDITS``.

    Raises:
        ConfigError: the edit is unknown.
    """
    check_known("edit", edit, EDITS)
    made: list[Record] = []
    images: dict[str, ImageRow] = {}
    failed = list(records.failed)
    for group in by_group(records.records):
        for found in _edit_group(group, records, edit):
            if isinstance(found, FailedRow):
                failed.append(found)
                continue
            row, both = found
            images[row.image_id] = row
            made += both
            break
    return RecordSet(made, PooledImages([records.images, images]), failed)


def _edit_group(
    group: Sequence[Record], records: RecordSet, edit: str
) -> Iterator[tuple[ImageRow, list[Record]] | FailedRow]:
    """Yield a group's pictures edited, each with the records about the same two things, before and after."""
    relations, change = EDITS[edit]
    apart: dict[tuple[str, frozenset[int]], list[Record]] = {}
    for record in group:
        reason = usable(record) or _fixed(record, relations) or _hidden(record, records)
        if reason:
            yield FailedRow(record.record_id, reason)
        else:
            apart.setdefault((record.image_id, frozenset((record.subject, record.object))), []).append(record)
    for (image_id, _), alike in apart.items():
        try:
            row = change(records.images[image_id], alike[0])
        except ValueError as error:
            yield FailedRow(image_id, str(error))
            continue
        turned = [_turned(record, row, relations, edit) for record in alike]
        if edit == "exchanged" and not all(_agrees(row, record) for record in turned):
            yield FailedRow(image_id, "boxes do not show that the relation is turned round")
            continue
        yield row, [*alike, *turned]


def _fixed(record: Record, relations: dict[str, str]) -> str:
    """Return why the truth of a record is not known to turn round, or ""."""
    if record.relation not in relations or not set(record.options) <= set(relations):
        return "the edit does not turn its relation round"
    parts = take_apart(record.caption, record.relation)
    if record.frame == "intrinsic" or parts is None or parts.view:
        return "its relation is not the viewer's"
    return ""


def _hidden(record: Record, records: RecordSet) -> str:
    return "" if record.image_id in records.images else "its picture is missing"


def _exchange(row: ImageRow, record: Record) -> ImageRow:
    if not {record.subject, record.object} <= set(range(len(row.objects))):
        raise ValueError("the boxes of its objects are not known")
    return exchanged(row, record.subject, record.object)


def _turned(record: Record, row: ImageRow, relations: dict[str, str], edit: str) -> Record:
    """Return what a record becomes on the edited picture."""
    record = replace(record, image_id=row.image_id, role_in_group=edit, record_id="")
    if record.task == "statement":
        answer, kind = ("false", "antonym") if record.answer == "true" else ("true", "")
        return replace(record, answer=answer, negative_kind=kind, record_id="")
    relation, parts = relations[record.relation], take_apart(record.caption, record.relation)
    assert parts is not None  # _fixed has refused others
    caption = sentence(parts.subject, relation, parts.object, several=parts.be == "are")
    return replace(record, caption=caption, relation=relation, answer=relation, record_id="")


def _agrees(row: ImageRow, record: Record) -> bool:
    """Tell whether the boxes of an edited picture decide a record, and decide it as it says.

    Heights are compared between things at one depth; these are, if they were so before they changed places.
    """
    pair = [row.objects[index] for index in (record.subject, record.object)]
    near, far = sorted(item.depth for item in pair)
    level = not math.isnan(near + far) and far - near <= SAME_DEPTH * far
    seen = tuple(Seen(item.name, item.box_xyxy, depth=(1.0, 1.0, 1.0) if level else None) for item in pair)
    answer = holds(record.relation, 0, 1, Observation(seen, row.width, row.height))
    return answer is (record.answer != "false")
