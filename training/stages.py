"""What trains in each stage, and the proof that nothing else does.

Parameter paths are a contract: encoders are under ``vision_tower``, everything trainable of vision under
``multi_modal_projector``, the language model under ``language_model``. A stage is a choice of these prefixes.
Where LoRA may go is decided in ``encoders.adapters``.
"""

from typing import TYPE_CHECKING

from torch import nn

from encoders.adapters import lora_config
from encoders.parameters import PROJECTOR, TOWER
from training.config import LoraSettings, Stage

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def prepare_stage(model: "PreTrainedModel", stage: Stage, lora: LoraSettings) -> "PreTrainedModel | PeftModel":
    """Return the model with exactly the stage's parameters trainable; "finetune" wraps it with adapters.

    Raises:
        ConfigError: the language model has none of the layers that LoRA shall be put on.
    """
    if stage == "pretrain":
        nn.Module.requires_grad_(model, True)
        model.train_towers(True)  # type: ignore[operator]
        return model
    nn.Module.requires_grad_(model, False)
    if stage == "towers":
        model.train_towers(True)  # type: ignore[operator]
        for name, parameter in model.named_parameters():
            if PROJECTOR in name.split("."):
                parameter.requires_grad_(True)
        model.get_input_embeddings().requires_grad_(True)
        return model
    if stage in ("align", "full"):
        for name, parameter in model.named_parameters():
            parts = name.split(".")
            parameter.requires_grad_(PROJECTOR in parts if stage == "align" else TOWER not in parts)
        trained: PreTrainedModel | PeftModel = model
    else:
        trained = _with_lora(model, lora)
    check_towers_frozen(trained)
    return trained


def check_towers_frozen(model: nn.Module) -> None:
    """Assert that no encoder parameter trains and that no adapter sits in an encoder.

    Raises:
        AssertionError: the model breaks the contract of parameter paths.
    """
    for name, parameter in model.named_parameters():
        in_tower = TOWER in name.split(".")
        if in_tower and (parameter.requires_grad or "lora_" in name):
            raise AssertionError(f"{name} would train: encoders are frozen outside stages 'towers' and 'pretrain'")


def _with_lora(model: "PreTrainedModel", lora: LoraSettings) -> "PeftModel":
    from peft import get_peft_model

    return get_peft_model(model, lora_config(model, lora.targets, lora.r, lora.alpha, lora.dropout))
