"""What makes training fast changes no result: shared prefixes, supervised rows, accumulation, checkpointing, bf16."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from encoders.load import load_model
from spatial.dataset import DatasetFolder
from training.arguments import build_arguments
from training.budget import Clock
from training.collate import IGNORED, PrefixCollator
from training.config import LoraSettings, LossPer, Stage, TrainConfig
from training.examples import Example, Examples
from training.losses import only_rows, shifted
from training.parts import load_trainable
from training.run import train
from training.stages import prepare_stage
from training.trainer import VsreTrainer

Gradients = dict[str, Tensor]

LORA = LoraSettings(r=4, alpha=8, dropout=0.0)


def examples_of(data: Path, statements: int = 4) -> list[Example]:
    """Return three images, the first with fewer statements than the others, so that rows are padded."""
    every = Examples([DatasetFolder(data).record_set()], statements)
    return [Example(every[0].image, every[0].prompts[:2]), every[1], every[2]]


def separate(examples: list[Example]) -> list[Example]:
    return [Example(example.image, (prompt,)) for example in examples for prompt in example.prompts]


def trained(path: Path, stage: Stage) -> tuple[nn.Module, Any]:
    """Return a model of a stage whose adapters already say something: LoRA starts as zero."""
    model, processor = load_model(path, torch.float32)
    torch.manual_seed(0)
    prepared = prepare_stage(model, stage, LORA)
    for name, parameter in prepared.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    return prepared.train(), processor


def step(trainer: VsreTrainer, batch: dict[str, Any]) -> tuple[Tensor, Gradients]:
    """Return loss and gradients of one batch, as the trainer's own loss has them."""
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    named = trainer.model.named_parameters()
    return loss.detach(), {name: p.grad.clone() for name, p in named if p.grad is not None}


def trainer_of(model: nn.Module, processor: Any, out: Path, per: LossPer = "token") -> VsreTrainer:
    config = TrainConfig(model="", data=[], out=str(out), trainer={"report_to": "none"})
    return VsreTrainer(
        None, Clock(), loss_per=per, model=model, args=build_arguments(config), data_collator=PrefixCollator(processor)
    )


def assert_close(found: Gradients, expected: Gradients, tolerance: float) -> None:
    assert found.keys() == expected.keys() and found
    for name, gradient in found.items():
        assert torch.allclose(gradient, expected[name], rtol=0, atol=tolerance), name


SLOW = pytest.mark.slow

FUSIONS = ("sequence", "channel", "interleave", "add", "resampler")

CASES = [
    pytest.param(fusion, stage, marks=() if stage == "finetune" and fusion in ("sequence", "channel") else SLOW)
    for fusion in FUSIONS
    for stage in ("align", "finetune", "full")
]


@pytest.mark.parametrize(("fusion", "stage"), CASES)
def test_the_trainer_learns_from_packed_rows_what_it_learns_from_separate_rows(
    make_model: Callable[..., Path], data: Path, tmp_path: Path, fusion: str, stage: Stage
) -> None:
    model, processor = trained(make_model(fusion), stage)
    examples, collate = examples_of(data), PrefixCollator(processor)
    for per in ("token", "statement"):
        trainer = trainer_of(model, processor, tmp_path, per)
        packed, gradients = step(trainer, collate(examples))
        alone, expected = step(trainer, collate(separate(examples)))
        assert packed.item() == pytest.approx(alone.item(), abs=1e-5)
        assert_close(gradients, expected, 1e-5)
        assert any("multi_modal_projector" in name and g.any() for name, g in gradients.items())
        assert any("lora_A" in name and g.any() for name, g in gradients.items()) == (stage == "finetune")


