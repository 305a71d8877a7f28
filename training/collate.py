"""Pack all statements about an image behind one image prefix.

A prompt is ``user: <image>{text} assistant: {answer}<eos>``. The part up to the image is the same for every
statement, and by far the longest, so it is computed once and the statements follow it side by side:

    prefix | statement 1 | statement 2 | ... | padding

A block mask lets a statement see the prefix and its own earlier tokens only, and its positions continue after the
prefix as if it were alone; hidden states, losses and gradients are those of separate rows, up to rounding. (Plain
concatenation would let a statement read the answers before it.)

A conversation of several turns (``Dialogue``) is one statement of several answers, each of them learnt with the turns
before it in sight. In the loss, "a statement" is then a turn: a run of supervised positions after a question.

A row without an image has no prefix. In a batch without any image, encoders and projector would not run: ranks that
wait for their gradients, or for a share of their weights (ZeRO-3), would wait for ever. There the tokens of a blank
picture stand in the padding of the first row, where nobody sees them and no gradient comes from.

Shapes: B images, S positions (the longest packed row), V what the processor makes of an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from encoders.cache import FeatureCache
from spatial.errors import RecordError
from spatial.templates import Prompt
from training.examples import Dialogue, Example
from training.turns import Statement, tokenise

IGNORED = -100
"""Label of a position that is not supervised, as Hugging Face losses expect it."""

PREFIX, PADDING = 0, -1
"""Segment numbers; statements count from 1."""


@dataclass(frozen=True)
class Sizes:
    """What a model takes.

    Attributes:
        image_tokens: placeholders that stand for one image.
        image_token: id of the placeholder.
        positions: the longest row that the language model was made for.
    """

    image_tokens: int
    image_token: int
    positions: int

    def check(
        self,
        examples: Sequence[Example],
        prefixes: Sequence[Sequence[int]],
        rows: Sequence[Sequence[Statement]],
    ) -> None:
        """Compare packed rows with what the model takes; nothing is ever cut.

        Raises:
            RecordError: a row has not the placeholders that its image needs, or is too long.
        """
        for example, prefix, row in zip(examples, prefixes, rows, strict=True):
            wanted = self.image_tokens if example.pictured else 0
            for prompt, statement in zip(example.prompts, row, strict=True):
                found = list(prefix).count(self.image_token) + statement.ids.count(self.image_token)
                if found != wanted:
                    raise RecordError(
                        f"{name_of(example, prompt)} has {found} image tokens, and the model puts {wanted} there;"
                        " take the processor that the model was saved with, and no image token into a text"
                    )
                length = len(prefix) + len(statement.ids)
                if length > self.positions:
                    raise RecordError(too_long(name_of(example, prompt), length, len(prefix), self.positions))


def name_of(example: Example, prompt: Prompt | Dialogue) -> str:
    """Return the name of what is said about an image, for an error."""
    if isinstance(prompt, Dialogue):
        return f"row {prompt.name!r}"
    return f"{prompt.text[:60]!r} about image {example.image_id}"


def too_long(name: str, length: int, prefix: int, positions: int) -> str:
    """Return what to say of a row that is too long. Rows side by side do not add up: each counts from the image on."""
    return (
        f"{name} has {length} tokens, {prefix} of them before the text, and the model was made for {positions};"
        " shorten or split it, or remove it"
    )


class PrefixCollator:
    """Turn examples into one batch for a Llava-like model.

    Args:
        processor: has a fast ``tokenizer`` with an eos token, an ``image_token``, and a chat template that puts the
            image before the text.
        features: of the examples' images, to be shipped instead of pixels; the processor is then one of ours.
        sizes: what the model takes, to be held against every row; ``None``: nothing is.

    Raises:
        ValueError: the tokenizer is not fast, and would keep the device waiting.
    """

    def __init__(self, processor: Any, features: FeatureCache | None = None, sizes: Sizes | None = None) -> None:
        if not processor.tokenizer.is_fast:
            raise ValueError("packing needs a fast tokenizer; save the model's processor with one")
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.features = features
        self.sizes = sizes

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return a batch of packed rows.

        Returns:
            input_ids (B, S): prefix, statements, padding.
            attention_mask (B, 1, S, S): bool, True where a query (row) sees a key (column).
            position_ids (B, S): restarted after the prefix for every statement.
            labels (B, S): the token itself on answers and their eos, else ``IGNORED``.
            pixel_values (I, V): as the processor makes them, and whatever else it makes of images; or
            encoder_features: {encoder: (I, tokens, channels)} where they are cached. I are the rows with an image; in
            a batch without any it is one blank image.

        Raises:
            CheckpointError: a token reaches across the border of a prompt and its answer.
            RecordError: a row does not fit the model.
        """
        told = [prompt for example in examples for prompt in example.prompts]
        prefix, statements = tokenise(self.processor, told)
        ends = [0, *accumulate(len(e.prompts) for e in examples)]
        rows = [statements[start:end] for start, end in pairwise(ends)]
        pictured = [example for example in examples if example.pictured]
        seen = self._seen(pictured, prefix) if pictured else self._blank()
        ids = seen.pop("input_ids")
        each = iter(ids if pictured else ())
        prefixes = [list(next(each)) if example.pictured else [] for example in examples]
        if self.sizes is not None:
            self.sizes.check(examples, prefixes, rows)
        return pack(prefixes, rows, self.tokenizer.pad_token_id or 0, () if pictured else ids[0]) | seen

    def _blank(self) -> dict[str, Any]:
        """Return what ``_seen`` would of a picture that shows nothing."""
        if self.features is None:
            return self._seen([Example(Image.new("RGB", (32, 32)), ())], self.processor.image_token)
        nothing = {
            name: torch.zeros(1, cache.key.tokens, cache.key.channels, dtype=getattr(torch, cache.key.dtype))
            for name, cache in self.features.encoders.items()
        }
        expanded = self.processor.replace_image_token({}, 0)
        return {"input_ids": self.tokenizer([expanded])["input_ids"], "encoder_features": nothing}

    def _seen(self, examples: Sequence[Example], prefix: str) -> dict[str, Any]:
        """Return "input_ids" of the prefix with its image tokens, per example, and what the model sees of images."""
        if self.features is not None:
            expanded = prefix.replace(self.processor.image_token, self.processor.replace_image_token({}, 0))
            ids = self.tokenizer([expanded] * len(examples))["input_ids"]
            return {"input_ids": ids, "encoder_features": self.features.read([e.image_id for e in examples])}
        seen = dict(self.processor(images=[e.image for e in examples], text=[prefix] * len(examples), padding=False))
        for of_text in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
            seen.pop(of_text, None)
        ids = seen.pop("input_ids")
        return {"input_ids": ids} | {name: torch.as_tensor(_stacked(value)) for name, value in seen.items()}


