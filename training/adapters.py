"""The ``lora:`` and ``quantize:`` settings as PEFT and Transformers take them, and going on with an adapter.

What PEFT has beyond rank, scale and targets passes through ``lora.options``, except what would break a promise of this
room: the projector always trains and is saved with the adapter, nothing outside the language model changes, and
``encoders.load.load_model`` gives back, merged, the model that was trained.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from encoders.adapters import lora_config
from encoders.load import base_of, load_adapter, load_model
from encoders.parameters import LANGUAGE, PROJECTOR, TOWER
from spatial.errors import CheckpointError, ConfigError, first_line, nearest
from training.config import LoraSettings

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel
    from transformers import PreTrainedModel

_MERGE = "remove it: such an adapter cannot be merged, and 'load_model' merges"
_TARGETS = "write 'lora.targets' as a regular expression for whole paths, such as '.*layers\\.[0-3]\\..*_proj'"
_ELSEWHERE = "remove it: it would train what is outside the language model"

REFUSED_OPTIONS: dict[str, str] = {
    "r": "set 'lora.r' instead",
    "lora_alpha": "set 'lora.alpha' instead",
    "lora_dropout": "set 'lora.dropout' instead",
    "use_dora": "set 'lora.dora' instead",
    "target_modules": "set 'lora.targets' instead",
    "modules_to_save": "remove it: the projector is saved with every adapter, and nothing else trains as a whole",
    "layers_to_transform": _TARGETS,
    "layers_pattern": _TARGETS,
    "target_parameters": _ELSEWHERE,
    "bias": _ELSEWHERE,
    "layer_replication": "remove it: the merged model would have more layers than its base",
    "trainable_token_indices": "remove it: LoRA leaves the words as they are; stage 'full' trains them",
    "lora_bias": _MERGE,
    "alora_invocation_tokens": _MERGE,
    "arrow_config": _MERGE,
    "use_bdlora": _MERGE,
    "task_type": "remove it: it is known",
    "peft_type": "remove it: it is known",
    "auto_mapping": "remove it: it is known",
    "peft_version": "remove it: it is known",
    "base_model_name_or_path": "set 'model' instead",
    "revision": "set 'model' instead",
    "inference_mode": "remove it: the adapter is trained",
}

STARTS = (True, False, "gaussian", "orthogonal", "pissa", "olora")
"""Values of ``init_lora_weights`` that can be had again from the base alone, as merging an adapter needs them to be."""

_SETTING = {
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "target_modules": "targets",
    "use_dora": "dora",
}
"""Our names of PEFT's fields."""

_INCIDENTAL = ("base_model_name_or_path", "inference_mode", "revision", "auto_mapping", "peft_version", "task_type")

UNQUANTISED = [f"model.{TOWER}", f"model.{PROJECTOR}", "lm_head"]
"""Modules that keep their format, by their whole paths: Transformers passes over names that begin in the middle."""


def check_lora(lora: LoraSettings) -> None:
    """Check ``lora.options`` without any model.

    Raises:
        ConfigError: an unknown option, with the nearest known one, or one that would break a promise.
    """
    from peft import LoraConfig

    known = [entry.name for entry in fields(LoraConfig)]
    for name, value in lora.options.items():
        if name not in known:
            raise ConfigError(f"lora.options.{name} is not a field of peft.LoraConfig{nearest(name, known)}")
        if name in REFUSED_OPTIONS:
            raise ConfigError(f"lora.options.{name} cannot be set; {REFUSED_OPTIONS[name]}")
        if name == "init_lora_weights" and value not in STARTS:
            usable = ", ".join(str(start).lower() for start in STARTS)
            raise ConfigError(
                f"lora.options.init_lora_weights cannot be {value!r}: it cannot be had again from the base alone, as"
                f" loading the adapter needs it; choose from {usable}"
            )


def peft_config(
    model: nn.Module, lora: LoraSettings, language: str = LANGUAGE, projector: Sequence[str] = (PROJECTOR,)
) -> "LoraConfig":
    """Return PEFT's configuration for a model.

    Args:
        model: to be adapted.
        lora: the settings.
        language: name of its language model.
        projector: modules that train whole.

    Raises:
        ConfigError: an option or a target that cannot be used.
    """
    check_lora(lora)
    options = lora.options | {"use_dora": True} if lora.dora else lora.options
    try:
        return lora_config(model, lora.targets, lora.r, lora.alpha, lora.dropout, language, projector, **options)
    except (TypeError, ValueError, ImportError, AttributeError) as error:
        raise ConfigError(f"lora: {first_line(error)}") from error


def with_lora(
    model: "PreTrainedModel", lora: LoraSettings, language: str = LANGUAGE, projector: Sequence[str] = (PROJECTOR,)
) -> "PeftModel":
    """Return a model with adapters on its language model and its projector trainable; arguments as ``peft_config``.

    Raises:
        ConfigError: an option or a target that cannot be used.
    """
    from peft import get_peft_model

    config = peft_config(model, lora, language, projector)
    try:
        return get_peft_model(model, config)
    except (TypeError, ValueError, ImportError) as error:  # options that PEFT refuses only here
        raise ConfigError(f"lora: {first_line(error)}") from error


