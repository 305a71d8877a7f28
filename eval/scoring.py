"""Batched answers of a model to questions about images: log-probabilities of options, and answers in words.

All questions about an image grow from one trunk, its tokens up to the end of the image (``eval.tree``). A reading that
changes how the last prompt token attends runs that token once more on what is cached, for all its strengths at once.
Options of several tokens, and generated ones, grow from there.

Shapes: B images, M questions of each (padded), T tokens, V vocabulary, D width.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Protocol

import torch
from torch import Tensor

from eval.decoders import Reading
from eval.images import Picture, Placed
from eval.packing import Extent, asked_again, image_kinds, packed, padded_tokens, side_by_side
from eval.readings import Leaf, Reader, make_leaves
from eval.tree import TokenTree, Trunk, check_decoder
from eval.words import Words
from spatial.errors import CheckpointError

Pictures = Mapping[str, Picture]
"""What is shown, as the language model sees it: "image", and whatever readings contrast it with."""


@dataclass(frozen=True)
class Question:
    """What the model is shown: which image, the prompt with its image placeholder, and the answers to compare."""

    image: str
    text: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Scores:
    """What one reading says of one question (see ``eval.predictions.Prediction``).

    ``confidence`` and ``answered`` are of this reading's own distribution of the first token.
    """

    option_logprobs: tuple[float, ...]
    confidence: float
    answered: bool
    generated: str = ""


class AnyScorer(Protocol):
    """What answers questions about pictures."""

    def score(
        self, questions: Sequence[Question], pictures: Sequence[Pictures], readings: Sequence[Reading]
    ) -> dict[Reading, list[Scores]]:
        """Return, for each reading, the scores of every question."""

    def ends(self) -> set[int]:
        """Return the tokens that end an answer in words."""


@dataclass(frozen=True)
class _Asked:
    """A question in tokens: what the image's questions share, what is its own, its options and place in the batch."""

    place: int
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    options: list[list[int]]


