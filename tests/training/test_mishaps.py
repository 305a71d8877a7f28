"""What can happen to a run from outside: a second run, a damaged checkpoint, a full disk, changed data, bad numbers."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from spatial.dataset import DatasetFolder, shard_path, write_shard
from spatial.errors import CheckpointError, ConfigError, RecordError, UserError
from training.callbacks import TimeLimit
from training.complete import check_saved
from training.config import TrainConfig
from training.fit import _begin
from training.intact import damage, writing_to
from training.launch import relaunch_if_needed
from training.lock import LOCK, only_run
from training.output import last_checkpoint
from training.run import train

ROOT = Path(__file__).parents[2]

HOLD = """
import sys
from pathlib import Path
from training.lock import only_run

with only_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


BAD_ON_ONE_RANK = """
import os
import training.trainer
from training.losses import answer_loss

calls = iter(range(100))

def spiked(outputs, *args, **kwargs):
    loss = answer_loss(outputs, *args, **kwargs)
    if next(calls) != 6 or os.environ["RANK"] != "1":
        return loss
    zero = (outputs["logits"] * 0.0).sum()
    return loss + zero * float("nan") if "WHAT" == "loss" else loss + zero.sqrt()

training.trainer.answer_loss = spiked
"""
"""The first of two micro-batches of step 4 goes wrong on the second process."""

_weights: list[bytes] = []


@pytest.fixture
def whole(config: TrainConfig, tmp_path: Path) -> bytes:
    """The weights that the uninterrupted run ends with."""
    if not _weights:
        _weights.append((train(replace(config, out=str(tmp_path / "whole"))) / "model.safetensors").read_bytes())
    return _weights[0]


