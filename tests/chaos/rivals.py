"""Two processes with one output folder: what is in it in the end is what one of them alone would have written."""

from collections.abc import Sequence

from tests.chaos.bench import (
    LOST,
    REFUSED,
    TRACED,
    WAITED,
    WRONG,
    Bench,
    Defect,
    Fault,
    check_refused,
    contents,
    last_lines,
)
from tests.chaos.kills import STAGES, Stage, command_of, unharmed
from tests.forked import Ended

OTHERS: dict[str, Sequence[str]] = {
    "datagen, renders": ("--seed=7",),
    "datagen, painted": ("--seed=7",),
    "train": ("--seed=7",),
    "eval": ("--seed=7", "--templates=[ask]"),
    "interpret": ("--seed=7",),
    "export, llava": ("--seed=7",),
    "calibrate": ("--seed=7",),
    "passes": ("--scale=2",),
    "import-vsr": ("--photos_per_shard=3",),
}
"""Settings by which the second command differs from the first."""

HOW = ("at once", "a moment later")


def rival_faults() -> list[Fault]:
    """Return two of the same command for every stage, and two that differ where both would write into one folder."""
    stages = {stage.name: stage for stage in STAGES}
    faults = [
        Fault(stage.name, "two processes", f"the same command, {HOW[number]}", _same, (stage, number))
        for place, stage in enumerate(STAGES)
        for number in ((0, 1) if stage.name in OTHERS else (place % 2,))
        if stage.name not in ("card", "yield")
    ]  # fmt: skip
    return faults + [
        Fault(name, "two processes", f"another command, {HOW[number]}", _other, (stages[name], more, number))
        for name, more in OTHERS.items()
        for number in range(2)
    ]  # fmt: skip


def _both(
    bench: Bench, stage: Stage, first: Sequence[str], second: Sequence[str], at_once: bool
) -> tuple[Ended, Ended]:
    """Run both, at once or the second at a moment drawn over the first's time."""
    seconds, _ = unharmed(stage, bench)
    one = bench.start(*first)
    if not at_once:
        one.wait(bench.random.uniform(0, 1) * seconds, until=lambda: False)
    two = bench.start(*second)
    two.wait(until=None)
    return one.result(), two.result()


def _survivors(ended: Sequence[Ended]) -> list[int]:
    """Return which of them did their work; the others must have been refused."""
    done = []
    for number, it in enumerate(ended):
        if it.traced:
            raise Defect(TRACED, last_lines(it.text))
        if it.code == 0:
            done.append(number)
        else:
            check_refused(it)
    if not done:
        raise Defect(LOST, f"neither did its work: {last_lines(ended[0].text, 1)} | {last_lines(ended[1].text, 1)}")
    return done


def _same(bench: Bench, stage: Stage, number: int) -> str:
    _, expected = unharmed(stage, bench)
    if stage.prepare is not None:
        stage.prepare(bench)
    command = command_of(stage, bench.made)
    done = _survivors(_both(bench, stage, command, command, at_once=number == 0))
    _check(bench, stage, [expected])
    return WAITED if len(done) == 2 else REFUSED


def _other(bench: Bench, stage: Stage, more: Sequence[str], number: int) -> str:
    _, expected = unharmed(stage, bench)
    command = command_of(stage, bench.made)
    other = Stage(f"{stage.name} {' '.join(more)}", (*stage.command, *more), stage.kept, stage.differ)
    _, expected_of_other = unharmed(other, bench)
    done = _survivors(_both(bench, stage, command, command_of(other, bench.made), at_once=number == 0))
    _check(bench, stage, [[expected, expected_of_other][it] for it in done])
    return WAITED if len(done) == 2 else REFUSED


def _check(bench: Bench, stage: Stage, expected: Sequence[dict[str, str]]) -> None:
    found = contents(bench.folder / "out", stage.differ)
    if found not in expected:
        wanted = min(expected, key=lambda it: len(set(it.items()) ^ set(found.items())))
        raise Defect(WRONG, f"a mixture: {sorted({name for name, _ in set(wanted.items()) ^ set(found.items())})[:5]}")