class Scorer:
    """Answers questions with a LLaVA-like model: one image placeholder token per prompt, causal language model.

    Args:
        model: in eval mode, with ``get_decoder``, ``get_output_embeddings`` and ``config.image_token_id``.
        processor: with ``tokenizer``.
        max_new_tokens: of answers in words; 0: none are written.
        max_tokens: in one forward pass (``eval.packing``); 0: as many as there are.

    Raises:
        CheckpointError: the language model attends in a way that a shared trunk cannot follow.
    """

    reader: type[Reader] = Reader

    def __init__(self, model: Any, processor: Any, max_new_tokens: int = 0, max_tokens: int = 0) -> None:
        check_decoder(model.get_decoder())
        self.model = model
        self.tokenizer = processor.tokenizer
        self.image_token = int(model.config.image_token_id)
        self.max_new_tokens = max_new_tokens
        self.max_tokens = max_tokens
        self.words = Words(self.tokenizer)

    @torch.no_grad()  # not inference mode: what ZeRO-3 gathers in it could not be trained on afterwards
    def score(
        self, questions: Sequence[Question], pictures: Sequence[Pictures], readings: Sequence[Reading]
    ) -> dict[Reading, list[Scores]]:
        """Return, for each reading, the scores of every question.

        Args:
            questions: a batch.
            pictures: of each question's image.
            readings: how answers are read.
        """
        self.words.forget()
        shared: dict[tuple[str, tuple[int, ...]], list[_Asked]] = defaultdict(list)
        for place, (question, shown) in enumerate(zip(questions, pictures, strict=True)):
            asked = self._in_tokens(place, question, len(shown["image"]))
            shared[question.image, asked.prefix].append(asked)
        found: dict[Reading, dict[int, Scores]] = {reading: {} for reading in readings}
        for rows in self._fitting(list(shared.values()), readings):
            of_rows = [pictures[row[0].place] for row in rows]
            for leaf, part in self._leaves(rows, of_rows, readings):
                found[leaf.reading] |= self._read(leaf, part)
        return {reading: [scores[place] for place in range(len(questions))] for reading, scores in found.items()}

    def _fitting(self, rows: list[list[_Asked]], readings: Sequence[Reading]) -> Iterator[list[list[_Asked]]]:
        """Yield the rows, or parts of them, that go through the model together."""
        if not self.max_tokens:
            yield rows
            return
        kinds, again = len(image_kinds(readings)), asked_again(readings)
        units = [
            [(number, asked) for asked in sorted(row, key=lambda asked: len(asked.suffix))]
            for number, row in enumerate(rows)
        ]

        def fits(part: Sequence[tuple[int, _Asked]]) -> bool:
            extents = [self._extent(number, asked, again) for number, asked in part]
            return kinds * padded_tokens(extents) <= self.max_tokens

        for part in packed(units, fits):
            kept: dict[int, list[_Asked]] = defaultdict(list)
            for number, asked in part:
                kept[number].append(asked)
            yield list(kept.values())

    def _extent(self, row: int, asked: _Asked, again: int) -> Extent:
        answer = max(self.max_new_tokens, *map(len, asked.options))
        return Extent(row, len(asked.prefix), len(asked.suffix), again + answer)

    def _leaves(
        self, rows: Sequence[Sequence[_Asked]], shown: Sequence[Pictures], readings: Sequence[Reading]
    ) -> Iterator[tuple[Leaf, list[list[_Asked]]]]:
        """Yield each reading at the end of every question, and these questions, by row."""
        decoder = self.model.get_decoder()
        prefixes = [row[0].prefix for row in rows]
        kinds = image_kinds(readings)
        trees = {kind: TokenTree(decoder, self._trunk(prefixes, [s[kind] for s in shown])) for kind in kinds}
        trunks = {kind: tree.columns for kind, tree in trees.items()}
        width = self.model.get_input_embeddings().weight.shape[-1]
        for part in side_by_side(rows, lambda asked: len(asked.suffix), width):
            ids, real = self._padded([[asked.suffix for asked in row] for row in part])
            reader = self.reader(self.model, trees, ids, real, readings)
            for leaf in make_leaves(reader, readings):
                yield leaf, part
            reader.cut(trunks)

    def _read(self, leaf: Leaf, rows: Sequence[Sequence[_Asked]]) -> dict[int, Scores]:
        first_BMV = leaf.first_BMV.cpu()  # one transfer instead of one per option
        slots = max(len(asked.options) for row in rows for asked in row)
        rest = [self._continuation(leaf, rows, slot) for slot in range(slots)]
        written = self._write(leaf) if self.max_new_tokens else None
        confidence, likeliest = first_BMV.max(-1)
        found = {}
        for b, row in enumerate(rows):
            for m, asked in enumerate(row):
                sums = [float(first_BMV[b, m, ids[0]]) + rest[s][b][m] for s, ids in enumerate(asked.options)]
                answered = int(likeliest[b, m]) in {ids[0] for ids in asked.options}
                sure = float(confidence[b, m].double().exp())
                found[asked.place] = Scores(tuple(sums), sure, answered, written[b][m] if written else "")
        return found

    def _continuation(self, leaf: Leaf, rows: Sequence[Sequence[_Asked]], slot: int) -> list[list[float]]:
        """Log-probability of each question's ``slot``-th option after its first token; 0 where there is no more."""
        # The last token predicts nothing further: inputs are all tokens but the last, targets all but the first.
        options = [[asked.options[slot] if slot < len(asked.options) else [] for asked in row] for row in rows]
        ids, real = self._padded([[option[:-1] for option in row] for row in options])
        if not real.any():
            return [[0.0] * ids.shape[1] for _ in rows]
        targets, _ = self._padded([[option[1:] for option in row] for row in options], ids.shape[2])
        logprobs_BMTV = leaf.follow(ids, real)
        logprobs_BMT = logprobs_BMTV.gather(-1, targets[..., None])[..., 0]
        sums: list[list[float]] = logprobs_BMT.masked_fill(~real, 0.0).double().sum(-1).tolist()
        return sums

    def _write(self, leaf: Leaf) -> list[list[str]]:
        """Return the likeliest answer in words, token by token, up to the end-of-text token."""
        ends = torch.tensor(sorted(self.ends()), device=leaf.first_BMV.device)
        token_BM = leaf.first_BMV.argmax(-1)
        written, ended = [token_BM], torch.isin(token_BM, ends)
        while len(written) < self.max_new_tokens and not ended.all():
            token_BM = leaf.step(token_BM).argmax(-1)
            written.append(token_BM)
            ended |= torch.isin(token_BM, ends)
        tokens_BMT = torch.stack(written, dim=-1).tolist()
        stops = set(ends.tolist())
        return [[self._text(until(tokens, stops)) for tokens in row] for row in tokens_BMT]

    def _text(self, tokens: list[int]) -> str:
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return text.strip()

    def ends(self) -> set[int]:
        """Return the tokens that end an answer in words: of the generation settings, and the tokenizer's own."""
        config = getattr(self.model, "generation_config", None)
        named = getattr(config, "eos_token_id", None)
        ends = named if isinstance(named, list) else [named]
        return {int(end) for end in (*ends, self.tokenizer.eos_token_id) if end is not None}

    def _trunk(self, prefixes: Sequence[Sequence[int]], pictures: Sequence[Picture]) -> Trunk:
        width = max(map(len, prefixes))
        features = [seen.tokens_ND if isinstance(seen, Placed) else seen for seen in pictures]
        device = features[0].device
        ids_BP = torch.tensor([[0] * (width - len(row)) + [*row] for row in prefixes], device=device)
        mask_BP = torch.tensor([[False] * (width - len(r)) + [True] * len(r) for r in prefixes], device=device)
        image_BP = (ids_BP == self.image_token) & mask_BP
        embeds_BPD = self.model.get_input_embeddings()(torch.where(image_BP, 0, ids_BP))
        embeds_BPD[image_BP] = torch.cat(features).to(embeds_BPD.dtype)
        return Trunk(embeds_BPD, mask_BP, _positions(mask_BP, pictures), image_BP)

    def _padded(self, rows: Sequence[Sequence[Sequence[int]]], length: int = 0) -> tuple[Tensor, Tensor]:
        """Return token ids (B, M, T), padded on the right, and which of them are real."""
        width = max(map(len, rows))
        length = max(length, 1, *(len(ids) for row in rows for ids in row))
        full = [[*row, *[()] * (width - len(row))] for row in rows]
        device = self.model.device
        ids = torch.tensor([[[*ids, *[0] * (length - len(ids))] for ids in row] for row in full], device=device)
        counts = torch.tensor([[len(ids) for ids in row] for row in full], device=device)
        return ids, torch.arange(length, device=device) < counts[..., None]

    def _in_tokens(self, place: int, question: Question, image_length: int) -> _Asked:
        """Token ids of a prompt, its one image placeholder repeated once per image token, cut behind the image."""
        ids = self.words.encode(question.text)
        if ids.count(self.image_token) != 1:
            raise CheckpointError(
                f"the chat template puts {ids.count(self.image_token)} image tokens into a prompt instead of 1; "
                "mend the checkpoint's chat template"
            )
        end = ids.index(self.image_token)
        prefix = (*ids[:end], *[self.image_token] * image_length)
        return _Asked(place, prefix, tuple(ids[end + 1 :]), self._option_tokens(question))

    def _option_tokens(self, question: Question) -> list[list[int]]:
        tokens = [self.words.answer(question.text, option) for option in question.options]
        return told_apart(tokens, question.options, self.tokenizer.eos_token_id)


