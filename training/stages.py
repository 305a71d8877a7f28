"""What trains in each stage, and the proof that nothing else does.

Parameter paths are a contract: encoders are under ``vision_tower``, everything trainable of vision under
``multi_modal_projector``, the language model under ``language_model``. A stage is a choice of these prefixes.
Where LoRA may go is decided in ``encoders.adapters``.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from torch import nn

from encoders.configuration import VsreConfig
from encoders.parameters import PROJECTOR, TOWER, is_under
from spatial.errors import ConfigError, nearest
from training.adapters import with_lora
from training.config import LoraSettings, Stage

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


SHARED_ALIGNER = "channel"
"""The fusion whose one aligner serves all encoders at once, so that none can be aligned by itself."""


def prepare_stage(
    model: "PreTrainedModel", stage: Stage, lora: LoraSettings, encoders: Collection[str] = ()
) -> "PreTrainedModel | PeftModel":
    """Return the model with exactly the stage's parameters trainable; "finetune" wraps it with adapters.

    Args:
        model: without adapters.
        stage: says which.
        lora: of "finetune".
        encoders: of "align": whose part of the projector trains; none: all of it does.

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
    others = [name for name in model.config.vision.plans() if encoders and name not in encoders]
    if others:
        model.model.train_encoders(encoders)
    if stage in ("align", "full"):
        for name, parameter in model.named_parameters():
            parts = name.split(".")
            aligned = PROJECTOR in parts and not _belongs(parts, others)
            parameter.requires_grad_(aligned if stage == "align" else TOWER not in parts)
        trained: PreTrainedModel | PeftModel = model
    else:
        trained = with_lora(model, lora)
    check_towers_frozen(trained)
    return trained


def check_encoders(encoders: Sequence[str], stage: str, model: VsreConfig | None) -> None:
    """Check the encoders that shall be aligned by themselves.

    Args:
        encoders: names; none: nothing to check.
        stage: of the run.
        model: that it starts from; ``None``: not known yet.

    Raises:
        ConfigError: another stage, an encoder that the model does not have, or a fusion with one aligner for all.
    """
    if not encoders:
        return
    if stage != "align":
        raise ConfigError(f"'encoders' chooses aligners in stage 'align'; remove it from stage '{stage}'")
    if model is None:
        return
    known = list(model.vision.plans())
    for name in encoders:
        if name not in known:
            shown = ", ".join(known)
            raise ConfigError(f"'encoders' names {name!r}, but the model has {shown}{nearest(name, known)}")
    if model.fusion == SHARED_ALIGNER and set(encoders) != set(known):
        raise ConfigError(
            "fusion 'channel' has one aligner for all encoders, so none is aligned by itself; remove 'encoders'"
        )


def _belongs(path: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether a parameter of the projector, such as aligners.sam.0.weight, is the branch of one of these encoders.

    What belongs to no encoder (the layers of fusion "resampler", which serve all) is no one's branch.
    """
    inside = path[path.index(PROJECTOR) + 1 :]
    return len(inside) > 1 and inside[1] in others


def check_towers_frozen(model: nn.Module, tower: str = TOWER, projector: Sequence[str] = ()) -> None:
    """Assert that no encoder parameter trains and that no adapter sits in an encoder.

    Args:
        model: about to be trained.
        tower: path of the encoders, from anywhere on.
        projector: modules that lie in the tower and are none of it.

    Raises:
        AssertionError: the model breaks the contract of parameter paths.
    """
    for name, parameter in model.named_parameters():
        in_tower = is_under(name, [tower]) and not is_under(name, projector)
        if in_tower and (parameter.requires_grad or "lora_" in name):
            raise AssertionError(f"{name} would train: encoders are frozen outside stages 'towers' and 'pretrain'")
