"""DDP and the stages of ZeRO train what one process trains, save all of it, and go on where they were killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from encoders.load import load_model
from tests.extras import needs_deepspeed
from training.config import LoraSettings, TrainConfig
from training.run import train

pytestmark = [
    pytest.mark.slow,
    needs_deepspeed,
    pytest.mark.timeout(1800),
]

ROOT = Path(__file__).parents[2]
WAYS = ("ddp", "zero1", "zero2", "zero3")
ENGINES = {
    "ddp": ("DistributedDataParallel", "AcceleratedOptimizer"),
    "zero1": ("DeepSpeedEngine", "DeepSpeedZeroOptimizer"),
    "zero2": ("DeepSpeedEngine", "DeepSpeedZeroOptimizer"),
    "zero3": ("DeepSpeedEngine", "DeepSpeedZeroOptimizer_Stage3"),
}


@dataclass
class Base:
    """What the runs of this file share, and where they lie."""

    config: TrainConfig
    folder: Path

    def named(self, name: str, way: str = "ddp", **changes: Any) -> TrainConfig:
        """Return the config of a run in 2 processes, each with half of the batch."""
        trainer = {"per_device_train_batch_size": 4} | changes.pop("trainer", {})
        if way != "ddp":
            trainer["deepspeed"] = f"configs/deepspeed/{way}.json"
        given = replace(self.config, out=str(self.folder / name), **changes)
        return replace(given, trainer=given.trainer | trainer)


@pytest.fixture(scope="module")
def base(model_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A fine-tuning run of 8 steps in 4 epochs with two learning rates and a warm-up."""
    folder = tmp_path_factory.mktemp("zero")
    trainer = {
        "per_device_train_batch_size": 8,
        "max_steps": 8,
        "learning_rate": 1e-3,
        "warmup_steps": 2,
        "logging_steps": 1,
        "save_steps": 3,
        "report_to": "none",
    }
    config = TrainConfig(
        model=str(model_path),
        data=[str(data)],
        out="",
        lora=LoraSettings(r=4, alpha=8, dropout=0.0),
        projector_learning_rate=5e-4,
        statements_per_image=3,
        trainer=trainer,
    )
    return Base(config, folder)


def launch(
    folder: Path, configs: dict[str, TrainConfig], kill: str = "", nan: str = "", timeout: float = 900
) -> tuple[int, str]:
    """Train configs one after the other in 2 processes, and return their exit code and what they printed."""
    facts = folder / "facts"
    facts.mkdir(exist_ok=True)
    jobs = {"configs": {name: asdict(each) for name, each in configs.items()}, "facts": str(facts)}
    (folder / "jobs.json").write_text(json.dumps(jobs | {"kill": kill, "nan": nan}))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *launcher, str(Path(__file__).with_name("zero_worker.py")), str(folder / "jobs.json")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "output.txt").open("w") as file:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return code, (folder / "output.txt").read_text()


@pytest.fixture(scope="module")
def trained(base: Base) -> Iterator[Base]:
    """All runs that are not killed; the working directory is not the root, where the JSONs are."""
    configs = {way: base.named(way, way) for way in WAYS}
    twice = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    configs["accumulated"] = base.named("accumulated", "zero2", trainer=twice)
    configs["full"] = base.named("full", "zero3", stage="full")
    configs["align"] = base.named("align", "zero2", stage="align", projector_learning_rate=None)
    timed = {"max_steps": -1, "warmup_steps": 0, "save_strategy": "no"}
    configs["timed"] = base.named("timed", "zero2", trainer=timed, max_seconds=2.0, schedule="time")
    configs["after"] = base.named("after", "ddp", trainer={"max_steps": 1})
    code, output = launch(base.folder, configs)
    assert code == 0, output[-4000:]
    yield base


@pytest.fixture(scope="module")
def alone(base: Base) -> Callable[[str], Path]:
    """A function that trains a stage in this one process with the same global batch."""
    done: dict[str, Path] = {}

    def run(stage: Any) -> Path:
        if stage not in done:
            rate = None if stage == "align" else 5e-4
            out = str(base.folder / f"alone-{stage}")
            done[stage] = train(replace(base.config, out=out, stage=stage, projector_learning_rate=rate))
        return done[stage]

    return run


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


