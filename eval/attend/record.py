"""Keep how the last prompt token attends, in every layer and head, while a question is answered.

Questions are answered as ever, from the shared trunk of their image (``eval.scoring``), and the answers are the very
same. The columns that a question sees are picked out of the tree of all of them, so that what is kept is the row that
the question would have alone.

Shapes: B images, M questions of each, R strengths of one rule, L layers, H heads, N the queries of one forward (M * R,
strengths fastest), C columns of the tree, K tokens of one prompt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eval.attention import recorded_attention
from eval.decoders import Reading
from eval.readings import Leaf, Reader
from eval.scoring import Pictures, Question, Scorer, Scores
from eval.tree import Branches


@dataclass(frozen=True)
class Attention:
    """How the last token of one prompt attends, on the CPU.

    Attributes:
        weights_LHK: to each token of the prompt, in its order; they sum to one.
        image_K: True at image tokens.
    """

    weights_LHK: Tensor
    image_K: Tensor

    @property
    def image_LHN(self) -> Tensor:
        """The weights of the image tokens alone."""
        return self.weights_LHK[..., self.image_K]

    @property
    def share_LH(self) -> Tensor:
        """How much of its attention the image gets."""
        return self.image_LHN.sum(-1)


Keep = Callable[[Question, Reading, Attention], None]
"""What is done with the attention of a question in one reading."""


class RecordingReader(Reader):
    """A reader that keeps the attention of the last prompt tokens that it asks, by rule and factor."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._kept: dict[tuple[str, float], tuple[Tensor, Tensor]] = {}

    def plainly(self, kind: str) -> tuple[Tensor, Branches]:
        """Return what was asked, and keep how the last prompt token attends."""
        self._record(kind)
        return super().plainly(kind)

    def changed(self, factors: Sequence[float], rule: str) -> tuple[Tensor, Branches]:
        """Return what is asked, and keep how the last prompt token attends."""
        if rule == self._rule:
            self._record("image", factors, rule)
        return super().changed(factors, rule)  # which asks what has not been asked, and so keeps it

    def _record(self, kind: str, factors: Sequence[float] = (), rule: str = "") -> None:
        """Ask once more what was asked with the questions, only to keep how it attends."""
        columns = self.trees[kind].columns
        self.ask(kind, factors, rule)
        self.trees[kind].cut(columns)

    def ask(self, kind: str, factors: Sequence[float] = (), rule: str = "", **options: Any) -> tuple[Any, Branches]:
        """Grow the last prompt token, and keep how it attends."""
        strengths = list(factors) or [0.0]
        with recorded_attention(self.trees[kind].decoder, self.shape[1] * len(strengths)) as weights:
            output, tips = super().ask(kind, factors, rule, **options)
        weights_BLHNC = torch.stack([weights[layer] for layer in sorted(weights)], dim=1)
        for place, factor in enumerate(strengths):
            own = slice(place, None, len(strengths))
            self._kept[rule, factor] = weights_BLHNC[:, :, :, own], tips.seen_BMK[:, own]
        return output, tips

    def attention(self, reading: Reading, image: int, question: int) -> Attention:
        """Return how one question attends in a reading that has been asked.

        Args:
            reading: one that changes the attention, or none.
            image: its row among the trunks.
            question: its place among those of the image.
        """
        weights_BLHMC, seen_BMC = self._kept[reading.rule, reading.factor if reading.rule else 0.0]
        seen_C = seen_BMC[image, question]
        image_P = self.trees["image"].image_BP[image]
        image_C = torch.nn.functional.pad(image_P, (0, len(seen_C) - len(image_P)))
        return Attention(weights_BLHMC[image, :, :, question, seen_C].float().cpu(), image_C[seen_C].cpu())


class Recorder(Scorer):
    """A scorer that hands on how each question attends in each reading.

    Args:
        model: as for ``Scorer``.
        processor: the same.
        keep: gets the attention of one question after the other; what it does not keep is forgotten.
        max_new_tokens: as for ``Scorer``.
    """

    reader = RecordingReader

    def __init__(self, model: Any, processor: Any, keep: Keep, max_new_tokens: int = 0) -> None:
        super().__init__(model, processor, max_new_tokens)
        self._keep = keep
        self._questions: Sequence[Question] = ()

    def score(
        self, questions: Sequence[Question], pictures: Sequence[Pictures], readings: Sequence[Reading]
    ) -> dict[Reading, list[Scores]]:
        """Return, for each reading, the scores of every question, as ``Scorer`` does."""
        self._questions = questions
        return super().score(questions, pictures, readings)

    def _read(self, leaf: Leaf, rows: Any) -> dict[int, Scores]:
        assert isinstance(leaf.reader, RecordingReader)
        for image, row in enumerate(rows):
            for question, asked in enumerate(row):
                attention = leaf.reader.attention(leaf.reading, image, question)
                self._keep(self._questions[asked.place], leaf.reading, attention)
        return super()._read(leaf, rows)
