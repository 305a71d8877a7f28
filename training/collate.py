"""Pack all statements about an image behind one image prefix.

A prompt is ``user: <image>{text} assistant: {answer}<eos>``. The part up to the image is the same for every
statement, and by far the longest, so it is computed once and the statements follow it side by side:

    prefix | statement 1 | statement 2 | ... | padding

A block mask lets a statement see the prefix and its own earlier tokens only, and its positions continue after the
prefix as if it were alone; hidden states, losses and gradients are those of separate rows, up to rounding. (Plain
concatenation would let a statement read the answers before it.)

Shapes: B images, S positions (the longest packed row), V what the processor makes of an image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Any

import torch
from torch import Tensor

from encoders.cache import FeatureCache
from encoders.chat import answer_gap, answer_tokens
from training.examples import Example

IGNORED = -100
"""Label of a position that is not supervised, as Hugging Face losses expect it."""

PREFIX, PADDING = 0, -1
"""Segment numbers; statements count from 1."""


@dataclass(frozen=True)
class Statement:
    """Token ids of one statement after the image, and how many at its end are supervised (answer and eos)."""

    ids: list[int]
    supervised: int


class PrefixCollator:
    """Turn examples into one batch for a Llava-like model.

    Args:
        processor: has a fast ``tokenizer`` with an eos token, an ``image_token``, and a chat template that puts the
            image before the text.
        features: of the examples' images, to be shipped instead of pixels; the processor is then one of ours.

    Raises:
        ValueError: the tokenizer is not fast, and would keep the device waiting.
    """

    def __init__(self, processor: Any, features: FeatureCache | None = None) -> None:
        if not processor.tokenizer.is_fast:
            raise ValueError("packing needs a fast tokenizer; save the model's processor with one")
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.features = features

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return a batch of packed rows.

        Returns:
            input_ids (B, S): prefix, statements, padding.
            attention_mask (B, 1, S, S): bool, True where a query (row) sees a key (column).
            position_ids (B, S): restarted after the prefix for every statement.
            labels (B, S): the token itself on answers and their eos, else ``IGNORED``.
            pixel_values (B, V): as the processor makes them, and whatever else it makes of images; or
            encoder_features: {encoder: (B, tokens, channels)} where they are cached.

        Raises:
            CheckpointError: a token reaches across the border of a prompt and its answer.
        """
        texts = self._texts(examples)
        prefix, statements = self._tokenise(texts, [prompt.answer for e in examples for prompt in e.prompts])
        seen = self._seen(examples, prefix)
        ends = [0, *accumulate(len(e.prompts) for e in examples)]
        rows = [statements[start:end] for start, end in pairwise(ends)]
        packed = pack(seen.pop("input_ids"), rows, self.tokenizer.pad_token_id or 0)
        return packed | seen

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

    def _texts(self, examples: Iterable[Example]) -> list[str]:
        chats = [prompt.messages for example in examples for prompt in example.prompts]
        texts: list[str] = self.processor.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
        return texts

    def _tokenise(self, texts: Sequence[str], answers: Sequence[str]) -> tuple[str, list[Statement]]:
        """Return the prefix text, image token included, and the statements, in one call of the tokenizer."""
        image = self.processor.image_token
        parts = [text.partition(image) for text in texts]
        if len({before for before, _, _ in parts}) != 1 or not parts[0][1]:
            raise ValueError("the chat template must put the image first; correct the processor's chat template")
        # The image token stays in front while tokenising: some tokenizers treat the start of a text differently.
        questions = [image + after for _, _, after in parts]
        whole = [f"{asked}{answer_gap(asked)}{answer}" for asked, answer in zip(questions, answers, strict=True)]
        texts = [*questions, *whole]
        encoded = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        eos = self.tokenizer.eos_token_id
        statements = []
        for asked, ids, answer in zip(encoded[: len(whole)], encoded[len(whole) :], answers, strict=True):
            supervised = len(answer_tokens(asked, ids, answer)) + 1
            statements.append(Statement([*ids[1:], eos], supervised))
        return parts[0][0] + image, statements


def pack(prefixes: Sequence[Sequence[int]], rows: Sequence[Sequence[Statement]], pad: int) -> dict[str, Tensor]:
    """Lay out prefixes and their statements as ``PrefixCollator`` describes.

    Args:
        prefixes: token ids per image, the image's placeholder tokens included.
        rows: the statements of each image.
        pad: token id that fills short rows.
    """
    ids, labels, positions, segments = [], [], [], []
    for prefix, row in zip(prefixes, rows, strict=True):
        start = len(prefix)
        ids.append([*prefix, *chain.from_iterable(s.ids for s in row)])
        labels.append([IGNORED] * start + list(chain.from_iterable(_labels(s) for s in row)))
        positions.append([*range(start), *chain.from_iterable(range(start, start + len(s.ids)) for s in row)])
        segments.append([PREFIX] * start + [number for number, s in enumerate(row, 1) for _ in s.ids])
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
    question = len(statement.ids) - statement.supervised
    return [IGNORED] * question + statement.ids[question:]


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def _stacked(value: Any) -> Any:
    """Image processors return a list with one array or tensor per image where no tensor type is asked for."""
    if not isinstance(value, list):
        return value
    return torch.stack([torch.as_tensor(item) for item in value])
