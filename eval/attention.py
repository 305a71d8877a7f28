"""Scale how strongly the last prompt token attends to the image (ScalingVis, arXiv 2503.01773, eq. 3).

Only one row of the attention matrix changes: the last query of the prompt, in every layer and head. Its attention
logits on image columns are multiplied by ``alpha`` before the softmax. Keys and values of every earlier position do
not depend on it, and the released code decodes later tokens unscaled.

The change goes in through Transformers' attention interface, so that it works on any language model that uses it.
The mask function is registered along with it: without one, the model would silently lose its causal mask.

Shapes: B batch, H heads, Q queries, K keys, D head width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from spatial.errors import CheckpointError

NAME = "vsre_scaled_image"


@dataclass
class _Scale:
    image_BK: Tensor
    alpha: float
    layers: set[int] = field(default_factory=set)


_ACTIVE: ContextVar[_Scale | None] = ContextVar("active_image_scale", default=None)


def scale_image_logits(logits_BHK: Tensor, image_BK: Tensor, alpha: float) -> Tensor:
    """Multiply the pre-softmax logits of image positions by ``alpha``; the others stay bit-equal.

    Args:
        logits_BHK: attention logits of the last query row.
        image_BK: True where the key is an image token.
        alpha: 1 changes nothing.

    Raises:
        ValueError: a sample has no image token.
    """
    if not image_BK.any(-1).all():
        raise ValueError("a prompt without an image cannot be scaled; drop it or use decoder 'greedy'")
    return torch.where(image_BK[:, None], logits_BHK * alpha, logits_BHK)


@contextmanager
def scaled_image_attention(language_model: nn.Module, image_BK: Tensor, alpha: float) -> Iterator[None]:
    """Within this context, the last query row of every forward of ``language_model`` is scaled on ``image_BK``.

    Raises:
        CheckpointError: some layer of the model did not consult the attention interface, so nothing was scaled there.
    """
    model: Any = language_model
    before = model.config._attn_implementation
    state = _Scale(image_BK, alpha)
    token = _ACTIVE.set(state)
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        _ACTIVE.reset(token)
        model.set_attn_implementation(before)
    missing = model.config.num_hidden_layers - len(state.layers)
    if missing:
        raise CheckpointError(
            f"{missing} of {model.config.num_hidden_layers} layers of {type(model).__name__} do not use the attention "
            "interface of Transformers, so decoders 'scale' and 'adaptvis' cannot run on it; use decoder 'greedy'"
        )


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend as sdpa does, then replace the last row by the scaled one.

    ``query`` is (B, H, Q, D), ``key`` and ``value`` (B, H / groups, K, D), the mask boolean (B, 1, Q, K) or None where
    every key is seen; the result is (B, Q, H, D).
    """
    state = _ACTIVE.get()
    if state is None:
        raise RuntimeError(f"attention {NAME!r} runs only within scaled_image_attention")
    state.layers.add(module.layer_idx)  # type: ignore[arg-type]
    groups = getattr(module, "num_key_value_groups", 1)
    key_BHKD, value_BHKD = repeat_kv(key, groups), repeat_kv(value, groups)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    logits_BHK = (query[:, :, -1:] @ key_BHKD.transpose(2, 3))[:, :, 0] * scaling
    logits_BHK = scale_image_logits(logits_BHK, state.image_BK, state.alpha)
    if attention_mask is not None:
        logits_BHK = logits_BHK.masked_fill(~attention_mask[:, :, -1], float("-inf"))
    weights_BHK = logits_BHK.softmax(-1, dtype=torch.float32).to(query.dtype)
    last = (weights_BHK[:, :, None] @ value_BHKD).transpose(1, 2)
    if query.shape[2] == 1:
        return last.contiguous(), None
    plain, _ = sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    return torch.cat([plain[:, :-1], last], dim=1), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
