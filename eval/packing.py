"""Which questions share a forward pass: as many as fit, and those about one picture together.

A batch is bounded by questions (``batch_size``), and what one forward pass holds of it also by tokens (``max_tokens``).
Tokens are counted as they lie in memory: padded, with every image kind beside the picture itself, and with all that
grows from a question, so that long texts, many options and many decoders count, too.

A picture whose questions do not fit in one go is shown again with the next ones; any other is shown once.

Questions about one picture lie side by side in a pass, and each is masked from the others: the more there are, the more
attention is computed to be thrown away. So many questions follow their picture in several passes (``side_by_side``).
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from eval.decoders import Reading

T = TypeVar("T")

ENOUGH_TOKENS = 512
"""What one pass should hold at least: with fewer tokens, its calls take longer than its arithmetic."""


@dataclass(frozen=True)
class Extent:
    """What a question takes in a forward pass, in tokens.

    Attributes:
        row: names what the question shares its trunk with; a batch has one row for each.
        trunk: tokens that stand in the row once.
        own: tokens of the question alone.
        grown: tokens after it, of readings and answers.
    """

    row: Hashable
    trunk: int
    own: int
    grown: int


def padded_tokens(extents: Sequence[Extent]) -> int:
    """Return how many tokens rows of equal length have that hold these questions, equally many in each."""
    rows = Counter(extent.row for extent in extents)
    trunk, own, grown = (max(getattr(e, name) for e in extents) for name in ("trunk", "own", "grown"))
    return len(rows) * (trunk + max(rows.values()) * (own + grown))


def packed(units: Iterable[Sequence[T]], fits: Callable[[Sequence[T]], bool]) -> Iterator[list[T]]:
    """Yield batches that fit, in order; a unit stays whole if it can, and what fits nowhere is a batch alone."""
    batch: list[T] = []
    for unit in units:
        if batch and not fits([*batch, *unit]):
            yield batch
            batch = []
        for member in unit:
            if batch and not fits([*batch, member]):
                yield batch
                batch = []
            batch.append(member)
    if batch:
        yield batch


def side_by_side(rows: Sequence[Sequence[T]], length: Callable[[T], int], width: int) -> Iterator[list[list[T]]]:
    """Yield the rows in parts that are worth a pass each: a part has some of each row's members, short ones first.

    A token costs about 24 D^2 operations in a layer of width D, and 4 D for every column: with D columns of other
    questions beside it, a sixth more. That is the most that is allowed, unless the pass would be too small.

    Args:
        rows: what grows from each trunk.
        length: tokens of a member.
        width: of the model.
    """
    ordered = [sorted(row, key=length) for row in rows]
    most = max(map(len, rows))
    longest = max(length(row[-1]) for row in ordered if row)
    fit = max(1, max(width, ENOUGH_TOKENS // len(rows)) // max(1, longest))
    each = -(-most // -(-most // fit))  # parts of equal size, as few as fit
    for start in range(0, most, each):
        yield [row[start : start + each] for row in ordered]


def image_kinds(readings: Iterable[Reading]) -> list[str]:
    """Return what is shown for these readings: the picture, and what answers are contrasted with."""
    return list(dict.fromkeys(["image", *(reading.contrast for reading in readings if reading.contrast)]))


def asked_again(readings: Iterable[Reading]) -> int:
    """Return how often, at most, the last token of a prompt stands beside itself, once for each strength of a rule.

    The strengths of the first rule stay where they are made, beside the questions; what others need comes and goes.
    """
    first, *others = Counter(reading.rule for reading in readings if reading.rule).values() or [0]
    return first + max(others, default=1)
