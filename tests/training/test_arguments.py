"""The ``trainer:`` mapping is checked by name, and promises of the room cannot be switched off."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spatial.errors import ConfigError
from training.arguments import build_arguments
from training.config import TrainConfig


def with_trainer(config: TrainConfig, **settings: Any) -> TrainConfig:
    return replace(config, trainer=config.trainer | settings)


def test_an_unknown_field_names_the_nearest(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.learn_rate .*did you mean 'learning_rate'"):
        build_arguments(with_trainer(config, learn_rate=1.0))


@pytest.mark.parametrize("name", ["output_dir", "seed", "save_only_model", "label_smoothing_factor", "eval_strategy"])
def test_fields_that_would_break_a_promise_are_refused(config: TrainConfig, name: str) -> None:
    with pytest.raises(ConfigError, match=f"trainer.{name} cannot be set; "):
        build_arguments(with_trainer(config, **{name: 1}))


def test_values_that_transformers_refuses_are_one_line(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"^trainer: [^\n]*$"):
        build_arguments(with_trainer(config, lr_scheduler_type="cosinus"))


def test_numbers_that_yaml_reads_as_text_are_numbers(config: TrainConfig) -> None:
    assert build_arguments(with_trainer(config, learning_rate="1e-3")).learning_rate == 1e-3
    with pytest.raises(ConfigError, match="give a number"):
        build_arguments(with_trainer(config, learning_rate="fast"))


def test_arguments_keep_the_promises(config: TrainConfig) -> None:
    arguments = build_arguments(replace(config, seed=7))
    assert arguments.output_dir == str(Path(config.out) / "checkpoints")
    assert (arguments.seed, arguments.data_seed) == (7, 7)
    assert not arguments.remove_unused_columns and not arguments.logging_nan_inf_filter


@pytest.mark.parametrize("as_file", [True, False])
def test_a_deepspeed_optimizer_beside_two_rates_is_refused(config: TrainConfig, tmp_path: Path, as_file: bool) -> None:
    settings = {"optimizer": {"type": "AdamW"}, "zero_optimization": {"stage": 2}}
    (tmp_path / "zero.json").write_text(json.dumps(settings))
    given = with_trainer(config, deepspeed=str(tmp_path / "zero.json") if as_file else settings)
    with pytest.raises(ConfigError, match="delete the block"):
        build_arguments(replace(given, projector_learning_rate=2e-5))


def test_a_time_schedule_needs_a_limit_and_whole_warm_up_steps(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="set max_seconds"):
        build_arguments(replace(config, schedule="time"))
    with pytest.raises(ConfigError, match="whole number"):
        build_arguments(replace(with_trainer(config, warmup_steps=0.1), schedule="time", max_seconds=5))


def test_a_time_limit_alone_decides_the_length(config: TrainConfig) -> None:
    trainer = {name: value for name, value in config.trainer.items() if name != "max_steps"}
    assert build_arguments(replace(config, trainer=trainer, max_seconds=5)).num_train_epochs > 1e5
