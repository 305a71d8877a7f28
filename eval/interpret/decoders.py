"""LLaVA-like models as stacks: any causal decoder of Transformers that attends through its attention interface.

Nothing of a family is written down here. A decoder is asked for its layers; in a layer, the part that has an output
projection of heads is its attention, and the last part that is no norm is its feed-forward part. What a part puts out
is what a hook on it sees, so families that add norms behind their parts are followed, too.

Shapes as in ``eval.interpret.stack``.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from eval.interpret.sites import ATTENDED
from eval.interpret.stack import Attend, Prompt, Stack, Tap, float32_at_least, gather
from eval.tree import check_decoder
from spatial.errors import CheckpointError

NAME = "vsre_staircase"


@dataclass(frozen=True)
class _Asked:
    attend: Attend
    tap: Tap


_ACTIVE: ContextVar[_Asked | None] = ContextVar("active_layer", default=None)


@dataclass(frozen=True)
class Placed:
    """The memory of a prompt: positions, as the rotary embedding takes them.

    Attributes:
        positions: (1, T), or (3, 1, T) of a model whose positions have three parts.
        cos: (..., T, d) of all tokens.
        sin: likewise.
    """

    positions: Tensor
    cos: Tensor
    sin: Tensor

    def of(self, start: int, length: int) -> tuple[Tensor, Tensor]:
        """Return those of a range of tokens."""
        return self.cos[..., start : start + length, :], self.sin[..., start : start + length, :]

    def at(self, places_N: Tensor) -> "Placed":
        """Return the memory of some tokens of the prompt, in any order."""
        return Placed(self.positions[..., places_N], self.cos[..., places_N, :], self.sin[..., places_N, :])


class DecoderStack(Stack):
    """The language model of a LLaVA-like model.

    Args:
        model: with ``get_decoder``, ``get_input_embeddings`` and ``get_output_embeddings``, in eval mode.

    Raises:
        CheckpointError: the decoder is built in a way that cannot be taken apart.
    """

    kinds = ("q", "k", "v", "z", "attn", "mlp", "resid")
    causal = True

    def __init__(self, model: Any) -> None:
        self.decoder = model.get_decoder()
        check_decoder(self.decoder)
        self.embeddings = model.get_input_embeddings()
        self.head = model.get_output_embeddings()
        self.parts = [_parts(layer) for layer in self.decoder.layers]
        self.layers = len(self.parts)
        self.heads = int(self.decoder.config.num_attention_heads)
        self.shared_heads = int(getattr(self.decoder.config, "num_key_value_heads", None) or self.heads)
        missing = [name for name in ("norm", "rotary_emb") if not hasattr(self.decoder, name)]
        if missing:
            raise CheckpointError(f"{type(self.decoder).__name__} has no {missing[0]!r} and cannot be taken apart")

    def begin(self, states_TD: Tensor, positions: Tensor | None = None) -> Prompt:
        """Return a prompt of embedded tokens, image tokens among them.

        Args:
            states_TD: of the tokens.
            positions: (T,), or (3, T) of a model whose positions have three parts; counted from 0 by default.
        """
        if positions is None:
            positions = torch.arange(len(states_TD), device=states_TD.device)
        positions = positions[..., None, :]
        return Prompt(states_TD, Placed(positions, *self.decoder.rotary_emb(states_TD[None], positions)))

    @contextmanager
    def session(self) -> Iterator[None]:
        """Within this context, attention gathers what ``layer`` is told."""
        before = self.decoder.config._attn_implementation
        self.decoder.set_attn_implementation(NAME)
        try:
            yield
        finally:
            self.decoder.set_attn_implementation(before)

    def layer(self, index: int, states_RSD: Tensor, start: int, memory: Placed, attend: Attend, tap: Tap) -> Tensor:
        """Run one layer, see ``Stack.layer``; within a session."""
        token = _ACTIVE.set(_Asked(attend, tap))
        try:
            with ExitStack() as hooks:
                for kind, part in self.parts[index].items():
                    hooks.callback(part.register_forward_hook(_tapped(kind, tap)).remove)
                output = self.decoder.layers[index](
                    states_RSD,
                    attention_mask=None,
                    position_embeddings=memory.of(start, states_RSD.shape[1]),
                    use_cache=False,
                )
        finally:
            _ACTIVE.reset(token)
        return tap("resid", output[0] if isinstance(output, tuple) else output)

    def logits(self, states_RSD: Tensor, tokens: Sequence[int]) -> Tensor:
        """Return logits of the next token after the last, see ``Stack.logits``."""
        last_RD = self.decoder.norm(states_RSD[:, -1])
        if not tokens:
            return float32_at_least(self.head(last_RD))
        rows = torch.tensor(tokens, device=last_RD.device)
        bias = getattr(self.head, "bias", None)
        weight_KD = float32_at_least(self.head.weight[rows])
        return nn.functional.linear(
            float32_at_least(last_RD), weight_KD, None if bias is None else float32_at_least(bias[rows])
        )

    def looks(self, run: Any, layer: int, position: int) -> Tensor:
        """Return how heads look from a token at all tokens, see ``Stack.looks``."""
        query_Hd = run.at("q", layer)[position]
        key_THd = run.at("k", layer)[: position + 1].repeat_interleave(self.heads // self.shared_heads, dim=1)
        scaling = getattr(self.parts[layer]["attn"], "scaling", query_Hd.shape[-1] ** -0.5)
        seen_HT = (torch.einsum("hd,thd->ht", query_Hd, key_THd) * scaling).softmax(-1, dtype=torch.float32)
        return nn.functional.pad(seen_HT, (0, run.length - position - 1))

    def module(self, kind: str, layer: int) -> tuple[nn.Module, bool]:
        """Return the module at a site, see ``Stack.module``; of queries and keys before positions are turned in."""
        if kind == "resid":
            return self.decoder.layers[layer], False
        if kind == "z":
            projection: nn.Module = self.parts[layer]["attn"].get_submodule("o_proj")
            return projection, True
        if kind in ATTENDED:
            return self.parts[layer]["attn"].get_submodule(f"{kind}_proj"), False
        return self.parts[layer][kind], False

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the weights, see ``Stack.parameters``."""
        yield from self.decoder.parameters()
        yield from self.head.parameters()

    def forward(self, prompt: Prompt) -> Tensor:
        """Return logits of a plain forward pass, see ``Stack.forward``."""
        output = self.decoder(
            inputs_embeds=prompt.states_TD[None], position_ids=prompt.memory.positions, use_cache=False
        )
        return float32_at_least(self.head(output.last_hidden_state[0, -1]))


def _parts(layer: nn.Module) -> dict[str, nn.Module]:
    """Return the parts of a layer whose outputs are sites."""
    children = list(layer.named_children())
    attention = [module for _, module in children if hasattr(module, "o_proj")]
    others = [module for name, module in children if module not in attention and "norm" not in name]
    if len(attention) != 1 or not others:
        names = ", ".join(name for name, _ in children)
        raise CheckpointError(f"a {type(layer).__name__} of {names} cannot be taken apart into attention and MLP")
    return {"attn": attention[0], "mlp": others[-1]}


def _tapped(kind: str, tap: Tap) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (tap(kind, output[0]), *output[1:])
        return tap(kind, output)

    return hook


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    asked = _ACTIVE.get()
    if asked is None:
        raise RuntimeError(f"attention {NAME!r} runs only within a layer of a DecoderStack")
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return gather(asked.attend, asked.tap, (query, key, value), scaling), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
