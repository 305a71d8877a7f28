"""Batched log-probabilities of answer options, from one prefill per question.

The prompt without its last token is run once and its keys and values are kept. Every attention scale then runs that
last token alone, which gives the distribution of the first answer token; options of several tokens run on from there,
unscaled. Prompts are padded on the left, so that every last prompt token stands in the last column.

Shapes: B batch, S prompt length, N tokens of one image, D width, V vocabulary, T tokens of an option after its first.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from encoders.chat import answer_gap, answer_tokens
from eval.attention import scaled_image_attention
from spatial.errors import CheckpointError


@dataclass(frozen=True)
class Question:
    """What the model is shown: which image, the prompt with its image placeholder, and the answers to compare."""

    image: str
    text: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Scores:
    """What one attention scale says of one question (see ``eval.predictions.Prediction``).

    ``confidence`` and ``answered`` are of this scale's own first-token distribution.
    """

    option_logprobs: tuple[float, ...]
    confidence: float
    answered: bool


@dataclass
class _Batch:
    """Left-padded prompts."""

    embeds_BSD: Tensor
    mask_BS: Tensor
    position_BS: Tensor
    image_BS: Tensor


class Scorer:
    """Scores answer options with a LLaVA-like model: one image placeholder token per prompt, causal language model.

    Args:
        model: in eval mode, with ``get_input_embeddings``, ``get_decoder`` and ``config.image_token_id``.
        processor: with ``tokenizer``.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.tokenizer = processor.tokenizer
        self.image_token = int(model.config.image_token_id)
        self._tokens: dict[str, list[int]] = {}

    @torch.no_grad()  # not inference mode: what ZeRO-3 gathers in it could not be trained on afterwards
    def score(
        self, questions: Sequence[Question], features: Sequence[Tensor], alphas: Sequence[float]
    ) -> dict[float, list[Scores]]:
        """Return, for each alpha, the scores of every question.

        Args:
            questions: a batch.
            features: projected image tokens (N, D) of each question's image.
            alphas: attention scales; 1 is the plain model, without any intervention.
        """
        self._tokens.clear()
        batch = self._pad(questions, features)
        options = [self._option_tokens(question) for question in questions]
        cache = self._forward(batch, None, slice(0, -1)).past_key_values
        result = {}
        for alpha in alphas:
            result[alpha] = self._score_alpha(batch, options, cache, alpha)
            cache.crop(-1)
        return result

    def _score_alpha(self, batch: _Batch, options: list[list[list[int]]], cache: Any, alpha: float) -> list[Scores]:
        decoder = self.model.get_decoder()
        scaled = nullcontext() if alpha == 1 else scaled_image_attention(decoder, batch.image_BS, alpha)
        with scaled:
            logits_BV = self._forward(batch, cache, slice(-1, None)).logits[:, -1]
        first_BV = logits_BV.float().log_softmax(-1).cpu()  # one transfer instead of one per option
        rest = [self._continuation(batch, cache, options, slot) for slot in range(max(map(len, options)))]
        confidence, likeliest = first_BV.max(-1)
        scores = []
        for row, tokens in enumerate(options):
            sums = [float(first_BV[row, ids[0]]) + rest[slot][row] for slot, ids in enumerate(tokens)]
            answered = int(likeliest[row]) in {ids[0] for ids in tokens}
            scores.append(Scores(tuple(sums), float(confidence[row].double().exp()), answered))
        return scores

    def _continuation(self, batch: _Batch, cache: Any, options: list[list[list[int]]], slot: int) -> list[float]:
        """Log-probability of each row's ``slot``-th option after its first token; 0 where there is no more."""
        rows = [tokens[slot] if slot < len(tokens) else [] for tokens in options]
        length = max(map(len, rows)) - 1
        if length < 1:
            return [0.0] * len(rows)
        device = batch.mask_BS.device
        padded = torch.tensor([ids + [0] * (length + 1 - len(ids)) for ids in rows], device=device)
        # The last token predicts nothing further: inputs are all tokens but the last, targets all but the first.
        counts = torch.tensor([max(len(ids) - 1, 0) for ids in rows], device=device)
        real_BT = torch.arange(length, device=device) < counts[:, None]
        logits_BTV = self.model(
            input_ids=padded[:, :-1],
            attention_mask=torch.cat([batch.mask_BS, real_BT.long()], dim=1),
            position_ids=batch.position_BS[:, -1:] + 1 + torch.arange(length, device=device),
            past_key_values=cache,
            use_cache=True,
        ).logits
        cache.crop(-length)
        logprobs_BT = logits_BTV.float().log_softmax(-1).gather(-1, padded[:, 1:, None])[..., 0]
        sums: list[float] = (logprobs_BT * real_BT).double().sum(-1).tolist()
        return sums

    def _forward(self, batch: _Batch, cache: Any, columns: slice) -> Any:
        """Run some columns of the prompts on top of the cached ones before them; logits of the last one only."""
        return self.model(
            inputs_embeds=batch.embeds_BSD[:, columns],
            attention_mask=batch.mask_BS[:, : columns.stop],
            position_ids=batch.position_BS[:, columns],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )

    def _pad(self, questions: Sequence[Question], features: Sequence[Tensor]) -> _Batch:
        rows = [self._prompt_tokens(q.text, len(f)) for q, f in zip(questions, features, strict=True)]
        width = max(map(len, rows))
        device = features[0].device
        ids_BS = torch.tensor([[0] * (width - len(row)) + row for row in rows], device=device)
        mask_BS = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
        image_BS = (ids_BS == self.image_token) & mask_BS.bool()
        embeds_BSD = self.model.get_input_embeddings()(torch.where(image_BS, 0, ids_BS))
        embeds_BSD[image_BS] = torch.cat(list(features)).to(embeds_BSD.dtype)
        return _Batch(embeds_BSD, mask_BS, (mask_BS.cumsum(-1) - 1).clamp(min=0), image_BS)

    def _prompt_tokens(self, text: str, image_length: int) -> list[int]:
        """Token ids of a prompt, its one image placeholder repeated once per image token."""
        ids = self._encode(text)
        if ids.count(self.image_token) != 1:
            raise CheckpointError(
                f"the chat template puts {ids.count(self.image_token)} image tokens into a prompt instead of 1; "
                "mend the checkpoint's chat template"
            )
        place = ids.index(self.image_token)
        return ids[:place] + [self.image_token] * image_length + ids[place + 1 :]

    def _option_tokens(self, question: Question) -> list[list[int]]:
        """Token ids of each option.

        An option that begins another ("facing", "facing away from") could never be the less likely of the two; where
        there is one, every option of the question ends with the end-of-text token.
        """
        tokens = [self._answer_tokens(question.text, option) for option in question.options]
        if len(set(map(tuple, tokens))) < len(tokens):
            raise CheckpointError(
                f"the tokenizer cannot tell the answers {', '.join(question.options)} apart; "
                "leave their task out of data.tasks, or build the model with a vocabulary that has these words"
            )
        begins = any(long[: len(short)] == short for short, long in permutations(tokens, 2))
        return [[*ids, self.tokenizer.eos_token_id] for ids in tokens] if begins else tokens

    def _answer_tokens(self, text: str, option: str) -> list[int]:
        """Token ids of an option as they follow the prompt.

        They are what the tokens of prompt and answer together have beyond the prompt's, since a tokenizer may encode
        a word on its own differently.
        """
        joint = self._encode(text + answer_gap(text) + option)
        return answer_tokens(self._encode(text), joint, option)

    def _encode(self, text: str) -> list[int]:
        if text not in self._tokens:
            # A chat template that already wrote the beginning-of-text token must not get a second one.
            start = self.tokenizer.bos_token
            special = not (start and text.startswith(start))
            self._tokens[text] = list(self.tokenizer(text, add_special_tokens=special)["input_ids"])
        return self._tokens[text]
