"""Attribution patching: what a patch would do, guessed for every site at once from one gradient.

To first order, exchanging a value changes the answer by the product of the change and the gradient of the answer there
(Nanda 2023; Kramar et al., arXiv 2403.00745). Two forward passes and one backward pass do for all sites, so this finds
out where an exact sweep is worth while. It is a guess, and shown with its agreement with exact values only.

For queries and keys the guess fails where softmax is saturated. There the new attention is computed, and only what
follows it is guessed from the gradient ("QK fix", section 3.2 of arXiv 2403.00745).

Shapes as in ``eval.interpret.stack``; X answer, K keys.
"""

from dataclasses import dataclass

import torch
from scipy.stats import spearmanr
from torch import Tensor

from eval.interpret.capture import Captured
from eval.interpret.sites import HEADED
from eval.interpret.stack import Prompt, Stack, repeated

Guesses = dict[tuple[str, int], Tensor]
"""Guessed effect by kind and layer: (T, H) of headed kinds, (T,) of others."""


@dataclass(frozen=True)
class Agreement:
    """How a screen agrees with exact values.

    Attributes:
        count: of cells that were computed exactly.
        spearman: rank correlation; NaN where all values of a side are equal.
        recall: share of the ``top`` largest exact effects, by absolute value, among the ``top`` largest guesses.
        top: how many.
    """

    count: int
    spearman: float
    recall: float
    top: int


def attribute(stack: Stack, base: Prompt, source: Captured, tokens: tuple[int, int]) -> Guesses:
    """Return what exchanging each value of one run for that of another is guessed to change.

    The effect is on the difference of two answers' logits.

    Args:
        stack: the model.
        base: prompt of the run that would be changed.
        source: run whose values would be taken over.
        tokens: with which the two answers begin.
    """
    keep = _Kept()
    attends = [_Explicit(stack.causal) for _ in range(stack.layers)]
    trained = {parameter: parameter.requires_grad for parameter in stack.parameters()}
    for parameter in trained:
        parameter.requires_grad_(False)  # gradients of weights are not wanted
    try:
        with torch.enable_grad(), stack.session():
            states_1TD = base.states_TD[None].detach().requires_grad_()
            for layer in range(stack.layers):
                keep.layer = layer
                states_1TD = stack.layer(layer, states_1TD, 0, base.memory, attends[layer], keep)
            right, wrong = stack.logits(states_1TD, tokens)[0]
            (right - wrong).backward()
    finally:
        for parameter, required in trained.items():
            parameter.requires_grad_(required)
    guesses: Guesses = {}
    for (kind, layer), passed in keep.sites.items():
        if kind in ("q", "k"):
            continue
        product = (source.at(kind, layer) - passed.detach()[0]) * _gradient(passed)[0]
        guesses[kind, layer] = product.sum(-1)
    for layer, attend in enumerate(attends):
        guesses["q", layer] = attend.of_queries(source.at("q", layer))
        guesses["k", layer] = attend.of_keys(source.at("k", layer))
    return guesses


class _Kept:
    """A tap that keeps what passes, with its gradient."""

    layer = 0

    def __init__(self) -> None:
        self.sites: dict[tuple[str, int], Tensor] = {}

    def __call__(self, kind: str, values: Tensor) -> Tensor:
        if not values.requires_grad:
            values = values.detach().requires_grad_()
        values.retain_grad()
        self.sites[kind, self.layer] = values
        return values


class _Explicit:
    """Attention among all tokens of one row, of which logits and weights are kept."""

    def __init__(self, causal: bool) -> None:
        self.causal = causal

    def __call__(self, query_RHSd: Tensor, key_RGSd: Tensor, value_RGSd: Tensor, scaling: float) -> Tensor:
        self.query_HSd, self.key_GSd, self.scaling = query_RHSd[0].detach(), key_RGSd[0].detach(), scaling
        self.weights_RHSK = self._masked(query_RHSd @ repeated(key_RGSd, query_RHSd).mT * scaling).softmax(-1)
        self.weights_RHSK.retain_grad()
        return (self.weights_RHSK @ repeated(value_RGSd, query_RHSd)).transpose(1, 2)

    def of_queries(self, other_THd: Tensor) -> Tensor:
        """Return (T, H): what the attention of each token with its other query is guessed to change."""
        weights_HSK = self._masked(self._products(other_THd.transpose(0, 1), self.key_GSd)).softmax(-1)
        change_HSK = weights_HSK - self.weights_RHSK.detach()[0]
        return (change_HSK * _gradient(self.weights_RHSK)[0]).sum(-1).T

    def of_keys(self, other_TGd: Tensor) -> Tensor:
        """Return (T, G): what the attention of all tokens to the other key of each is guessed to change.

        One logit of a row changes, so the new softmax is the old one, scaled, but at this key.
        """
        gradient_HSK, weight_HSK = _gradient(self.weights_RHSK)[0], self.weights_RHSK.detach()[0]
        other_GTd = other_TGd.transpose(0, 1)
        grown_HSK = self._products(self.query_HSd, other_GTd) - self._products(self.query_HSd, self.key_GSd)
        odds_HSK = self._masked(self._products(self.query_HSd, self.key_GSd)).log_softmax(-1) - torch.log1p(-weight_HSK)
        new_HSK = (odds_HSK + grown_HSK).sigmoid()
        rest_HSK = (1 - weight_HSK).clamp(min=torch.finfo(weight_HSK.dtype).tiny)
        own_HSK = weight_HSK * gradient_HSK
        others_HSK = own_HSK.sum(-1, keepdim=True) - own_HSK
        change_HSK = ((1 - new_HSK) / rest_HSK - 1) * others_HSK + (new_HSK - weight_HSK) * gradient_HSK
        groups = other_TGd.shape[1]
        return change_HSK.sum(1).unflatten(0, (groups, -1)).sum(1).T

    def _products(self, query_HSd: Tensor, key_GKd: Tensor) -> Tensor:
        return query_HSd @ repeated(key_GKd[None], query_HSd[None])[0].mT * self.scaling

    def _masked(self, logits: Tensor) -> Tensor:
        if not self.causal:
            return logits
        later = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).triu(1)
        return logits.masked_fill(later, -torch.inf)


def _gradient(values: Tensor) -> Tensor:
    return torch.zeros_like(values) if values.grad is None else values.grad


def guessed(guesses: Guesses, kind: str, layer: int, positions: tuple[int, ...], heads: tuple[int, ...] = ()) -> float:
    """Return the guess for a patch of several tokens (and heads): the sum of theirs, as it is of first order."""
    own = guesses[kind, layer][list(positions)]
    return float(own[:, list(heads)].sum() if heads and kind in HEADED else own.sum())


def agreement(screen: Tensor, exact: Tensor, top: int = 10) -> Agreement:
    """Return how the guesses of some cells agree with their exact effects.

    Raises:
        ValueError: there are fewer than two cells.
    """
    if len(exact) < 2:
        raise ValueError("agreement needs at least two cells that were computed exactly")
    top = min(top, len(exact))
    found = set(screen.abs().topk(top).indices.tolist()) & set(exact.abs().topk(top).indices.tolist())
    alike = bool((screen == screen[0]).all() or (exact == exact[0]).all())
    correlation = float("nan") if alike else float(spearmanr(screen.tolist(), exact.tolist()).statistic)
    return Agreement(len(exact), correlation, len(found) / top, top)
