"""Muon for matrices and AdamW for the rest: the same steps as apart, also after a resume, and only where it can be."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW, Muon

from spatial.errors import ConfigError
from training.arguments import build_arguments
from training.config import TrainConfig
from training.muon import MuonWithAdamW, weight_matrices


class Words(nn.Module):
    """An embedding, tied to the output, around a layer with a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 6)
        self.layer = nn.Linear(6, 9)
        self.norm = nn.LayerNorm(9)
        self.conv = nn.Conv2d(1, 2, 3)
        self.frozen = nn.Linear(9, 9).requires_grad_(False)
        self.back = nn.Linear(9, 6, bias=False)
        self.lm_head = nn.Linear(6, 7, bias=False)
        self.lm_head.weight = self.embedding.weight
        self.heads = nn.ModuleDict({"noun": nn.Linear(6, 3)})

    def forward(self, words: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Return a number that depends on every trainable parameter."""
        hidden = self.back(self.frozen(self.norm(self.layer(self.embedding(words)))))
        total: torch.Tensor = self.lm_head(hidden).square().mean() + self.heads["noun"](hidden).square().mean()
        return total + self.conv(pixels).square().mean()


def loss_of(model: Words, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    words = torch.randint(7, (5,), generator=generator)
    found: torch.Tensor = model(words, torch.randn(2, 1, 5, 5, generator=generator))
    return found


def groups_of(model: Words) -> list[dict[str, Any]]:
    """Two groups as Trainer makes them: with and without weight decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
    ]


def both(model: Words) -> MuonWithAdamW:
    return MuonWithAdamW(AdamW(groups_of(model), lr=0.02, betas=(0.9, 0.98)), weight_matrices(model))


def run(model: Words, optimizer: Any, steps: range) -> None:
    for step in steps:
        loss_of(model, step).backward()
        optimizer.step()
        optimizer.zero_grad()


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def model() -> Words:
    torch.manual_seed(0)
    return Words()


def test_matrices_are_those_of_linear_layers_inside_the_model(model: Words) -> None:
    inside = weight_matrices(model)
    assert {name for name, p in model.named_parameters() if id(p) in inside} == {"layer.weight", "back.weight"}


def test_steps_are_those_of_the_two_optimizers_apart(model: Words) -> None:
    apart = deepcopy(model)
    matrices = [apart.layer.weight, apart.back.weight]
    others = [p for p in apart.parameters() if p.requires_grad and all(p is not matrix for matrix in matrices)]
    decays = [{"params": [p for p in others if p.ndim > 1], "weight_decay": 0.1}]
    decays += [{"params": [p for p in others if p.ndim == 1], "weight_decay": 0.0}]
    muon = Muon(matrices, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = AdamW(decays, lr=0.02, betas=(0.9, 0.98))
    for step in range(5):
        loss_of(apart, step).backward()
        for optimizer in (muon, adamw):
            optimizer.step()
            optimizer.zero_grad()
    run(model, both(model), range(5))
    expected = weights(apart)
    for name, tensor in weights(model).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0, msg=name)


def test_a_saved_state_goes_on_to_the_same_weights(model: Words) -> None:
    optimizer = both(model)
    run(model, optimizer, range(3))
    resumed = Words()
    resumed.load_state_dict(weights(model))
    again = both(resumed)
    again.load_state_dict(deepcopy(optimizer.state_dict()))
    run(model, optimizer, range(3, 6))
    run(resumed, again, range(3, 6))
    for name, tensor in weights(resumed).items():
        assert torch.equal(tensor, weights(model)[name]), name


def test_a_schedule_moves_the_rate_of_both(model: Words) -> None:
    optimizer = both(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)
    before = weights(model)
    run(model, optimizer, range(2))
    schedule.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(model).items())


def test_a_model_without_matrices_is_one_line() -> None:
    embedding = nn.Embedding(3, 3)
    with pytest.raises(ConfigError, match="remove 'optimizer'"):
        MuonWithAdamW(AdamW(embedding.parameters()), weight_matrices(embedding))


@pytest.mark.parametrize(
    ("trainer", "mend"),
    [
        ({"deepspeed": "zero2"}, "DeepSpeed and FSDP"),
        ({"fsdp": "full_shard"}, "DeepSpeed and FSDP"),
        ({"optim": "adafactor"}, r"remove trainer\.optim 'adafactor'"),
    ],
)
def test_what_cuts_or_replaces_is_refused_in_one_line(config: TrainConfig, trainer: dict[str, Any], mend: str) -> None:
    with pytest.raises(ConfigError, match=mend):
        build_arguments(replace(config, optimizer="muon", trainer=trainer))
