"""Weights that are no numbers, as after a training that diverged, are refused before anything is made of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open

from spatial.errors import CheckpointError, first_line

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def check_finite(model: "PreTrainedModel | PeftModel", folder: Path) -> None:
    """Make sure that every weight is a number: with one that is not, all scores would look like those of guessing.

    Raises:
        CheckpointError: one is NaN or infinite; names the first.
    """
    _check_finite(((name, weight) for name, weight in model.named_parameters() if not weight.is_meta), folder)


def check_finite_files(folder: Path) -> None:
    """Make sure of the same, one weight in memory at a time, of the safetensors files of a directory.

    Raises:
        CheckpointError: a weight is NaN or infinite, or a file is damaged.
    """
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                _check_finite(((name, file.get_tensor(name)) for name in file.keys()), folder)  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} is damaged ({first_line(error)}); copy or train it again") from error


def _check_finite(weights: Iterable[tuple[str, torch.Tensor]], folder: Path) -> None:
    for name, weight in weights:
        if weight.is_floating_point() and not weight.isfinite().all():
            raise CheckpointError(
                f"{folder}: the weight {name} is not finite (NaN or infinity), as after a training that diverged;"
                " copy the directory again or train it again"
            )
