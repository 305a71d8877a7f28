"""Change how strongly chosen queries attend to the image, in every layer and head, before the softmax.

- "scale": the attention logits of image columns are multiplied by a number (ScalingVis, arXiv 2503.01773, eq. 3). A
  softmax does not mind a constant added to all logits, but does mind this one: the image as a whole gains or loses
  attention, whichever way the signs of its logits point.
- "temper": the same, and then shifted so that the image as a whole keeps exactly its attention: only its spread over
  the image changes, which is what the word temperature promises.
- "raise": the absolute value of the logits, times a number, is added (PAI, arXiv 2407.21771, eq. 4): the image as a
  whole always gains.

What is asked of the last prompt token changes that token alone: keys and values of every earlier position do not depend
on it. So running it once more on the cache of the others is exact.

The change goes in through Transformers' attention interface, so that it works on any language model that uses it, and
so does whoever wants to know how these queries attend, changed or not (``recorded_attention``).
The mask function is registered along with it: without one, the model would silently lose its causal mask.

Shapes: B batch, H heads, Q queries, N changed queries (the last of them), K keys, D head width.
"""

from collections.abc import Callable, Iterator, Mapping, Set
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

NAME = "vsre_image_attention"


def scaled(logits_BHNK: Tensor, image_B11K: Tensor, factor_B1N1: Tensor) -> Tensor:
    """Return the logits with those of image columns multiplied; the others stay bit-equal."""
    return torch.where(image_B11K, logits_BHNK * factor_B1N1, logits_BHNK)


def tempered(logits_BHNK: Tensor, image_B11K: Tensor, factor_B1N1: Tensor) -> Tensor:
    """Return the logits with those of image columns multiplied and shifted: their log-sum-exp stays what it was."""
    outside = torch.finfo(logits_BHNK.dtype).min
    image = logits_BHNK.masked_fill(~image_B11K, outside)
    multiplied = (logits_BHNK * factor_B1N1).masked_fill(~image_B11K, outside)
    shift = image.logsumexp(-1, keepdim=True) - multiplied.logsumexp(-1, keepdim=True)
    return torch.where(image_B11K, multiplied + shift, logits_BHNK)


def raised(logits_BHNK: Tensor, image_B11K: Tensor, factor_B1N1: Tensor) -> Tensor:
    """Return the logits with their absolute values, times the factor, added on image columns."""
    return torch.where(image_B11K, logits_BHNK + factor_B1N1 * logits_BHNK.abs(), logits_BHNK)


RULES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"scale": scaled, "temper": tempered, "raise": raised}
"""How logits change, and the factor that changes nothing: 1, 1 and 0."""


@dataclass
class _Change:
    rule: Callable[[Tensor, Tensor, Tensor], Tensor]
    image_BK: Tensor
    factor_BN: Tensor
    layers: set[int] = field(default_factory=set)

    def of(self, logits_BHNK: Tensor) -> Tensor:
        image_BK = nn.functional.pad(self.image_BK, (0, logits_BHNK.shape[-1] - self.image_BK.shape[1]))
        return self.rule(logits_BHNK, image_BK[:, None, None], self.factor_BN[:, None, :, None].to(logits_BHNK.dtype))


@dataclass
class _Record:
    count: int
    weights_BHNK: dict[int, Tensor] = field(default_factory=dict)


_CHANGE: ContextVar[_Change | None] = ContextVar("active_change", default=None)
_RECORD: ContextVar[_Record | None] = ContextVar("active_record", default=None)


@contextmanager
def changed_image_attention(
    language_model: nn.Module, rule: str, image_BK: Tensor, factor_BN: Tensor
) -> Iterator[None]:
    """Within this context, the last N queries of every forward of ``language_model`` attend otherwise to the image.

    Args:
        language_model: a decoder of Transformers.
        rule: a name of ``RULES``.
        image_BK: True where the key is an image token; columns beyond it are none.
        factor_BN: of each changed query.

    Raises:
        ValueError: a row has no image token.
        CheckpointError: some layer of the model did not consult the attention interface, so nothing changed there.
    """
    if not image_BK.any(-1).all():
        raise ValueError("a prompt without an image has no image attention to change; drop it or use decoder 'greedy'")
    change = _Change(RULES[rule], image_BK, factor_BN)
    token = _CHANGE.set(change)
    try:
        with _reached(
            language_model, change.layers, "decoders that change attention cannot run on it; use decoder 'greedy'"
        ):
            yield
    finally:
        _CHANGE.reset(token)


@contextmanager
def recorded_attention(language_model: nn.Module, count: int) -> Iterator[Mapping[int, Tensor]]:
    """Within this context, the attention of the last queries of the latest forward is kept; nothing else changes.

    What a context inside this one changes is kept as changed.

    Args:
        language_model: a decoder of Transformers.
        count: N, how many queries; as many as are changed, where some are.

    Yields:
        The weights (B, H, N, K) in float32, by layer.

    Raises:
        CheckpointError: some layer of the model did not consult the attention interface.
    """
    record = _Record(count)
    token = _RECORD.set(record)
    try:
        with _reached(
            language_model, record.weights_BHNK.keys(), "its attention cannot be recorded; 'vsre eval' can ask it"
        ):
            yield record.weights_BHNK
    finally:
        _RECORD.reset(token)


@contextmanager
def _reached(language_model: nn.Module, layers: Set[int], so: str) -> Iterator[None]:
    """Let a model attend through this file, and make sure that each of its layers did."""
    model: Any = language_model
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
    missing = model.config.num_hidden_layers - len(layers)
    if missing:
        raise CheckpointError(
            f"{missing} of {model.config.num_hidden_layers} layers of {type(model).__name__} do not use the attention "
            f"interface of Transformers, so {so}"
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
    """Attend as sdpa does, but for the last N queries where these are changed.

    ``query`` is (B, H, Q, D), ``key`` and ``value`` (B, H / groups, K, D), the mask boolean (B, 1, Q, K) or None where
    every key is seen; the result is (B, Q, H, D).
    """
    change, record = _CHANGE.get(), _RECORD.get()
    if change is None and record is None:
        raise RuntimeError(f"attention {NAME!r} runs only within changed_image_attention or recorded_attention")
    count = change.factor_BN.shape[1] if change else record.count  # type: ignore[union-attr]
    groups = getattr(module, "num_key_value_groups", 1)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    logits_BHNK = query[:, :, -count:] @ repeat_kv(key, groups).transpose(2, 3) * scaling
    if change:
        change.layers.add(module.layer_idx)  # type: ignore[arg-type]
        logits_BHNK = change.of(logits_BHNK)
    if attention_mask is not None:
        logits_BHNK = logits_BHNK.masked_fill(~attention_mask[:, :, -count:], float("-inf"))
    weights_BHNK = logits_BHNK.softmax(-1, dtype=torch.float32)
    if record:
        record.weights_BHNK[module.layer_idx] = weights_BHNK  # type: ignore[index]
    last = (weights_BHNK.to(query.dtype) @ repeat_kv(value, groups)).transpose(1, 2) if change else None
    if last is not None and query.shape[2] == count:
        return last.contiguous(), None
    plain, _ = sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    return (plain if last is None else torch.cat([plain[:, :-count], last], dim=1)), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
