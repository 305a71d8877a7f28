"""A result is published only if everything that trained is in its files.

Trackers of comparable projects are full of adapters without their projector, and of tensors of size 0 that ZeRO-3 left
behind. Such a file loads, and what it lacks is taken from the base: nothing fails but the score.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from encoders.parameters import size_of
from spatial.errors import UserError

ADAPTER = "adapter_model.safetensors"


def check_saved(folder: Path, model: nn.Module, learnt: bool) -> None:
    """Hold the files of a saved model against what trained.

    Args:
        folder: where it was saved.
        model: in memory; with ZeRO-3, split.
        learnt: whether at least one step was taken at a learning rate above 0.

    Raises:
        UserError: an adapter lacks a tensor that trained, has an empty or misshapen one, one that is not finite, or a
            ``lora_B`` that is still 0; or a whole model has an empty tensor, one with nan, or fewer numbers than in
            memory. The checkpoints of the run are kept.
    """
    if hasattr(model, "product"):  # saved without the heads that trained beside it
        found = list(_problems_of_model(folder, 0))
    elif (folder / "adapter_config.json").exists():
        found = list(_problems_of_adapter(folder / ADAPTER, model, learnt))
    else:
        found = list(_problems_of_model(folder, sum(size_of(parameter) for parameter in model.parameters())))
    if found:
        more = f", and {len(found) - 1} more like it" * (len(found) > 1)
        raise UserError(
            f"the saved model is incomplete: {found[0]}{more}; it was not published, and the checkpoints are kept;"
            " with ZeRO-3, use configs/deepspeed/zero2.json"
        )


def saved_name(name: str, adapter: str = "default") -> str:
    """Return the name that PEFT gives a trained parameter in an adapter's file."""
    bare = re.sub(rf"\.(modules_to_save\.)?{re.escape(adapter)}(?=\.|$)", "", name)
    return bare.removesuffix(".weight") if "lora_magnitude_vector" in bare else bare


def _problems_of_adapter(file: Path, model: nn.Module, learnt: bool) -> Iterator[str]:
    if not file.is_file():
        yield f"there is no {file.name}"
        return
    shapes = {
        saved_name(name): tuple(getattr(parameter, "ds_shape", parameter.shape))
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    with safe_open(file, framework="pt") as weights:
        names = set(weights.keys())
        yield from (f"{name} trained but is not in {file.name}" for name in shapes if name not in names)
        for name in sorted(names):
            tensor = weights.get_tensor(name)
            if not tensor.numel() or tuple(tensor.shape) != shapes.get(name, tuple(tensor.shape)):
                yield f"{name} has the shape {tuple(tensor.shape)}"
            elif not torch.isfinite(tensor).all():
                yield f"{name} has numbers that are not finite"
            elif learnt and "lora_B" in name and name in shapes and not tensor.any():
                yield f"{name} is 0 as at the start"


def _problems_of_model(folder: Path, least: int) -> Iterator[str]:
    total = 0
    for file in sorted(folder.rglob("*.safetensors")):  # a pipeline keeps its models in folders
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (no mapping)
                size = math.prod(weights.get_slice(name).get_shape())
                total += size
                if not size:
                    yield f"{name} is empty"
                elif torch.isnan(weights.get_tensor(name).float()).any():
                    yield f"{name} has numbers that are not finite"
    if total < max(1, least):
        yield f"its files hold {total:,} numbers of {least:,}"
