"""Put a record into words: the one place where an instruction is made of a statement.

A template is text with a few slots. Families differ in form (question, clause, letters, boxes, ...), so that a model
can be trained on some forms and tested on others. The templates stand in ``spatial/assets/templates.txt``, and
``spatial.slots`` says what the slots stand for.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spatial.errors import ConfigError, nearest
from spatial.records import ImageObject, Record
from spatial.relations import RELATIONS, VERBS
from spatial.sentences import sentence as sentence
from spatial.sentences import split_caption as split_caption
from spatial.slots import ALWAYS, LETTERS, PLACES, SLOTS, Answers, Slots, fill, slot_names
from spatial.vocabulary import NUMBERS

TABLE = Path(__file__).parent / "assets" / "templates.txt"

SOURCES = {
    "core": "vsre",
    "own": "vsre",
    "published": "VSRE (published), arXiv 2412.18224",
    "reconstructed": "vsre, in the manner of VSRE, arXiv 2412.18224",
    "adaptvis": "AdaptVis, arXiv 2503.01773, prompts for What'sUp",
    "given": "vsre, around the question of a benchmark",
}
"""Where the wording of each origin comes from."""

GIVEN = "given"
"""The selection of templates for records of the topic "question"."""

HELD_OUT = (
    "determine",
    "whether",
    "letters-whether",
    "focus-whether",
    "box-whether",
    "box-focus-whether",
    "box-list-whether",
    "pick",
    "letters-fill-in",
    "letters-which-of-two",
    "point",
    "adaptvis",
    "given",
    "given-letters",
)
"""Families kept for evaluation. A form is held out whole: no family that is trained on asks "whether"."""


@dataclass(frozen=True)
class Prompt:
    """A record in words.

    Attributes:
        messages: one user turn, the image first, as chat templates take it.
        options: the answers to choose from; the one that says a statement is true comes first; empty where the
            answer is free.
        answer: the right answer.
        spans: role to (start, end) characters of the user text; roles that the text does not name are absent. Where
            a box stands for an unnamed object, the span is the box.
    """

    messages: list[dict[str, Any]]
    options: tuple[str, ...]
    answer: str
    spans: dict[str, tuple[int, int]]

    @property
    def text(self) -> str:
        """The user text."""
        content: str = self.messages[0]["content"][1]["text"]
        return content


@dataclass(frozen=True)
class Template:
    """An instruction with slots.

    Attributes:
        name: its key in ``TEMPLATES``.
        family: the form that it shares with others; families, not templates, are held out.
        task: the task of the records that it suits.
        text: with the slots of ``spatial.slots.Slots``.
        answers: the words for true and false; of a choice, the words for ``choices``; else empty.
        source: where the wording comes from.
        origin: "core" (ours; the shipped tokenizer knows their words), "own" (ours), "published" (VSRE's),
            "reconstructed" (ours, in place of those of VSRE's that are not known), "adaptvis" (AdaptVis's) or "given"
            (around the question of a benchmark).
        choices: options that a record must have to suit it, in the order in which it lists their words; empty where
            any will do and each group draws an order.

    Raises:
        ConfigError: a slot is unknown.
    """

    name: str
    family: str
    task: str
    text: str
    answers: tuple[str, ...] = ()
    source: str = "vsre"
    origin: str = "own"
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for slot in self.slots - SLOTS:
            raise ConfigError(f"template {self.name!r} has an unknown slot {{{slot}}}{nearest(slot, SLOTS)}")

    @cached_property
    def slots(self) -> frozenset[str]:
        """Its slots, in small letters."""
        return frozenset(name.lower() for name in slot_names(self.text))

    @property
    def needs_objects(self) -> bool:
        """Whether it names boxes or points, and so suits only records whose image has them."""
        return bool(self.slots & PLACES)

    @property
    def suits_all(self) -> bool:
        """Whether it suits every record of its task, whatever the record's caption is like."""
        return self.slots <= ALWAYS


def _read_table() -> dict[str, Template]:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    found = {}
    for name, origin, family, task, answers, text in ([cell.strip() for cell in line.split(" | ")] for line in lines):
        pairs = [cell.rpartition("=") for cell in answers.split("/")] if answers != "-" else []
        words, choices = tuple(word for _, _, word in pairs), tuple(choice for choice, _, _ in pairs if choice)
        source = "AdaptVis, arXiv 2503.01773, VSR prompt" if name == "determine" else SOURCES[origin]
        found[name] = Template(name, family, task, text, words, source, origin, choices)
    return found


TEMPLATES: dict[str, Template] = _read_table()
"""All templates by name."""

SELECTIONS: dict[str, Callable[[Template], bool]] = {
    "train": lambda template: template.family not in HELD_OUT,
    "held-out": lambda template: template.family in HELD_OUT,
    "core": lambda template: template.origin == "core",
    "own": lambda template: template.origin == "own",
    "published": lambda template: template.origin == "published",
    "reconstructed": lambda template: template.origin == "reconstructed",
    "adaptvis": lambda template: template.origin == "adaptvis",
    "given": lambda template: template.origin == "given",
}
"""Names for many templates, which settings may list like those of single ones."""


def families(held_out: bool) -> tuple[str, ...]:
    """Return the families that are kept for evaluation, or the others, in the order of ``TEMPLATES``."""
    known = dict.fromkeys(template.family for template in TEMPLATES.values())
    return tuple(family for family in known if (family in HELD_OUT) == held_out)


def templates_for(task: str) -> list[str]:
    """Return the names of the templates that suit a task, in the order of ``TEMPLATES``."""
    return [template.name for template in TEMPLATES.values() if template.task == task]


def choose_templates(names: Sequence[str]) -> list[str]:
    """Return the names of the templates that settings list, in the order of ``TEMPLATES``.

    Args:
        names: of templates and of ``SELECTIONS``; empty stands for "core".

    Raises:
        ConfigError: a name is unknown; names the nearest.
    """
    chosen: set[str] = set()
    for name in names or ["core"]:
        if name in TEMPLATES:
            chosen.add(name)
        elif name in SELECTIONS:
            chosen.update(template.name for template in TEMPLATES.values() if SELECTIONS[name](template))
        else:
            raise ConfigError(f"template {name!r} is unknown{nearest(name, [*TEMPLATES, *SELECTIONS])}")
    return [name for name in TEMPLATES if name in chosen]


def render(record: Record, template: Template, seed: int, objects: Sequence[ImageObject] = ()) -> Prompt:
    """Put a record into a template's words.

    Args:
        record: any record of the template's task.
        template: an entry of ``TEMPLATES``.
        seed: orders the options of a choice; all records of a group share the order, so that a group's prompts
            differ only where its images do.
        objects: of the record's image; a template that names boxes needs them.

    Raises:
        ConfigError: the template is for another task.
        ValueError: the template does not suit the record: the caption has not the form that it takes apart, or the
            boxes that it names are not known.
    """
    if template.task != record.task:
        suiting = ", ".join(name for name in templates_for(record.task) if TEMPLATES[name].origin == "core")
        raise ConfigError(
            f"template {template.name!r} is for {template.task} records, not {record.task}; use {suiting}"
        )
    if record.topic == "question" and "question" not in template.slots:
        raise ValueError(f"a benchmark's question is put into templates of its own; set templates to [{GIVEN}]")
    answers = _answers(record, template, seed)
    text, spans = fill(template.text, Slots(record, answers, objects))
    if text.count("'s perspective") > 1:
        raise ValueError("the template names the object twice, and the caption says whose left is meant")
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return Prompt([{"role": "user", "content": content}], answers.options, answers.right, spans)


def _answers(record: Record, template: Template, seed: int) -> Answers:
    """Return the answers, those that a question lists in the order of the record's group."""
    asked = ""
    if template.choices:
        return _fixed_choice(record, template)
    if record.task == "statement":
        words, right = template.answers, template.answers[0 if record.answer == "true" else 1]
    elif record.task == "count":
        words, right = NUMBERS, record.answer
    elif "asked" in template.slots:
        words, right, asked = _two_objects(record, seed)
    else:
        words, right = record.options, record.answer
    if record.task != "choice" and "lettered" not in template.slots:
        return Answers(words, right, words)
    shown = list(words)
    random.Random(f"{seed}/{record.group_id}").shuffle(shown)
    if "lettered" not in template.slots:
        return Answers(tuple(shown), right, tuple(shown), asked)
    letter = dict(zip(shown, LETTERS, strict=False))
    if right not in letter:
        raise ValueError(f"the answer {right!r} is none of the options, so it has no letter")
    options = words if record.task == "statement" else shown
    return Answers(tuple(letter[word] for word in options), letter[right], tuple(shown), asked)


def _fixed_choice(record: Record, template: Template) -> Answers:
    """Return the template's words for the record's options, in the template's order whatever the group."""
    if set(record.options) != set(template.choices):
        raise ValueError(f"the options are {', '.join(record.options)}, not {', '.join(template.choices)}")
    right = dict(zip(template.choices, template.answers, strict=True)).get(record.answer, record.answer)
    return Answers(template.answers, right, template.answers)


def _two_objects(record: Record, seed: int) -> tuple[tuple[str, str], str, str]:
    """Ask which of the two objects stands in a relation to the other; return both, the right one and the relation.

    Of a relation and its inverse the group draws which one is asked for, so that two images that differ in which of
    the two holds are asked the same.
    """
    subject, _, other = split_caption(record.caption, record.relation)
    inverse = RELATIONS[record.relation].inverse
    if set(record.options) != {record.relation, inverse} or inverse == record.relation or subject == other:
        raise ValueError(f"of {subject!r} and {other!r} both may be {record.relation!r} the other")
    asked = [name for name in sorted({record.relation, str(inverse)}) if name not in VERBS]
    relation = random.Random(f"{seed}/{record.group_id}/asked").choice(asked)
    first, last = sorted((subject, other))
    return (first, last), subject if relation == record.relation else other, relation
