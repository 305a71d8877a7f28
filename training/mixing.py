"""How often the images of each folder are shown in an epoch: ``data: {folder: weight}``.

A weight of 1 shows every image once. 0.5 shows half of them, another half in each epoch; 2 shows each twice, with
records drawn for each time; 2.5 twice, and half of them a third time. The number of items of an epoch never changes,
and which image an item is depends on the seed, the epoch and the item alone: resumed runs, several processes and loader
workers all see the same.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from spatial.errors import ConfigError
from training.config import ANSWERING


def check_data(data: Sequence[str] | Mapping[str, float], stage: str) -> None:
    """Check that data is named and that its weights can be used.

    Raises:
        ConfigError: nothing is named, a weight is not a positive number, or the stage does not weigh its data.
    """
    if not data:
        raise ConfigError("no data; name at least one dataset folder in 'data'")
    if not isinstance(data, Mapping):
        return
    if stage not in ANSWERING:
        raise ConfigError(f"stage '{stage}' shows every image once; give 'data' as a list, without weights")
    for folder, weight in data.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or weight <= 0:
            raise ConfigError(f"data gives {folder} the weight {weight!r}; give a number above 0, or remove the folder")


def folder_weights(data: Sequence[str] | Mapping[str, float]) -> list[float] | None:
    """Return the weight of each folder, in order; ``None`` for a list, whose folders are pooled."""
    return [float(weight) for weight in data.values()] if isinstance(data, Mapping) else None


class Mixture:
    """Which image each item of an epoch is.

    Args:
        counts: images of each part, above 0; the images are numbered part after part.
        weights: how often each part is shown in an epoch.
        seed: of the choice where a weight is not whole.

    Attributes:
        shown: items of each part in an epoch.
    """

    def __init__(self, counts: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self.counts, self.weights, self._seed = list(counts), list(weights), seed
        # Halves go up, so that half of an odd folder is not sometimes the smaller and sometimes the larger part.
        self.shown = [math.floor(weight * count + 0.5) for weight, count in zip(self.weights, self.counts, strict=True)]
        self._first_image = [0, *accumulate(self.counts)]
        self._first_item = [0, *accumulate(self.shown)]
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def __len__(self) -> int:
        """Return the items of an epoch, of every epoch alike."""
        return self._first_item[-1]

    def image(self, item: int, epoch: int) -> int:
        """Return the number of the image that an item of an epoch is."""
        if not 0 <= item < len(self):
            raise IndexError(item)
        part = next(part for part, end in enumerate(self._first_item[1:]) if item < end)
        within, count = item - self._first_item[part], self.counts[part]
        whole = self.shown[part] // count * count
        chosen = within % count if within < whole else int(self._order(part, epoch)[within - whole])
        return self._first_image[part] + chosen

    def _order(self, part: int, epoch: int) -> NDArray[np.int64]:
        """Return the images of a part in the order in which an epoch takes as many as it needs; the last is kept."""
        kept = self._orders.get(part)
        if kept is None or kept[0] != epoch:
            order = np.random.default_rng((self._seed, epoch, part)).permutation(self.counts[part])
            kept = self._orders[part] = (epoch, order)
        return kept[1]

    def estimates(self, values: Sequence[int]) -> list[int]:
        """Return a value for every item of an epoch: that of its image, or the mean where each epoch draws another."""
        found: list[int] = []
        for first, count, shown in zip(self._first_image, self.counts, self.shown, strict=False):
            part = list(values[first : first + count])
            found += part * (shown // count) + [round(sum(part) / count)] * (shown % count)
        return found

    def describe(self, names: Sequence[str]) -> str:
        """Return how many items each part has, such as "8 of data/a (16 x 0.5), 32 of data/b (16 x 2)"."""
        parts = zip(self.shown, names, self.counts, self.weights, strict=True)
        return ", ".join(f"{shown} of {name} ({count} x {weight:g})" for shown, name, count, weight in parts)
