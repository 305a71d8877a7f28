"""Each stage trains exactly its part; encoders train in pre-training only."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from encoders.adapters import LORA_TARGETS
from encoders.load import load_model
from encoders.parameters import component_of, parameter_counts, parameter_table
from training.config import LoraSettings, Stage
from training.stages import check_towers_frozen, prepare_stage


def staged(model_path: Path, stage: Stage) -> nn.Module:
    model = prepare_stage(load_model(model_path)[0], stage, LoraSettings(r=2, alpha=4))
    return model.train()


def trainable(model: nn.Module) -> set[str]:
    return {component for component, (_, some) in parameter_counts(model).items() if some}


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("pretrain", {"vision_tower.clip", "vision_tower.dinov2", "multi_modal_projector", "language_model"}),
        ("towers", {"vision_tower.clip", "vision_tower.dinov2", "multi_modal_projector", "language_model"}),
        ("full", {"multi_modal_projector", "language_model"}),
        ("align", {"multi_modal_projector"}),
        ("finetune", {"multi_modal_projector", "language_model LoRA"}),
    ],
)
def test_a_stage_trains_its_part_also_in_training_mode(model_path: Path, stage: Stage, expected: set[str]) -> None:
    assert trainable(staged(model_path, stage)) == expected


def test_of_the_language_model_the_tower_stage_trains_the_words_only(model_path: Path) -> None:
    model = staged(model_path, "towers")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name in trained if "language_model" in name} == {"model.language_model.embed_tokens.weight"}


def test_finetuning_trains_the_whole_projector_once(model_path: Path) -> None:
    base = sum(p.numel() for p in load_model(model_path)[0].model.multi_modal_projector.parameters())
    assert parameter_counts(staged(model_path, "finetune"))["multi_modal_projector"] == (base, base)


def test_lora_is_on_all_linear_layers_of_the_language_model_and_nowhere_else(model_path: Path) -> None:
    model = staged(model_path, "finetune")
    adapted = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert len(adapted) == 2 * 7
    assert all(".language_model." in name for name in adapted)


def test_the_lora_pattern_does_not_match_encoders() -> None:
    assert re.fullmatch(LORA_TARGETS, "model.language_model.layers.0.self_attn.q_proj")
    assert not re.fullmatch(LORA_TARGETS, "model.vision_tower.towers.clip.encoder.layers.0.self_attn.q_proj")


def test_a_trainable_encoder_parameter_is_caught(model_path: Path) -> None:
    model = staged(model_path, "align")
    next(p for name, p in model.named_parameters() if "vision_tower" in name).requires_grad_(True)
    with pytest.raises(AssertionError, match="encoders are frozen"):
        check_towers_frozen(model)


def test_components_are_named_by_path() -> None:
    assert component_of("model.vision_tower.towers.clip.x.weight") == "vision_tower.clip"
    assert component_of("base_model.model.model.language_model.layers.0.q_proj.lora_A.default.weight") == (
        "language_model LoRA"
    )
    assert component_of("lm_head.weight") == "lm_head"


def test_the_table_shows_rates_and_what_is_frozen() -> None:
    from rich.console import Console

    console = Console(width=100)
    table = parameter_table({"multi_modal_projector": (10, 10), "language_model": (30, 0)}, {"": 2e-4})
    with console.capture() as shown:
        console.print(table)
    assert "0.0002" in shown.get() and "frozen" in shown.get() and "40" in shown.get()


def test_frozen_encoders_get_no_gradient(model_path: Path) -> None:
    model = staged(model_path, "finetune")
    pixels = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    model.get_base_model().get_image_features(pixels).pooler_output[0].sum().backward()
    graded = {component_of(name) for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert graded == {"multi_modal_projector"}
