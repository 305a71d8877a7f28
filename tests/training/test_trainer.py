"""Two learning rates, one GPU per process, and a clock that all decisions share."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.optim import AdamW

from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError
from training import budget
from training.arguments import build_arguments
from training.budget import Clock, time_schedule
from training.callbacks import EpochDraws
from training.collate import PrefixCollator
from training.config import TrainConfig
from training.examples import Examples
from training.parts import load_trainable
from training.trainer import VsreTrainer


def make_trainer(config: TrainConfig) -> VsreTrainer:
    arguments = build_arguments(config)
    model, processor = load_trainable(config, arguments)
    examples = Examples([DatasetFolder(config.data[0]).record_set()], config.statements_per_image)
    return VsreTrainer(
        config.projector_learning_rate,
        Clock(),
        model=model,
        args=arguments,
        train_dataset=examples,
        data_collator=PrefixCollator(processor),
    )


def test_projector_and_adapters_have_their_own_rates(config: TrainConfig) -> None:
    trainer = make_trainer(replace(config, stage="finetune", projector_learning_rate=2e-5))
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    rates: dict[float, set[bool]] = {}
    for group in trainer.create_optimizer().param_groups:
        assert group["params"]
        rates.setdefault(group["lr"], set()).update("multi_modal_projector" in names[id(p)] for p in group["params"])
    assert rates == {1e-3: {False}, 2e-5: {True}}
    optimised = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in optimised} == {id(p) for p in trainer.model.parameters() if p.requires_grad}


def test_both_rates_follow_the_schedule(config: TrainConfig) -> None:
    trainer = make_trainer(replace(config, stage="finetune", projector_learning_rate=2e-5))
    trainer.train()
    start = {group["initial_lr"] for group in trainer.optimizer.param_groups}
    assert start == {1e-3, 2e-5}
    assert all(group["lr"] < 1e-3 * group["initial_lr"] for group in trainer.optimizer.param_groups)


def test_several_gpus_in_one_process_are_refused() -> None:
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES"):
        VsreTrainer(None, Clock(), args=SimpleNamespace(n_gpu=2), model=None)


def test_the_time_schedule_warms_up_by_steps_and_ends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    clock = Clock(before=10.0)
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = time_schedule(optimizer, clock, max_seconds=30.0, warmup_steps=2)
    seen = []
    for moment in (100.0, 105.0, 120.0):
        now[0] = moment
        clock.tick()
        optimizer.step()
        schedule.step()
        seen.append(schedule.get_last_lr()[0])
    assert clock.seconds == 30.0
    assert seen == pytest.approx([0.75, 0.5, 0.0])


def test_a_resumed_epoch_draws_as_the_interrupted_one(data: Path) -> None:
    examples = Examples([DatasetFolder(data).record_set()], 2)

    def drawn(epoch: float | None) -> list[str]:
        EpochDraws(examples).on_epoch_begin(None, SimpleNamespace(epoch=epoch), None)
        return [prompt.text for prompt in examples[3].prompts]

    assert drawn(1.0) == drawn(1.5) != drawn(None)
