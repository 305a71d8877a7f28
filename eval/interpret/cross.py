"""BLIP for visual question answering as a stack: its question encoder, with the answering decoder as what reads it.

Layers are post-norm. Tokens of the question see each other by self-attention and the picture by cross-attention; keys
and values of the picture are computed once for each picture and layer.

Shapes as in ``eval.interpret.stack``; N image tokens.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eval.interpret.stack import Attend, Prompt, Stack, Tap, float32_at_least, gather
from spatial.errors import CheckpointError


class Seen:
    """The memory of a prompt: keys and values of its picture, made when a layer first asks for them.

    Args:
        image_ND: the picture as the vision encoder sees it.
    """

    def __init__(self, image_ND: Tensor) -> None:
        self.image_ND = image_ND
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def at(self, places_N: Tensor) -> "Seen":
        """Return the memory of some tokens of the prompt, which is that of all."""
        return self

    def of(self, index: int, attention: Any) -> tuple[Tensor, Tensor]:
        """Return keys and values (H, N, d) of the picture for a layer's cross-attention."""
        if index not in self._kept:
            shape = (len(self.image_ND), attention.num_attention_heads, attention.attention_head_size)
            key, value = attention.key(self.image_ND), attention.value(self.image_ND)
            self._kept[index] = key.view(shape).transpose(0, 1), value.view(shape).transpose(0, 1)
        return self._kept[index]


class CrossStack(Stack):
    """The question encoder of a ``BlipForQuestionAnswering``.

    Args:
        model: in eval mode.

    Raises:
        CheckpointError: its layers have no cross-attention.
    """

    kinds = ("q", "k", "v", "z", "attn", "cross_q", "cross_z", "cross", "mlp", "resid")
    causal = False

    def __init__(self, model: Any) -> None:
        self.model = model
        self.encoder = model.text_encoder
        self.layers = len(self.encoder.encoder.layer)
        if not all(hasattr(layer, "crossattention") for layer in self.encoder.encoder.layer):
            raise CheckpointError(f"the question encoder of {type(model).__name__} does not look at the picture")
        self.heads = self.shared_heads = int(self.encoder.config.num_attention_heads)

    def begin(self, ids_T: Tensor, image_ND: Tensor) -> Prompt:
        """Return a prompt of token ids, and a picture as the vision encoder sees it."""
        ids_T = ids_T.clone()
        return Prompt(self.encoder.embeddings(ids_T[None])[0], Seen(image_ND))

    def layer(self, index: int, states_RSD: Tensor, start: int, memory: Seen, attend: Attend, tap: Tap) -> Tensor:
        """Run one layer, see ``Stack.layer``."""
        layer = self.encoder.encoder.layer[index]
        own = layer.attention.self
        heads = (own.num_attention_heads, own.attention_head_size)
        query, key, value = (
            part(states_RSD).unflatten(-1, heads).transpose(1, 2) for part in (own.query, own.key, own.value)
        )
        z_RSHd = gather(attend, tap, (query, key, value), heads[1] ** -0.5)
        states_RSD = _added(layer.attention.output, z_RSHd.flatten(2), states_RSD, "attn", tap)
        looking = layer.crossattention.self
        query = tap("cross_q", looking.query(states_RSD).unflatten(-1, heads))
        z_RSHd = tap("cross_z", _looked(query, *memory.of(index, looking)))
        states_RSD = _added(layer.crossattention.output, z_RSHd.flatten(2), states_RSD, "cross", tap)
        return tap("resid", _added(layer.output, layer.intermediate(states_RSD), states_RSD, "mlp", tap))

    def logits(self, states_RSD: Tensor, tokens: Sequence[int]) -> Tensor:
        """Return logits of the first token of the answer, see ``Stack.logits``."""
        start = torch.full((len(states_RSD), 1), int(self.model.decoder_start_token_id), device=states_RSD.device)
        output = self.model.text_decoder(start, encoder_hidden_states=states_RSD, use_cache=False)
        logits_RV = float32_at_least(output.logits[:, -1])
        return logits_RV[:, list(tokens)] if tokens else logits_RV

    def looks(self, run: Any, layer: int, position: int) -> Tensor:
        """Return how heads look from a token at the picture, see ``Stack.looks``."""
        query_Hd = run.at("cross_q", layer)[position]
        key_HNd, _ = run.prompt.memory.of(layer, self.encoder.encoder.layer[layer].crossattention.self)
        logits_HN = torch.einsum("hd,hnd->hn", query_Hd, key_HNd) * query_Hd.shape[-1] ** -0.5
        return logits_HN.softmax(-1, dtype=torch.float32)

    def module(self, kind: str, layer: int) -> tuple[nn.Module, bool]:
        """Return the module at a site, see ``Stack.module``."""
        own = self.encoder.encoder.layer[layer]
        return {
            "q": (own.attention.self.query, False),
            "k": (own.attention.self.key, False),
            "v": (own.attention.self.value, False),
            "z": (own.attention.output.dense, True),
            "attn": (own.attention.output.dense, False),
            "cross_q": (own.crossattention.self.query, False),
            "cross_z": (own.crossattention.output.dense, True),
            "cross": (own.crossattention.output.dense, False),
            "mlp": (own.output.dense, False),
            "resid": (own, False),
        }[kind]

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the weights, see ``Stack.parameters``."""
        yield from self.encoder.parameters()
        yield from self.model.text_decoder.parameters()

    def forward(self, prompt: Prompt) -> Tensor:
        """Return logits of a plain forward pass, see ``Stack.forward``."""
        image_1ND = prompt.memory.image_ND[None]
        output = self.encoder(encoder_embeds=prompt.states_TD[None], encoder_hidden_states=image_1ND)
        return self.logits(output.last_hidden_state, ())[0]


def _added(part: Any, gathered_RSD: Tensor, before_RSD: Tensor, kind: str, tap: Tap) -> Tensor:
    """Return the norm of states and what a part adds to them; the tap sees what is added."""
    normed: Tensor = part.LayerNorm(tap(kind, part.dense(gathered_RSD)) + before_RSD)
    return normed


def _looked(query_RSHd: Tensor, key_HNd: Tensor, value_HNd: Tensor) -> Tensor:
    """Return what every token gathers from the picture, (R, S, H, d): one product for the tokens of all rows."""
    rows, length, heads, width = query_RSHd.shape
    query_HQd = query_RSHd.permute(2, 0, 1, 3).reshape(heads, rows * length, width)
    z_HQd = nn.functional.scaled_dot_product_attention(query_HQd, key_HNd, value_HNd)
    return z_HQd.unflatten(1, (rows, length)).permute(1, 2, 0, 3)
