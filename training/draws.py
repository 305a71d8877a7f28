"""A dataset whose items are drawn anew in every epoch."""

from typing import TypeVar

import torch
from torch.utils.data import Dataset

Item = TypeVar("Item", covariant=True)


class DrawnDataset(Dataset[Item]):
    """A map-style dataset that knows which epoch it is drawn for, in loader workers too, which may outlive an epoch."""

    def __init__(self) -> None:
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch, counted from 0."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of an epoch, counted from 0; worker processes see it too."""
        self._epoch.fill_(epoch)
