"""Counts of a training step against what torch counts, what autograd keeps, and figures that can be done by hand."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from encoders.load import load_model, read_config
from spatial.dataset import DatasetFolder
from training import cost
from training.collate import IGNORED, PrefixCollator, pack
from training.config import LoraSettings, Stage
from training.cost import Costs, Work, costs_of, hardware_flops, model_flops, passes, peak_flops, planned_model, work_of
from training.examples import Examples
from training.losses import answer_loss, only_rows, shifted
from training.memory import Depth, activation_memory, estimate_memory
from training.stages import prepare_stage
from training.turns import Statement

LORA = LoraSettings(r=4, alpha=8, dropout=0.0)


def batch_of(processor: Any, data: Path) -> dict[str, Any]:
    every = Examples([DatasetFolder(data).record_set()], 4)
    return PrefixCollator(processor)([every[0], every[1]])


@pytest.mark.parametrize("stage", ["align", "finetune", "full", "pretrain"])
def test_the_formula_is_what_torch_counts_of_a_real_step(model_path: Path, data: Path, stage: Stage) -> None:
    model, processor = load_model(model_path, torch.float32)
    prepared = prepare_stage(model, stage, LORA).train()
    batch = batch_of(processor, data)
    costs, work = costs_of(prepared), Work(*work_of(batch).tolist())
    assert costs is not None and costs.missing == ""
    labels = batch.pop("labels")
    with (
        sdpa_kernel(SDPBackend.MATH),  # the counter passes over the CPU's fused attention
        FlopCounterMode(display=False) as counter,
        only_rows(prepared.get_output_embeddings(), shifted(labels) != IGNORED),
    ):
        answer_loss(prepared(**batch), labels).backward()
    assert hardware_flops(costs, work) == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert model_flops(costs, work) < hardware_flops(costs, work) < hardware_flops(costs, work, checkpointing=True)


@pytest.mark.parametrize("stage", ["align", "finetune"])
def test_a_plan_costs_what_the_loaded_model_does(model_path: Path, stage: Stage) -> None:
    model, _ = load_model(model_path)
    assert costs_of(planned_model(read_config(model_path), stage, LORA)) == costs_of(prepare_stage(model, stage, LORA))


def test_work_counts_what_the_mask_lets_through(model_path: Path, data: Path) -> None:
    _, processor = load_model(model_path)
    batch = batch_of(processor, data)
    work = Work(*work_of(batch).tolist())
    rows, width = batch["input_ids"].shape
    padding = batch["input_ids"] == processor.tokenizer.pad_token_id
    assert work.padded == rows * width and work.square == rows * width * width
    assert work.tokens == (~padding).sum() and padding.any()
    assert work.pairs == batch["attention_mask"][:, 0][~padding].sum()
    assert work.supervised == (batch["labels"] != IGNORED).sum()
    assert (work.images, work.encoded) == (2, 2)


def test_a_blank_picture_in_the_padding_is_no_work_that_the_result_needs() -> None:
    batch = pack([[]], [[Statement([5, 6, 7, 8], 2)]], 0, unseen=[9, 9, 9]) | {"pixel_values": torch.zeros(1, 3, 4, 4)}
    work = Work(*work_of(batch).tolist())
    assert (work.tokens, work.pairs, work.padded, work.square) == (4, 4 + 3 + 2 + 1, 7, 49)


def test_plain_rows_are_causal_and_cached_features_pass_no_encoder() -> None:
    batch = {
        "input_ids": torch.zeros(2, 4, dtype=torch.long),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
        "labels": torch.tensor([[IGNORED, IGNORED, 1, 1], [IGNORED, 1, IGNORED, IGNORED]]),
        "encoder_features": {"clip": torch.zeros(2, 5, 3)},
    }
    assert work_of(batch).tolist() == [6, 8, 10 + 3, 32, 3, 2, 0]
    whole = {name: value for name, value in batch.items() if name != "attention_mask"}
    assert work_of(whole).tolist() == [8, 8, 20, 32, 3, 2, 0]


def test_a_seven_billion_model_costs_what_the_formula_says() -> None:
    """By hand: 6.476e9 weights in 32 layers, 131e6 in the head, 32 * 4096 channels of attention."""
    costs = Costs(6.476e9, 0.32e9, 131e6, False, 4 * 32 * 4096)
    work = Work(tokens=1000, padded=1200, pairs=400_000, square=1_440_000, supervised=20, images=0, encoded=0)
    expected = 4 * 6.476e9 * 1000 + 6 * 0.32e9 * 1000 + 4 * 131e6 * 20 + 12 * 32 * 4096 * 400_000
    assert model_flops(costs, work) == pytest.approx(expected)
    assert passes(False) == 2 and passes(True) == 3 and passes(False, again=True) == 3


def test_other_families_are_counted_without_their_encoders() -> None:
    config = LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, vocab_size=50
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    costs = costs_of(model)
    assert costs == Costs(0, 2 * (4 * 64 * 64 + 3 * 64 * 128), 50 * 64, True, 4 * 2 * 64)
    assert costs_of(nn.Linear(3, 3)) is None


def test_counting_builds_models_whole_under_zero_3(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = load_model(model_path)
    expected = costs_of(model)
    cost._image_flops.cache_clear()
    split = SimpleNamespace(is_zero3=lambda: True)
    monkeypatch.setattr(cost.integration, "_hf_deepspeed_config_weak_ref", lambda: split)
    assert costs_of(model) == expected
    assert cost.integration.is_deepspeed_zero3_enabled()


def test_of_experts_only_those_in_use_count() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=4,
        vocab_size=50, num_local_experts=8, num_experts_per_tok=2,
    )  # fmt: skip
    with torch.device("meta"):
        costs = costs_of(MixtralForCausalLM(config))
    assert costs is not None
    assert costs.trainable == 4 * 64 * 64 + 8 * 64 + 2 * 3 * 64 * 128  # attention, router, two experts


def test_the_most_particular_name_of_a_device_wins() -> None:
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("NVIDIA H200", tflops=500) == 500e12
    assert peak_flops("cpu") is None


@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_what_autograd_keeps(checkpointing: bool) -> None:
    config = LlamaConfig(
        hidden_size=256, intermediate_size=688, num_hidden_layers=4, num_attention_heads=4, vocab_size=100
    )
    model = LlamaForCausalLM(config).train()
    model.config.use_cache = False
    if checkpointing:
        model.activation_checkpointing_enable()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, tuple[int, Tensor]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model(inputs_embeds=torch.randn(2, 64, 256, requires_grad=True))
    depth = Depth(layers=4, width=256, inner=688, vocabulary=100)
    estimate = activation_memory(depth, tokens=128, supervised=0, activation_bytes=4, checkpointing=checkpointing)
    if checkpointing:  # the one layer that backward computes again is not kept by forward
        estimate -= activation_memory(depth, 128, 0, 4) - activation_memory(replace(depth, layers=3), 128, 0, 4)
    assert sum(size for size, _ in kept.values()) == pytest.approx(estimate, rel=0.1)


def test_zero_divides_the_optimizer_then_gradients_then_weights() -> None:
    depth = Depth(layers=32, width=4096, inner=11008, vocabulary=32000)

    def at(stage: int) -> list[float]:
        memory = estimate_memory(6.7e9, 0.3e9, depth, 2400, 16, frozen_bytes=2, zero_stage=stage, world=4)
        return [memory.weights, memory.gradients, memory.optimizer]

    assert at(0) == pytest.approx([6.7e9 * 2 + 0.3e9 * 4, 1.2e9, 2.4e9])
    for stage in (1, 2, 3):
        shares = [full / part for full, part in zip(at(0), at(stage), strict=True)]
        assert shares == pytest.approx([4 if stage >= 3 else 1, 4 if stage >= 2 else 1, 4])
