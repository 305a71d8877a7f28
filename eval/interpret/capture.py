"""One plain run of a prompt, with everything that passes its sites.

Shapes as in ``eval.interpret.stack``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from eval.interpret.stack import Prompt, Stack, Suffix, Whole


@dataclass(frozen=True)
class Captured:
    """A run.

    Attributes:
        prompt: what was run.
        sites: what passed each site, (T, H, d) of headed kinds and (T, D) of others, by kind and layer.
    """

    prompt: Prompt
    sites: dict[tuple[str, int], Tensor]

    @property
    def length(self) -> int:
        """Number of tokens."""
        return len(self.prompt.states_TD)

    def at(self, kind: str, layer: int) -> Tensor:
        """Return what passed a site, of all tokens."""
        return self.sites[kind, layer]

    def entering(self, layer: int) -> Tensor:
        """Return the states (T, D) that enter a layer."""
        return self.sites["resid", layer - 1] if layer else self.prompt.states_TD


@torch.no_grad()
def capture(stack: Stack, prompt: Prompt) -> Captured:
    """Run a prompt through all layers.

    Args:
        stack: the model.
        prompt: of T tokens.
    """
    sites: dict[tuple[str, int], Tensor] = {}
    states_1TD = prompt.states_TD[None]
    with stack.session():
        for layer in range(stack.layers):
            record = _Record(sites, layer)
            states_1TD = stack.layer(layer, states_1TD, 0, prompt.memory, Whole(stack.causal), record)
    return Captured(prompt, sites)


@torch.no_grad()
def capture_after(stack: Stack, prompt: Prompt, earlier: Captured) -> Captured:
    """Run a prompt whose beginning is that of a run: only from the first token that differs on.

    What precedes a token does not depend on it in a causal model, so the result is that of ``capture``, up to rounding.

    Args:
        stack: the model.
        prompt: of as many tokens as the run, with the same memory.
        earlier: the run.
    """
    differs_T = (prompt.states_TD != earlier.prompt.states_TD).any(-1)
    if not stack.causal or not differs_T.any():
        return earlier if not differs_T.any() else capture(stack, prompt)
    start = int(differs_T.nonzero()[0])
    sites: dict[tuple[str, int], Tensor] = {}
    states_1SD = prompt.states_TD[None, start:]
    with stack.session():
        for layer in range(stack.layers):
            record = _Record(sites, layer, earlier, start)
            key_GPd, value_GPd = (earlier.at(kind, layer)[:start].transpose(0, 1) for kind in ("k", "v"))
            attend = Suffix(key_GPd, value_GPd)
            states_1SD = stack.layer(layer, states_1SD, start, prompt.memory, attend, record)
    return Captured(prompt, sites)


class _Record:
    """A tap that writes down what passes in a layer, behind what an earlier run had at its first tokens."""

    def __init__(
        self, sites: dict[tuple[str, int], Tensor], layer: int, earlier: Captured | None = None, start: int = 0
    ) -> None:
        self.sites, self.layer, self.earlier, self.start = sites, layer, earlier, start

    def __call__(self, kind: str, values: Tensor) -> Tensor:
        before = [self.earlier.at(kind, self.layer)[: self.start]] if self.earlier else []
        self.sites[kind, self.layer] = torch.cat([*before, values[0]]) if before else values[0]
        return values
