"""Put a record into words: the one place where an instruction is made of a statement.

A template is text with a few slots. Families differ in form (question, clause, true/false, ...), so that a
model can be trained on some forms and tested on others. While the slots are filled, the characters of the
subject, the relation and the object are noted, which is how an explanation later finds their tokens.
"""

import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spatial.errors import ConfigError
from spatial.records import Record
from spatial.relations import VERBS
from spatial.vocabulary import NUMBERS, plural

Segment = tuple[str, str]
"""A piece of text and its role: "subject", "relation", "object" or ""."""


@dataclass(frozen=True)
class Prompt:
    """A record in words.

    Attributes:
        messages: one user turn, the image first, as chat templates take it.
        options: the answers to choose from; the word for true first in a statement; empty where the answer is free.
        answer: the right answer.
        spans: role to (start, end) characters of the user text; roles that the text does not name are absent.
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
        text: slots are ``{caption}``, ``{clause}`` (the caption inside a sentence), ``{subject}``, ``{object}``,
            ``{options}``, ``{cell}``, ``{noun}`` and ``{what}``.
        answers: the words for true and false; empty for other tasks.
        source: where the wording comes from.
    """

    name: str
    family: str
    task: str
    text: str
    answers: tuple[str, ...] = ()
    source: str = "vsre"


YES_NO, TRUE_FALSE, CORRECT = ("yes", "no"), ("true", "false"), ("correct", "incorrect")
ADAPTVIS = (
    "Determine whether the description about the spatial relationship is correct or not. "
    "Answer with yes or no: {caption}"
)

_ALL = (
    Template(
        "question", "question", "statement", "Is the following statement true? {caption} Answer yes or no.", YES_NO
    ),
    Template("question-short", "question", "statement", "{caption} Is this true?", YES_NO),
    Template(
        "polite", "polite", "statement", "Please look at the picture. {caption} Is this right, yes or no?", YES_NO
    ),
    Template("clause", "clause", "statement", "Is it true that {clause}?", YES_NO),
    Template("clause-polite", "clause", "statement", "Please say yes or no: is it true that {clause}?", YES_NO),
    Template("true-false", "true-false", "statement", "{caption} True or false?", TRUE_FALSE),
    Template("true-false-first", "true-false", "statement", "True or false: {caption}", TRUE_FALSE),
    Template("correct", "correct", "statement", "{caption} Correct or incorrect?", CORRECT),
    Template("correct-first", "correct", "statement", "Is this statement correct or incorrect? {caption}", CORRECT),
    Template("determine", "determine", "statement", ADAPTVIS, YES_NO, "AdaptVis, arXiv 2503.01773, VSR prompt"),
    Template("where", "where", "choice", "Where is the {subject} relative to the {object}? {options}."),
    Template("which", "which", "choice", "Is the {subject} {options} the {object}?"),
    Template("pick", "pick", "choice", "Choose {options}: where is the {subject} relative to the {object}?"),
    Template("relative", "relative", "choice", "Describe where the {subject} is relative to the {object}."),
    Template("locate", "locate", "locate", "Where is the {subject}?"),
    Template("locate-cell", "locate", "locate", "Which cell holds the {subject}?"),
    Template("name", "name", "name", "What is at {cell}?"),
    Template("name-imperative", "name", "name", "Name the object at {cell}."),
    Template("count", "count", "count", "How many {noun} are in the picture?"),
    Template("count-imperative", "count", "count", "Count the {noun} in the picture."),
    Template("describe", "describe", "caption", "Describe {what}."),
    Template("describe-polite", "describe", "caption", "Please describe {what} in words."),
)

TEMPLATES: dict[str, Template] = {template.name: template for template in _ALL}
"""All templates by name."""


def templates_for(task: str) -> list[str]:
    """Return the names of the templates that suit a task, in the order of ``TEMPLATES``."""
    return [template.name for template in TEMPLATES.values() if template.task == task]


def render(record: Record, template: Template, seed: int) -> Prompt:
    """Put a record into a template's words.

    Args:
        record: any record of the template's task.
        template: an entry of ``TEMPLATES``.
        seed: orders the options of a choice; all records of a group share the order, so that a group's prompts
            differ only where its images do.

    Raises:
        ConfigError: the template is for another task.
        ValueError: the record's caption has not the form that the template takes apart.
    """
    if template.task != record.task:
        suiting = ", ".join(templates_for(record.task))
        raise ConfigError(
            f"template {template.name!r} is for {template.task} records, not {record.task}; use {suiting}"
        )
    options = _options(record, template, seed)
    text, spans = _fill(template.text, _Slots(record, options))
    answer = record.answer
    if record.task == "statement":
        answer = template.answers[0 if record.answer == "true" else 1]
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return Prompt([{"role": "user", "content": content}], options, answer, spans)


