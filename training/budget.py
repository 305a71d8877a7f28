"""Training under a time budget: a clock that survives resumption, and a schedule that ends when the time does.

Every rank must take the same decisions, so the first rank's clock is everybody's clock: one number is broadcast
per optimizer step. Time between the last checkpoint and a kill is not counted; its work is done again.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class Clock:
    """Seconds trained, over all resumed runs of a job.

    Attributes:
        seconds: as of the latest ``tick``.
    """

    def __init__(self, before: float = 0.0) -> None:
        self.seconds = self._before = before
        self._started = time.monotonic()

    def start(self) -> None:
        """Count from now on."""
        self._started = time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within the context no time is counted: what is done there is not training."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._started += time.monotonic() - begun

    def tick(self) -> None:
        """Read the clock; on several ranks a collective, so all must call it."""
        self.seconds = _from_first_rank(self._before + time.monotonic() - self._started)


def time_schedule(optimizer: Optimizer, clock: Clock, max_seconds: float, warmup_steps: int) -> LambdaLR:
    """Return linear warm-up over optimizer steps, times a cosine from 1 to 0 over ``max_seconds`` of the clock."""

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
        spent = min(1.0, clock.seconds / max_seconds)
        return warm * 0.5 * (1.0 + math.cos(math.pi * spent))

    return LambdaLR(optimizer, factor)


def _from_first_rank(value: float) -> float:
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return value
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.broadcast(shared, src=0)
    return float(shared)