def check_same_adapter(folder: str, lora: LoraSettings, model: nn.Module | None = None) -> None:
    """Make sure that an adapter directory is what the settings describe, so that going on with it does what they say.

    Args:
        folder: of the adapter.
        lora: the settings.
        model: base of the adapter, without which the targets are not compared.

    Raises:
        ConfigError: names the settings that differ.
        CheckpointError: the directory's configuration cannot be read.
    """
    from peft import PeftConfig

    try:
        held = PeftConfig.from_pretrained(folder).to_dict()
    except (OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"adapter {folder} cannot be read ({first_line(error)}); train it again") from error
    if model is None:
        stand_in = nn.ModuleDict({LANGUAGE: nn.ModuleDict({"layer": nn.Linear(1, 1)})})
        wanted = peft_config(stand_in, replace(lora, targets=["layer"])).to_dict()
        wanted["target_modules"] = held.get("target_modules")
    else:
        wanted = peft_config(model, lora).to_dict()
    differing = [name for name in wanted if name not in _INCIDENTAL and _plain(held.get(name)) != _plain(wanted[name])]
    if differing:
        shown = ", ".join(
            f"{_SETTING.get(name, name)} {_plain(held.get(name))!r}, not {_plain(wanted[name])!r}" for name in differing
        )
        raise ConfigError(
            f"{folder} is an adapter with {shown}; give the same 'lora' to go on training it, or start from its base"
        )


def continued_adapter(
    folder: str, dtype: torch.dtype, lora: LoraSettings, quantize: Mapping[str, Any]
) -> tuple["PeftModel", Any]:
    """Return the model with an adapter of its own, to go on training that adapter, and the processor.

    Raises:
        ConfigError: the adapter was made with other settings.
        CheckpointError: it cannot be loaded.
    """
    model, _ = load_base(str(base_of(Path(folder))), dtype, quantize)
    check_same_adapter(folder, lora, model)
    return load_adapter(model, folder)


def load_base(folder: str, dtype: torch.dtype, quantize: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return a model, quantised if that is asked for, and the processor; raises as ``load_model`` does."""
    model, processor = load_model(folder, dtype, quantization(quantize, dtype))
    if quantize:
        prepare_quantised(model)
    return model, processor


def check_quantize(quantize: Mapping[str, Any], stage: str) -> None:
    """Check ``quantize`` without any model.

    Raises:
        ConfigError: an unknown field, with the nearest known one; neither 4 nor 8 bit; a stage that would train what is
            quantised; or bitsandbytes is not installed.
    """
    if not quantize:
        return
    if stage != "finetune":
        raise ConfigError(f"stage '{stage}' cannot train a quantised language model; remove 'quantize', or 'finetune'")
    known = _quantisation_fields()
    for name in quantize:
        if name not in known:
            raise ConfigError(f"quantize.{name} is not a field of BitsAndBytesConfig{nearest(name, known)}")
    if not (quantize.get("load_in_4bit") or quantize.get("load_in_8bit")):
        raise ConfigError("quantize says not to what; set load_in_4bit or load_in_8bit to true")
    quantization(quantize, torch.bfloat16)
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError("quantize needs bitsandbytes, which is not installed; run 'pip install bitsandbytes'")


def quantization(quantize: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """Return the ``BitsAndBytesConfig`` that quantises the language model's layers alone; ``None`` without settings.

    Args:
        quantize: its fields; ``llm_int8_skip_modules`` are skipped beside ours.
        dtype: in which products are computed, unless ``bnb_4bit_compute_dtype`` says otherwise.

    Raises:
        ConfigError: a field has a value that it does not take.
    """
    if not quantize:
        return None
    from transformers import BitsAndBytesConfig

    skipped = [*UNQUANTISED, *(quantize.get("llm_int8_skip_modules") or [])]
    settings = {"bnb_4bit_compute_dtype": dtype} | dict(quantize) | {"llm_int8_skip_modules": skipped}
    try:
        return BitsAndBytesConfig(**settings)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"quantize: {first_line(error)}") from error


def prepare_quantised(model: "PreTrainedModel") -> None:
    """Keep norms and embeddings of a quantised model in float32, as QLoRA does; the encoders stay as they are.

    Raises:
        AssertionError: something else than the language model is quantised.
    """
    from peft import prepare_model_for_kbit_training

    for name, parameter in model.named_parameters():
        if not parameter.is_floating_point() and LANGUAGE not in name.split("."):
            raise AssertionError(f"{name} is quantised: only the language model's layers may be")
    towers = model.get_submodule(f"model.{TOWER}")
    formats = {name: parameter.dtype for name, parameter in towers.named_parameters()}
    # Trainer itself sees to checkpointing and to gradients of the inputs.
    prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    for name, parameter in towers.named_parameters():
        parameter.data = parameter.data.to(formats[name])


def _quantisation_fields() -> list[str]:
    import inspect

    from transformers import BitsAndBytesConfig

    return [name for name in inspect.signature(BitsAndBytesConfig).parameters if name != "kwargs"]


def _plain(value: Any) -> Any:
    """Return a value as JSON would give it back, order left out where PEFT leaves it to chance."""
    if isinstance(value, set | list | tuple):
        return sorted(value, key=str)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return getattr(value, "value", value)
