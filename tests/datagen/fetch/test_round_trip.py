"""From the command line to the evaluation, through kills, and what the user is told on the way."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.fetch.config import FetchConfig
from datagen.fetch.missing import command_line
from datagen.fetch.run import fetch
from eval.benchmarks import read_benchmark
from spatial.errors import RecordError
from spatial.vsr import RELEASED, read_vsr
from vsre.cli import main
from vsre.settings import parse

from .conftest import (
    ANNOTATION,
    FEW,
    FIRST,
    RELEASED_DEV,
    ROWS,
    Fault,
    Site,
)


@pytest.mark.parametrize("variant", ["zeroshot", "random"])
def test_the_shipped_evaluation_reads_what_was_fetched(
    variant: str, config: FetchConfig, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if variant == "random":
        monkeypatch.setitem(RELEASED, ("random", "train"), RELEASED["zeroshot", "dev"])
        site.files["/annotations/random/train.jsonl"] = FEW
        config = replace(config, split="random", parts=["train"])
    else:
        monkeypatch.setattr("eval.benchmarks.VSR_ANNOTATIONS", tmp_path / "none shipped")
    assert main(shlex.split(command_line(replace(config, out="data/vsr")))[1:]) == 0
    words = ["--data.split", config.parts[0], *(["--data.variant", variant] if variant != "zeroshot" else [])]
    data = read_benchmark(parse("eval", ["configs/eval/vsr-zeroshot.yaml", *words]).data)
    assert (len(data.records), data.failed) == (ROWS, [])
    assert {record.split for record in data.records} == set(config.parts)


def test_the_told_evaluation_reads_what_was_fetched(config: FetchConfig, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command_line(config))[1:]) == 0
    told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("evaluate with: "))
    data = replace(parse("eval", shlex.split(told)[4:]).data, annotations=config.out)
    assert (data.split, len(read_benchmark(data).records)) == ("dev", ROWS)


def test_something_missing_is_one_line_and_exit_code_two(
    config: FetchConfig, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.always[FIRST] = Fault(404)
    assert main(shlex.split(command_line(config))[1:]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vsre: 1 of ") and "continue with: vsre fetch vsr" in last


@pytest.mark.parametrize(("split", "part"), RELEASED)
def test_a_missing_part_is_fetched_by_the_command_that_its_error_names(split: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    with pytest.raises(RecordError) as raised:
        read_vsr(tmp_path / "a b", tmp_path / "a b", split, part)
    found = re.search(r"run: vsre fetch (.*); or pass", str(raised.value))
    assert found and parse("fetch", shlex.split(found[1])) == FetchConfig(
        dataset="vsr", split=split, parts=[part], out=str(tmp_path / "a b")
    )


@pytest.mark.slow
@pytest.mark.usefixtures("whole")
def test_a_model_is_scored_on_what_was_fetched(
    config: FetchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fetch(replace(config, out="data/vsr"))
    settings = ["--data.split", "dev", "--bootstrap", "20", "--image_modes", "[image]"]
    assert main(["eval", "configs/eval/vsr-zeroshot.yaml", *settings]) == 0
    results = json.loads((tmp_path / "runs" / "vsr-zeroshot" / "results.json").read_text())
    assert [score["n"] for score in results["scores"]] == [340]


@given(
    st.builds(
        FetchConfig,
        dataset=st.just("vsr"),
        out=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(lambda out: out[0] != "-"),
        parts=st.lists(st.sampled_from(["train", "dev", "test"]), unique=True),
        photos=st.booleans(),
        timeout=st.floats(0.5, 1e6),
        photos_url=st.sampled_from(["", "http://m/a b/{name}"]),
    )
)
@settings(max_examples=25, deadline=None)
def test_the_command_that_continues_has_the_same_settings(config: FetchConfig) -> None:
    assert parse("fetch", shlex.split(command_line(config))[2:]) == config


def start(config: FetchConfig) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "vsre", *shlex.split(command_line(config))[1:]]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_when(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    """Kill the process with signal 9 once it has come so far."""
    deadline = time.monotonic() + 60
    while not ready() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_killed_run_goes_on_with_the_files_it_lacks(config: FetchConfig, site: Site, whole: dict[str, bytes]) -> None:
    folder = Path(config.out)
    site.delay = 0.02
    kill_when(start(replace(config, concurrency=2)), lambda: len(list(folder.glob("*2017/*.jpg"))) >= 20)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*2017/*.jpg")}
    assert 20 <= len(kept) < len(whole)
    site.delay = 0.0
    site.requests.clear()
    fetch(config)
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    # A set: the server may come to a last request of the killed run only after the list was cleared.
    lacking = whole.keys() - {f"/coco/{path.relative_to(folder).as_posix()}" for path in kept}
    assert {path for path, _ in site.requests} == lacking
    assert read_vsr(folder, folder, "zeroshot", "dev").failed == []
    assert not (folder / ".partial").exists()


def test_a_run_killed_in_a_file_goes_on_in_that_file(config: FetchConfig, site: Site, whole: dict[str, bytes]) -> None:
    site.faults[ANNOTATION] = [Fault(stall=50_000)]
    partial = Path(config.out) / ".partial" / "zeroshot.dev.jsonl"
    kill_when(start(config), lambda: partial.is_file() and partial.stat().st_size >= 32_768)
    arrived = partial.stat().st_size
    fetch(replace(config, photos=False))
    assert site.asked(ANNOTATION)[1]["Range"] == f"bytes={arrived}-"
    assert (Path(config.out) / "zeroshot.dev.jsonl").read_bytes() == RELEASED_DEV
