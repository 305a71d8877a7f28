"""Patching as it is defined: the model itself runs once for every cell, and hooks exchange values.

Slow, and what ``eval.interpret.staircase`` is held against. It shares no code with it but the names of the modules.
The two plain runs are made once for all cells, as a careful person would; the published code makes them for each.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from eval.interpret.sites import HEADED, Block, Cell, Patch
from eval.interpret.stack import Prompt, Stack


@torch.no_grad()
def observe(stack: Stack, prompt: Prompt, kinds: Sequence[str]) -> dict[tuple[str, int], Tensor]:
    """Return what passes the sites of a plain forward pass, (T, D) each; heads are side by side."""
    found: dict[tuple[str, int], Tensor] = {}

    def keep(site: tuple[str, int]) -> Callable[[Tensor], Tensor]:
        def kept(passed: Tensor) -> Tensor:
            found[site] = passed[0].clone()
            return passed

        return kept

    with ExitStack() as hooks:
        for kind in kinds:
            for layer in range(stack.layers):
                hooks.enter_context(hooked(stack, kind, layer, keep((kind, layer))))
        stack.forward(prompt)
    return found


@torch.no_grad()
def patched(stack: Stack, prompt: Prompt, values: dict[tuple[str, int], Tensor], cell: Cell) -> Tensor:
    """Return the logits (V,) of one forward pass in which a cell's values are exchanged.

    Args:
        stack: the model.
        prompt: of the run that is changed.
        values: of the other run, from ``observe``.
        cell: what is exchanged.
    """
    with ExitStack() as hooks:
        for patch in cell.patches:
            given = values[patch.kind, patch.layer]
            heads = stack.shared_heads if patch.kind in ("k", "v") else stack.heads
            hooks.enter_context(hooked(stack, patch.kind, patch.layer, _exchange(patch, given, heads)))
        for layer in sorted({block.layer for block in cell.blocks}):
            own = [block for block in cell.blocks if block.layer == layer]
            hooks.enter_context(_blinded(stack, layer, own, len(prompt.states_TD)))
        return stack.forward(prompt)


@contextmanager
def hooked(stack: Stack, kind: str, layer: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within this context, ``change`` says what goes on from a site, (1, T, D)."""
    module, before = stack.module(kind, layer)
    if before:
        handle = module.register_forward_pre_hook(lambda _, inputs: (change(inputs[0]), *inputs[1:]))
    else:
        handle = module.register_forward_hook(lambda _, __, output: _changed(output, change))
    try:
        yield
    finally:
        handle.remove()


def _changed(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)


def _exchange(patch: Patch, given_TD: Tensor, heads: int) -> Callable[[Tensor], Tensor]:
    def change(passed: Tensor) -> Tensor:
        changed = passed.clone()
        places, sources = list(patch.positions), list(patch.sources)
        if patch.heads and patch.kind in HEADED:
            mine, other = changed[0].unflatten(-1, (heads, -1)), given_TD.unflatten(-1, (heads, -1))
            for head in patch.heads:
                mine[places, head] = other[sources, head]
        else:
            changed[0, places] = given_TD[sources]
        return changed

    return change


@contextmanager
def _blinded(stack: Stack, layer: int, blocks: Sequence[Block], length: int) -> Iterator[None]:
    """Within this context, the mask of a layer hides tokens from others."""
    module, _ = stack.module("resid", layer)
    seen = torch.ones(length, length, dtype=torch.bool)
    seen = (seen.tril() if stack.causal else seen).expand(1, stack.heads, -1, -1).clone()
    for block in blocks:
        for head in block.heads or range(stack.heads):
            for place in block.positions:
                seen[0, head, place, [other for other in block.hidden if other != place]] = False
    bias = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)

    def change(_: Any, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        dtype = inputs[0].dtype
        return inputs, named | {"attention_mask": bias.to(inputs[0].device, dtype)}

    handle = module.register_forward_pre_hook(change, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
