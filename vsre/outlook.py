"""``vsre run CONFIG --dry_run``: which steps are done, what the others would write and take, and what they lack."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spatial.disk import free_bytes, size_text
from training.cost import PEAKS
from training.plan import UTILISATION
from vsre.outlay import DEVICE, Made, Outlay
from vsre.outlay_data import fetching, generating, importing
from vsre.outlay_models import building, merging, patching, scoring, training
from vsre.steps import Step

PLANNERS: dict[str, Callable[[Any, Made], Outlay]] = {
    "fetch": fetching,
    "import-vsr": importing,
    "datagen": generating,
    "build-model": building,
    "train": training,
    "merge": merging,
    "eval": scoring,
    "interpret": patching,
}
"""By command; what is not in it takes next to nothing."""

BASIS = (
    f"{DEVICE}-hours are estimates that nobody measured: FLOPs at {UTILISATION:.0%} of {PEAKS[DEVICE]:.0f} TFLOP/s, "
    "and a planning number for each picture that is painted. Divide by the number of GPUs."
)


def show_outlook(steps: Sequence[Step], folder: Path) -> None:
    """Print what is done, what the rest would take, and what is missing; nothing is loaded or written."""
    print("\n".join(describe(steps, outlays(steps), folder)))


def outlays(steps: Sequence[Step]) -> list[Outlay]:
    """Return what each step would take; of a step that is done only what it made."""
    made = Made()
    found = []
    for step in steps:
        planner = PLANNERS.get(step.command)
        outlay = planner(step.config, made) if planner else Outlay()
        made.add(step.out, outlay)
        if step.is_done:
            outlay = replace(outlay, disk=0.0, gpu_hours=0.0, core_hours=0.0, fetches=(), missing=(), notes=())
        found.append(outlay)
    return found


def describe(steps: Sequence[Step], found: Sequence[Outlay], folder: Path) -> list[str]:
    """Return the table, the sums, and the lists of what is fetched and missing, as lines."""
    rows: list[tuple[str, ...]] = [("step", "state", "command", "output", "disk", f"{DEVICE}-hours", "core-hours")]
    for step, outlay in zip(steps, found, strict=True):
        numbers = (_size(outlay.disk), _hours(outlay.gpu_hours), _hours(outlay.core_hours))
        rows.append((step.name, _state(step), _command(step), str(step.out), *numbers))
    disk = sum(outlay.disk for outlay in found)
    sums = [sum(getattr(outlay, name) for outlay in found) for name in ("gpu_hours", "core_hours")]
    rows.append(("total", f"{sum(step.is_done for step in steps)} done", "", "", _size(disk), *map(_hours, sums)))
    free = free_bytes(folder)
    verdict = "not enough" if disk > free else "enough"
    return [
        f"dry run of {folder}: {len(steps)} steps, nothing is loaded, fetched or written",
        "",
        *_aligned(rows),
        "",
        f"disk: checkpoints of training are counted; {size_text(free)} free here, which is {verdict}",
        BASIS,
        *_listed("comes over the network:", steps, [outlay.fetches for outlay in found]),
        *_listed("missing:", steps, [outlay.missing for outlay in found]),
        *_listed("notes:", steps, [outlay.notes for outlay in found]),
    ]


def _state(step: Step) -> str:
    return "done" if step.is_done else "goes on" if step.is_begun else "to do"


def _command(step: Step) -> str:
    """Return the command, and how many processes it would be started with here."""
    if step.command not in ("train", "eval"):
        return step.command
    from vsre.pipeline import launched

    processes = launched(step.command, step.config)
    return f"{step.command} x {processes}" if processes else step.command


def _size(count: float) -> str:
    return size_text(count) if count else "-"


def _hours(count: float) -> str:
    return "-" if not count else "< 0.1" if count < 0.1 else f"{count:,.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows with columns as wide as their widest cell; numbers, the last three, to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numbers = len(widths) - 3
    for row in rows:
        cells = (
            f"{cell:<{width}}" if column < numbers else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _listed(heading: str, steps: Sequence[Step], parts: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield what steps say under a heading, each sentence once, with the steps that say it."""
    said: dict[str, list[str]] = {}
    for step, lines in zip(steps, parts, strict=True):
        for line in lines:
            said.setdefault(line, []).append(step.name)
    if said:
        yield from ("", heading, *(f"  {', '.join(names)}: {line}" for line, names in said.items()))
