"""What passes through to PEFT and to bitsandbytes, what is refused, and that merging gives back what was trained."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from encoders.adapters import lora_config
from encoders.load import base_of, load_adapter, load_model
from spatial.errors import ConfigError
from training.adapters import UNQUANTISED, check_lora, check_quantize, quantization
from training.arguments import check_trainer
from training.config import LoraSettings, TrainConfig
from training.parts import Parts, build_parts
from training.run import check, train


def logits(model: nn.Module, processor: Any) -> torch.Tensor:
    """Return the model's logits [1, L, vocabulary] for one picture and a few words."""
    ids = torch.tensor([[processor.image_token_id] * processor.num_image_tokens + [5, 6, 7, 8]])
    pixels = torch.arange(3 * 32 * 32, dtype=torch.uint8).reshape(1, 3, 32, 32)
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=ids, pixel_values=pixels).logits
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {"dora": True},
        pytest.param({"options": {"use_rslora": True}}, marks=pytest.mark.slow),
        pytest.param({"options": {"init_lora_weights": "pissa"}}, marks=pytest.mark.slow),
        pytest.param({"options": {"init_lora_weights": "olora"}}, marks=pytest.mark.slow),
        pytest.param({"options": {"init_lora_weights": "orthogonal"}}, marks=pytest.mark.slow),
        pytest.param({"options": {"init_lora_weights": "gaussian"}}, marks=pytest.mark.slow),
        pytest.param({"options": {"exclude_modules": ["down_proj"]}}, marks=pytest.mark.slow),
        pytest.param(
            {"options": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 16}}}, marks=pytest.mark.slow
        ),
    ],
    ids=["dora", "rslora", "pissa", "olora", "orthogonal", "gaussian", "excluded", "patterns"],
)
def test_merged_is_what_was_trained(
    config: TrainConfig, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Parts] = []

    def build(*given: Any) -> Parts:
        built.append(build_parts(*given))
        return built[-1]

    monkeypatch.setattr("training.run.build_parts", build)
    trainer = config.trainer | {"max_steps": 3, "learning_rate": 1e-2}
    lora = LoraSettings(r=4, alpha=8, dropout=0.0, **settings)
    out = train(replace(config, stage="finetune", lora=lora, trainer=trainer))
    merged, processor = load_model(out)
    again, _ = load_adapter(load_model(base_of(out))[0], out)
    base, _ = load_model(config.model)
    found, trained, wanted, before = (logits(model, processor) for model in (merged, built[0].model, again, base))
    assert torch.allclose(found, trained, atol=1e-5) and torch.allclose(found, wanted, atol=1e-5)
    assert not torch.allclose(found, before, atol=1e-2)
    magnitudes = [name for name in load_file(out / "adapter_model.safetensors") if "lora_magnitude_vector" in name]
    assert len(magnitudes) == 14 * lora.dora and all("language_model" in name for name in magnitudes)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"use_rslor": True}, "did you mean 'use_rslora'"),
        ({"r": 8}, "set 'lora.r' instead"),
        ({"use_dora": True}, "set 'lora.dora' instead"),
        ({"target_modules": ["q_proj"]}, "set 'lora.targets' instead"),
        ({"modules_to_save": ["lm_head"]}, "the projector is saved with every adapter"),
        ({"layers_to_transform": [0]}, "regular expression"),
        ({"bias": "all"}, "outside the language model"),
        ({"lora_bias": True}, "cannot be merged"),
        ({"init_lora_weights": "pissa_niter_4"}, "cannot be had again from the base alone"),
        ({"init_lora_weights": "eva"}, "choose from true, false, gaussian"),
    ],
)
def test_an_option_that_would_break_a_promise_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check_lora(LoraSettings(options=options))


def test_a_value_that_peft_refuses_is_one_line(config: TrainConfig) -> None:
    lora = LoraSettings(r=4, alpha=8, options={"rank_pattern": {"q_proj": -1}})
    with pytest.raises(ConfigError, match=r"^lora: ") as caught:
        train(replace(config, stage="finetune", lora=lora))
    assert "\n" not in str(caught.value)


def test_quantisation_leaves_encoders_projector_and_head_alone(model_path: Path) -> None:
    chosen = quantization({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, torch.bfloat16)
    assert chosen.load_in_4bit and chosen.bnb_4bit_quant_type == "nf4"
    assert chosen.bnb_4bit_compute_dtype == torch.bfloat16
    from transformers.quantizers.quantizers_utils import should_convert_module

    model, _ = load_model(model_path)
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    quantised = {name for name in linear if should_convert_module(name, chosen.llm_int8_skip_modules)}
    assert quantised and quantised == {name for name in linear if "language_model" in name}
    own = quantization({"load_in_8bit": True, "llm_int8_skip_modules": ["o_proj"]}, torch.float32)
    assert own.llm_int8_skip_modules == [*UNQUANTISED, "o_proj"]
    assert quantization({}, torch.float32) is None


@pytest.mark.parametrize(
    ("quantize", "complaint"),
    [
        ({"load_in_4bits": True}, "did you mean 'load_in_4bit'"),
        ({"bnb_4bit_quant_type": "nf4"}, "set load_in_4bit or load_in_8bit"),
        ({"load_in_4bit": True, "bnb_4bit_compute_dtype": "bfloat61"}, r"^quantize: "),
        ({"load_in_4bit": True, "load_in_8bit": True}, r"^quantize: "),
    ],
)
def test_a_quantisation_that_cannot_be_is_refused(quantize: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check_quantize(quantize, "finetune")


def test_quantisation_is_for_finetuning_and_names_what_is_to_be_installed(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="stage 'full' cannot train a quantised"):
        check_quantize({"load_in_4bit": True}, "full")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(ConfigError, match="run 'pip install bitsandbytes'"):
        check(replace(config, stage="finetune", quantize={"load_in_4bit": True}))


def test_a_quantised_base_learns_an_adapter(config: TrainConfig) -> None:
    pytest.importorskip("bitsandbytes")
    quantize = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    trainer = config.trainer | {"max_steps": 3}
    out = train(replace(config, stage="finetune", quantize=quantize, trainer=trainer))
    more = train(replace(config, stage="finetune", quantize=quantize, trainer=trainer, model=str(out), out=f"{out}-2"))
    model, processor = load_model(more)
    assert logits(model, processor).isfinite().all()


def test_fsdp_and_loggers_are_fields_of_the_trainer(config: TrainConfig) -> None:
    given = {
        "fsdp": "full_shard auto_wrap",
        "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]},
        "report_to": ["wandb", "tensorboard"],
        "run_name": "turn-g",
    }
    assert check_trainer(replace(config, trainer=given)) == given


def test_the_targets_stay_in_the_language_model_whatever_the_options(model_path: Path) -> None:
    model, _ = load_model(model_path)
    config = lora_config(model, use_dora=True, rank_pattern={"q_proj": 2})
    assert config.modules_to_save == ["multi_modal_projector"] and "language_model" in str(config.target_modules)