def told_apart(tokens: list[list[int]], options: Sequence[str], end: int) -> list[list[int]]:
    """Return the token ids of each option, ended where that is needed to compare them.

    An option that begins another ("facing", "facing away from") could never be the less likely of the two; where there
    is one, every option of the question ends with the end-of-text token.

    Raises:
        CheckpointError: two options have the same tokens.
    """
    if len(set(map(tuple, tokens))) < len(tokens):
        raise CheckpointError(
            f"the tokenizer cannot tell the answers {', '.join(options)} apart; "
            "leave their task out of data.tasks, or build the model with a vocabulary that has these words"
        )
    begins = any(long[: len(short)] == short for short, long in permutations(tokens, 2))
    return [[*ids, end] for ids in tokens] if begins else tokens


def _positions(mask_BP: Tensor, pictures: Sequence[Picture]) -> Tensor:
    """Return the positions of trunks that end with their image: (B, P), or (3, B, P) for ``Placed`` image tokens."""
    counted_BP = (mask_BP.long().cumsum(-1) - 1).clamp(min=0)
    if not any(isinstance(seen, Placed) for seen in pictures):
        return counted_BP
    positions_3BP = counted_BP.expand(3, -1, -1).clone()
    for row, seen in enumerate(pictures):
        if isinstance(seen, Placed):
            positions_3BP[:, row, -len(seen) :] = counted_BP[row, -len(seen)] + seen.places_3N
    return positions_3BP


def until(tokens: Sequence[int], stops: set[int]) -> list[int]:
    """Return the tokens before the first that ends the text."""
    end = next((index for index, token in enumerate(tokens) if token in stops), len(tokens))
    return list(tokens[:end])
