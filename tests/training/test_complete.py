"""A result that lacks something of what trained is not published, and its checkpoints stay."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from spatial.errors import UserError
from training.arguments import build_arguments
from training.complete import check_saved, saved_name
from training.config import TrainConfig
from training.output import CHECKPOINTS
from training.parts import load_trainable
from training.run import train


@pytest.fixture
def adapted(config: TrainConfig) -> tuple[Path, nn.Module]:
    """An adapter as a run left it, and a model with what should be in it."""
    given = replace(config, stage="finetune", trainer=config.trainer | {"max_steps": 3})
    return train(given), load_trainable(given, build_arguments(given))[0]


def test_an_adapter_that_lacks_something_is_not_published(adapted: tuple[Path, nn.Module]) -> None:
    folder, model = adapted
    file = folder / "adapter_model.safetensors"
    whole = load_file(file)
    trained = {saved_name(name) for name, p in model.named_parameters() if p.requires_grad}
    assert trained == whole.keys()
    check_saved(folder, model, learnt=True)
    projector = next(name for name in whole if "multi_modal_projector" in name)
    last = next(name for name in whole if "lora_B" in name)
    damages: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
        (lambda w: w.pop(projector), f"{projector} trained but is not in"),
        (lambda w: w.update({projector: torch.zeros(0)}), rf"{projector} has the shape \(0,\)"),
        (lambda w: w.update({last: w[last] * float("nan")}), f"{last} has numbers that are not finite"),
        (lambda w: w.update({last: w[last] * 0}), f"{last} is 0 as at the start"),
    ]
    for damage, message in damages:
        weights = dict(whole)
        damage(weights)
        save_file(weights, file)
        with pytest.raises(UserError, match=f"incomplete: {message}"):
            check_saved(folder, model, learnt=True)
    check_saved(folder, model, learnt=False)
    file.unlink()
    with pytest.raises(UserError, match=r"there is no adapter_model.safetensors"):
        check_saved(folder, model, learnt=True)


def test_a_run_with_an_incomplete_result_keeps_its_checkpoints(config: TrainConfig, monkeypatch: Any) -> None:
    from transformers import Trainer

    monkeypatch.setattr(Trainer, "save_model", lambda self, folder=None, **_: _save_without_weights(folder))
    with pytest.raises(UserError, match="it was not published, and the checkpoints are kept"):
        train(replace(config, stage="finetune", trainer=config.trainer | {"save_strategy": "no", "max_steps": 3}))
    assert (Path(config.out) / CHECKPOINTS).is_dir()
    assert not (Path(config.out) / "training.json").exists()
    assert not (Path(config.out) / "adapter_config.json").exists()


def _save_without_weights(folder: Any) -> None:
    Path(folder).mkdir(parents=True)
    (Path(folder) / "adapter_config.json").write_text("{}")
    save_file({}, Path(folder) / "adapter_model.safetensors")


def test_a_whole_model_with_empty_tensors_is_not_published(tmp_path: Path) -> None:
    model = nn.ModuleDict({"language_model": nn.Linear(3, 2), "multi_modal_projector": nn.Linear(2, 2)})
    save_file(dict(model.state_dict()), tmp_path / "model.safetensors")
    check_saved(tmp_path, model, learnt=True)
    save_file(model.state_dict() | {"language_model.weight": torch.zeros(0)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"language_model.weight is empty, and 1 more"):
        check_saved(tmp_path, model, learnt=True)