def facts_of(base: Base, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((base.folder / "facts" / f"{name}.json").read_text())
    return facts


@pytest.mark.parametrize("way", WAYS)
def test_losses_are_those_of_one_process_with_the_same_global_batch(
    trained: Base, alone: Callable[[str], Path], way: str
) -> None:
    assert losses(trained.folder / way) == pytest.approx(losses(alone("finetune")), abs=1e-4)
    assert losses(trained.folder / way) == pytest.approx(losses(trained.folder / "ddp"), abs=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_the_engine_that_was_asked_for_steps_with_both_rates(trained: Base, way: str) -> None:
    facts = facts_of(trained, way)
    assert (facts["engine"], facts["optimizer"]) == ENGINES[way]
    assert set(facts["rates"]) == {1e-3, 5e-4}
    assert bool(facts["split"]) == (way == "zero3")


@pytest.mark.parametrize("way", WAYS)
def test_adapters_are_complete_and_are_what_was_trained(trained: Base, alone: Callable[[str], Path], way: str) -> None:
    one = load_file(alone("finetune") / "adapter_model.safetensors")
    saved = load_file(trained.folder / way / "adapter_model.safetensors")
    gathered = load_file(trained.folder / "facts" / f"{way}.safetensors")
    assert saved.keys() == one.keys() == gathered.keys()
    assert any("multi_modal_projector" in name for name in saved)
    assert all(tensor.numel() and tensor.any() for name, tensor in saved.items() if "bias" not in name)
    assert all(torch.equal(saved[name], gathered[name]) for name in saved)
    assert all(torch.allclose(saved[name], one[name], atol=1e-5) for name in saved)
    load_model(trained.folder / way)


def test_accumulated_batches_count_the_same(trained: Base, alone: Callable[[str], Path]) -> None:
    assert losses(trained.folder / "accumulated") == pytest.approx(losses(alone("finetune")), abs=1e-4)


@pytest.mark.parametrize("stage", ["full", "align"])
def test_whole_models_are_gathered(trained: Base, alone: Callable[[str], Path], stage: str) -> None:
    one, _ = load_model(alone(stage))
    two, _ = load_model(trained.folder / stage)
    expected = dict(one.named_parameters())
    assert all(torch.allclose(p, expected[name], atol=1e-5) for name, p in two.named_parameters())
    before, _ = load_model(trained.config.model)
    assert any(not torch.equal(p, before.get_parameter(name)) for name, p in two.named_parameters())
    parts = json.loads((trained.folder / stage / "training.json").read_text())["parameters"]
    assert parts == json.loads((alone(stage) / "training.json").read_text())["parameters"]


def test_a_schedule_by_time_ends_both_rates_with_the_time(trained: Base) -> None:
    rates = [json.loads(line)["learning_rate"] for line in (trained.folder / "timed" / "log.jsonl").open()]
    assert len(rates) > 2 and rates[0] > 0.5e-3 and rates[-1] < 0.2 * rates[0]


def test_a_run_without_deepspeed_after_one_with_it_does_without(trained: Base) -> None:
    assert facts_of(trained, "after")["engine"] == "DistributedDataParallel"


def test_a_killed_run_ends_where_an_uninterrupted_one_ends(trained: Base) -> None:
    ways = ("ddp", "zero2", "zero3")
    broken = {way: trained.named(f"broken-{way}", way) for way in ways}
    for way in ways:
        code, output = launch(trained.folder, {way: broken[way]}, kill=way)
        assert code != 0, output
        checkpoints = trained.folder / f"broken-{way}" / "checkpoints"
        assert [path.name for path in checkpoints.glob("checkpoint-*")] == ["checkpoint-3"], output
    code, output = launch(trained.folder, broken)
    assert code == 0, output[-4000:]
    for way in ways:
        out, whole = trained.folder / f"broken-{way}", trained.folder / way
        assert losses(out) == pytest.approx(losses(whole), abs=1e-6)
        one, two = (load_file(each / "adapter_model.safetensors") for each in (whole, out))
        assert all(torch.allclose(one[name], two[name], atol=1e-6, rtol=0) for name in one)
        assert facts_of(trained, way)["engine"] == ENGINES[way][0]


@pytest.mark.parametrize("way", ["ddp", "zero2"])
def test_a_loss_that_is_not_finite_in_one_process_stops_all(base: Base, way: str) -> None:
    name = f"nan-{way}"
    code, output = launch(base.folder, {name: base.named(name, way)}, nan=name, timeout=400)
    assert code != 0
    assert output.count("UserError: the loss is nan at step 5; ") == 2, output[-4000:]
    assert f"{name}/checkpoints/checkpoint-3" in output
