"""Drawing processes end with the one that they draw for, and a keyboard interrupt is one line."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.config import DatagenConfig, EngineSettings
from spatial.dataset import finished_shards
from tests import stand_ins

RENDERED = DatagenConfig(
    groups=2000, groups_per_shard=1, image_size=32, supersample=1, workers=2, relations=["left of", "right of"]
)
PAINTED = replace(
    stand_ins.SMALL, groups=2000, groups_per_shard=1, workers=2, engine=EngineSettings(name="copyist", steps=50)
)
PREFIX = "from datagen.config import *; from tests.stand_ins import PARTS; "
RUNS = {
    "rendered": (RENDERED, "from datagen.run import generate; generate({!r})"),
    "painted": (PAINTED, "from datagen.paint.run import run_painted; run_painted({!r}, PARTS)"),
}

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are told by /proc")


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def is_there(pid: int) -> bool:
    """Tell whether a process runs, and is not one that has ended and that nobody asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def started(command: list[str], out: Path) -> "subprocess.Popen[str]":
    """Start a run in a group of its own and wait until it has written two shards."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # tests may run in the background
    )
    deadline = time.monotonic() + 120
    while len(finished_shards(out)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    return process


def gone(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(is_there, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_there, pids))


@needs_proc
@pytest.mark.parametrize("name", RUNS)
def test_workers_of_a_killed_run_end(name: str, tmp_path: Path) -> None:
    config, code = RUNS[name]
    out = tmp_path / "data"
    process = started([sys.executable, "-c", PREFIX + code.format(replace(config, out=str(out)))], out)
    workers = children(process.pid)
    process.kill()
    process.wait()  # and not for its error output, which workers that are left would hold open
    try:
        assert len(workers) == 2 and gone(workers, 15)
    finally:
        for pid in filter(is_there, workers):
            os.kill(pid, signal.SIGKILL)


@needs_proc
@pytest.mark.parametrize("all_of_them", [True, False])
def test_an_interrupt_is_one_line_and_ends_all(tmp_path: Path, all_of_them: bool) -> None:
    out = tmp_path / "data"
    settings = ["--groups", "2000", "--groups_per_shard", "1", "--image_size", "32", "--workers", "2"]
    command = [sys.executable, "-m", "vsre", "datagen", "--out", str(out), "--relations", "[left of, right of]"]
    process = started([*command, *settings], out)
    workers = children(process.pid)
    if all_of_them:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    else:
        process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    lines = [line for line in shown.replace("\r", "\n").splitlines() if line.strip() and not line.startswith("render")]
    assert lines == ["vsre: interrupted; the same command continues where it can"]
    assert process.returncode == 130 and len(workers) == 2 and gone(workers, 5)


@needs_proc
def test_an_interrupted_painting_leaves_no_trace_of_its_workers(tmp_path: Path) -> None:
    out = tmp_path / "data"
    config, code = RUNS["painted"]
    process = started([sys.executable, "-c", PREFIX + code.format(replace(config, out=str(out)))], out)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, shown = process.communicate(timeout=60)
    assert shown.count("Traceback") == 1 and "ForkProcess" not in shown  # that of this test's own front door
    assert len(workers) == 2 and gone(workers, 5)
