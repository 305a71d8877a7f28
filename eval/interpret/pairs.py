"""Minimal pairs: two pictures or two wordings that differ in one thing, which turns the answer around.

A pair has a clean and a corrupt side (arXiv 2406.16320, sections 3.1 and 3.2). Of mode "image" the words are the same
and the pictures differ (a semantic minimal pair); of mode "text" the picture is the same and words of the question are
replaced by as many tokens (symmetric token replacement).
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from spatial.dataset import FailedRow
from spatial.records import ImageRow
from spatial.scene import digest
from spatial.templates import Prompt

MODES = ("image", "text")


@dataclass(frozen=True)
class Side:
    """One side of a pair.

    Attributes:
        image_id: of the picture.
        prompt: what is asked; of its roles, ``prompt.spans`` says where they are.
        record_id: where both come from; "" if from no record.
    """

    image_id: str
    prompt: Prompt
    record_id: str = ""


@dataclass(frozen=True)
class Pair:
    """A minimal pair.

    Attributes:
        mode: of ``MODES``.
        clean: the side whose answer is looked for.
        corrupt: the other one.
        answers: the right answer of the clean side, and that of the corrupt side; of text pairs whose corrupt side has
            no answer among them, the wrong one.
        relation: asked about on the clean side, "" if none.
        family: what pairs are averaged by, such as the category of the relation.
        group_id: pairs of one group are not independent.
        control: "" for a pair that counts; "identity", "preserving" or "double" for one that must behave otherwise.

    Raises:
        ValueError: the two answers are the same.
    """

    mode: str
    clean: Side
    corrupt: Side
    answers: tuple[str, str]
    relation: str = ""
    family: str = ""
    group_id: str = ""
    control: str = ""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"unknown mode {self.mode!r}; known: {', '.join(MODES)}")
        if self.answers[0] == self.answers[1]:
            raise ValueError(f"both sides are answered by {self.answers[0]!r}, so nothing can be told apart")

    @property
    def sides(self) -> tuple[Side, Side]:
        """The clean side, and the corrupt one."""
        return self.clean, self.corrupt

    @property
    def pair_id(self) -> str:
        """Hash of what the pair shows and asks."""
        sides = [text for side in self.sides for text in (side.image_id, side.prompt.text)]
        return digest("\n".join([self.mode, *sides, *self.answers, self.control]))

    @property
    def content(self) -> str:
        """Hash of all that decides the rows about the pair: also where its words are, and what it is counted by."""
        sides = [[each.record_id, each.prompt.options, sorted(each.prompt.spans.items())] for each in self.sides]
        return digest(json.dumps([self.pair_id, self.relation, self.family, self.group_id, *sides]))


@dataclass
class PairSet:
    """Pairs, the pictures that they show, and what could not become a pair.

    Attributes:
        pairs: in the order in which they were drawn or read.
        images: by ``image_id``; it may hold more than the pairs show.
        failed: what was left out, by name, and why, in words that are the same for all of a kind.
    """

    pairs: list[Pair]
    images: Mapping[str, ImageRow]
    failed: list[FailedRow] = field(default_factory=list)

    @property
    def dropped(self) -> Counter[str]:
        """How often each reason left something out."""
        return Counter(row.reason for row in self.failed)