class Interrupted(Exception):
    """Stands for a signal."""


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[TrainConfig, int], Path]:
    """A function that trains up to a step, ends there as if a signal had come, and returns the checkpoints' folder."""
    stock = TimeLimit.on_step_end

    def run(config: TrainConfig, at: int) -> Path:
        def on_step_end(self: TimeLimit, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            stock(self, args, state, control, **kwargs)
            if state.global_step == at:
                raise Interrupted

        with monkeypatch.context() as patch:
            patch.setattr(TimeLimit, "on_step_end", on_step_end)
            with pytest.raises(Interrupted):
                train(config)
        return Path(config.out) / "checkpoints"

    return run


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """A function that starts a process which holds a folder until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def start(out: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(out)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True))
        assert started[-1].stdout is not None and started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def one_line(caught: pytest.ExceptionInfo[UserError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_two_runs_never_write_into_one_folder(
    config: TrainConfig, holder: Callable[[Path], subprocess.Popen[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    first = holder(Path(config.out))
    with pytest.raises(ConfigError) as caught:
        train(config)
    assert f"another run (process {first.pid} on " in one_line(caught)
    with pytest.raises(ConfigError, match="is being written by another run"):
        relaunch_if_needed(replace(config, nproc=2), ["train"])
    assert "starting" not in capsys.readouterr().out
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert (Path(config.out) / LOCK).exists(), "a killed run cannot tidy up"
    with only_run(Path(config.out)):
        assert json.loads((Path(config.out) / LOCK).read_text())["pid"] == os.getpid()
    assert not (Path(config.out) / LOCK).exists()


def test_a_run_that_made_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with only_run(tmp_path / "out"):
        pass
    assert not (tmp_path / "out").exists()


def test_a_finished_run_needs_no_right_to_write(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    out = train(config)
    before = {path: path.stat().st_mtime_ns for path in [out, *out.rglob("*")]}

    def refuse(*_: Any) -> None:
        raise AssertionError("the folder is written")

    monkeypatch.setattr("training.lock._hold", refuse)
    assert train(config) == out
    assert {path: path.stat().st_mtime_ns for path in [out, *out.rglob("*")]} == before


def test_whatever_file_of_a_checkpoint_is_cut_short_the_one_before_is_used(
    config: TrainConfig, interrupt: Callable[[TrainConfig, int], Path], tmp_path: Path, whole: bytes, caplog: Any
) -> None:
    checkpoints = interrupt(config, 7)
    latest = checkpoints / "checkpoint-6"
    assert last_checkpoint(checkpoints) == latest and not damage(latest)
    files = [path for path in latest.iterdir() if path.suffix in (".pt", ".pth", ".bin", ".safetensors")]
    for path in [*files, latest / "trainer_state.json"]:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        assert path.name in damage(latest)
        assert last_checkpoint(checkpoints) == checkpoints / "checkpoint-3"
        path.write_bytes(content)
    (latest / "rng_state.pth").rename(tmp_path / "aside")
    assert damage(latest) == "rng_state.pth is missing"
    (tmp_path / "aside").rename(latest / "rng_state.pth")
    optimizer = latest / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:1000])
    resumed = train(config)
    assert "checkpoint-6 is passed over and removed: optimizer.pt is cut short" in caplog.text
    assert (resumed / "model.safetensors").read_bytes() == whole


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "model.safetensors", "rng_state.pth"])
def test_a_checkpoint_without_one_of_its_files_is_damaged(
    config: TrainConfig, interrupt: Callable[[TrainConfig, int], Path], name: str, whole: bytes
) -> None:
    checkpoints = interrupt(config, 7)
    (checkpoints / "checkpoint-6" / name).unlink()
    assert damage(checkpoints / "checkpoint-6").endswith("is missing")
    assert last_checkpoint(checkpoints) == checkpoints / "checkpoint-3"


def test_a_checkpoint_of_an_engine_has_all_its_parts(tmp_path: Path) -> None:
    attributes = {"args": {}, "attributes": {"seconds": 1.0, "processes": 2}}
    (tmp_path / "trainer_state.json").write_text(json.dumps({"stateful_callbacks": {"TimeLimit": attributes}}))
    (tmp_path / "latest").write_text("global_step3")
    parts = [f"bf16_zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in range(2)]
    files = [f"global_step3/{name}" for name in ("mp_rank_00_model_states.pt", *parts)]
    files += ["rng_state_0.pth", "rng_state_1.pth"]
    (tmp_path / "global_step3").mkdir()
    for name in files:
        torch.save({}, tmp_path / name)
    assert not damage(tmp_path)
    for name in [*files, "latest"]:
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        assert damage(tmp_path).endswith("is missing"), name
        (tmp_path / name).write_bytes(content)


def test_fsdp_names_of_weights_and_optimizer_are_taken(tmp_path: Path) -> None:
    attributes = {"args": {}, "attributes": {"seconds": 1.0, "processes": 1}}
    (tmp_path / "trainer_state.json").write_text(json.dumps({"stateful_callbacks": {"TimeLimit": attributes}}))
    for name in ("scheduler.pt", "rng_state.pth"):
        torch.save({}, tmp_path / name)
    (tmp_path / "pytorch_model_fsdp_0").mkdir()
    assert damage(tmp_path) == "optimizer.pt is missing"
    (tmp_path / "optimizer_0").mkdir()
    assert not damage(tmp_path)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("max_seconds", [0.0, 1e-6])
def test_a_run_that_ended_without_its_result_is_not_trained_further(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Any, max_seconds: float
) -> None:
    trainer = config.trainer | {"max_steps": 3, "save_steps": 100, "lr_scheduler_type": "constant"}
    given = replace(config, stage=stage, trainer=trainer, max_seconds=max_seconds)
    unbroken = train(replace(given, out=str(tmp_path / "unbroken")))

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("training.fit.publish", refuse)
        with pytest.raises(ConfigError):
            train(given)
    again = train(given)
    steps = [json.loads((out / "training.json").read_text())["steps"] for out in (unbroken, again)]
    assert steps == ([1, 1] if max_seconds else [3, 3])
    name = "adapter_model.safetensors" if stage == "finetune" else "model.safetensors"
    assert (again / name).read_bytes() == (unbroken / name).read_bytes()


def test_checkpoints_that_a_kill_left_beside_a_result_are_removed(config: TrainConfig) -> None:
    short = replace(config, trainer=config.trainer | {"max_steps": 1})
    left = train(short) / "checkpoints" / "checkpoint-1"
    left.mkdir(parents=True)
    train(short)
    assert not left.parent.exists()


def test_weights_that_are_not_finite_are_not_saved(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = TimeLimit.on_step_end

    def on_step_end(self: TimeLimit, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        stock(self, args, state, control, **kwargs)
        if state.global_step == 6:
            weight = next(weight for weight in kwargs["model"].parameters() if weight.requires_grad)
            weight.data.view(-1)[0] = float("nan")

    monkeypatch.setattr(TimeLimit, "on_step_end", on_step_end)
    trainer = config.trainer | {"max_grad_norm": 0}
    with pytest.raises(UserError, match=r"a weight is nan at step 6; .*checkpoint-3"):
        train(replace(config, trainer=trainer))
    good = last_checkpoint(Path(config.out) / "checkpoints")
    assert good is not None and good.name == "checkpoint-3"


def test_a_whole_model_with_nan_is_not_published(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    check_saved(tmp_path, model, True)
    save_file(
        {name: weight * float("nan") for name, weight in model.state_dict().items()}, tmp_path / "model.safetensors"
    )
    with pytest.raises(UserError, match="numbers that are not finite"):
        check_saved(tmp_path, model, True)


def test_the_first_process_chooses_the_checkpoint_for_all(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: Any = SimpleNamespace(should_save=False, world_size=2)
    monkeypatch.setattr("training.fit.broadcast_object_list", lambda _: [str(tmp_path / "checkpoint-3")])
    assert _begin(Path(config.out), {}, other, config) == tmp_path / "checkpoint-3"
    monkeypatch.setattr("training.fit.broadcast_object_list", lambda _: [ConfigError("no way on")])
    with pytest.raises(ConfigError, match="no way on"):
        _begin(Path(config.out), {}, other, config)
    assert not Path(config.out).exists()


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.marker), "w")


def test_code_in_a_checkpoint_is_refused_and_not_run(
    config: TrainConfig, interrupt: Callable[[TrainConfig, int], Path], tmp_path: Path
) -> None:
    latest = interrupt(config, 7) / "checkpoint-6"
    torch.save({"state": Payload(tmp_path / "marker")}, latest / "optimizer.pt")
    with pytest.raises(
        CheckpointError, match="checkpoint-6 holds a file that is damaged or more than tensors"
    ) as caught:
        train(config)
    assert one_line(caught) and not (tmp_path / "marker").exists()


def test_empty_and_senseless_files_of_weights_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text("{}")
    save_file({"a": torch.zeros(4)}, tmp_path / "model.safetensors")
    assert not damage(tmp_path)
    for content in (b"", b"\xff" * 40, (4).to_bytes(8, "little") + b"[1]]"):
        (tmp_path / "model.safetensors").write_bytes(content)
        assert damage(tmp_path) == "model.safetensors is cut short"


def test_a_disk_that_runs_full_is_one_line_and_the_run_goes_on_later(
    config: TrainConfig, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    stock = TimeLimit.on_step_end
    for at, size in ((5, 30_000), (8, 300_000)):  # not even the model fits; the optimizer does not

        def on_step_end(
            self: TimeLimit, args: Any, state: Any, control: Any, at: int = at, size: int = size, **kwargs: Any
        ) -> None:
            stock(self, args, state, control, **kwargs)
            if state.global_step == at:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))

        with monkeypatch.context() as patch:
            patch.setattr(TimeLimit, "on_step_end", on_step_end)
            with pytest.raises(ConfigError) as caught:
                try:
                    train(config)
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "free space on its disk" in one_line(caught)
        assert last_checkpoint(Path(config.out) / "checkpoints") is not None
    resumed = train(config)
    assert (resumed / "model.safetensors").read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_one_line(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError) as caught:
        train(replace(config, out=str(tmp_path / "file" / "out")))
    assert "cannot be written" in one_line(caught) and "choose another 'out'" in str(caught.value)


def test_errors_that_are_no_disks_stay_as_they_are(tmp_path: Path) -> None:
    for error in (RuntimeError("mat1 and mat2"), FileNotFoundError("no such file"), OSError("no number")):
        with pytest.raises(type(error)) as caught, writing_to(tmp_path):
            raise error
        assert caught.value is error


def test_a_run_does_not_go_on_with_other_data(
    config: TrainConfig, interrupt: Callable[[TrainConfig, int], Path], tmp_path: Path
) -> None:
    copy, whole = tmp_path / "data", DatasetFolder(next(iter(config.data)))
    write_shard(copy, 0, whole.images.values(), whole.records)
    given = replace(config, data=[str(copy)])
    interrupt(given, 4)
    write_shard(copy, 0, whole.images.values(), whole.records[:-1])
    with pytest.raises(ConfigError, match="holds a run with another data"):
        train(given)


@pytest.mark.parametrize("part", ["images", "records"])
def test_a_flipped_bit_of_the_data_names_the_file(config: TrainConfig, tmp_path: Path, part: str) -> None:
    copy, whole = tmp_path / "data", DatasetFolder(next(iter(config.data)))
    write_shard(copy, 0, whole.images.values(), whole.records)
    path = shard_path(copy, part, 0)
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 4  # in the pages: the footer is at the end
    path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        train(replace(config, data=[str(copy)]))
    assert one_line(caught).startswith(f"{path} is truncated, damaged or not Parquet; delete it")


def test_gradients_that_are_not_finite_stop_the_run_before_a_weight_changes(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, whole: bytes
) -> None:
    from training.losses import answer_loss

    calls = iter(range(100))

    def spiked(outputs: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = answer_loss(outputs, *args, **kwargs)
        # The root of zero is zero, and its slope infinite.
        return loss + (outputs["logits"] * 0.0).sum().sqrt() if next(calls) == 3 else loss

    with monkeypatch.context() as patch:
        patch.setattr("training.trainer.answer_loss", spiked)
        with pytest.raises(UserError, match=r"norm of the gradients is (nan|inf) at step 4; .*checkpoint-3") as caught:
            train(config)
    one_line(caught)
    good = load_file(Path(config.out) / "checkpoints" / "checkpoint-3" / "model.safetensors")
    assert all(weight.isfinite().all() for weight in good.values())
    assert (train(config) / "model.safetensors").read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize("what", ["loss", "gradients"])
def test_bad_numbers_of_one_process_stop_all(
    config: TrainConfig, what: str, train_elsewhere: Callable[..., tuple[int, str]]
) -> None:
    trainer = config.trainer | {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    code, output = train_elsewhere(replace(config, trainer=trainer), torchrun, BAD_ON_ONE_RANK.replace("WHAT", what))
    assert code != 0
    assert "is nan at step 4" in output and "checkpoint-3" in output
    good = last_checkpoint(Path(config.out) / "checkpoints")
    assert good is not None and good.name == "checkpoint-3"
    assert all(weight.isfinite().all() for weight in load_file(good / "model.safetensors").values())
