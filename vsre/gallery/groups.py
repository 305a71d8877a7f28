"""A group as people look at it: its images side by side, and every statement with its answer of each image.

What is said of several images in the same words is one row, so that a statement that is true of one image and false of
the other is seen at a glance. A record without a group is shown with the others of its image.
"""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datagen.verify.base import Verdict
from spatial.records import TASKS, TOPICS, ImageRow, Record
from spatial.relations import RELATIONS
from vsre.pictures import describe

FACETS = {
    "relation": "relation",
    "category": "category",
    "topic": "task and topic",
    "split": "split",
    "negative": "negative kind",
    "source": "source",
}
"""What groups are filtered by, with the title of each."""

PAINTED_FACETS = {"verdict": "verdict", "reason": "rejected because"}
"""What painted groups are filtered by beside."""

MAIN = "statement: relation"
"""The topic of the statements that are always shown."""

ORIGINAL = "original"
"""The role of the image that the others of a group are changes of."""


@dataclass(frozen=True)
class Answer:
    """What one record says of one image.

    Attributes:
        text: the answer.
        kind: how a false statement was made, or "".
        sentence: the record's sentence where the row does not say it, or "".
    """

    text: str
    kind: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class Row:
    """The same statement or question about each image of a group.

    Attributes:
        text: the statement, or what is asked.
        topic: task and topic, as "statement: relation".
        relation: that the statement is about, or "".
        about: indices of subject and object, without those that are unknown.
        answers: per image of the group.
    """

    text: str
    topic: str
    relation: str
    about: tuple[int, ...]
    answers: tuple[tuple[Answer, ...], ...]


@dataclass(frozen=True)
class Member:
    """An image of a group, its role, and what it shows in words.

    Attributes:
        painted: whether an engine painted it; its caption is then the prompt.
        verdicts: of the checks, if it was painted.
    """

    image: ImageRow
    role: str
    caption: str
    painted: bool = False
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True)
class SampleGroup:
    """A group with all that a page says of it.

    Attributes:
        key: its identifier in the data; that of the image for records without a group.
        relations: what it is about.
        members: its images, the original first.
        facets: for the filters, by the names of ``FACETS``.
        facts: further properties by title, such as {"attempts": "3"}.
        rows: statements about relations first.
    """

    key: str
    relations: tuple[str, ...]
    members: tuple[Member, ...]
    facets: dict[str, tuple[str, ...]]
    facts: dict[str, str]
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """The relations, or what the group consists of where it is about none."""
        return " / ".join(self.relations) or "no relation"


def by_group(records: Sequence[Record], images: Mapping[str, ImageRow]) -> tuple[dict[str, list[Record]], int]:
    """Return the records of every group, and how many records speak of an image that is not there.

    An image without any record is a group of its own, without records.
    """
    groups: dict[str, list[Record]] = {}
    known = dict.fromkeys(images, False)
    missing = 0
    for record in records:
        if record.image_id not in known:
            missing += 1
            continue
        known[record.image_id] = True
        groups.setdefault(record.group_id or record.image_id, []).append(record)
    return groups | {image_id: [] for image_id, used in known.items() if not used}, missing


def relations_of(records: Sequence[Record]) -> tuple[str, ...]:
    """Return the relations that a group is about: those of its statements and choices, else of any record."""
    asked = [record for record in records if record.task in ("statement", "choice")]
    for chosen in (asked, records):
        names = tuple(dict.fromkeys(record.relation for record in chosen if record.relation))
        if names:
            return names
    return ()


