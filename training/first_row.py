"""A packed row as text, so that people see what the model reads and what it is scored on.

Image tokens are collapsed to "<image> x 1817", statements stand on lines of their own with their positions, and what is
supervised is green and between [[ and ]], the token that ends an answer included.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise
from typing import Any

from rich.text import Text
from torch import Tensor

from training.collate import IGNORED

OPEN, CLOSE = "[[", "]]"


def row_text(batch: Mapping[str, Tensor], tokenizer: Any, image_token: int, row: int = 0) -> Text:
    """Return one row of a batch of ``training.collate.PrefixCollator``, padding left out.

    Args:
        batch: with ``input_ids``, ``labels`` and ``position_ids`` (B, S); without the last, a row is counted through.
        tokenizer: that made it.
        image_token: id of the placeholder.
        row: which.
    """
    text = Text()
    ids, labels = (batch[name][row].tolist() for name in ("input_ids", "labels"))
    positions = batch["position_ids"][row].tolist() if "position_ids" in batch else list(range(len(ids)))
    for segment in _segments(ids, positions, _end(labels), image_token):
        text.append(f"{positions[segment[0]]:>7}..{positions[segment[-1]]:<7}", style="dim")
        for supervised, pieces in groupby(segment, lambda at: labels[at] != IGNORED):
            said = "".join(_said([ids[at] for at in pieces], tokenizer, image_token))
            text.append(f"{OPEN}{said}{CLOSE}" if supervised else said, style="bold green" if supervised else "")
        text.append("\n")
    return text


def _end(labels: list[int]) -> int:
    """Return where padding begins: behind the last supervised token, as every statement ends with one."""
    return max((at + 1 for at, label in enumerate(labels) if label != IGNORED), default=len(labels))


def _segments(ids: list[int], positions: list[int], end: int, image_token: int) -> Iterator[range]:
    """Yield the places of the prefix, which ends with the image, and of the statements, which restart behind it."""
    pairs = range(1, end)
    images = [at for at in range(end) if ids[at] == image_token]
    starts = {images[-1] + 1} if images else set()
    starts |= {at for at in pairs if positions[at] != positions[at - 1] + 1}
    for first, last in pairwise([0, *sorted(starts), end]):
        yield range(first, last)


def _said(ids: list[int], tokenizer: Any, image_token: int) -> Iterator[str]:
    for is_image, run in groupby(ids, lambda token: token == image_token):
        tokens = list(run)
        if is_image:
            yield f" {tokenizer.decode([image_token])} x {len(tokens)} "
        else:
            yield tokenizer.decode(tokens, skip_special_tokens=False).replace("\n", "\\n")
