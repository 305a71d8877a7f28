"""What the slots of a template stand for in one record.

A slot is filled with segments: pieces of text, each with the role that it plays. While a template is filled, the
characters of each role's first mention are noted, which is how an explanation later finds their tokens. A slot that
is written with a capital begins with one: ``{does}`` gives "is", ``{Does}`` gives "Is".
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from spatial.records import ImageObject, Record
from spatial.sentences import BASE_FORMS, Parts, listed, split_caption, take_apart
from spatial.vocabulary import plural

Segment = tuple[str, str]
"""A piece of text and its role: "subject", "relation", "object" or ""."""

LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Answers:
    """What can be answered to a question.

    Attributes:
        options: the answers to choose from, see ``spatial.templates.Prompt``.
        right: the right one.
        shown: the words in the order in which the question lists them; behind letters these are not the options.
        asked: the relation that is asked for where the answer is one of the two objects, else "".
    """

    options: tuple[str, ...]
    right: str
    shown: tuple[str, ...] = ()
    asked: str = ""


def slot_names(text: str) -> list[str]:
    """Return the slots of a template's text in order, as they are written."""
    return [slot for _, slot, _, _ in string.Formatter().parse(text) if slot is not None]


def fill(text: str, slots: "Slots") -> tuple[str, dict[str, tuple[int, int]]]:
    """Return the filled text, and the character span of each role's first mention."""
    filled = ""
    spans: dict[str, tuple[int, int]] = {}
    for literal, slot, _, _ in string.Formatter().parse(text):
        filled += literal
        for piece, role in slots.segments(slot) if slot else ():
            if role:
                spans.setdefault(role, (len(filled), len(filled) + len(piece)))
            filled += piece
    return filled, spans