def facets_of(records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    """Return what the filters ask of a group's records; the source is a property of its images."""
    relations = relations_of(records)
    categories = [RELATIONS[name].category for name in relations if name in RELATIONS]
    return {
        "relation": relations,
        "category": tuple(dict.fromkeys(categories)),
        "topic": tuple(dict.fromkeys(map(_topic, sorted(records, key=_place)))),
        "split": _distinct(record.split for record in records),
        "negative": _distinct(record.negative_kind for record in records),
    }


def sample_group(
    key: str, records: Sequence[Record], images: Mapping[str, ImageRow], named: Sequence[str] = ()
) -> SampleGroup:
    """Return a group with its images.

    Args:
        key: identifier of the group, or of the image where the records have no group.
        records: all of the group; their images are known.
        images: by identifier.
        named: its images, where records do not speak of all of them.
    """
    # Some data name the role by the answer, which the row says already.
    roles = {r.image_id: "" if r.role_in_group == r.answer else r.role_in_group for r in reversed(records)}
    names = list(named) or list(dict.fromkeys(record.image_id for record in records)) or [key]
    if not named:
        names.sort(key=lambda name: roles.get(name) != ORIGINAL)
    rows = [images[name] for name in names]
    members = tuple(Member(row, roles.get(row.image_id, ""), _caption(row, records)) for row in rows)
    facets = facets_of(records) | {"source": _distinct(row.source for row in rows)}
    return SampleGroup(
        key, relations_of(records), members, facets, _facts(members, facets, records), _rows(records, names)
    )


def _rows(records: Sequence[Record], names: Sequence[str]) -> tuple[Row, ...]:
    table: dict[Hashable, list[Record]] = {}
    for record in sorted(records, key=_place):
        table.setdefault(_question(record), []).append(record)
    rows = []
    for same in table.values():
        first = same[0]
        pairs = {(record.subject, record.object) for record in same}
        about = next(iter(pairs)) if len(pairs) == 1 else ()
        answers = tuple(_distinct(_answer(r) for r in same if r.image_id == name) for name in names)
        rows.append(Row(_text(first), _topic(first), first.relation, tuple(i for i in about if i >= 0), answers))
    return tuple(rows)


def _question(record: Record) -> Hashable:
    """Return what two records share that say the same thing of two images."""
    if record.task == "statement":
        return (record.task, record.topic, record.caption)
    return (record.task, record.topic, record.subject, record.object, record.options, record.concepts)


def _text(record: Record) -> str:
    if record.task == "statement":
        return record.caption
    asked = f"{' or '.join(record.options)}: " if record.options else ""
    return asked + (", ".join(record.concepts) or "the whole image")


def _answer(record: Record) -> Answer:
    said = record.task == "statement" or record.caption == record.answer
    return Answer(record.answer, record.negative_kind, "" if said else record.caption)


def _caption(row: ImageRow, records: Sequence[Record]) -> str:
    """Return what an image shows: its dense caption, else its objects, else what is true or false of it."""
    own = [record for record in records if record.image_id == row.image_id]
    dense = [record.caption for record in own if (record.task, record.topic) == ("caption", "scene")]
    if dense or row.objects:
        return dense[0] if dense else describe(row)
    true = [record.caption for record in own if record.task != "statement" or record.answer == "true"]
    false = [f"Not true of it: {record.caption}" for record in own]
    return " ".join(list(dict.fromkeys(true or false))[:2]) or describe(row)


def _facts(members: Sequence[Member], facets: Mapping[str, Sequence[str]], records: Sequence[Record]) -> dict[str, str]:
    roles = [member.role for member in members]
    changes = [role for role in roles if role not in (ORIGINAL, "")] if ORIGINAL in roles else []
    confidence = _distinct(record.confidence for record in records)
    listed: dict[str, Sequence[str]] = {
        "change": changes,
        "frame": _distinct(record.frame for record in records if _topic(record) == MAIN),
        "negatives": _distinct(record.negative_kind for record in records if _topic(record) == MAIN),
        "split": facets["split"],
        "source": facets["source"],
        "confidence": () if confidence == ("high",) else confidence,
    }
    for member in members:
        for text in (member.image.provenance, member.image.verdicts):
            for name, value in _scalars(text).items():
                if name not in ("relation", "counterpart"):
                    listed[name] = _distinct((*listed.get(name, ()), value))
    return {name: ", ".join(values) for name, values in listed.items() if values}


def _scalars(text: str) -> dict[str, str]:
    """Return the plain values of a JSON object, as text; what is no JSON object has none."""
    try:
        content: Any = json.loads(text)
    except ValueError:
        return {}
    items = content.items() if isinstance(content, dict) else ()
    return {name: str(value) for name, value in items if isinstance(value, str | int | float)}


def _topic(record: Record) -> str:
    return f"{record.task}: {record.topic}" if record.topic else record.task


def _place(record: Record) -> tuple[bool, int, int]:
    """Order rows: statements about relations first, then by topic and task; unknown ones last."""
    topic = TOPICS.index(record.topic) if record.topic in TOPICS else len(TOPICS)
    task = TASKS.index(record.task) if record.task in TASKS else len(TASKS)
    return (_topic(record) != MAIN, topic, task)


def _distinct(values: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
