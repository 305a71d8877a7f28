"""Several processes: how they are started, and that they compute what one process computes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.run import get_args_parser

from encoders.launch import check_launcher, launch_command
from spatial.errors import ConfigError
from training import launch
from training.config import TrainConfig
from training.run import train
from vsre.roots import ROOT


def test_two_processes_train_as_one_with_the_same_global_batch(
    config: TrainConfig, tmp_path: Path, train_elsewhere: Callable[..., tuple[int, str]]
) -> None:
    given = replace(config, stage="finetune", projector_learning_rate=5e-4, trainer=config.trainer | {"max_steps": 4})
    alone = train(replace(given, out=str(tmp_path / "alone")))
    halves = replace(given, out=str(tmp_path / "together"), trainer=given.trainer | {"per_device_train_batch_size": 4})
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    code, output = train_elsewhere(halves, torchrun)
    assert code == 0, output
    together = tmp_path / "together"
    assert json.loads((together / "training.json").read_text())["processes"] == 2
    logs = [[json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()] for out in (alone, together)]
    assert [entry["step"] for entry in logs[0]] == [entry["step"] for entry in logs[1]]
    assert [e["loss"] for e in logs[0]] == pytest.approx([e["loss"] for e in logs[1]], abs=1e-4)
    one, two = (load_file(out / "adapter_model.safetensors") for out in (alone, together))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


@pytest.mark.parametrize(
    ("nproc", "gpus", "processes"), [(0, 0, None), (0, 1, None), (1, 1, None), (0, 4, "4"), (2, 0, "2"), (1, 4, "1")]
)
def test_torchrun_runs_the_same_command_line(nproc: int, gpus: int, processes: str | None) -> None:
    command = launch_command(nproc, gpus, ["train", "--config", "c.yaml"])
    if processes is None:
        assert command is None
    else:
        assert command is not None
        assert command[1:] == [
            *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes),
            *("-m", "--", "vsre", "train", "--config", "c.yaml"),
        ]


@pytest.mark.parametrize(
    ("nproc", "cpu_nproc", "gpus", "processes"), [(0, 2, 0, 2), (0, 2, 1, 0), (3, 2, 0, 3), (0, 64, 0, 4), (0, 0, 0, 0)]
)
def test_processes_without_a_gpu_are_asked_for_by_themselves(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, nproc: int, cpu_nproc: int, gpus: int, processes: int
) -> None:
    monkeypatch.setattr(launch, "usable_cores", lambda: 4)
    assert launch.processes_of(replace(config, nproc=nproc, cpu_nproc=cpu_nproc), gpus) == processes


def test_torchrun_leaves_our_options_alone() -> None:
    given = ["train", "c.yaml", "--nproc", "2", "--max_seconds", "5", "--model=m"]
    command = launch_command(2, 0, given)
    assert command is not None
    read = get_args_parser().parse_args(command[3:])
    assert read.training_script == "vsre" and read.training_script_args == given
    assert read.module and read.nproc_per_node == "2"


def test_deepspeed_of_a_stage_alone_needs_torchrun_too(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(launch, "run_launched", started.append)
    monkeypatch.setattr("training.run.check", lambda *_: None)
    monkeypatch.setattr(launch, "visible_gpus", lambda: 0)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    stages = [{"name": "align"}, {"name": "finetune", "trainer": {"deepspeed": "configs/deepspeed/zero2.json"}}]
    launch.relaunch_if_needed(replace(config, stages=stages[:1]), ["train"])
    assert not started
    launch.relaunch_if_needed(replace(config, stages=stages), ["train"])
    assert len(started) == 1


def test_a_negative_number_of_processes_is_refused() -> None:
    with pytest.raises(ConfigError, match="nproc is -1; use 0"):
        check_launcher(-1, {})


def running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_worker_ends_when_its_launcher_is_gone(tmp_path: Path) -> None:
    """The launcher ends at once and leaves its worker, as one that is killed does."""
    worker = (
        "import os, sys, time; from pathlib import Path; from encoders.launch import end_with_launcher;"
        "end_with_launcher(0.05); Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
    )
    launcher = (
        "import subprocess, sys, time; from pathlib import Path;"
        "subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]], start_new_session=True);"
        "p = Path(sys.argv[2]);\nwhile not p.exists() or not p.read_text(): time.sleep(0.05)"
    )
    pid_file = tmp_path / "pid"
    environment = os.environ | {"TORCHELASTIC_RUN_ID": "a"}
    command = [sys.executable, "-c", launcher, worker, str(pid_file)]
    subprocess.run(command, env=environment, check=True, timeout=50, cwd=ROOT)
    worker_pid, end = int(pid_file.read_text()), time.monotonic() + 20
    while running(worker_pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not running(worker_pid)


def test_two_processes_do_not_share_a_gpu() -> None:
    with pytest.raises(ConfigError, match=r"nproc is 2, but 1 GPU\(s\) are visible"):
        launch_command(2, 1, ["train"])


def test_a_slip_of_the_number_of_processes_starts_none_of_them() -> None:
    with pytest.raises(ConfigError, match=r"nproc is 3000, but this machine has \d+ cores and no GPU"):
        launch_command(3000, 0, ["train"])


def test_relaunch_checks_the_config_and_happens_once(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(launch, "run_launched", started.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ConfigError):
        launch.relaunch_if_needed(replace(config, nproc=2, trainer={"x": 1}), ["train"])
    assert not capsys.readouterr().out
    launch.relaunch_if_needed(replace(config, nproc=2), ["train"])
    assert len(started) == 1
    assert "starting 2 process(es)" in capsys.readouterr().out
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    launch.relaunch_if_needed(replace(config, nproc=2), ["train"])
    assert len(started) == 1
