"""Muon for the weight matrices, AdamW for everything else, in one optimizer.

Muon (torch.optim.Muon) gives the momentum of a matrix orthogonal columns before it steps; small transformers that start
from random weights learn from it in a fraction of AdamW's steps. It is meant for matrices inside the network: word
embeddings, output layers, convolutions, norms and biases stay with AdamW. torch's Muon takes matrices only, and Trainer
knows one optimizer only, so here are both under one roof. Muon's steps are scaled to the size of AdamW's
(arXiv 2502.16982, section 2.2), so that one learning rate and one weight decay serve both.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from spatial.errors import ConfigError

IS_MATRICES = "matrices"
"""Under this a group says whether Muon steps it."""

NOT_INSIDE = ("lm_head", "heads")
"""Names of modules that give answers; their matrices are not inside the network."""


class MuonWithAdamW(Optimizer):
    """Step weight matrices with Muon and all other parameters as the AdamW it is made from.

    Args:
        adamw: whose groups, rates and weight decay are taken over.
        matrices: ``id`` of the parameters that Muon shall step; all of them have two dimensions.

    Raises:
        ConfigError: there is none.
    """

    def __init__(self, adamw: AdamW, matrices: set[int]) -> None:
        chosen = [item for group in adamw.param_groups for item in group["params"] if id(item) in matrices]
        if not chosen:
            raise ConfigError("optimizer 'muon' steps matrices of linear layers; none trains here; remove 'optimizer'")
        self._parts = {True: Muon(chosen, adjust_lr_fn="match_rms_adamw"), False: adamw}
        groups = [part for group in adamw.param_groups for part in self._split(group, matrices)]
        super().__init__(groups, adamw.defaults)

    def _split(self, group: dict[str, Any], matrices: set[int]) -> list[dict[str, Any]]:
        shared = {name: group[name] for name in ("lr", "weight_decay")}
        inside = [parameter for parameter in group["params"] if id(parameter) in matrices]
        others = [parameter for parameter in group["params"] if id(parameter) not in matrices]
        halves = [
            {**self._parts[True].defaults, **shared, "params": inside, IS_MATRICES: True},
            {**group, "params": others, IS_MATRICES: False},
        ]
        return [half for half in halves if half["params"]]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Do one step of both; groups and state are those of this optimizer, which checkpoints and schedules see."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for is_matrices, part in self._parts.items():
            part.param_groups = [group for group in self.param_groups if group[IS_MATRICES] == is_matrices]
            part.state = self.state
            part.step()
        return loss


def weight_matrices(model: nn.Module) -> set[int]:
    """Return the ``id`` of the parameters that Muon is meant for: trainable weights of linear layers inside a model."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return {
        id(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.weight.requires_grad
        and id(module.weight) not in embeddings
        and not set(NOT_INSIDE) & set(name.split("."))
    }
