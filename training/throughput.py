"""How fast a run is, and how much of its devices it uses: in every log entry, and once at the end.

Nothing is measured between two log entries but counters on the device and the host's time spent waiting for data. At
an entry, when Trainer waits for the loss anyway, they are read and gathered over the processes. Time spent saving and
evaluating is left out.

What the figures mean is in docs/throughput.md; what a step costs, in ``training.cost``.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from training.cost import FORMULA, Work, costs_of, hardware_flops, model_flops, peak_flops, work_of

WARM_UP_STEPS = 10
"""Steps that the summary leaves out, if the run has more: allocators, kernels and caches are still settling."""

_COUNTS = len(fields(Work)) + 1


@dataclass(frozen=True)
class Interval:
    """What happened between two log entries, over all processes.

    Attributes:
        last_step: of the interval, counted from where this process began.
        seconds: without saving and evaluating.
        waited: seconds spent waiting for data, in the mean over processes.
        memory: largest peak of any process so far, in bytes.
        statements: trained.
        work: done.
    """

    last_step: int
    seconds: float
    waited: float
    memory: float
    statements: float
    work: Work


class Throughput:
    """Measure a run.

    Args:
        model: as it trains; of a module that is no language model, FLOPs are not known.
        device: where it trains.
        world: processes.
        checkpointing: whether layers are computed again in the backward pass.
        peak_tflops: of one device; 0: as known of it.

    Attributes:
        summary: of the whole run, once ``close`` was called; see ``figures``.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        world: int = 1,
        checkpointing: bool = False,
        peak_tflops: float = 0.0,
    ) -> None:
        self.costs = costs_of(model)
        self.device, self.world, self.checkpointing = device, world, checkpointing
        self.name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        self.peak = peak_flops(self.name, peak_tflops)
        self.summary: dict[str, float] = {}
        self._given = peak_tflops > 0
        self._intervals: list[Interval] = []
        self._counts = torch.zeros(_COUNTS, dtype=torch.long)
        self._steps, self._waited = 0, 0.0
        self._since: float | None = None  # nothing was fetched yet
        self._asides = 0

    def describe(self) -> str:
        """Return in one line what the utilisation in the log is made of."""
        if self.costs is None:
            return "no FLOPs are known of this model; the log has no utilisation"
        missing = f"; not counted: {self.costs.missing}" if self.costs.missing else ""
        if self.peak is None and self.device.type == "cpu":
            return f"{FORMULA}{missing}"
        if self.peak is None:
            return f"{FORMULA}{missing}; no peak is known of '{self.name}': set peak_tflops to have mfu in the log"
        source = "peak_tflops" if self._given else f"{self.name}, dense bfloat16"
        return f"mfu: {FORMULA}{missing}; peak {self.peak / 1e12:,.0f} TFLOP/s ({source}), {self.world} device(s)"

    def fetched(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Pass batches on, and count the time of waiting for them."""
        if self._since is None:
            self._since = time.perf_counter()
        while True:
            asked = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self._waited += time.perf_counter() - asked
            yield batch

    def add(self, batch: Mapping[str, Any], statements: Tensor) -> None:
        """Count one batch; nothing waits for the device."""
        counts = torch.zeros(_COUNTS, dtype=torch.long, device=statements.device)
        if self.costs is not None:
            counts[:-1] = work_of(batch)
        counts[-1] = statements
        self._counts = self._counts.to(counts.device) + counts

    def stepped(self) -> None:
        """Count one step of the optimizer."""
        self._steps += 1

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave out the time that is spent inside, which is not training; within another one it counts once."""
        began = time.perf_counter()
        self._asides += 1
        try:
            yield
        finally:
            self._asides -= 1
            if self._since is not None and not self._asides:
                self._since += time.perf_counter() - began

    def entry(self, gather: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Return the figures since the last entry; a collective.

        Args:
            gather: stacks the rows [1, n] of all processes.
        """
        counts = self._counts.tolist()  # waits for the device
        now = time.perf_counter()
        seconds = now - (now if self._since is None else self._since)
        own = torch.tensor([[*counts, self._waited, self._peak_memory()]], dtype=torch.float64)
        if self.device.type != "mps":  # which has no float64
            own = own.to(self.device)
        every = gather(own)
        *sums, statements, waited, _ = every.sum(dim=0).tolist()
        memory = float(every[:, -1].max())
        self._intervals.append(Interval(self._steps, seconds, waited / len(every), memory, statements, Work(*sums)))
        self._counts, self._waited, self._since = torch.zeros_like(self._counts), 0.0, time.perf_counter()
        return self.figures(self._intervals[-1])

    def close(self, gather: Callable[[Tensor], Tensor]) -> None:
        """Summarise the run without its first steps; a collective."""
        if self._steps > (self._intervals[-1].last_step if self._intervals else 0):
            self.entry(gather)
        warm = [interval for interval in self._intervals[1:] if interval.last_step > WARM_UP_STEPS]
        chosen = warm or self._intervals[1:] or self._intervals
        if chosen:
            skipped = self._intervals[len(self._intervals) - len(chosen) - 1].last_step
            steps = chosen[-1].last_step - (skipped if len(chosen) < len(self._intervals) else 0)
            self.summary = {"steps": steps, **self.figures(_together(chosen))}

    def figures(self, interval: Interval) -> dict[str, float]:
        """Return what the log says of an interval; keys as in docs/throughput.md."""
        work, seconds = interval.work, interval.seconds
        found = {
            "rows_per_second": interval.statements / seconds,
            "data_wait": interval.waited / seconds,
            "peak_memory_gib": interval.memory / 2**30,
        }
        if self.costs is None:
            return found
        found |= {
            "tokens_per_second": work.tokens / seconds,
            "padded_tokens_per_second": work.padded / seconds,
            "images_per_second": work.images / seconds,
        }
        model = model_flops(self.costs, work) / seconds / self.world
        found["tflops"] = model / 1e12
        if self.peak is not None:
            hardware = hardware_flops(self.costs, work, self.checkpointing) / seconds / self.world
            found |= {"mfu": model / self.peak, "hfu": hardware / self.peak}
        return found

    def _peak_memory(self) -> float:
        if self.device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self.device))
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def summary_line(summary: Mapping[str, float]) -> str:
    """Return a summary for people."""
    parts = [f"{summary['rows_per_second']:,.1f} statements/s"]
    if "tokens_per_second" in summary:
        waste = 1 - summary["tokens_per_second"] / summary["padded_tokens_per_second"]
        parts += [f"{summary['images_per_second']:,.1f} images/s", f"{summary['tokens_per_second']:,.0f} tokens/s"]
        parts += [f"{waste:.0%} padding", f"{summary['tflops']:,.3g} model TFLOP/s a device"]
    if "mfu" in summary:
        parts += [f"MFU {summary['mfu']:.1%}", f"HFU {summary['hfu']:.1%}"]
    parts += [f"{summary['data_wait']:.1%} waiting for data", f"peak memory {summary['peak_memory_gib']:.2f} GiB"]
    return f"throughput over {summary['steps']:.0f} steps: {', '.join(parts)}"


def _together(intervals: list[Interval]) -> Interval:
    def total(name: str) -> float:
        return float(sum(getattr(interval, name) for interval in intervals))

    work = Work(*(sum(getattr(i.work, field.name) for i in intervals) for field in fields(Work)))
    memory = max(interval.memory for interval in intervals)
    last = intervals[-1].last_step
    return Interval(last, total("seconds"), total("waited"), memory, total("statements"), work)
