"""Open a model once, and ask it one question about one picture after the other.

What answers is what answers in ``vsre eval``: the same readings, from the same trunk. So a record of a dataset, put
into the words of a template and typed here, gets the very same log-probabilities.

Shapes: L layers, H heads, N image tokens, C cells of a map.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.device import usable_device
from encoders.model_hash import model_hash
from encoders.source_files import checkpoint_folder
from eval.answering import Run
from eval.ask.config import AskConfig
from eval.ask.wording import answers_to, check_words
from eval.attend.overlap import PLACES, Sight, canvas_geometry, check_kind
from eval.attend.record import Attention, Recorder
from eval.attend.table import check_tokens, chosen_reading
from eval.calibration import option_shares
from eval.config import EvalConfig
from eval.decoders import AdaptVis, Decoder, Dola, Greedy, Reading, decode, format_decoder, parse_decoder, readings_of
from eval.families import FAMILIES
from eval.families.opening import check_asked, check_canvas, kind_of, open_model
from eval.images import IMAGE_MODES, ImageFeatures, shown_image
from eval.plan import Item, check_questions
from eval.predictions import Prediction
from eval.scoring import Question
from eval.unseen import Vocabulary
from spatial.errors import CheckpointError, ConfigError
from spatial.records import ImageRow, Record, encode_png, image_id_of
from spatial.templates import GIVEN, TEMPLATES, render

EVERY_DECODER = (
    "greedy",
    "scale(alpha=0.5)",
    "scale(alpha=1.2)",
    "adaptvis(a1=0.5,a2=1.2,beta=0.4)",
    "temper(alpha=1.2)",
    "pai(alpha=0.5)",
    "vcd(alpha=1,beta=0.1)",
    "blind(alpha=1,beta=0.1)",
    "dola(beta=0.1)",
)
"""One of each kind and more, AdaptVis's with the constants published for VSR."""

AS_TYPED = f"{GIVEN}-alone"
"""The template of a question that goes to the model as it was typed."""


@dataclass(frozen=True)
class Said:
    """What one decoder says.

    Attributes:
        decoder: its canonical string.
        image_mode: what the model was shown.
        reading: what it answered by: AdaptVis chooses one for each question; "" if the answer is made of several.
        text: the answer: an option, or the model's own words.
        probability: of the answer among the options; of words, of their first token among all tokens.
        logprobs: of every option among all that the model could write, in the order of the options.
        answered: whether the model's likeliest first token begins one of the options.
        confidence: largest probability of the first token of the plain model, by which AdaptVis decides.
    """

    decoder: str
    image_mode: str
    reading: str
    text: str
    probability: float
    logprobs: tuple[float, ...]
    answered: bool
    confidence: float


@dataclass(frozen=True)
class Answer:
    """What all decoders say, the plain model first, and where the last prompt token looked.

    Attributes:
        question: as it was typed.
        prompt: the text that the model was given.
        options: to choose from; none where the answer is in words.
        said: by decoder, in the first image mode; then by the plain model in the others.
        maps: attention [L, C] over the canvas, mean over heads, by reading; empty where it is not known.
    """

    question: str
    prompt: str
    options: tuple[str, ...]
    said: tuple[Said, ...]
    maps: dict[str, NDArray[np.float64]] = field(default_factory=dict)


