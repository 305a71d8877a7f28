"""The ``trainer:`` mapping is checked by name, and promises of the room cannot be switched off."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from spatial.errors import ConfigError
from training.arguments import build_arguments
from training.chain import stage_configs
from training.config import TrainConfig
from training.output import check_begun
from training.plan import settings_of


def with_trainer(config: TrainConfig, **settings: Any) -> TrainConfig:
    return replace(config, trainer=config.trainer | settings)


def test_an_unknown_field_names_the_nearest(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.learn_rate .*did you mean 'learning_rate'"):
        build_arguments(with_trainer(config, learn_rate=1.0))


@pytest.mark.parametrize(
    "name",
    ["output_dir", "seed", "save_only_model", "label_smoothing_factor", "eval_strategy", "hub_token", "push_to_hub"],
)
def test_fields_that_would_break_a_promise_are_refused(config: TrainConfig, name: str) -> None:
    with pytest.raises(ConfigError, match=f"trainer.{name} cannot be set; "):
        build_arguments(with_trainer(config, **{name: 1}))


def test_values_that_transformers_refuses_are_one_line(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"^trainer: [^\n]*$"):
        build_arguments(with_trainer(config, lr_scheduler_type="cosinus"))


def test_numbers_that_yaml_reads_as_text_are_numbers(config: TrainConfig) -> None:
    assert build_arguments(with_trainer(config, learning_rate="1e-3")).learning_rate == 1e-3
    assert build_arguments(with_trainer(config, warmup_steps="3e-2")).warmup_steps == 0.03
    assert build_arguments(with_trainer(config, max_steps="1e3")).max_steps == 1000
    for name, value in (("learning_rate", "fast"), ("warmup_steps", None), ("max_steps", None)):
        with pytest.raises(ConfigError, match=f"trainer.{name} is {value!r}; give a number"):
            build_arguments(with_trainer(config, **{name: value}))
    with pytest.raises(ConfigError, match=r"trainer.max_steps is '2.5'; give a whole number"):
        build_arguments(with_trainer(config, max_steps="2.5"))


def test_the_old_name_of_checkpointing_is_taken_for_the_new_one(
    config: TrainConfig, recwarn: pytest.WarningsRecorder
) -> None:
    kwargs = {"use_reentrant": False}
    old = with_trainer(config, gradient_checkpointing=True, gradient_checkpointing_kwargs=kwargs)
    arguments = build_arguments(old)
    assert arguments.activation_checkpointing and arguments.activation_checkpointing_kwargs == kwargs
    assert not [warning for warning in recwarn if "checkpointing" in str(warning.message)]
    assert settings_of(old).checkpointing and not settings_of(config).checkpointing
    with pytest.raises(ConfigError, match="old name of activation_checkpointing"):
        build_arguments(with_trainer(old, activation_checkpointing=False))


def test_a_run_begun_under_the_old_name_goes_on_under_the_new_one(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(
        json.dumps({"config": asdict(with_trainer(config, gradient_checkpointing=True))})
    )
    check_begun(tmp_path, with_trainer(config, activation_checkpointing=True))
    with pytest.raises(ConfigError, match="another config"):
        check_begun(tmp_path, with_trainer(config, activation_checkpointing=False))


def test_a_no_that_yaml_reads_as_false_is_the_word(config: TrainConfig) -> None:
    given = with_trainer(config, **yaml.safe_load("{save_strategy: no, logging_strategy: no}"))
    arguments = build_arguments(given)
    assert (arguments.save_strategy, arguments.logging_strategy) == ("no", "no")
    (stage,) = stage_configs(replace(given, stages=[{"name": "one", "trainer": {"save_strategy": "no"}}]))
    assert build_arguments(stage).save_strategy == "no"


@pytest.mark.parametrize("name", ["adamw_bnb_8bit", "galore_adamw", "lomo", "grokadamw", "schedule_free_adamw"])
def test_an_optimizer_without_its_package_is_one_line_before_a_model_is_loaded(config: TrainConfig, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^trainer\.optim '{name}': [^\n]*install[^\n]*$"):
        build_arguments(with_trainer(config, optim=name))


@pytest.mark.parametrize("name", ["adamw_torch", "adafactor", "sgd"])
def test_optimizers_of_torch_and_transformers_need_nothing(config: TrainConfig, name: str) -> None:
    assert build_arguments(with_trainer(config, optim=name)).optim == name


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
    assert build_arguments(replace(config, trainer=trainer, max_seconds=5, schedule="time")).num_train_epochs > 1e5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "schedule 'cosine' needs a total of steps"),
        ({"lr_scheduler_type": "linear"}, "schedule 'linear' needs"),
        (
            {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 0.03},
            "a warm-up cannot be a part of all steps",
        ),
    ],
)
def test_a_part_of_a_million_epochs_is_refused(config: TrainConfig, changes: dict[str, Any], message: str) -> None:
    trainer = {name: value for name, value in config.trainer.items() if name != "max_steps"}
    trainer.pop("lr_scheduler_type", None)
    timed = replace(config, trainer=trainer | changes, max_seconds=5)
    with pytest.raises(ConfigError, match=rf"{message}[^\n]*set schedule: time, or trainer.max_steps"):
        build_arguments(timed)
    build_arguments(replace(timed, trainer=timed.trainer | {"max_steps": 9}))
    build_arguments(replace(timed, trainer=trainer | {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 3}))


def test_no_number_of_steps_leaves_the_end_to_the_clock(config: TrainConfig) -> None:
    given = with_trainer(replace(config, max_seconds=5.0, schedule="time"), max_steps=-1, warmup_steps=0)
    assert build_arguments(given).num_train_epochs > 1000
