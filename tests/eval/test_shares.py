"""Several processes answer what one answers, share it without overlap, go on for each other, and fail as one."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from encoders.device import usable_device
from encoders.launch import run_launched
from eval import answering, launch, run, shares
from eval.benchmarks import BENCHMARKS
from eval.config import DataConfig, EvalConfig
from eval.predictions import PartFiles, Prediction, read_predictions
from eval.run import evaluate
from eval.scoring import Scorer
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, UserError

ROOT = Path(__file__).parents[2]

ROWS = 2 * 80
"""Decoders times questions."""


@pytest.fixture
def config(checkpoint: Path, dataset: Path, tmp_path: Path) -> EvalConfig:
    """A run of the tiny model with batches of one picture each."""
    return EvalConfig(
        *(str(checkpoint), DataConfig(path=str(dataset)), str(tmp_path / "run"), ["question", "true-false", "where"]),
        decoders=["greedy", "scale(alpha=0.5)"],
        batch_size=5,
        bootstrap=20,
    )


@pytest.fixture
def whole(config: EvalConfig, tmp_path: Path) -> list[Prediction]:
    """What one process answers."""
    return table(evaluate(replace(config, out=str(tmp_path / "whole"))))


def table(out: str | Path) -> list[Prediction]:
    return read_predictions(Path(out) / "predictions.parquet")


def stored(out: str | Path) -> list[Prediction]:
    """Rows of all parts."""
    return [row for path in (Path(out) / "predictions").glob("part-*.parquet") for row in read_predictions(path)]


def started(config: EvalConfig, target: Callable[[EvalConfig], object] = evaluate, count: int = 2) -> list[Any]:
    """Start processes that know of each other, as a launcher does."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

    def work(rank: int) -> None:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in place.items()}
        os.environ.pop("TORCHELASTIC_USE_AGENT_STORE", None)
        try:
            target(config)
        except UserError as error:
            print(f"rank {rank} says: {error}", file=sys.stderr, flush=True)
            sys.exit(2)

    processes = [multiprocessing.get_context("fork").Process(target=work, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    return processes


def ended(processes: list[Any]) -> list[int]:
    for process in processes:
        process.join(60)
        assert not process.is_alive()
    return [process.exitcode for process in processes]


def test_two_processes_have_the_table_of_one(
    config: EvalConfig, whole: list[Prediction], capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert ended(started(config)) == [0, 0]
    assert table(config.out) == whole
    rows = stored(config.out)
    assert len(rows) == len({row.key for row in rows}) == ROWS
    printed = capfd.readouterr()
    assert printed.out.count("accuracy, %") == 1 and "40/40" in printed.err and "80/80" not in printed.err


@pytest.mark.parametrize("then", [1, 2, 3])
def test_what_was_killed_goes_on_in_any_number_of_processes(
    config: EvalConfig, whole: list[Prediction], monkeypatch: pytest.MonkeyPatch, then: int
) -> None:
    score = Scorer.score
    with monkeypatch.context() as patch:
        patch.setattr(answering, "FLUSH_SECONDS", 0.0)
        patch.setattr(Scorer, "score", lambda *arguments: time.sleep(0.2) or score(*arguments))
        processes = started(config)
    while len(stored(config.out)) < ROWS // 4:
        assert all(process.is_alive() for process in processes)
        time.sleep(0.01)
    for process in processes:
        process.kill()
    ended(processes)
    assert not (Path(config.out) / "results.json").exists() and len(stored(config.out)) < ROWS
    assert ended(started(config, count=then)) == [0] * then if then > 1 else evaluate(config)
    rows = stored(config.out)
    assert len(rows) == len({row.key for row in rows}) == ROWS
    assert table(config.out) == whole


def test_a_mistake_is_told_once_and_ends_all(config: EvalConfig, capfd: pytest.CaptureFixture[str]) -> None:
    assert ended(started(replace(config, model="nowhere"))) == [2, 2]
    assert capfd.readouterr().err.count(" says: ") == 1


def test_a_mistake_is_told_once_by_the_first_when_others_are_late(
    config: EvalConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    def late(given: EvalConfig) -> None:
        if os.environ["RANK"] == "1":
            found = run.checkpoint_folder
            run.checkpoint_folder = lambda model: time.sleep(0.5) or found(model)  # type: ignore[attr-defined]
        evaluate(given)

    assert ended(started(replace(config, model="nowhere"), late)) == [2, 2]
    said = capfd.readouterr().err
    assert said.count(" says: ") == 1 and "rank 0 says" in said and "Traceback" not in said


def test_the_rest_ends_quietly_when_the_keeper_of_the_store_has_failed(
    config: EvalConfig, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "LINGER_SECONDS", 0.2)

    def first_fails(given: EvalConfig) -> None:
        if os.environ["RANK"] == "0":
            Scorer.score = failing  # type: ignore[method-assign]
        else:
            score = Scorer.score
            Scorer.score = lambda *given: time.sleep(0.5) or score(*given)  # type: ignore[method-assign]
        evaluate(given)

    def failing(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert ended(started(config, first_fails)) == [2, 2]
    said = capfd.readouterr().err
    assert said.count(" says: ") == 1 and "rank 0 says: a batch of 5 questions" in said and "Traceback" not in said


def test_none_waits_for_one_that_failed(config: EvalConfig, capfd: pytest.CaptureFixture[str]) -> None:
    def second_fails(given: EvalConfig) -> None:
        if os.environ["RANK"] == "1":
            Scorer.score = failing  # type: ignore[method-assign]
        evaluate(given)

    def failing(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert ended(started(config, second_fails)) == [2, 2]
    said = capfd.readouterr().err
    assert "rank 1 says: a batch of 5 questions does not fit in memory" in said and "rank 0 says" not in said
    assert not (Path(config.out) / "results.json").exists()


def test_jobs_of_an_array_share_and_the_last_one_finishes(
    config: EvalConfig, whole: list[Prediction], capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(config.out)
    for rank, rows in ((2, 50), (0, 110)):
        evaluate(replace(config, rank=rank, world=3))
        assert len(stored(out)) == rows and not (out / "results.json").exists()
        assert f"{rows // 2} of 80 questions are answered in {out}; the last of 3 jobs" in capsys.readouterr().out
    evaluate(replace(config, rank=1, world=3))
    assert len(stored(out)) == ROWS and table(out) == whole


def test_a_final_call_answers_what_jobs_have_left(config: EvalConfig, whole: list[Prediction]) -> None:
    evaluate(replace(config, rank=1, world=2))
    done = {path: path.stat().st_mtime_ns for path in (Path(config.out) / "predictions").iterdir()}
    evaluate(config)
    rows = stored(config.out)
    assert len(rows) == len({row.key for row in rows}) == ROWS and table(config.out) == whole
    assert all(path.stat().st_mtime_ns == written for path, written in done.items())


def test_failures_of_other_jobs_are_listed_and_tried_again_later(
    config: EvalConfig, whole: list[Prediction], dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = DatasetFolder(dataset).record_set()
    broken = records.records[0].image_id
    images = {**records.images, broken: replace(records.images[broken], image=b"no")}
    with monkeypatch.context() as patch:
        patch.setitem(BENCHMARKS, "folder", lambda data: replace(records, images=images))
        for rank in (0, 1):
            evaluate(replace(config, rank=rank, world=2))
        score = json.loads((Path(config.out) / "results.json").read_text())["scores"][0]
        assert score["n"] == 75 and all("cannot be decoded" in why for why in score["failed"].values())
    monkeypatch.setitem(BENCHMARKS, "folder", lambda data: records)
    assert table(evaluate(config)) == whole
    assert len(stored(config.out)) == ROWS


def test_parts_that_are_written_at_once_have_names_of_their_own(tmp_path: Path, whole: list[Prediction]) -> None:
    writers = [PartFiles(tmp_path) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "glob", lambda *_: iter(()))  # both look before either has written
        for place, writer in enumerate(writers):
            writer.append(whole[place : place + 1])
    assert len(PartFiles(tmp_path).read()) == 2 and len(writers[0].read()) == 1
    changed = replace(whole[0], predicted="another")
    writers[1].append([changed])
    assert PartFiles(tmp_path).read()[changed.key] == changed


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_out_of_range_is_refused(config: EvalConfig, rank: int, world: int) -> None:
    with pytest.raises(ConfigError, match=r"rank must be in 0\.\.|world is 0"):
        evaluate(replace(config, rank=rank, world=world))


def test_each_process_has_the_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda _, device: SimpleNamespace(device=device))
    monkeypatch.setenv("LOCAL_RANK", "3")
    found: list[Any] = [usable_device(name) for name in ("", "auto", "cuda", "cuda:1", "cpu")]
    assert found == ["cuda:3", "cuda:3", "cuda:3", "cuda:1", "cpu"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_asked_for_is_never_replaced_by_the_cpu() -> None:
    assert usable_device().type == "cpu"
    with pytest.raises(ConfigError, match="device 'cuda' cannot be used here"):
        usable_device("cuda")


@pytest.mark.parametrize(
    ("changes", "gpus", "processes"),
    [
        *(({}, 0, 0), ({}, 1, 0), ({}, 4, 4), ({"nproc": 2}, 4, 2), ({"nproc": 1}, 4, 0), ({"nproc": 2}, 0, 2)),
        *(({"device": "cuda"}, 4, 4), ({"device": "cuda:1"}, 4, 0), ({"device": "cpu"}, 4, 0)),
    ],
)
def test_one_process_per_gpu_is_started(
    config: EvalConfig, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], gpus: int, processes: int
) -> None:
    commands: list[Any] = []
    monkeypatch.setattr(launch, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(launch, "run_launched", commands.append)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert launch.run_in_processes(replace(config, **changes), ["eval", "--nproc", "2"]) == bool(processes)
    words = [command[3:] for command in commands]
    expected = ["--standalone", "--nproc_per_node", str(processes), "-m", "--", "vsre", "eval", "--nproc", "2"]
    assert words == ([expected] if processes else [])


def test_copies_of_a_scheduler_need_a_share_each(config: EvalConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "8")
    with pytest.raises(ConfigError, match=r"srun started 8 copies .*; give each its share \(--world N --rank"):
        launch.run_in_processes(config, [])
    assert not launch.run_in_processes(replace(config, world=8, rank=3), [])


FAILING = "import os, sys; sys.exit(2) if os.environ['RANK'] == '1' else __import__('time').sleep(60)"


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        (FAILING, SystemExit, "2"),
        (
            FAILING.replace("(2)", "(1)"),
            UserError,
            "process 2 of 2 failed, as the stack trace above says; what is done",
        ),
        (FAILING.replace("sys.exit(2)", "os.kill(os.getpid(), 9)"), UserError, "process 2 of 2 was ended by SIGKILL"),
    ],
)
def test_the_end_of_one_process_is_one_line(
    code: str, error: type[BaseException], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # torchrun's handlers are for the process that it is
    (tmp_path / "work.py").write_text(code)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    begun = time.monotonic()
    with pytest.raises(error, match=says):
        run_launched([*torchrun, str(tmp_path / "work.py")])
    assert time.monotonic() - begun < 40


SLOW = """
import os
if "RANK" in os.environ and "SLOWLY" in os.environ:
    import pathlib, time
    from eval import answering
    from eval.scoring import Scorer
    score = Scorer.score
    answering.FLUSH_SECONDS = 0.0
    Scorer.score = lambda *arguments: time.sleep(0.5) or score(*arguments)
    pathlib.Path(os.environ["SLOWLY"], "pid-" + os.environ["RANK"]).write_text(str(os.getpid()))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_command_whose_process_is_killed_fails_and_goes_on(
    config: EvalConfig, whole: list[Prediction], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    (tmp_path / "eval.yaml").write_text(yaml.safe_dump(asdict(config)))
    command = [sys.executable, "-m", "vsre", "eval", str(tmp_path / "eval.yaml"), "--nproc", "2"]
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    with (tmp_path / "said.txt").open("w") as file:
        process = subprocess.Popen(
            command, env=environment | {"SLOWLY": str(tmp_path)}, cwd=tmp_path, stdout=file, stderr=file
        )
        while len(stored(config.out)) < 30:
            assert process.poll() is None, (tmp_path / "said.txt").read_text()
            time.sleep(0.05)
        os.kill(int((tmp_path / "pid-1").read_text()), signal.SIGKILL)
        assert process.wait(60) == 2
    last = (tmp_path / "said.txt").read_text().splitlines()[-1]
    assert (
        last.endswith("what is done stays, the same command goes on") and "process 2 of 2 was ended by SIGKILL" in last
    )
    assert not (Path(config.out) / "results.json").exists()
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("accuracy, %") == 1 and done.stdout.splitlines().count(config.out) == 1
    rows = stored(config.out)
    assert len(rows) == len({row.key for row in rows}) == ROWS and table(config.out) == whole