class Slots:
    """What each slot stands for in one record; every public method but ``segments`` is a slot.

    A slot raises ``ValueError`` where the record lacks what it needs.
    """

    def __init__(self, record: Record, answers: Answers, objects: Sequence[ImageObject] = ()) -> None:
        self._record = record
        self._answers = answers
        self._objects = objects

    def segments(self, slot: str) -> list[Segment]:
        """Return what a slot stands for, with a capital if the slot is written with one."""
        found: list[Segment] = getattr(self, slot.lower())()
        if slot[0].islower():
            return found
        place = next((index for index, (piece, _) in enumerate(found) if piece), 0)
        piece, role = found[place]
        return [*found[:place], (piece[:1].upper() + piece[1:], role), *found[place + 1 :]]

    def caption(self) -> list[Segment]:
        """The whole sentence."""
        return _marked(self._record.caption, self._record.relation)

    def question(self) -> list[Segment]:
        """A benchmark's question in its own words."""
        if self._record.topic != "question":
            raise ValueError("the record is a sentence, and no question of a benchmark")
        return [(self._record.caption, "")]

    def clause(self) -> list[Segment]:
        """The sentence as it stands within another one: without capital and full stop."""
        caption = self._record.caption.strip().removesuffix(".")
        return _marked(caption[:1].lower() + caption[1:], self._record.relation)

    def subject(self) -> list[Segment]:
        """The subject without article."""
        if self._record.task == "locate":
            return self._located("cell")
        return [(split_caption(self._record.caption, self._record.relation)[0], "subject")]

    def boxed(self) -> list[Segment]:
        """The subject of which the corners are asked."""
        return self._located("box")

    def asks(self) -> list[Segment]:
        """The beginning of a question about one thing: "is the cup", "is the cup at", "is the bus facing"."""
        match = None
        if self._record.topic != "relation" and self._record.answer:
            answer = re.escape(self._record.answer)
            match = re.fullmatch(rf"The (.+?) (is|are)((?: \w+)??) {answer}\.", self._record.caption)
        if match is None:
            raise ValueError(f"caption {self._record.caption!r} does not end in its answer")
        return [(f"{match[2]} the ", ""), (match[1], "subject"), (match[3], "")]

    def object(self) -> list[Segment]:
        """The object without article, and whose left and right is meant, if the caption says so."""
        return [(split_caption(self._record.caption, self._record.relation)[2], "object"), *self._view()]

    def the_object(self) -> list[Segment]:
        """The object with the article that the caption gives it."""
        parts = self._parts()
        return [(f"{parts.article} " if parts.article else "", ""), (parts.object, "object"), *self._view()]

    def relates(self) -> list[Segment]:
        """What a statement says: "is on", "are on", "contains"."""
        parts = self._parts()
        return [("" if parts.is_verb else f"{parts.be or 'is'} ", ""), (parts.relation, "relation")]

    def be(self) -> list[Segment]:
        """The verb about the subject: "is", or "are" where the caption says so."""
        relation = "at" if self._record.task == "locate" else self._record.relation
        parts = take_apart(self._record.caption, relation)
        return [("are" if parts and parts.be == "are" else "is", "")]

    def does(self) -> list[Segment]:
        """How a question begins: "is", "are" or "does"."""
        parts = self._parts()
        return [("does" if parts.is_verb else parts.be or "is", "")]

    def relate(self) -> list[Segment]:
        """What follows the subject in a question that began with ``does``: "on", "contain"."""
        relation = self._parts().relation
        return [(BASE_FORMS.get(relation.lower(), relation), "relation")]

    def options(self) -> list[Segment]:
        """The words to choose from: "left of or right of"."""
        return [(listed(self._answers.shown, "or"), "")]

    def lettered(self) -> list[Segment]:
        """The words to choose from behind letters: "A. yes B. no"."""
        found: list[Segment] = []
        for letter, word in zip(LETTERS, self._answers.shown, strict=False):
            found += [(f"{' ' if found else ''}{letter}. ", ""), (word, self._role(word))]
        return found

    def asked(self) -> list[Segment]:
        """The relation that is asked for where the answer is one of the objects."""
        return [(self._answers.asked, "relation")]

    def either(self) -> list[Segment]:
        """Both objects: "the cup or the book"."""
        first, last = self._answers.shown
        return [("the ", ""), (first, self._role(first)), (" or the ", ""), (last, self._role(last))]

    def subject_box(self) -> list[Segment]:
        """The subject's box in pixels, as VSRE prints COCO's boxes: "[203.87, 73.17, 248.09, 169.35]"."""
        return [(_box(self._placed(self._record.subject)), "subject")]

    def object_box(self) -> list[Segment]:
        """The object's box."""
        return [(_box(self._placed(self._record.object)), "object")]

    def subject_point(self) -> list[Segment]:
        """The centre of the subject's box in pixels: "(226, 121)"."""
        return [(_centre(self._placed(self._record.subject)), "subject")]

    def object_point(self) -> list[Segment]:
        """The centre of the object's box."""
        return [(_centre(self._placed(self._record.object)), "object")]

    def cell(self) -> list[Segment]:
        """A cell of the grid."""
        return [(split_caption(self._record.caption, "at")[2], "object")]

    def noun(self) -> list[Segment]:
        """What is counted, in the plural."""
        match = re.fullmatch(r"There (?:is|are) (\w+) (.+?)(?: in the picture)?\.", self._record.caption)
        if match is None:
            raise ValueError(f"caption {self._record.caption!r} is not of the form 'There are two cups.'")
        return [(plural(match[2]) if match[1] == "one" else match[2], "subject")]

    def what(self) -> list[Segment]:
        """What is described: the picture, or where one thing is."""
        if self._record.topic != "relation":
            return [("the picture", "")]
        middle: list[Segment] = [(" ", ""), *self.be(), (" relative to the ", "")]
        return [("where the ", ""), *self.subject(), *middle, *self.object()]

    def _located(self, topic: str) -> list[Segment]:
        if self._record.topic != topic:
            raise ValueError(f"the record is about a {self._record.topic}, not about a {topic}")
        return [(split_caption(self._record.caption, "at")[0], "subject")]

    def _view(self) -> list[Segment]:
        parts = take_apart(self._record.caption, self._record.relation)
        return [(parts.view, "")] if parts and parts.view else []

    def _parts(self) -> Parts:
        parts = take_apart(self._record.caption, self._record.relation)
        if parts is None:
            raise ValueError(f"caption {self._record.caption!r} is not about a relation of two things")
        return parts

    def _placed(self, index: int) -> ImageObject:
        if not 0 <= index < len(self._objects):
            raise ValueError("the boxes of its objects are not known")
        it = self._objects[index]
        parts = take_apart(self._record.caption, self._record.relation)
        said = "" if parts is None else parts.subject if index == self._record.subject else parts.object
        if plural(it.name) in said and plural(it.name) != it.name:
            raise ValueError(f"the caption is about several {it.name}, and one box does not name them all")
        if parts and parts.view:
            raise ValueError("a caption that says whose left is meant is not put into boxes")
        return it

    def _role(self, word: str) -> str:
        """The role of one of the shown words, where these are the two objects."""
        if not self._answers.asked:
            return ""
        return "subject" if word == self._parts().subject else "object"


SLOTS = frozenset(name for name in vars(Slots) if not name.startswith("_")) - {"segments"}
"""The names of all slots, in small letters."""

PLACES = frozenset({"subject_box", "object_box", "subject_point", "object_point"})
"""Slots that need the image's objects."""

ALWAYS = frozenset({"be", "caption", "clause", "options", "lettered"})
"""Slots that every record of a fitting task can fill."""


def _marked(text: str, relation: str) -> list[Segment]:
    """Cut a sentence at its roles; one that does not come apart is a single segment without a role."""
    parts = take_apart(text, relation)
    found: list[Segment] = []
    end = 0
    for role, (start, stop) in parts.spans.items() if parts else ():
        found += [(text[end:start], ""), (text[start:stop], role)]
        end = stop
    return [*found, (text[end:], "")]


def _box(item: ImageObject) -> str:
    return f"[{', '.join(f'{value:.2f}' for value in item.box_xyxy)}]"


def _centre(item: ImageObject) -> str:
    left, top, right, bottom = item.box_xyxy
    return f"({(left + right) / 2:.0f}, {(top + bottom) / 2:.0f})"