def sentence(subject: str, relation: str, other: str) -> str:
    """Return "The <subject> is <relation> the <other>.", without "is" where the relation is a verb."""
    return f"The {subject} {'' if relation in VERBS else 'is '}{relation} the {other}."


def split_caption(caption: str, relation: str) -> tuple[str, str, str]:
    """Take a relation sentence apart into subject phrase, relation and object phrase, without articles.

    Raises:
        ValueError: the caption is not such a sentence.
    """
    match = _match(caption, relation)
    if match is None:
        raise ValueError(f"caption {caption!r} is not of the form 'The A is {relation} the B.'")
    return (match["subject"], match["relation"], match["object"])


def _match(caption: str, relation: str) -> re.Match[str] | None:
    article = r"(?:(?:the|an|a)\s+)?"
    between = rf"(?:\s+(?:is|are))?\s+(?P<relation>{re.escape(relation)})\s+"
    pattern = rf"\s*{article}(?P<subject>\S.*?){between}{article}(?P<object>\S.*?)\s*\.?\s*"
    return re.fullmatch(pattern, caption, re.IGNORECASE) if relation else None


def _options(record: Record, template: Template, seed: int) -> tuple[str, ...]:
    if record.task == "statement":
        return template.answers
    if record.task == "count":
        return NUMBERS
    options = list(record.options)
    random.Random(f"{seed}/{record.group_id}").shuffle(options)
    return tuple(options)


def _fill(text: str, slots: "_Slots") -> tuple[str, dict[str, tuple[int, int]]]:
    """Return the filled text and the character span of each role's first mention."""
    filled = ""
    spans: dict[str, tuple[int, int]] = {}
    for literal, slot, _, _ in string.Formatter().parse(text):
        filled += literal
        for piece, role in getattr(slots, slot)() if slot else ():
            if role:
                spans.setdefault(role, (len(filled), len(filled) + len(piece)))
            filled += piece
    return filled, spans


class _Slots:
    """What each slot of a template stands for in one record, as segments."""

    def __init__(self, record: Record, shown_options: tuple[str, ...]) -> None:
        self._record = record
        self._shown = shown_options

    def caption(self) -> list[Segment]:
        return list(_segments(self._record.caption, self._record.relation))

    def clause(self) -> list[Segment]:
        caption = self._record.caption.strip().removesuffix(".")
        return list(_segments(caption[:1].lower() + caption[1:], self._record.relation))

    def subject(self) -> list[Segment]:
        if self._record.task == "locate":
            return [(split_caption(self._record.caption, "at")[0], "subject")]
        return [(split_caption(self._record.caption, self._record.relation)[0], "subject")]

    def object(self) -> list[Segment]:
        return [(split_caption(self._record.caption, self._record.relation)[2], "object")]

    def options(self) -> list[Segment]:
        *first, last = self._shown
        return [(f"{', '.join(first)} or {last}", "")]

    def cell(self) -> list[Segment]:
        return [(split_caption(self._record.caption, "at")[2], "object")]

    def noun(self) -> list[Segment]:
        match = re.fullmatch(r"There (?:is|are) (\w+) (.+?)(?: in the picture)?\.", self._record.caption)
        if match is None:
            raise ValueError(f"caption {self._record.caption!r} is not of the form 'There are two cups.'")
        return [(plural(match[2]) if match[1] == "one" else match[2], "subject")]

    def what(self) -> list[Segment]:
        if self._record.topic != "relation":
            return [("the picture", "")]
        middle: list[Segment] = [(" is relative to the ", "")]
        return [("where the ", ""), *self.subject(), *middle, *self.object()]


def _segments(caption: str, relation: str) -> Iterator[Segment]:
    match = _match(caption, relation)
    end = 0
    for role in ("subject", "relation", "object") if match else ():
        assert match is not None
        yield (caption[end : match.start(role)], "")
        yield (match[role], role)
        end = match.end(role)
    yield (caption[end:], "")
