"""The loss over supervised positions: which positions, what counts alike, and how no other position is scored.

Shapes: B rows, S positions, D width, N supervised positions of the batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from training.collate import IGNORED
from training.config import LossPer


def answer_loss(
    outputs: Any, labels_BS: Tensor, num_items_in_batch: Tensor | int | None = None, per: LossPer = "token"
) -> Tensor:
    """Return the mean cross-entropy of the supervised tokens.

    Args:
        outputs: ``logits`` (N, vocabulary) are those of the supervised positions, in row order.
        labels_BS: ``IGNORED`` where unsupervised; the logits at a position predict the next label.
        num_items_in_batch: what the sum is divided by: the supervised tokens, or the statements, of the whole step,
            over ranks and accumulated batches; those of this batch if not given.
        per: "token": all supervised tokens weigh the same. "statement": all answers do, so that a yes is not drowned by
            a caption; of a conversation, every turn is one.
    """
    targets_BS = shifted(labels_BS)
    targets = targets_BS[targets_BS != IGNORED]
    losses = nn.functional.cross_entropy(outputs["logits"].float(), targets, reduction="none")
    items: Tensor | int = len(targets)
    if per == "statement":
        tokens = statement_lengths(targets_BS)
        losses, items = losses / tokens, (1 / tokens).sum()
    return losses.sum() / (items if num_items_in_batch is None else num_items_in_batch)


def statement_lengths(targets_BS: Tensor) -> Tensor:
    """Return for each supervised token how many its statement has; they stand in one run, and runs do not touch."""
    supervised = targets_BS != IGNORED
    statement = _starts(supervised).flatten().cumsum(0)[supervised.flatten()] - 1
    return statement.bincount()[statement]


def shifted(labels_BS: Tensor) -> Tensor:
    """Return the label that each position predicts: the next one, and none at the end of a row."""
    return nn.functional.pad(labels_BS[:, 1:], (0, 1), value=IGNORED)


def first_labels(labels_BS: Tensor) -> Tensor:
    """Return the first label of each run of supervised positions, and ``IGNORED`` elsewhere."""
    return labels_BS.where(_starts(labels_BS != IGNORED), IGNORED)


def count_statements(labels_BS: Tensor) -> Tensor:
    """Return how many runs of supervised positions there are: one per answer, as each starts with its question.

    A statement has one answer, a conversation of several turns as many.
    """
    return (first_labels(labels_BS) != IGNORED).sum()


@contextmanager
def only_rows(layer: nn.Module, rows_BS: Tensor) -> Iterator[None]:
    """Within the context, ``layer`` maps (B, S, D) to the chosen rows only, (N, ...)."""

    def choose(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][rows_BS], *inputs[1:])

    handle = layer.register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


def _starts(supervised_BS: Tensor) -> Tensor:
    """Return which supervised positions begin a run."""
    return supervised_BS & ~nn.functional.pad(supervised_BS[:, :-1], (1, 0))