@pytest.mark.parametrize("per", ["token", "statement"])
def test_accumulated_batches_have_the_gradients_of_one_large_batch(
    model_path: Path, data: Path, tmp_path: Path, per: LossPer
) -> None:
    model, processor = trained(model_path, "finetune")
    examples, collate = examples_of(data), PrefixCollator(processor)
    trainer = trainer_of(model, processor, tmp_path, per)
    whole, expected = step(trainer, collate(examples))
    parts = [collate(examples[:1]), collate(examples[1:])]
    batches, items = trainer.get_batch_samples(iter(parts), len(parts), torch.device("cpu"))
    model.zero_grad()
    losses = [trainer.compute_loss(model, dict(batch), num_items_in_batch=items) for batch in batches]
    sum(losses).backward()
    assert sum(losses).item() == pytest.approx(whole.item(), abs=1e-5)
    assert_close({name: p.grad for name, p in model.named_parameters() if p.grad is not None}, expected, 1e-5)


def test_logits_of_supervised_rows_are_those_of_all_rows(model_path: Path, data: Path) -> None:
    model, processor = trained(model_path, "finetune")
    batch = PrefixCollator(processor)(examples_of(data))
    supervised = shifted(batch.pop("labels")) != IGNORED
    every = model(**batch).logits[supervised]
    with only_rows(model.get_output_embeddings(), supervised):
        chosen = model(**batch).logits
    assert chosen.shape == every.shape
    assert torch.allclose(chosen, every, rtol=0, atol=1e-6)


CHECKPOINTED = [
    pytest.param(stage, reentrant, marks=() if (stage, reentrant) == ("finetune", False) else SLOW)
    for stage in ("align", "finetune", "full")
    for reentrant in (False, True)
]


@pytest.mark.parametrize(("stage", "reentrant"), CHECKPOINTED)
def test_checkpointing_gives_the_same_losses_and_weights(config: TrainConfig, stage: Stage, reentrant: bool) -> None:
    again = {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": reentrant}}
    plain = replace(config, stage=stage, trainer=config.trainer | {"max_steps": 2})
    examples = Examples([DatasetFolder(config.data[0]).record_set()], 3)
    weights, losses, calls = [], [], []
    for name, more in (("plain", {}), ("again", again)):
        arguments = build_arguments(replace(plain, out=f"{config.out}-{name}", trainer=plain.trainer | more))
        model, processor = load_trainable(plain, arguments)
        layer = next(module for path, module in model.named_modules() if path.endswith("language_model.layers.0.mlp"))
        layer.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
        trainer = VsreTrainer(
            None, Clock(), model=model, args=arguments, train_dataset=examples, data_collator=PrefixCollator(processor)
        )
        started = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
        weights.append({name: p.detach() for name, p in model.named_parameters() if p.requires_grad})
        unmoved = [name for name, p in weights[-1].items() if torch.equal(p, started[name])]
        assert not unmoved, unmoved
    assert (calls.count("plain"), calls.count("again")) == (2, 4)  # layers really ran again
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert_close(weights[1], weights[0], 1e-6)


@pytest.mark.slow
def test_bfloat16_trains_float32_weights_to_nearly_the_same_losses(config: TrainConfig) -> None:
    losses = []
    for name, half in (("single", False), ("half", True)):
        settings = replace(config, stage="finetune", out=f"{config.out}-{name}")
        out = train(replace(settings, trainer=config.trainer | {"bf16": half}))
        losses.append([json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)
    arguments = build_arguments(replace(config, trainer=config.trainer | {"bf16": True}))
    model, _ = load_trainable(replace(config, stage="finetune"), arguments)
    kinds = {p.requires_grad: set() for p in model.parameters()}
    for parameter in model.parameters():
        kinds[parameter.requires_grad].add(parameter.dtype)
    assert kinds == {True: {torch.float32}, False: {torch.bfloat16}}


def test_eight_statements_cost_the_prefix_once(model_path: Path, data: Path) -> None:
    _, processor = load_model(model_path)
    processor.num_image_tokens = 1817
    collate = PrefixCollator(processor)
    example = Examples([DatasetFolder(data).record_set()], 8)[0]
    packed = collate([example])["input_ids"].numel()
    rows = [collate([alone])["input_ids"].numel() for alone in separate([example])]
    image = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    prefix = collate([example])["input_ids"][0].tolist().index(image) + 1817
    assert len(rows) == 8 and packed == sum(rows) - 7 * prefix
    assert sum(rows) >= 3 * packed
