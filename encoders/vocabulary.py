"""The tokens of a model on a trained base: the base's own, and ``<image>``."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import AddedToken

from encoders.bases import Base, read_tokenizer
from encoders.chat import IMAGE, settle
from encoders.processing import CHAT_TEMPLATE
from encoders.tokenizer import build_tokenizer
from spatial.errors import CheckpointError

ROUND = 64
"""Grown vocabularies are padded to a multiple of this, which matrix units of GPUs are fast at."""


@dataclass
class Vocabulary:
    """Tokenizer, chat template and size.

    Attributes:
        tokenizer: fast, with ``<image>``, a pad token, and as its end token the one that ends an answer.
        chat_template: of the processor.
        image_token: id of ``<image>``.
        rows: rows of the embeddings, at least as many as the tokenizer has tokens; the base's own if they suffice.
        notes: lines for people.
    """

    tokenizer: Any
    chat_template: str
    image_token: int
    rows: int
    notes: list[str] = field(default_factory=list)


def base_vocabulary(source: str, base: Base, required: bool = True) -> Vocabulary:
    """Return the vocabulary of a model on a base.

    Args:
        source: hub id or directory of the base.
        base: what was read of it.
        required: if not, a base without a tokenizer gets one of the words of our relations, to try things out.

    Raises:
        CheckpointError: the base has no fast tokenizer.
    """
    try:
        tokenizer = read_tokenizer(source)
    except CheckpointError:
        if required:
            raise
        return _stand_in(base)
    notes = []
    if IMAGE not in tokenizer.get_vocab():
        tokenizer.add_tokens([AddedToken(IMAGE, special=True, normalized=False)], special_tokens=True)
        notes.append(f"{IMAGE} added to the vocabulary")
    chat = settle(tokenizer, base.llava)
    notes.append(f"conversations: {chat.note}")
    if chat.end and chat.end != tokenizer.eos_token:
        notes.append(f"answers end in {chat.end}, as its chat template has it, no longer in {tokenizer.eos_token}")
        tokenizer.eos_token = chat.end
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
        notes.append(f"no pad token in the base: {tokenizer.pad_token} pads")
    tokenizer.padding_side = "left"
    tokenizer.chat_template = None  # the processor has it
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    rows, needed = base.text.vocab_size, max(tokenizer.get_vocab().values()) + 1
    if needed > rows:
        rows = -(-needed // ROUND) * ROUND
        notes.append(f"embeddings grown from {base.text.vocab_size:,} to {rows:,} rows, the new ones the mean of all")
    return Vocabulary(tokenizer, chat.template, image, rows, notes)


def _stand_in(base: Base) -> Vocabulary:
    from spatial.vocabulary import words

    tokenizer = build_tokenizer(sorted(words()), base.text.max_position_embeddings)
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    rows = max(base.text.vocab_size, len(tokenizer))
    return Vocabulary(tokenizer, CHAT_TEMPLATE, image, rows, ["no tokenizer in the base: one of our own words"])


def grow(weights: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """Return the weights with more rows in embeddings and head, the new ones the mean of all; others are not copied."""
    grown = dict(weights)
    for name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
        if name in weights and len(weights[name]) < rows:
            old = weights[name]
            mean = old.mean(0, keepdim=True, dtype=torch.float32).to(old.dtype)
            grown[name] = torch.cat([old, mean.expand(rows - len(old), -1)])
    return grown
