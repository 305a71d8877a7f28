"""Every launch line of docs/launch.md, on two processes without a GPU; and those that would train something else."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch.distributed.run import get_args_parser

from encoders.launch import check_launcher, launch_command, without_local_rank
from spatial.errors import ConfigError
from tests.extras import needs_deepspeed
from training.config import TrainConfig

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent
LAUNCHED = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}


@pytest.fixture
def line(config: TrainConfig, tmp_path: Path) -> Callable[..., tuple[int, str, Path]]:
    """A function that runs a launch line in a folder of its own, CONFIG and PORT filled in.

    It returns the exit code, what was printed, and the folder of the result.
    """

    def run(*words: str, timeout: float = 500, **changes: Any) -> tuple[int, str, Path]:
        trainer = {**config.trainer, "per_device_train_batch_size": 4, "max_steps": 2, **changes.pop("trainer", {})}
        given = replace(config, stage="finetune", projector_learning_rate=5e-4, trainer=trainer, **changes)
        (tmp_path / "CONFIG.yaml").write_text(yaml.safe_dump(asdict(given)))
        filled = [word.replace("CONFIG", "CONFIG.yaml").replace("PORT", str(free_port())) for word in words]
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        path = os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])
        output = tmp_path / "output.txt"
        with output.open("w") as file:
            process = subprocess.Popen(
                filled,
                env=os.environ | own | {"PATH": path},
                cwd=tmp_path,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return code, output.read_text(), Path(given.out)

    return run


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


VSRE = ("vsre", "train", "CONFIG")
ZERO_2 = "configs/deepspeed/zero2.json"
ACCELERATE = (
    *("accelerate", "launch", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"),
    *("--dynamo_backend", "no", "--main_process_port", "PORT"),
)
DEEPSPEED = ("deepspeed", "--num_accelerators", "2", "--master_port", "PORT", "--module")

LINES: dict[str, tuple[tuple[str, ...], str]] = {
    "vsre": ((sys.executable, "-m", *VSRE, "--nproc", "2"), ""),
    "torchrun": (("torchrun", "--standalone", "--nproc_per_node", "2", "-m", *VSRE), ""),
    "accelerate": ((*ACCELERATE, "--multi_gpu", "-m", *VSRE), ""),
    "accelerate-zero": ((*ACCELERATE, "--multi_gpu", "-m", *VSRE), ZERO_2),
    "accelerate-deepspeed": ((*ACCELERATE, "--use_deepspeed", "--zero_stage", "2", "-m", *VSRE), "environment"),
    "deepspeed": ((*DEEPSPEED, *VSRE), ZERO_2),
}


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.parametrize("name", list(LINES))
def test_the_launch_line_trains_in_two_processes(line: Callable[..., tuple[int, str, Path]], name: str) -> None:
    words, deepspeed = LINES[name]
    shipped = {"deepspeed": deepspeed} if deepspeed == ZERO_2 else {}
    code, output, out = line(*words, trainer=shipped)
    assert code == 0, output[-4000:]
    engine = "DeepSpeedEngine ZeRO-2" if deepspeed else "DistributedDataParallel"
    said = f"2 processes, {engine}, rates: 0.001 (language_model LoRA, 0.00435 M), 0.0005 (multi_modal_projector"
    assert output.count(said) == 1, output[-4000:]
    assert json.loads((out / "training.json").read_text())["processes"] == 2
    assert (out / "adapter_model.safetensors").exists()


@pytest.mark.slow
@needs_deepspeed
def test_one_process_with_deepspeed_needs_no_launcher(line: Callable[..., tuple[int, str, Path]]) -> None:
    code, output, _ = line(sys.executable, "-m", *VSRE, trainer={"deepspeed": ZERO_2})
    assert code == 0 and "1 process, DeepSpeedEngine ZeRO-2, rates: " in output, output[-4000:]


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.parametrize("name", ["zero2-offload", "zero3-offload"])
def test_offloading_trains(line: Callable[..., tuple[int, str, Path]], name: str) -> None:
    shipped = {"deepspeed": f"configs/deepspeed/{name}.json"}
    code, output, _ = line(sys.executable, "-m", *VSRE, "--nproc", "2", trainer=shipped)
    assert code == 0 and f"2 processes, DeepSpeedEngine ZeRO-{name[4]}, rates: 0.001" in output, output[-4000:]


@pytest.mark.slow
@needs_deepspeed
def test_bfloat16_trains_split(line: Callable[..., tuple[int, str, Path]]) -> None:
    halves = {"deepspeed": "configs/deepspeed/zero3.json", "bf16": True}
    code, output, _ = line(sys.executable, "-m", *VSRE, "--nproc", "2", trainer=halves)
    assert code == 0 and "2 processes, DeepSpeedEngine ZeRO-3, rates: 0.001" in output, output[-4000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*ACCELERATE, "--cpu", "-m", *VSRE), "accelerate launch started one process where several were asked for"),
        pytest.param(
            (*ACCELERATE, "--use_deepspeed", "--zero_stage", "3", "-m", *VSRE),
            "ZeRO-3 is asked for by accelerate's environment alone; set trainer.deepspeed",
            marks=needs_deepspeed,
        ),
    ],
)
def test_a_line_that_would_train_something_else_is_one_line(
    line: Callable[..., tuple[int, str, Path]], words: tuple[str, ...], message: str
) -> None:
    code, output, out = line(*words)
    assert code != 0 and f"vsre: {message}" in output, output[-4000:]
    assert "what trains" not in output and not out.exists(), "a model was loaded"


def test_deepspeed_may_put_its_rank_anywhere() -> None:
    plain = ["train", "c.yaml", "--nproc", "2"]
    for extra in (["--local_rank=1"], ["--local-rank=1"], ["--local_rank", "1"]):
        for place in range(len(plain) + 1):
            assert without_local_rank([*plain[:place], *extra, *plain[place:]]) == plain


def test_deepspeed_with_one_process_is_launched_too() -> None:
    assert launch_command(0, 0, ["train"]) is None
    command = launch_command(0, 0, ["train"], sharded=True)
    assert command is not None and command[command.index("--nproc_per_node") + 1] == "1"


@pytest.mark.parametrize(
    ("nproc", "environment", "message"),
    [
        (0, {"WORLD_SIZE": "4"}, "WORLD_SIZE is set, but not by a launcher"),
        (4, {**LAUNCHED, "LOCAL_WORLD_SIZE": "2"}, r"nproc is 4, but the launcher started 2 process\(es\) here"),
        (4, {**LAUNCHED, "LOCAL_SIZE": "2"}, r"nproc is 4, but the launcher started 2 process\(es\) here"),
        (0, {"SLURM_STEP_NUM_TASKS": "8"}, "srun started 8 copies that do not know of each other"),
        (0, {"OMPI_COMM_WORLD_SIZE": "8"}, "mpirun started 8 copies that do not know of each other"),
        (0, {"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "1"}, "accelerate launch started one process"),
    ],
)
def test_a_launcher_that_did_something_else_is_told_so(nproc: int, environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_launcher(nproc, environment)


@pytest.mark.parametrize(
    ("nproc", "environment"),
    [
        (0, {}),
        (4, {}),
        (2, {**LAUNCHED, "LOCAL_WORLD_SIZE": "2"}),
        (0, {"SLURM_STEP_NUM_TASKS": "1"}),
        (0, {**LAUNCHED, "SLURM_STEP_NUM_TASKS": "2", "LOCAL_WORLD_SIZE": "1"}),
        (0, {"MASTER_PORT": "29500"}),
        (0, {"ACCELERATE_MIXED_PRECISION": "no"}),
    ],
)
def test_a_launcher_that_did_what_it_should_is_left_alone(nproc: int, environment: dict[str, str]) -> None:
    check_launcher(nproc, environment)


SLURM = ROOT / "scripts" / "train.slurm"


@pytest.mark.parametrize(("gpus", "expected"), [("8", "8"), ("h100:4", "4"), ("a100:4,h100:2(S:0-1)", "6")])
def test_the_slurm_script_gives_torchrun_a_line_that_it_understands(tmp_path: Path, gpus: str, expected: str) -> None:
    """``srun`` and ``scontrol`` are stand-ins; the first writes down what it is told to run."""
    tools = {
        "srun": 'printf "%s\\n" "$@" > "$WRITTEN"',
        "scontrol": "echo node-07; echo node-08",
    }
    for name, body in tools.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_ID": "71234", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node-[07-08]"}
    job |= {"SLURM_GPUS_ON_NODE": gpus, "SLURM_CPUS_PER_TASK": "64", "SLURM_SUBMIT_DIR": str(tmp_path)}
    own = {"PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]), "WRITTEN": str(tmp_path / "written")}
    given = ["configs/train/my.yaml", "--nproc", "2", "--out", "a folder"]
    environment = {key: value for key, value in os.environ.items() if key not in ("NPROC", "PORT", "PYTHON")}
    subprocess.run(["bash", str(SLURM), *given], env=environment | job | own, check=True)
    words = (tmp_path / "written").read_text().splitlines()
    assert "--cpus-per-task=64" in words[: words.index("-m")]
    read = get_args_parser().parse_args(words[words.index("torch.distributed.run") + 1 :])
    assert (read.nnodes, read.nproc_per_node) == ("2", expected)
    assert (read.rdzv_backend, read.rdzv_id) == ("c10d", "71234")
    assert re.fullmatch(r"node-07:\d{5}", read.rdzv_endpoint)
    assert read.module and read.training_script == "vsre"
    assert read.training_script_args == ["train", *given]


def test_the_slurm_script_is_sound() -> None:
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(SLURM)], check=True)
    assert "#SBATCH --ntasks-per-node=1" in SLURM.read_text()
