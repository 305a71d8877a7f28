"""A model as a stack of layers that can be run one at a time, on any rows of states.

This is what mediation needs to know of a kind of model; one class per kind. A layer is the model's own module: nothing
is computed anew that it computes, but what its tokens attend to is the caller's to say (``Attend``), and what passes
its sites can be looked at and exchanged (``Tap``).

Shapes: R rows, S tokens of each, T tokens of a whole prompt, H heads, G key-value heads, K keys, d width of a head,
D width of the model, V vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from eval.interpret.sites import ATTENDED


class Tap(Protocol):
    """Sees every site that a layer passes, and says what goes on from there."""

    def __call__(self, kind: str, values: Tensor) -> Tensor:
        """Return what goes on in place of ``values``: (R, S, H, d) of headed kinds, (R, S, D) of others."""


class Attend(Protocol):
    """Decides what self-attention gathers."""

    def __call__(self, query_RHSd: Tensor, key_RGSd: Tensor, value_RGSd: Tensor, scaling: float) -> Tensor:
        """Return what the heads gather, (R, S, H, d)."""


@dataclass(frozen=True)
class Prompt:
    """A picture and words, ready for the first layer.

    Attributes:
        states_TD: embedded tokens.
        memory: what layers need beside the states, such as positions, or the picture that they look at.
    """

    states_TD: Tensor
    memory: Any


class Stack(ABC):
    """A model as its layers.

    Attributes:
        layers: how many.
        heads: of self-attention, in each.
        shared_heads: of keys and values; fewer than heads where several share them.
        kinds: kinds of sites that its layers have, a part of ``eval.interpret.sites.KINDS``.
        causal: whether tokens see earlier ones only.
    """

    layers: int
    heads: int
    shared_heads: int
    kinds: tuple[str, ...]
    causal: bool

    def session(self) -> AbstractContextManager[None]:
        """Return the context in which layers are run; the model is as it was afterwards."""
        return nullcontext()

    @abstractmethod
    def layer(self, index: int, states_RSD: Tensor, start: int, memory: Any, attend: Attend, tap: Tap) -> Tensor:
        """Run one layer.

        Args:
            index: of the layer.
            states_RSD: its inputs; the tokens of a prompt from ``start`` on.
            start: position of the first of them.
            memory: of the prompt.
            attend: what self-attention gathers.
            tap: sees the sites.

        Returns:
            Its output (R, S, D), as the tap let it pass.
        """

    @abstractmethod
    def logits(self, states_RSD: Tensor, tokens: Sequence[int]) -> Tensor:
        """Return the logits (R, K) of K tokens as the beginning of the answer, in float32 or finer; none given: all.

        Args:
            states_RSD: outputs of the last layer; the last of S is the last token of the prompt. Where every token
                of the question is read by an answering part, all tokens have to be there.
            tokens: which.
        """

    @abstractmethod
    def looks(self, run: Any, layer: int, position: int) -> Tensor:
        """Return how the heads of a layer look from one token, (H, K) float32, summing to one.

        K are all tokens of the prompt, or of the picture where that is seen by cross-attention.

        Args:
            run: an ``eval.interpret.capture.Captured``.
            layer: of the stack.
            position: of the token.
        """

    @abstractmethod
    def module(self, kind: str, layer: int) -> tuple[nn.Module, bool]:
        """Return the module of the model at a site, and whether the site is its input instead of its output."""

    @abstractmethod
    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the weights that a run may use."""

    @abstractmethod
    def forward(self, prompt: Prompt) -> Tensor:
        """Return the logits (V,) of the first token of the answer by a plain forward pass of the model itself."""


class Whole:
    """Attention among all tokens of each row.

    Args:
        causal: whether a token sees earlier ones only.
    """

    def __init__(self, causal: bool) -> None:
        self.causal = causal

    def __call__(self, query_RHSd: Tensor, key_RGSd: Tensor, value_RGSd: Tensor, scaling: float) -> Tensor:
        """Return what the heads gather, (R, S, H, d)."""
        return nn.functional.scaled_dot_product_attention(
            query_RHSd,
            repeated(key_RGSd, query_RHSd),
            repeated(value_RGSd, query_RHSd),
            is_causal=self.causal,
            scale=scaling,
        ).transpose(1, 2)


class Suffix:
    """Causal attention of a row that differs from a run from a position on, to its earlier tokens and to its own.

    It is fused as that among all tokens is, so softmax is as fine: in the model's own type, of halves in float32.

    Args:
        key_GPd: keys of the P tokens before the row begins.
        value_GPd: their values.
    """

    def __init__(self, key_GPd: Tensor, value_GPd: Tensor) -> None:
        self.key_1GPd, self.value_1GPd = key_GPd[None], value_GPd[None]

    def __call__(self, query_RHSd: Tensor, key_RGSd: Tensor, value_RGSd: Tensor, scaling: float) -> Tensor:
        """Return what the heads gather, (R, S, H, d); R is 1."""
        length, before = query_RHSd.shape[2], self.key_1GPd.shape[2]
        seen_SK = torch.ones(length, before + length, dtype=torch.bool, device=query_RHSd.device).tril(before)
        return nn.functional.scaled_dot_product_attention(
            query_RHSd,
            repeated(torch.cat([self.key_1GPd, key_RGSd], dim=2), query_RHSd),
            repeated(torch.cat([self.value_1GPd, value_RGSd], dim=2), query_RHSd),
            attn_mask=seen_SK,
            scale=scaling,
        ).transpose(1, 2)


class Given:
    """Attention that gathers what was gathered elsewhere: rows are single tokens whose attention is known.

    Args:
        z_RSHd: what the heads gather.
    """

    def __init__(self, z_RSHd: Tensor) -> None:
        self.z_RSHd = z_RSHd

    def __call__(self, query_RHSd: Tensor, key_RGSd: Tensor, value_RGSd: Tensor, scaling: float) -> Tensor:
        """Return what was given."""
        return self.z_RSHd


def gather(attend: Attend, tap: Tap, projected: tuple[Tensor, Tensor, Tensor], scaling: float) -> Tensor:
    """Return what the heads gather, (R, S, H, d), with the sites on the way: queries, keys, values, and z.

    Args:
        attend: decides.
        tap: sees the sites.
        projected: queries (R, H, S, d), keys and values (R, G, S, d).
        scaling: of the products of queries and keys.
    """
    query, key, value = (
        tap(kind, part.transpose(1, 2)).transpose(1, 2) for kind, part in zip(ATTENDED, projected, strict=True)
    )
    return tap("z", attend(query, key, value, scaling))


def repeated(grouped_RGSd: Tensor, query_RHSd: Tensor) -> Tensor:
    """Return keys or values once for each head that shares them."""
    return grouped_RGSd.repeat_interleave(query_RHSd.shape[1] // grouped_RGSd.shape[1], dim=1)


def float32_at_least(values: Tensor) -> Tensor:
    """Return values in float32, or as they are where they are finer."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
