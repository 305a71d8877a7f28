"""Records of a group in words, and which two of them make a minimal pair.

*Image*: two records in the same words, about two pictures, with two answers. *Text*: two questions about one picture,
of which one has another relation word, or the same options and exchanged roles, with two answers.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from spatial.dataset import FailedRow
from spatial.records import ImageRow, Record
from spatial.relations import RELATIONS, VERBS
from spatial.sentences import sentence, take_apart
from spatial.templates import TEMPLATES, Prompt, Template, render
from spatial.vocabulary import several


@dataclass(frozen=True)
class Asked:
    """A record in the words of a template."""

    record: Record
    template: str
    prompt: Prompt

    @property
    def shown(self) -> tuple[str, str]:
        """What a model is shown: the picture and the words."""
        return self.record.image_id, self.prompt.text


Found = Iterator[tuple[Asked, Asked] | FailedRow]
"""Two records that make a pair, or what does not become one, and why."""


def usable(record: Record) -> str:
    """Return why a record cannot be one side of a pair, or ""."""
    if record.task not in ("statement", "choice"):
        return f"a {record.task} has no two answers to tell apart"
    return "" if record.topic == "relation" else f"it is about a {record.topic}, not about a relation"


def ask(
    records: Sequence[Record], images: Mapping[str, ImageRow], templates: Sequence[str], seed: int
) -> Iterator[Asked | FailedRow]:
    """Put the records of one group into words: all of a task in those of one template, which the group draws.

    Of templates that need something that the records lack, the next one is taken.
    """
    order = random.Random(f"{seed}/{records[0].group_id}").sample(list(templates), len(templates))
    for record in records:
        reason = usable(record) or ("" if record.image_id in images else "its picture is missing")
        asked = None if reason else next(_suiting(record, images, order, seed), None)
        yield asked or FailedRow(record.record_id, reason or "no template suits it")


def _suiting(record: Record, images: Mapping[str, ImageRow], order: Sequence[str], seed: int) -> Iterator[Asked]:
    for name in order:
        template = TEMPLATES[name]
        if template.task == record.task:
            objects = images[record.image_id].objects if template.needs_objects else ()
            try:
                yield Asked(record, name, render(record, template, seed, objects))
            except ValueError:
                continue


def image_pairs(asked: Sequence[Asked]) -> Found:
    """Yield the pairs of a group whose words are the same."""
    same: dict[tuple[str, tuple[str, ...]], list[Asked]] = {}
    for each in asked:
        same.setdefault((each.prompt.text, each.prompt.options), []).append(each)
    for alike in same.values():
        found = [(a, b) for a, b in combinations(alike, 2) if _apart(a, b)]
        yield from found
        if not found:
            several_shown = len({each.record.image_id for each in alike}) > 1
            reason = "the same answer on every picture" if several_shown else "no second picture with the same words"
            yield FailedRow(alike[0].record.record_id, reason)


def _apart(a: Asked, b: Asked) -> bool:
    return a.record.image_id != b.record.image_id and a.prompt.answer != b.prompt.answer


def text_pairs(asked: Sequence[Asked], images: Mapping[str, ImageRow], seed: int) -> Found:
    """Yield the pairs of a group whose picture is the same: of statements, and of choices."""
    yield from _reworded([each for each in asked if each.record.task == "statement"])
    for each in asked:
        if each.record.task == "choice":
            other = exchanged_roles(each, images, seed)
            yield (each, other) if isinstance(other, Asked) else FailedRow(each.record.record_id, other)


def _reworded(asked: Sequence[Asked]) -> Found:
    """Statements of the same two things in the same order, one true and one false, that differ in the relation."""
    about: dict[tuple[str, ...], list[Asked]] = {}
    for each in asked:
        parts = take_apart(each.record.caption, each.record.relation)
        if parts is None:
            yield FailedRow(each.record.record_id, "its sentence does not come apart")
            continue
        place = (each.record.image_id, each.template, parts.subject, parts.be, parts.object, parts.view)
        about.setdefault(place, []).append(each)
    for alike in about.values():
        true = [each for each in alike if each.record.answer == "true"]
        false = [each for each in alike if each.record.answer == "false"]
        found = [(a, b) for a in true for b in false if _opposed(a.record, b.record)]
        yield from found
        if not found:
            both = bool(true and false)
            reason = "its false statements are no opposites" if both else "not both a true and a false statement"
            yield FailedRow(alike[0].record.record_id, reason)


def _opposed(true: Record, false: Record) -> bool:
    one, other = RELATIONS[true.relation], RELATIONS[false.relation]
    by_table = other.name == one.antonym or one.name == other.antonym
    return one.name != other.name and (by_table or false.negative_kind == "antonym")


def exchanged_roles(asked: Asked, images: Mapping[str, ImageRow], seed: int) -> Asked | str:
    """Ask a choice of the two things the other way round, or say why this is no question of the same picture.

    "Is the cup left of or right of the book?" becomes "Is the book left of or right of the cup?". The options keep
    their order, and the answer is the inverse, which says the same of the picture.
    """
    record, template = asked.record, TEMPLATES[asked.template]
    if not _lists_relations(template):
        return "its text does not list the relations to choose from"
    inverse, parts = RELATIONS[record.relation].inverse, take_apart(record.caption, record.relation)
    if inverse is None or inverse == record.relation or inverse not in record.options:
        return "the inverse of its relation is not among its options"
    if parts is None or parts.view or record.frame == "intrinsic" or inverse in VERBS:
        return "its roles cannot be exchanged"
    turned = replace(
        record,
        caption=sentence(parts.object, inverse, parts.subject, several(parts.object)),
        answer=inverse,
        relation=inverse,
        subject=record.object,
        object=record.subject,
        concepts=record.concepts[::-1],
    )
    objects = images[record.image_id].objects if template.needs_objects else ()
    other = Asked(turned, asked.template, render(turned, template, seed, objects))
    same = other.prompt.options == asked.prompt.options and other.prompt.text != asked.prompt.text
    return other if same else "its options change with its roles"


def _lists_relations(template: Template) -> bool:
    listed = bool({"options", "lettered"} & template.slots) or bool(template.choices)
    return listed and "asked" not in template.slots