class Asker:
    """A model that is open to questions.

    Attributes:
        name: of the model, for people.
        sight: what it sees of a picture and where its tokens look, or None.
        unseen: why that is not known, or "".
        layers: of its language model, where its attention is known.
        vocabulary: the words that it knows.

    Raises:
        ConfigError: a setting that cannot be used.
        CheckpointError: the model cannot be used.
    """

    def __init__(self, config: AskConfig) -> None:
        _check(config)
        self.config = config
        folder = checkpoint_folder(config.model)
        self.kind = kind_of(folder)
        self.name = folder.name
        self.decoders = _decoders(config, self.kind)
        check_asked(self.kind, readings_of(self.decoders), config.canvas)
        device = usable_device(config.device)
        self.model, self.processor, self.see, self.canvas = open_model(folder, self.kind, config.canvas, device)
        self.model_hash = model_hash(folder)
        self.vocabulary = Vocabulary(self.model, self.processor.tokenizer, folder)
        self.sight, self.unseen = _sight(self.kind, self.model, self.processor, self.canvas)
        self.layers = int(self.model.get_decoder().config.num_hidden_layers) if self.sight else 0
        if self.sight and config.layer >= self.layers:
            raise ConfigError(
                f"layer is {config.layer}, and the model has {self.layers}, counted from 0; -1 is the mean"
            )
        if not config.decoders and not hasattr(getattr(self.model, "get_decoder", lambda: None)(), "norm"):
            self.decoders = [decoder for decoder in self.decoders if not isinstance(decoder, Dola)]

    def ask(self, picture: Image.Image, question: str, options: Sequence[str] | str = "") -> Answer:
        """Answer a question about an RGB picture.

        Raises:
            ConfigError: a question that cannot be asked, or words that the model has never seen.
            RecordError: the model's processor refuses the picture.
            CheckpointError: the model cannot tell the options apart, or its numbers are not finite.
        """
        named = answers_to(question, options)
        check_words(self.vocabulary, self.name, (question, *named))
        maps: dict[str, NDArray[np.float64]] = {}

        def keep(_: Question, reading: Reading, attention: Attention) -> None:
            if self.sight and (reading.rule or isinstance(reading, Greedy)):
                check_tokens(attention, self.sight)
                shares_LC = attention.image_LHN.double().numpy().mean(1) @ self.sight.spread
                maps[format_decoder(reading)] = shares_LC

        row = _image_row(picture)
        first, *others = dict.fromkeys(self.config.image_modes)
        item = self._item(row, question, named, first)
        recorder = Recorder(self.model, self.processor, keep, self._words(named)) if self.sight else None
        said = self._said(item, row, self.decoders, recorder or self._plain_scorer(named))
        for mode in others:
            said += self._said(self._item(row, question, named, mode), row, [Greedy()], self._plain_scorer(named))
        return Answer(question, item.question.text, named, tuple(said), maps if first == "image" else {})

    def _words(self, options: Sequence[str]) -> int:
        return 0 if options else self.config.max_new_tokens

    def _plain_scorer(self, options: Sequence[str]) -> Any:
        return FAMILIES[self.kind].scorer(self.model, self.processor, self._words(options), 0)

    def _item(self, row: ImageRow, question: str, options: tuple[str, ...], mode: str) -> Item:
        record = Record(row.image_id, "asked", "", "choice", "question", question, "", options=options)
        messages = render(record, TEMPLATES[AS_TYPED], self.config.seed).messages
        text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        return Item(record, AS_TYPED, mode, Question(shown_image(record, mode, {}), text, options), "")

    def _said(self, item: Item, row: ImageRow, decoders: Sequence[Decoder], scorer: Any) -> list[Said]:
        asked = EvalConfig(max_new_tokens=self._words(item.question.options), seed=self.config.seed)
        features = ImageFeatures(self.model, self.processor, {row.image_id: row}, self.see)
        run = Run(self.model_hash, self.canvas, asked, readings_of(decoders), scorer, features)
        rows = dict(zip(run.readings, run.answer([item]), strict=True))
        for answered in rows.values():
            if answered.failed:
                raise CheckpointError(f"{self.name} does not answer: {answered.failed}")
        return [
            _said_by(prediction, chosen_reading(decoder, rows))
            for decoder in decoders
            for prediction in decode(decoder, rows.values())
        ]


def _said_by(row: Prediction, reading: Reading | None) -> Said:
    text = row.predicted if row.options else row.generated
    probability = row.confidence
    if row.options:
        probability = option_shares(row.option_logprobs)[row.options.index(text)]
    by = format_decoder(reading) if reading else ""
    return Said(row.decoder, row.image_mode, by, text, probability, row.option_logprobs, row.answered, row.confidence)


def _image_row(picture: Image.Image) -> ImageRow:
    pixels = np.asarray(picture)
    return ImageRow(image_id_of(pixels), encode_png(pixels), picture.width, picture.height, "asked")


def _check(config: AskConfig) -> None:
    """Check what can be checked before a model is read."""
    check_questions(EvalConfig(image_modes=config.image_modes))
    if "shuffled" in config.image_modes:
        known = ", ".join(mode for mode in IMAGE_MODES if mode != "shuffled")
        raise ConfigError(f"image mode 'shuffled' needs other pictures, and there is one; choose from {known}")
    check_canvas(config.canvas)
    for name, least in (("layer", -1), ("max_new_tokens", 1)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} is {getattr(config, name)}; use {least} or more")


def _decoders(config: AskConfig, kind: str) -> list[Decoder]:
    """Return the decoders that are asked for, the plain model first; of all, those that can read a kind of model."""
    if config.decoders:
        return [parse_decoder(text) for text in dict.fromkeys(["greedy", *config.decoders])]
    reads = FAMILIES[kind].reads

    def suits(needed: Iterable[Reading]) -> bool:
        return all(isinstance(reading, reads) for reading in needed)

    every = [parse_decoder(text) for text in EVERY_DECODER]
    return [decoder for decoder in every if suits(readings_of([decoder]))]


def changed_of(answer: Answer) -> Said | None:
    """Return what AdaptVis says, where it was asked, or else the first decoder that looked at the picture otherwise."""
    plain, *others = (said for said in answer.said if said.image_mode == answer.said[0].image_mode)
    chosen = (said for said in others if isinstance(parse_decoder(said.decoder), AdaptVis))
    looked = (said for said in others if said.reading in answer.maps and said.reading != plain.reading)
    return next(chosen, next(looked, None))


def _sight(kind: str, model: Any, processor: Any, canvas: str) -> tuple[Sight | None, str]:
    """Return what a model sees and where its tokens look, or why that is not known."""
    try:
        check_kind(kind)
        return Sight(PLACES[kind](model), *canvas_geometry(model, processor, canvas)), ""
    except CheckpointError as error:
        return None, str(error)
