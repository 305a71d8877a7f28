"""Conversations about pictures, in LLaVA's files, as what the model is shown.

Rows about one picture come together, up to ``statements`` of them at a time, so that they share its prefix in the
batch; they never see each other (``training.collate``). Every row comes once in an epoch; which rows come together is
drawn anew in each, of the seed, the epoch and the picture alone. A row without a picture comes by itself.
"""

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset

from spatial.pictures import read_picture
from training.conversation_file import ConversationFile, Row
from training.draws import DrawnDataset
from training.examples import CHARACTERS_PER_TOKEN, Dialogue, Example, Examples
from training.mixing import Mixture


class Conversations(DrawnDataset[Example]):
    """The rows of a file, picture by picture.

    Args:
        file: opened.
        statements: rows about one picture that come together at most.
        seed: of the draws.
        weight: how often an epoch shows the file; ``None``: once.

    Attributes:
        mixture: which item of the file each item is, where a weight is given.

    Raises:
        RecordError: rows cannot be used, or pictures are missing.
    """

    def __init__(self, file: ConversationFile, statements: int, seed: int = 0, weight: float | None = None) -> None:
        super().__init__()
        self.file, self._seed = file, seed
        file.require_images()
        names = np.array(file.image_names(), dtype=object)
        self._order, ends = _grouped(names)
        starts = [0, *ends[:-1]]
        parts = [-(-(end - start) // statements) for start, end in zip(starts, ends, strict=True)]
        # Rows of a picture, as a range of ``_order``, and which part of them an item is: no Python object per row.
        self._items = np.array(
            [
                (start, end, part, count)
                for start, end, count in zip(starts, ends, parts, strict=True)
                for part in range(count)
            ],
            dtype=np.int64,
        )
        self.mixture = None if weight is None else Mixture([len(self._items)], [weight], seed)

    def __len__(self) -> int:
        """Return how many times pictures, or rows without one, are shown in an epoch."""
        return len(self._items) if self.mixture is None else len(self.mixture)

    @property
    def record_count(self) -> int:
        """Rows of the file."""
        return len(self._order)

    @property
    def records_per_image(self) -> float:
        """Rows that come together, on average."""
        return len(self._order) / len(self._items)

    def __getitem__(self, index: int) -> Example:
        """Return a picture and rows about it of the current epoch, or a row without one.

        Raises:
            RecordError: the picture cannot be read; it is named by its path.
        """
        item = index if self.mixture is None else self.mixture.image(index, self.epoch)
        start, end, part, parts = self._items[item].tolist()
        drawn = np.arange(end - start)
        if parts < end - start:  # else every row comes alone, and is always the same item
            np.random.default_rng((self._seed, self.epoch, start)).shuffle(drawn)
        chosen = np.sort(np.array_split(drawn, parts)[part])
        rows = [self.file.row(int(self._order[start + place])) for place in chosen]
        image = rows[0].image
        picture = read_picture(self.file.images / image) if image else None
        return Example(picture, tuple(map(dialogue, rows)), image or rows[0].name, bool(image))

    def estimated_lengths(self, image_tokens: int) -> list[int]:
        """Return about how many tokens every item has; see ``training.lengths``."""
        sizes = self.file.text_bytes()[self._order]
        before = np.array([0, *sizes.cumsum()])
        start, end, part, parts = self._items.T
        alone = parts == end - start
        text = (
            np.where(alone, sizes[start + part * alone], (before[end] - before[start]) / parts) / CHARACTERS_PER_TOKEN
        )
        pictured = np.array([bool(name) for name in self.file.image_names()])[self._order[start]]
        lengths: list[int] = (text + image_tokens * pictured).astype(int).tolist()
        return self.mixture.estimates(lengths) if self.mixture else lengths


class Pool(ConcatDataset[Example]):
    """Several datasets one after the other, all in the same epoch."""

    datasets: list[Examples | Conversations]  # type: ignore[assignment]

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of an epoch in all of them."""
        for part in self.datasets:
            part.set_epoch(epoch)

    def estimated_lengths(self, image_tokens: int) -> list[int]:
        """Return about how many tokens every item has."""
        return [length for part in self.datasets for length in part.estimated_lengths(image_tokens)]


def dialogue(row: Row) -> Dialogue:
    """Return a row as the collator takes it."""
    turns = tuple(zip(row.talk[::2], row.talk[1::2], strict=True))
    return Dialogue(row.name, turns, bool(row.image))


def _grouped(names: NDArray[np.object_]) -> tuple[NDArray[np.int64], list[int]]:
    """Return row numbers with those about one picture side by side, in the order of the file, and where groups end."""
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        groups.setdefault(name or f"\0{row}", []).append(row)
    order = np.fromiter((row for rows in groups.values() for row in rows), dtype=np.int64, count=len(names))
    return order, list(accumulate(map(len, groups.values())))