def pack(
    prefixes: Sequence[Sequence[int]], rows: Sequence[Sequence[Statement]], pad: int, unseen: Sequence[int] = ()
) -> dict[str, Tensor]:
    """Lay out prefixes and their statements as ``PrefixCollator`` describes.

    Args:
        prefixes: token ids per image, the image's placeholder tokens included; empty where there is no image.
        rows: the statements of each image.
        pad: token id that fills short rows.
        unseen: token ids that stand in the padding of the first row, at position 0 as all padding does.
    """
    ids, labels, positions, segments = [], [], [], []
    for prefix, row in zip(prefixes, rows, strict=True):
        start = len(prefix)
        ids.append([*prefix, *chain.from_iterable(s.ids for s in row)])
        labels.append([IGNORED] * start + list(chain.from_iterable(_labels(s) for s in row)))
        positions.append([*range(start), *chain.from_iterable(range(start, start + len(s.ids)) for s in row)])
        segments.append([PREFIX] * start + [number for number, s in enumerate(row, 1) for _ in s.ids])
    ids[0] += unseen
    labels[0] += [IGNORED] * len(unseen)
    positions[0] += [0] * len(unseen)
    segments[0] += [PADDING] * len(unseen)
    segment_BS = _padded(segments, PADDING)
    return {
        "input_ids": _padded(ids, pad),
        "attention_mask": block_mask(segment_BS),
        "position_ids": _padded(positions, 0),
        "labels": _padded(labels, IGNORED),
    }


def block_mask(segment_BS: Tensor) -> Tensor:
    """Return the mask (B, 1, S, S): causal, and each segment sees itself and the prefix only.

    Padding sees itself too, so that no softmax is over nothing; nobody else sees padding, which comes last.
    """
    same = segment_BS[:, :, None] == segment_BS[:, None, :]
    shared = (segment_BS == PREFIX)[:, None, :]
    return ((same | shared).tril())[:, None]


def _labels(statement: Statement) -> list[int]:
    last = (len(statement.ids) - statement.supervised, len(statement.ids))
    labels = [IGNORED] * len(statement.ids)
    for start, end in (*statement.earlier, last):
        labels[start:end] = statement.ids[start:end]
    return labels


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def _stacked(value: Any) -> Any:
    """Image processors return a list with one array or tensor per image where no tensor type is asked for."""
    if not isinstance(value, list):
        return value
    return torch.stack([torch.as_tensor(item) for item in value])
