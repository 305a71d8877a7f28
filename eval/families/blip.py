"""BLIP for visual question answering (arXiv 2201.12086): an encoder reads the question, a decoder writes the answer.

Every token of the question looks at every other and, by cross-attention, at the picture and nothing else; the answer
looks at the question alone. So there is no last prompt token whose attention weighs picture against words, and nothing
to share between questions but the encoded picture.

Questions are batched with others of their length only: Transformers' BLIP does not pass the mask of its cross-attention
on, so that an answer would look at the padding of its question.

Shapes: B questions (or answers to them), Q tokens of a question, T of an answer, V vocabulary, N image tokens, D width.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BlipForQuestionAnswering

from encoders.family_load import load_family
from encoders.load import lineage
from encoders.source_files import read_description
from eval.decoders import Greedy, Reading, Vcd
from eval.families.family import Family
from eval.images import processed
from eval.packing import Extent, image_kinds, packed, padded_tokens
from eval.readings import contrasted
from eval.scoring import Pictures, Question, Scores, told_apart, until
from spatial.errors import CheckpointError

TEMPLATE = (
    "{%- for message in messages -%}{%- for part in message['content'] if part['type'] == 'text' -%}"
    "{{ part['text'] }}{%- endfor -%}{%- endfor -%}"
)
"""The words alone."""


class BlipScorer:
    """Answers questions with a ``BlipForQuestionAnswering``.

    Args:
        model: in eval mode.
        processor: with ``tokenizer``.
        max_new_tokens: of answers in words; 0: none are written.
        max_tokens: in one forward pass (``eval.packing``); 0: as many as there are.
    """

    def __init__(self, model: Any, processor: Any, max_new_tokens: int = 0, max_tokens: int = 0) -> None:
        self.model = model
        self.tokenizer = processor.tokenizer
        self.max_new_tokens = max_new_tokens
        self.max_tokens = max_tokens
        self.start = int(model.decoder_start_token_id)
        self.end = int(model.config.text_config.sep_token_id)

    @torch.no_grad()
    def score(
        self, questions: Sequence[Question], pictures: Sequence[Pictures], readings: Sequence[Reading]
    ) -> dict[Reading, list[Scores]]:
        """Return, for each reading, the scores of every question.

        Args:
            questions: a batch.
            pictures: of each question's image.
            readings: how answers are read.
        """
        encoded = [self.tokenizer(question.text)["input_ids"] for question in questions]
        found: dict[Reading, dict[int, Scores]] = {reading: {} for reading in readings}
        for places in self._fitting(encoded, questions, pictures, len(image_kinds(readings))):
            asked = [questions[place] for place in places]
            ids_BQ = torch.tensor([encoded[place] for place in places], device=self.model.device)
            read = self._read(ids_BQ, [pictures[place] for place in places], readings)
            for reading in readings:
                found[reading] |= dict(zip(places, self._scores(asked, read, reading), strict=True))
        return {reading: [scores[place] for place in range(len(questions))] for reading, scores in found.items()}

    def _fitting(
        self, encoded: Sequence[list[int]], questions: Sequence[Question], pictures: Sequence[Pictures], kinds: int
    ) -> Iterator[list[int]]:
        """Yield the places of questions that go through the model together."""
        order = sorted(range(len(encoded)), key=lambda place: len(encoded[place]))
        extents = [self._extent(p, len(encoded[p]), questions[p], pictures[p]) for p in range(len(encoded))]

        def fits(places: Sequence[int]) -> bool:
            of_one_length = len({len(encoded[place]) for place in places}) == 1
            tokens = kinds * padded_tokens([extents[place] for place in places])
            return of_one_length and (not self.max_tokens or tokens <= self.max_tokens)

        return packed([[place] for place in order], fits)

    def _extent(self, place: int, length: int, question: Question, shown: Pictures) -> Extent:
        options = self._option_tokens(question)
        answers = len(options) * (length + max(map(len, options)))
        return Extent(place, len(shown["image"]), length, max(answers, length + self.max_new_tokens))

    def ends(self) -> set[int]:
        """Return the token that ends an answer in words."""
        return {self.end}

    def _read(self, ids_BQ: Tensor, pictures: Sequence[Pictures], readings: Sequence[Reading]) -> dict[str, Tensor]:
        """Return the questions (B, Q, D) as the encoder reads them before each kind of picture."""
        found = {}
        for kind in image_kinds(readings):
            image_BND = torch.stack([cast(Tensor, shown[kind]) for shown in pictures])
            found[kind] = self.model.text_encoder(ids_BQ, encoder_hidden_states=image_BND).last_hidden_state
        return found

    def _scores(self, questions: Sequence[Question], read: Mapping[str, Tensor], reading: Reading) -> list[Scores]:
        options = [self._option_tokens(question) for question in questions]
        rows = [place for place, own in enumerate(options) for _ in own]
        answers = [ids for own in options for ids in own]
        repeated = {kind: states_BQD[rows] for kind, states_BQD in read.items()}
        logprobs_BTV = self._logprobs(repeated, reading, [ids[:-1] for ids in answers]).cpu()
        sums = [
            sum(float(logprobs_BTV[row, step, token]) for step, token in enumerate(ids))
            for row, ids in enumerate(answers)
        ]
        written = self._write(read, reading, len(questions)) if self.max_new_tokens else [""] * len(questions)
        found = []
        for place, own in enumerate(options):
            first_V = logprobs_BTV[rows.index(place), 0]
            answered = int(first_V.argmax()) in {ids[0] for ids in own}
            told = tuple(total for row, total in zip(rows, sums, strict=True) if row == place)
            found.append(
                Scores(
                    told if questions[place].options else (),
                    float(first_V.max().double().exp()),
                    answered,
                    written[place],
                )
            )
        return found

    def _logprobs(self, read: Mapping[str, Tensor], reading: Reading, answers: Sequence[Sequence[int]]) -> Tensor:
        """Return (B, T, V) of what follows the start and each token of the beginnings of answers, in float32."""
        device = self.model.device
        ids_BT = pad_sequence([torch.tensor([self.start, *ids], device=device) for ids in answers], batch_first=True)

        def decoded(kind: str) -> Tensor:
            logits: Tensor = self.model.text_decoder(ids_BT, encoder_hidden_states=read[kind], use_cache=False).logits
            return logits.float().log_softmax(-1)

        if isinstance(reading, Vcd):
            return contrasted(decoded("image"), decoded(reading.contrast), reading.alpha, reading.beta)
        return decoded("image")

    def _write(self, read: Mapping[str, Tensor], reading: Reading, count: int) -> list[str]:
        """Return the likeliest answer in words, token by token, up to the end."""
        written: list[list[int]] = [[] for _ in range(count)]
        while len(written[0]) < self.max_new_tokens and not all(self.end in tokens for tokens in written):
            likeliest = self._logprobs(read, reading, written)[:, -1].argmax(-1).tolist()
            written = [[*tokens, token] for tokens, token in zip(written, likeliest, strict=True)]
        texts = [self.tokenizer.decode(until(tokens, {self.end}), skip_special_tokens=True) for tokens in written]
        return [text.strip() for text in texts]

    def _option_tokens(self, question: Question) -> list[list[int]]:
        if not question.options:
            return [[self.end]]  # what an answer begins with is read beside its options
        tokens = [self.tokenizer(option, add_special_tokens=False)["input_ids"] for option in question.options]
        if not all(tokens):
            raise CheckpointError(f"an answer among {', '.join(question.options)} has no token; mend the tokenizer")
        return told_apart(tokens, question.options, self.end)


def load(folder: Path) -> tuple[Any, Any]:
    """Return a model for visual question answering and its processor.

    Raises:
        CheckpointError: it is a BLIP that does something else, or cannot be loaded.
    """
    config = read_description(lineage(folder)[-1] / "config.json")
    named = config.get("architectures") or ["BLIP of no named architecture"]
    if BlipForQuestionAnswering.__name__ not in named:
        raise CheckpointError(
            f"{folder} is a {named[0]}, which does not answer questions; take one for visual question answering, "
            "such as Salesforce/blip-vqa-base"
        )
    return load_family(folder, kind=BlipForQuestionAnswering)


def see(model: Any, image_processor: Any, pictures: Sequence[Image.Image]) -> list[Tensor]:
    """Return what the vision encoder makes of each picture."""
    return list(model.vision_model(**processed(model, image_processor, pictures)).last_hidden_state)


FAMILY = Family(
    load=load,
    see=see,
    scorer=BlipScorer,
    templates={"blip_text_model": TEMPLATE},
    reads=(Greedy, Vcd),
    unread="no one token of its question weighs picture against words, and its layers share no last norm; "
    "choose greedy, vcd or blind",
)
