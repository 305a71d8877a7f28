"""The guard looks at what will really step, and refuses everything that would quietly be another run."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW
from transformers import TrainerControl, TrainerState

from spatial.errors import ConfigError
from tests.extras import needs_deepspeed
from training import fit as fitting
from training.arguments import build_arguments
from training.config import EvaluateSettings, TrainConfig
from training.guard import Guard, check_engine, check_rates, check_world, describe, optimizer_groups
from training.output import CHECKPOINTS, JOB, describe_job
from training.run import check, train
from training.trainer import VsreTrainer
from training.zero import ROOT, before_arguments, deepspeed_settings, zero_stage

ZERO_2 = {"zero_optimization": {"stage": 2}}
ZERO_3 = {"zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True}}


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.language_model = nn.Linear(3, 2, bias=False)
        self.multi_modal_projector = nn.Linear(2, 2, bias=False)
        self.vision_tower = nn.Linear(2, 2, bias=False).requires_grad_(False)


def with_deepspeed(config: TrainConfig, settings: Any, **changes: Any) -> TrainConfig:
    return replace(config, trainer=config.trainer | {"deepspeed": settings}, **changes)


def test_a_run_says_in_one_line_what_trains(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    short = config.trainer | {"max_steps": 1}
    train(replace(config, stage="finetune", projector_learning_rate=5e-4, trainer=short))
    line = next(line for line in capsys.readouterr().out.splitlines() if "rates" in line)
    counted = "0.001 (language_model LoRA, 0.00435 M), 0.0005 (multi_modal_projector, 0.00218 M)"
    assert line == f"1 process, no wrapper, rates: {counted}"


def test_every_trained_parameter_must_be_in_the_optimizer_at_its_rate() -> None:
    model = Tiny()
    language, projector = model.language_model.weight, model.multi_modal_projector.weight
    rates = {"": 1e-3, "multi_modal_projector": 1e-4}
    good = SGD([{"params": [language], "lr": 1e-3}, {"params": [projector], "lr": 1e-4}], lr=1.0)
    counts = check_rates(nn.DataParallel(model), optimizer_groups(good), rates)
    assert counts == {1e-3: {"language_model": 6}, 1e-4: {"multi_modal_projector": 4}}
    assert describe(2, "DDP", counts) == (
        "2 processes, DDP, rates: 0.001 (language_model, 6e-06 M), 0.0001 (multi_modal_projector, 4e-06 M)"
    )
    with pytest.raises(ConfigError, match=r"would train at a rate of 0.001 instead of 0.0"):
        check_rates(model, optimizer_groups(SGD([language, projector], lr=1e-3)), rates)
    with pytest.raises(ConfigError, match=r"projector.weight should train, but the optimizer does not hold"):
        check_rates(model, optimizer_groups(SGD([language], lr=1e-3)), rates)


def test_a_warm_up_that_begins_with_0_does_not_hide_the_rates() -> None:
    model = Tiny()
    optimizer = AdamW(model.language_model.parameters(), lr=1e-3)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    assert optimizer.param_groups[0]["lr"] == 0
    assert optimizer_groups(optimizer)[0][0] == 1e-3


@pytest.mark.parametrize("kind", ["reduce_lr_on_plateau", "greedy"])
def test_rates_that_a_schedule_has_lowered_are_known_after_a_resume(config: TrainConfig, kind: str) -> None:
    chosen = EvaluateSettings(1, {"data": {"path": "dev"}}, "accuracy", keep="last")
    watching = {"lr_scheduler_type": kind, "lr_scheduler_kwargs": {"patience": 0}, "save_steps": 2, "max_steps": 4}
    given = replace(
        config,
        stage="align",
        projector_learning_rate=5e-4,
        evaluate=chosen,
        trainer=config.trainer | watching,
    )
    rising = [0.1, 0.2, 0.3, 0.4, 0.5]  # to both a loss, as they are not told otherwise

    class Scripted:
        content = "a slice"

        def __init__(self, left: list[float], fail: bool) -> None:
            self.left, self.fail = left, fail

        def answers(self, model: Any, processor: Any, part: int = 0, parts: int = 1) -> list[Any]:
            if self.fail and len(self.left) == 1:
                raise KeyboardInterrupt
            return []

        def scores(self, answers: Any) -> dict[str, float]:
            return {"accuracy": self.left.pop(0)}

    with pytest.raises(KeyboardInterrupt):
        train(given, lambda _: Scripted(list(rising), True))
    saved = Path(config.out) / CHECKPOINTS / "checkpoint-2" / "optimizer.pt"
    groups = torch.load(saved, weights_only=True)["param_groups"]
    assert all(group["lr"] != 5e-4 and group["peak_lr"] == 5e-4 for group in groups)
    out = train(given, lambda _: Scripted([0.6, 0.7], False))
    assert json.loads((out / "training.json").read_text())["steps"] == 4


@pytest.mark.parametrize("kept", ["bit16_groups", "fp16_groups"])
def test_the_flat_copies_of_zero_are_traced_back_to_the_model(kept: str) -> None:
    model = Tiny()
    parts = [[model.language_model.weight], [model.multi_modal_projector.weight]]
    flat = [nn.Parameter(torch.zeros(6)), nn.Parameter(torch.zeros(4))]
    inner = SGD([{"params": [flat[0]], "lr": 1e-3}, {"params": [flat[1]], "lr": 1e-4}], lr=1.0)
    zero = SimpleNamespace(optimizer=inner, param_groups=inner.param_groups, **{kept: parts})
    assert [(rate, [id(p) for p in parameters]) for rate, parameters in optimizer_groups(zero)] == [
        (1e-3, [id(parts[0][0])]),
        (1e-4, [id(parts[1][0])]),
    ]


def test_the_world_is_as_large_as_the_launcher_made_it() -> None:
    check_world(1, {})
    check_world(4, {"WORLD_SIZE": "4"})
    with pytest.raises(ConfigError, match="8 processes were started, but 1 train together"):
        check_world(1, {"WORLD_SIZE": "8"})


def test_only_the_engine_that_was_asked_for_trains() -> None:
    plain = Tiny()
    assert check_engine(plain, 1, {}) == "no wrapper"
    with pytest.raises(ConfigError, match="ZeRO-2 was asked for, but Tiny would train"):
        check_engine(plain, 1, ZERO_2)
    with pytest.raises(ConfigError, match="DataParallel would train"):
        check_engine(nn.DataParallel(plain), 1, {})
    with pytest.raises(ConfigError, match="2 processes would each train a Tiny of their own"):
        check_engine(plain, 2, {})

    class DeepSpeedEngine(Tiny):
        def zero_optimization_stage(self) -> int:
            return 2

    assert check_engine(DeepSpeedEngine(), 2, ZERO_2) == "DeepSpeedEngine ZeRO-2"
    with pytest.raises(ConfigError, match="ZeRO-3 was asked for, but DeepSpeedEngine with ZeRO-2 would train"):
        check_engine(DeepSpeedEngine(), 2, ZERO_3)
    with pytest.raises(ConfigError, match="no settings of it were given"):
        check_engine(DeepSpeedEngine(), 2, {})

    class DistributedDataParallel(Tiny):
        """What Accelerate wraps a model in on the CPU, whatever ``fsdp`` says."""

    class FSDPTiny(Tiny):
        """As ``fully_shard`` names what it splits."""

    with pytest.raises(ConfigError, match="FSDP was asked for, but DistributedDataParallel would train"):
        check_engine(DistributedDataParallel(), 2, {}, fsdp=True)
    with pytest.raises(ConfigError, match=r"FSDP was asked for, but Tiny would train: .* with one process; remove"):
        check_engine(plain, 1, {}, fsdp=True)
    assert check_engine(FSDPTiny(), 2, {}, fsdp=True) == "FSDPTiny"


def test_a_flat_optimizer_is_stopped_before_the_first_step(config: TrainConfig, monkeypatch: Any) -> None:
    def flat(self: VsreTrainer, model: Any = None) -> Any:
        self.optimizer = AdamW([p for p in self.model.parameters() if p.requires_grad], lr=1e-3)
        return self.optimizer

    monkeypatch.setattr(VsreTrainer, "create_optimizer", flat)
    with pytest.raises(ConfigError, match=r"multi_modal_projector.* would train at a rate of 0.001 instead of 2e-05"):
        train(replace(config, stage="finetune", projector_learning_rate=2e-5))
    assert not (Path(config.out) / "training.json").exists()


def test_several_gpus_are_never_left_to_data_parallel(config: TrainConfig, monkeypatch: Any) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr("training.parts.load_trainable", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(ConfigError, match="one process sees several GPUs; start it as 'vsre train'"):
        train(config)


@needs_deepspeed
@pytest.mark.parametrize("name", ["zero1", "zero2", "zero3", "zero2-offload", "zero3-offload"])
def test_shipped_settings_are_found_from_anywhere_and_keep_both_rates(
    config: TrainConfig, tmp_path: Path, monkeypatch: Any, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = f"configs/deepspeed/{name}.json"
    settings = deepspeed_settings({"deepspeed": path})
    assert zero_stage(settings) == int(name[4])
    assert "optimizer" not in settings and "scheduler" not in settings
    assert settings["zero_force_ds_cpu_optimizer"] is False
    check(with_deepspeed(config, path, stage="finetune", projector_learning_rate=2e-5))
    (tmp_path / "configs/deepspeed").mkdir(parents=True)
    (tmp_path / path).write_text("{}")
    assert deepspeed_settings({"deepspeed": path}) == {}, "the working directory comes first"


def test_a_path_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"configs/deepspeed, a folder; name a JSON file, such as .*\.json"):
        deepspeed_settings({"deepspeed": "configs/deepspeed"})
    with pytest.raises(ConfigError, match=r"zero4.json, which does not exist.*zero"):
        deepspeed_settings({"deepspeed": "configs/deepspeed/zero4.json"})


@needs_deepspeed
@pytest.mark.parametrize("block", ["optimizer", "scheduler"])
@pytest.mark.parametrize("way", ["file", "mapping", "accelerate"])
def test_blocks_that_would_drop_a_rate_are_refused_however_they_come(
    config: TrainConfig, tmp_path: Path, monkeypatch: Any, block: str, way: str
) -> None:
    settings = {**ZERO_2, block: {"type": "AdamW"}}
    (tmp_path / "zero.json").write_text(json.dumps(settings))
    given = replace(config, stage="finetune", projector_learning_rate=2e-5)
    if way == "accelerate":
        monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
        monkeypatch.setenv("ACCELERATE_CONFIG_DS_FIELDS", "")
        monkeypatch.setenv("ACCELERATE_DEEPSPEED_CONFIG_FILE", str(tmp_path / "zero.json"))
    else:
        given = with_deepspeed(given, str(tmp_path / "zero.json") if way == "file" else settings)
    with pytest.raises(ConfigError, match=f"the DeepSpeed '{block}' block would .*; delete the block"):
        check(given)


@needs_deepspeed
def test_an_optimizer_block_is_fine_with_one_rate(config: TrainConfig) -> None:
    check(with_deepspeed(config, {**ZERO_2, "optimizer": {"type": "AdamW"}}))
    check(with_deepspeed(config, {**ZERO_2, "optimizer": {"type": "AdamW"}}, projector_learning_rate=1e-3))


@needs_deepspeed
def test_what_zero_3_cannot_do_is_refused_before_loading(config: TrainConfig, monkeypatch: Any) -> None:
    with pytest.raises(ConfigError, match="ZeRO-3 would save no weights"):
        check(with_deepspeed(config, {"zero_optimization": {"stage": 3}}))
    with pytest.raises(ConfigError, match=r"'towers' cannot be split by ZeRO-3; use configs/deepspeed/zero2.json"):
        check(with_deepspeed(config, ZERO_3, stage="towers"))
    with pytest.raises(ConfigError, match="ZeRO-3"):
        check(with_deepspeed(config, ZERO_3, stage="align", features="auto"))
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_CONFIG_DS_FIELDS", "")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    with pytest.raises(ConfigError, match=r"environment alone; set trainer.deepspeed: configs/deepspeed/zero3.json"):
        check(config)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    check(config)
    assert zero_stage(deepspeed_settings({})) == 2
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    with pytest.raises(ConfigError, match="ACCELERATE_USE_CPU makes Trainer ignore DeepSpeed"):
        check(config)


def test_what_an_engine_of_this_process_left_behind_is_no_request(monkeypatch: Any) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.delenv("ACCELERATE_CONFIG_DS_FIELDS", raising=False)
    assert deepspeed_settings({}) == {}
    before_arguments({})
    assert "ACCELERATE_USE_DEEPSPEED" not in os.environ


def test_the_content_of_deepspeed_settings_belongs_to_the_job(config: TrainConfig, tmp_path: Path) -> None:
    shipped = describe_job(with_deepspeed(config, "configs/deepspeed/zero2.json"), [])
    copied = tmp_path / "mine.json"
    copied.write_text((ROOT / "configs/deepspeed/zero2.json").read_text())
    assert describe_job(with_deepspeed(config, str(copied)), []) == shipped
    copied.write_text(json.dumps(ZERO_2))
    assert describe_job(with_deepspeed(config, str(copied)), []) != shipped


def test_a_run_does_not_go_on_with_another_number_of_processes(config: TrainConfig, monkeypatch: Any) -> None:
    class Stopped(Exception):
        """Instead of a kill."""

    def stop(*_: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "_save", stop)
        with pytest.raises(Stopped):
            train(config)
    job = Path(config.out) / CHECKPOINTS / JOB
    facts = json.loads(job.read_text())
    assert facts["processes"] == 1
    job.write_text(json.dumps(facts | {"processes": 2}))
    with pytest.raises(ConfigError, match=r"holds a run of 2 process\(es\), and this one has 1; go on with 2"):
        train(config)
    job.write_text(json.dumps(facts))
    train(config)


@needs_deepspeed
def test_numbers_that_contradict_the_trainer_are_one_line(config: TrainConfig, monkeypatch: Any) -> None:
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED", raising=False)
    contradiction = {**ZERO_2, "train_micro_batch_size_per_gpu": 16}
    with pytest.raises(ConfigError, match=r'train_micro_batch_size_per_gpu=16 vs hf .*=8; write "auto"'):
        build_arguments(with_deepspeed(config, contradiction))
    before_arguments({})


def test_the_guard_looks_when_training_begins() -> None:
    trainer = SimpleNamespace(model_wrapped=Tiny(), optimizer=SGD(Tiny().parameters(), lr=1e-3))
    arguments: Any = SimpleNamespace(fsdp=None, world_size=1, learning_rate=1e-3, process_index=0)
    with pytest.raises(ConfigError, match="the optimizer does not hold it"):
        Guard(trainer, {"": 1e-3}, {}).on_train_begin(arguments, TrainerState(), TrainerControl())
