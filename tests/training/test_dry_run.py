"""A dry run tells what the run then does, loads no weight, and tells what it can where things are not there yet."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import PreTrainedModel

from encoders.configuration import VsreConfig
from encoders.load import load_processor, read_config
from encoders.parameters import parameter_counts
from spatial.dataset import DatasetFolder
from spatial.errors import CheckpointError, ConfigError
from training import plan
from training.arguments import build_arguments
from training.collate import PrefixCollator
from training.config import TrainConfig
from training.cost import costs_of, planned_model, work_of
from training.dry_run import dry_run
from training.examples import Examples
from training.first_row import row_text
from training.memory import Depth
from training.parts import load_trainable
from training.run import train
from training.sample import look


def told(config: TrainConfig, model_config: Callable[[str], VsreConfig] = read_config) -> str:
    console = Console(width=300, file=io.StringIO(), record=True)
    dry_run(config, model_config, console)
    return console.export_text()


@pytest.fixture
def weightless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights can be loaded."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("weights are loaded")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", refuse)


@pytest.fixture
def finetune(config: TrainConfig) -> TrainConfig:
    return replace(config, stage="finetune", projector_learning_rate=5e-4)


def test_everything_is_told_and_nothing_is_written(finetune: TrainConfig, weightless: None) -> None:
    text = told(finetune)
    assert "language_model LoRA" in text and "frozen" in text and "0.0005" in text and "0.001" in text
    assert "step:   8 images = 8 images x 1 accumulated x 1 device(s)" in text
    assert "epoch:  16 images with 128 records, 2 steps" in text and "run:    8 steps, 4.00 epochs" in text
    assert "H100-hours" in text and "an estimate, at 40% of the peak" in text
    assert "<image> x " in text and "[[" in text and "enough" in text
    assert not Path(finetune.out).exists()


@pytest.mark.parametrize("stage", ["pretrain", "full", "align", "finetune"])
def test_the_parameters_are_those_that_train(config: TrainConfig, stage: Any) -> None:
    given = replace(config, stage=stage)
    planned = planned_model(read_config(given.model), stage, given.lora)
    loaded, _ = load_trainable(given, build_arguments(given))
    assert parameter_counts(planned) == parameter_counts(loaded)
    assert all(parameter.is_meta for parameter in planned.parameters())


@pytest.mark.parametrize(
    "trainer",
    [
        {"per_device_train_batch_size": 8, "num_train_epochs": 2},
        {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 4, "num_train_epochs": 2},
        {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 3, "num_train_epochs": 1.5},
        {"per_device_train_batch_size": 7, "max_steps": 3},
    ],
)
def test_the_steps_are_those_that_are_done(config: TrainConfig, trainer: dict[str, Any]) -> None:
    base = {name: value for name, value in config.trainer.items() if name != "max_steps"} | {"save_strategy": "no"}
    given = replace(config, stage="align", trainer=base | trainer)
    settings = plan.settings_of(given)
    out = train(given)
    assert plan.total_steps(settings, 16) == json.loads((out / "training.json").read_text())["steps"]


def test_the_clock_alone_ends_a_run_whose_steps_are_not_bounded(finetune: TrainConfig) -> None:
    timed = replace(finetune, max_seconds=5.0, schedule="time", trainer=finetune.trainer | {"max_steps": -1})
    timed.trainer.pop("num_train_epochs", None)
    assert plan.total_steps(plan.settings_of(timed), 16) is None
    assert build_arguments(timed).num_train_epochs == plan.settings_of(timed).epochs


def test_processes_without_a_gpu_are_counted(finetune: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.launch.usable_cores", lambda: 2)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    two = replace(finetune, cpu_nproc=4)
    assert plan.settings_of(two).world == 2 and plan.settings_of(two, gpus=8).world == 8
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert plan.settings_of(two).world == 3


def test_a_checkpoint_takes_the_room_that_was_told(finetune: TrainConfig) -> None:
    out = Path(train(replace(finetune, trainer=finetune.trainer | {"max_steps": 1})))
    counts = parameter_counts(planned_model(read_config(finetune.model), "finetune", finetune.lora))
    checkpoint, _ = plan.disk_bytes(finetune, plan.settings_of(finetune), counts)
    adapter = sum(weight.nbytes for weight in load_file(out / "adapter_model.safetensors").values())
    assert adapter == 4 * sum(some for _, some in counts.values())
    assert checkpoint == 3 * adapter, "weights and two moments"


def test_tokens_are_counted_on_real_batches(finetune: TrainConfig) -> None:
    described = read_config(finetune.model)
    settings = plan.settings_of(finetune)
    sample = look(finetune, settings)
    examples = Examples([DatasetFolder(next(iter(finetune.data))).record_set()], finetune.statements_per_image)
    processor = load_processor(Path(finetune.model))
    batches = [PrefixCollator(processor)([examples[i] for i in range(at, at + 8)]) for at in (0, 8)]
    assert sample.images == 16 and sample.records == 128 and sample.work is not None
    assert sample.work.tokens == pytest.approx(sum(float(work_of(batch)[0]) for batch in batches) / 2)
    assert sample.work.images == sample.work.encoded == 8
    guess = plan.guessed_work(described.num_image_tokens, 3, settings.batch)
    assert guess.images == 8 and guess.tokens / 8 == described.num_image_tokens + 3 * 40


def test_the_first_row_marks_exactly_what_is_supervised(finetune: TrainConfig) -> None:
    processor = load_processor(Path(finetune.model))
    examples = Examples([DatasetFolder(next(iter(finetune.data))).record_set()], 3)
    shown = [examples[0], examples[1]]
    batch = PrefixCollator(processor)(shown)
    tokens = processor.num_image_tokens
    for row, example in enumerate(shown):
        text = row_text(batch, processor.tokenizer, processor.image_token_id, row)
        prefix, *statements = text.plain.strip("\n").split("\n")
        assert f"<image> x {tokens}" in prefix and "[[" not in prefix
        assert len(statements) == len(example.prompts) == 3
        for line, prompt in zip(statements, example.prompts, strict=True):
            said = line[line.index("[[") + 2 : line.index("]]")]
            assert said.replace(processor.tokenizer.eos_token, "").strip() == prompt.answer
            assert said.endswith(processor.tokenizer.eos_token) and line.endswith("]]")
        starts = {line.strip().partition("..")[0] for line in statements}
        assert starts == {str(int(prefix.split("..")[1].split()[0]) + 1)}, "each statement follows the prefix"
        green = [text.plain[span.start : span.end] for span in text.spans if "green" in str(span.style)]
        assert len(green) == 3


def test_without_data_the_rest_is_told(finetune: TrainConfig, tmp_path: Path, weightless: None) -> None:
    text = told(replace(finetune, data=[str(tmp_path / "nowhere")]))
    assert "no data yet: dataset folder" in text and "(guessed)" in text
    assert "run:    8 steps" in text and "epoch:" not in text and "language_model LoRA" in text


def test_without_a_model_its_description_will_do(finetune: TrainConfig, tmp_path: Path, weightless: None) -> None:
    described = read_config(finetune.model)
    text = told(replace(finetune, model=str(tmp_path / "model.yaml")), lambda _: described)
    assert "no tokenizer yet" in text and "first row, as the data has it" in text and "[[" in text
    with pytest.raises(CheckpointError, match="vsre build-model"):
        told(replace(finetune, model=str(tmp_path / "nowhere")))


def test_stages_of_small_models_are_told_too(config: TrainConfig) -> None:
    text = told(replace(config, model="", stage="detector", data=["nowhere"]))
    assert "no data yet" in text and "run:    8 steps" in text


def test_mistakes_are_found(finetune: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        told(replace(finetune, trainer={"lerning_rate": 1.0}))
    with pytest.raises(ConfigError, match="did you mean 'question'"):
        told(replace(finetune, templates=["questoin"]))
    with pytest.raises(ConfigError, match="statements_per_image is 0; give at least 1"):
        told(replace(finetune, statements_per_image=0))
    with pytest.raises(ConfigError, match=r"'encoders' names 'dino2', .*; did you mean 'dinov2'"):
        told(replace(finetune, stage="align", encoders=["dino2"]))


def test_devices_zero_and_bfloat16_change_memory_and_nothing_is_set_up_for_them(finetune: TrainConfig) -> None:
    described = read_config(finetune.model)
    model = planned_model(described, "finetune", finetune.lora)
    counts, work = (
        parameter_counts(model),
        plan.guessed_work(described.num_image_tokens, finetune.statements_per_image, plan.settings_of(finetune).batch),
    )
    text: Any = described.text
    depth = Depth(text.num_hidden_layers, text.hidden_size, text.intermediate_size, text.vocab_size)

    def memory(**given: Any) -> Any:
        changed = replace(finetune, nproc=4, trainer=finetune.trainer | given)
        return plan.device_memory(changed, plan.settings_of(changed), counts, depth, work)

    plain, half = memory(), memory(bf16=True)
    assert half.weights < plain.weights and half.activations < plain.activations
    stages = [
        memory(deepspeed={"zero_optimization": {"stage": stage, "stage3_gather_16bit_weights_on_model_save": True}})
        for stage in (1, 2, 3)
    ]
    assert stages[0].optimizer == plain.optimizer / 4 and stages[0].gradients == plain.gradients
    assert stages[1].gradients == plain.gradients / 4 and stages[1].weights == plain.weights
    assert stages[2].weights == plain.weights / 4
    assert not torch.distributed.is_initialized()


def test_the_work_grows_with_accumulation_and_devices(finetune: TrainConfig) -> None:
    described = read_config(finetune.model)
    costs = costs_of(planned_model(described, "finetune", finetune.lora))
    assert costs is not None
    one = plan.settings_of(finetune)
    many = plan.settings_of(replace(finetune, nproc=4, trainer=finetune.trainer | {"gradient_accumulation_steps": 2}))
    work = plan.guessed_work(described.num_image_tokens, finetune.statements_per_image, one.batch)
    assert plan.step_flops(costs, work, many)[0] == 8 * plan.step_flops(costs, work, one)[0]
    hour = 989e12 * 3600 * plan.UTILISATION
    assert plan.device_hours(hour, "NVIDIA H100 80GB HBM3") == pytest.approx(1)
    with pytest.raises(ValueError, match="peak_tflops"):
        plan.device_hours(hour, "unheard of")
