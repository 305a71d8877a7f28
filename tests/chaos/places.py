"""Places where nothing can be written, or that are called strangely, and surroundings that lack what is usual."""

import ctypes
import os
import resource
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.bench import (
    LOST,
    READ,
    RESUMED,
    TRACED,
    WRONG,
    Bench,
    Defect,
    Fault,
    check_refused,
    check_same,
    contents,
    last_lines,
)
from tests.chaos.kills import STAGES, Stage, command_of, unharmed

WITH_OUT = tuple(stage for stage in STAGES if "--out=out" in stage.command and stage.prepare is None)

STRANGE = {
    "accents and an emoji": "ünïcødé/日本語/🐱",
    "spaces and a line break": "a b/c\nd",
    "quotes and angle brackets": "<b>&\"'`$(x);",
    "percent signs and braces": "%s{0}{{x}}%20",
    "200 letters": "l" * 200,
    "a path of 1,000 letters": "/".join(["m" * 100] * 10),
    "right to left": "\u202eabc",
}

IMPOSSIBLE = {
    "a name of 300 letters": "n" * 300,
    "a path of 5,000 letters": "/".join(["p" * 100] * 50),
    "a file": "blocker",
    "a folder in a file": "blocker/out",
    "/dev/full": "/dev/full",
    "a link to nothing": "dangling/out",
}

SURROUNDINGS: Mapping[str, Mapping[str, str | None]] = {
    "HOME unset": {"HOME": None, "XDG_CACHE_HOME": None},
    "HOME that is not there": {"HOME": "/nowhere"},
    "ASCII for a locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "TMPDIR that is not there": {"TMPDIR": "/nowhere"},
    "PATH empty": {"PATH": ""},
}

FEW = ("datagen, renders", "train", "eval", "import, vsr")
SIZES = (1, 3_000, 40_000)
"""Bytes that a file may have on a full disk."""


def place_faults() -> list[Fault]:
    """Return every place for every command that writes a folder."""
    faults = [
        Fault(stage.name, "place that cannot be written", name, _impossible, (stage, out))
        for stage in WITH_OUT
        for name, out in IMPOSSIBLE.items()
        if stage.name in FEW or name == "a file"
    ]
    faults += [Fault(stage.name, "folder without permission", "read only", _forbidden, (stage,)) for stage in WITH_OUT]
    faults += [
        Fault(
            stage.name,
            "full disk",
            f"files of at most {size:,} bytes",
            _full,
            (stage, size),
        )
        for stage in WITH_OUT
        for size in SIZES
        if stage.name in FEW or size == SIZES[1]
    ]
    faults += [
        Fault(stage.name, "strange path", name, _strange, (stage, out))
        for stage in WITH_OUT
        for name, out in STRANGE.items()
        if stage.name in FEW or name == "spaces and a line break"
    ]
    faults += [
        Fault(stage.name, "surroundings", name, _surrounded, (stage, change))
        for stage in WITH_OUT
        for name, change in SURROUNDINGS.items()
        if stage.name in FEW
    ]
    return faults + [
        Fault(stage.name, "surroundings", "working directory deleted", _homeless, (stage,))
        for stage in WITH_OUT
        if stage.name in FEW
    ]


def _with_out(stage: Stage, bench: Bench, out: str | Path) -> list[str]:
    command = [part.replace("--sheet=out/", f"--sheet={out}/") for part in command_of(stage, bench.made)]
    return [part.replace("--out=out", f"--out={out}") for part in command]


def _impossible(bench: Bench, stage: Stage, out: str) -> str:
    (bench.folder / "blocker").write_text("in the way")
    (bench.folder / "dangling").symlink_to(bench.folder / "nowhere")
    ended = bench.run(*_with_out(stage, bench, out))
    if ended.code == 0 and out == "dangling/out":
        return READ
    if (bench.folder / "blocker").read_text() != "in the way":
        raise Defect(LOST, "a file of the user was written over")
    return check_refused(ended)


def _forbidden(bench: Bench, stage: Stage) -> str:
    place = bench.folder / "locked"
    place.mkdir(mode=0o555)

    return check_refused(bench.run(*_with_out(stage, bench, place / "out"), prepare=bound_by_permissions))


def bound_by_permissions() -> None:
    """Give up what lets root write where permissions forbid it (CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH)."""
    if os.getuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # of Linux's third version of capset, and this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice 32 bits each
    libc.capget(header, sets)
    sets[0] &= ~0b110
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def _full(bench: Bench, stage: Stage, size: int) -> str:
    """No file may have more bytes, as if the disk were full in it; with space again the same command ends as ever."""
    _, expected = unharmed(stage, bench)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    command = command_of(stage, bench.made)
    ended = bench.run(*command, prepare=fill, piped=True)
    if ended.code == 0:
        check_same(contents(bench.folder / "out", stage.differ), expected)
        return READ
    check_refused(ended)
    again = bench.run(*command)
    if again.traced or again.code:
        raise Defect(TRACED if again.traced else LOST, f"with space again: {last_lines(again.text)}")
    check_same(contents(bench.folder / "out", stage.differ), expected)
    return RESUMED


def _strange(bench: Bench, stage: Stage, out: str) -> str:
    _, expected = unharmed(stage, bench)
    bench.done(*_with_out(stage, bench, out))
    found = contents(bench.folder / out, stage.differ)
    if set(found) != set(expected):
        raise Defect(WRONG, f"other files: {sorted(set(found) ^ set(expected))[:5]}")
    return READ


def _surrounded(bench: Bench, stage: Stage, change: Mapping[str, str | None]) -> str:
    _, expected = unharmed(stage, bench)
    bench.done(*command_of(stage, bench.made), environment=change)
    check_same(contents(bench.folder / "out", stage.differ), expected)
    return READ


def _homeless(bench: Bench, stage: Stage) -> str:
    gone = bench.folder / "gone"
    gone.mkdir()
    out = bench.folder / "out"
    ended = bench.run(*_with_out(stage, bench, out), folder=gone, prepare=lambda: shutil.rmtree(gone))
    if ended.code == 0 and not ended.traced:
        return READ
    return check_refused(ended)
