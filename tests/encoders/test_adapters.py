"""LoRA lands in the language model and nowhere else, and the adapter directory always holds the projector."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from encoders import VSRE_ENCODERS
from encoders.adapters import LORA_TARGETS, lora_config, target_pattern
from encoders.load import load_model
from spatial.errors import ConfigError

LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def adapted(model: torch.nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if hasattr(module, "lora_A")}


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("all-linear", LINEAR),
        (["q_proj"], {"q_proj"}),
        (["q_proj", "v_proj"], {"q_proj", "v_proj"}),
        (["self_attn.q_proj", "down_proj"], {"q_proj", "down_proj"}),
        (r".*\.(q|k)_proj", {"q_proj", "k_proj"}),
        (r".*_proj|.*fc1", LINEAR),
        (["q_proj", "lm_head"], {"q_proj", "lm_head"}),
        (["lm_head"], {"lm_head"}),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
@pytest.mark.filterwarnings("ignore:.*tie")
def test_every_way_of_naming_layers_means_the_language_model(
    build: Any, tmp_path: Path, targets: Any, expected: set[str]
) -> None:
    model, _ = build(tuple(VSRE_ENCODERS))
    tuned = get_peft_model(model, lora_config(model, targets, r=2, alpha=4))
    tuned.train()
    found = adapted(tuned)
    assert {name.rpartition(".")[2] for name in found} == expected
    assert all(".language_model." in name or name.endswith(".lm_head") for name in found)
    trained = {name for name, parameter in tuned.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name or "multi_modal_projector" in name for name in trained)
    tuned.save_pretrained(tmp_path, save_embedding_layers=False)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    projector = {name for name, _ in build(tuple(VSRE_ENCODERS))[0].model.multi_modal_projector.named_parameters()}
    assert {name.partition("multi_modal_projector.")[2] for name in saved if "multi_modal" in name} == projector
    assert not [name for name in saved if "vision_tower" in name]
    assert json.loads((tmp_path / "adapter_config.json").read_text())["modules_to_save"] == ["multi_modal_projector"]


def test_one_layer_by_its_whole_path(build: Any) -> None:
    model, _ = build()
    layer = "model.language_model.layers.1.mlp.up_proj"
    assert adapted(get_peft_model(model, lora_config(model, [layer], r=2))) == {f"base_model.model.{layer}"}


def test_all_linear_layers_of_a_llama_have_the_pattern_of_earlier_adapters(build: Any) -> None:
    model, _ = build()
    config = lora_config(model)
    assert config.target_modules == LORA_TARGETS and (config.r, config.lora_alpha, config.lora_dropout) == (
        128,
        256,
        0.05,
    )
    assert config.task_type == "CAUSAL_LM" and config.modules_to_save == ["multi_modal_projector"]
    model.model.language_model.extra = torch.nn.Linear(2, 2)  # another family of language models
    pattern = target_pattern(model, "all-linear")
    matched = {name for name, _ in model.named_modules() if re.fullmatch(pattern, name)}
    assert len(matched) == 2 * 7 + 1 and all("language_model" in name for name in matched)


def test_more_can_be_saved_but_never_less_than_the_projector(build: Any) -> None:
    model, _ = build()
    config = lora_config(model, ["q_proj"], modules_to_save=["embed_tokens"], use_rslora=True)
    assert config.modules_to_save == ["multi_modal_projector", "embed_tokens"] and config.use_rslora


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["fc1"], "'fc1' is no linear layer of the language model; choose from down_proj"),
        (["q_porj"], "did you mean 'q_proj'"),
        ([], "nothing to adapt"),
        ("q_proj", "give a list"),
        (r".*vision_tower.*q_proj", "matches no whole path in the language model"),
        ("(", "no regular expression"),
    ],
)
def test_targets_outside_of_the_language_model_are_named(build: Any, targets: Any, message: str) -> None:
    model, _ = build()
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        lora_config(model, targets)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj"], ["qkv"]], ids=str)
@pytest.mark.parametrize("mode", [True, False])
def test_adapters_that_peft_put_into_a_tower_are_refused_with_the_mend(build: Any, targets: Any, mode: bool) -> None:
    model, _ = build(tuple(VSRE_ENCODERS))
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=targets))
    with pytest.raises(ConfigError, match=r"adapters are in the frozen encoders.*lora_config\(model") as caught:
        tuned.train(mode)
    assert "\n" not in str(caught.value)


def test_a_loaded_adapter_with_layers_in_a_tower_is_refused(build: Any, tmp_path: Path) -> None:
    model, processor = build()
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    tuned = get_peft_model(load_model(tmp_path / "base")[0], LoraConfig(r=2, target_modules=["q_proj"]))
    tuned.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    with pytest.raises(ConfigError, match="adapters are in the frozen encoders"):
        PeftModel.from_pretrained(load_model(tmp_path / "base")[0], tmp_path / "adapter")


def test_towers_that_train_may_have_adapters(build: Any) -> None:
    model, _ = build()
    model.train_towers(True)
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
    assert any("vision_tower" in name for name in adapted(tuned.train()))
