"""Thousands of changed files for the readers themselves, in a child that may crash or hang without ending the suite.

The properties are those of ``tests/mutations.py``, which the fast tests hold with fewer examples. Only here a fault is
put in below the command line: a start of the command for each of so many files would take days.
"""

from collections.abc import Callable
from pathlib import Path

from tests.chaos.bench import HANGS, HUNG, LOST, READ, TRACED, Bench, Defect, Fault, last_lines
from tests.forked import fork

EXAMPLES = 300

BATCHES = 2

LIMIT = 180.0


def fuzz_faults() -> list[Fault]:
    """Return batches of changed files for every reader."""
    from tests.mutations import (
        KINDS,
        MASK,
        ROWS,
        SETTINGS,
        check_json,
        check_mask,
        check_picture,
        check_settings,
        check_shard,
        picture,
    )

    readers: dict[str, Callable[[Path, object], None]] = {
        "settings": lambda folder, it: check_settings(folder, SETTINGS, it),  # type: ignore[arg-type]
        "records": lambda folder, it: check_shard(folder / "data", "records", it),  # type: ignore[arg-type]
        "images": lambda folder, it: check_shard(folder / "data", "images", it),  # type: ignore[arg-type]
        "JSON": lambda folder, it: check_json(folder, ROWS, it),  # type: ignore[arg-type]
        "masks": lambda folder, it: check_mask(MASK, it),  # type: ignore[arg-type]
        **{kind: lambda folder, it, a=kind: check_picture(picture(a), it) for kind in KINDS},  # type: ignore[misc]
    }
    return [
        Fault("readers", "fuzzing", f"{name}, batch {batch + 1}", _fuzz, (check, name))
        for name, check in readers.items()
        for batch in range(BATCHES)
    ]


def _fuzz(bench: Bench, check: Callable[[Path, object], None], name: str) -> str:
    if name in ("records", "images"):
        bench.copy("data")
    number = bench.random.randrange(2**32)
    examples = EXAMPLES // 6 if name == "settings" else EXAMPLES
    log = bench.folder / ".log-fuzz.txt"
    running = fork(lambda: _all(check, bench.folder, number, examples), log)
    if not running.wait(LIMIT):
        running.kill()
    ended = running.result()
    if ended.code == HANGS:
        raise Defect(HUNG, last_lines(ended.text))
    if ended.code:
        raise Defect(TRACED if ended.traced else LOST, f"exit code {ended.code}: {last_lines(ended.text, 12)}")
    return READ


def _all(check: Callable[[Path, object], None], folder: Path, number: int, examples: int) -> int:
    import warnings

    from hypothesis import HealthCheck, given, seed, settings

    from tests.mutations import MUTATIONS

    warnings.simplefilter("ignore")
    limits = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))

    @seed(number)
    @limits
    @given(MUTATIONS)
    def holds(mutation: object) -> None:
        check(folder, mutation)

    holds()
    return 0
