"""How an answer is read from the model: greedy, ScalingVis, AdaptVis (arXiv 2503.01773) and their rivals.

A *reading* runs the model and gives one row per question: the model as it is (greedy), with the image attention of the
last prompt token changed (scale, temper, pai), contrasted with what it says without seeing the image well (vcd, blind)
or with what its earlier layers say (dola). A *choice* picks among stored rows of readings: AdaptVis is one, so that it
is a pure function, and its threshold can be swept without running the model again.

A decoder is named by a canonical string with its parameters, such as ``scale(alpha=0.5)``.
"""

import math
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import ClassVar

from eval.predictions import Prediction
from spatial.errors import ConfigError, nearest


@dataclass(frozen=True)
class Reading:
    """A decoder that runs the model.

    Attributes:
        prefills: how often the prompt is run; more than one shows other images beside the question's.
        rule: how the last prompt token attends to the image, a name of ``eval.attention.RULES``; "" as the model does.
        every_step: whether later tokens attend so, too.
        contrast: the image that the answer is contrasted with ("noised", "blind"), or ""; see ``eval.images``.
        limits: the most that a parameter may be, where it has a limit; the least is 0.
    """

    prefills: ClassVar[int] = 1
    limits: ClassVar[Mapping[str, float]] = {}
    rule: ClassVar[str] = ""
    every_step: ClassVar[bool] = False
    contrast: ClassVar[str] = ""

    @property
    def factor(self) -> float:
        """Of the rule."""
        return math.nan


@dataclass(frozen=True)
class Greedy(Reading):
    """The model as it is."""


@dataclass(frozen=True)
class Scale(Reading):
    """ScalingVis: image attention of the last prompt token times ``alpha`` (> 1 sharpens, < 1 smooths)."""

    rule = "scale"
    alpha: float

    @property
    def factor(self) -> float:
        """Of the rule."""
        return self.alpha


@dataclass(frozen=True)
class Temper(Scale):
    """As Scale, but the image as a whole keeps its attention: a temperature of its spread over the image alone."""

    rule = "temper"


@dataclass(frozen=True)
class Pai(Scale):
    """PAI's attention (arXiv 2407.21771, eq. 4): ``alpha`` times its absolute value is added, at every step."""

    rule = "raise"
    every_step = True


@dataclass(frozen=True)
class Vcd(Reading):
    """Visual contrastive decoding (arXiv 2311.16922, eqs. 3 and 5), without its sampling.

    Logits are (1 + alpha) times those of the image less alpha times those of the image drowned in noise, over the
    tokens whose probability is at least beta times that of the likeliest.
    """

    prefills = 2
    contrast = "noised"
    limits: ClassVar[Mapping[str, float]] = {"beta": 1}
    alpha: float
    beta: float


@dataclass(frozen=True)
class Blind(Vcd):
    """As Vcd, but contrasted with a canvas of the mean colour: what the words alone say is taken away."""

    contrast = "blind"


@dataclass(frozen=True)
class Dola(Reading):
    """DoLa (arXiv 2309.03883, eqs. 2 to 4): the last layer less that of the upper half that differs most from it.

    Over the tokens whose probability is at least beta times that of the likeliest. Every second layer is a candidate.
    """

    limits: ClassVar[Mapping[str, float]] = {"beta": 1}
    beta: float


@dataclass(frozen=True)
class Choice(ABC):
    """A decoder that picks among stored rows, and runs no model itself.

    Attributes:
        prefills: how often the prompt is run for its readings.
        limits: the most that a parameter may be, where it has a limit; the least is 0.
    """

    prefills: ClassVar[int] = 1
    limits: ClassVar[Mapping[str, float]] = {}

    @property
    @abstractmethod
    def readings(self) -> tuple[Reading, ...]:
        """What is chosen from."""

    @abstractmethod
    def choose(self, rows: Mapping[Reading, Prediction]) -> Prediction:
        """Return the row to answer with, given one row per reading: one of them, or a new one made of several."""


@dataclass(frozen=True)
class AdaptVis(Choice):
    """Scale by ``a1`` where the plain model's confidence is below ``beta``, else by ``a2``.

    The confidence is a probability (a softmax over the vocabulary), compared as it is, not rounded.
    """

    limits: ClassVar[Mapping[str, float]] = {"beta": 1}
    a1: float
    a2: float
    beta: float

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What is chosen from, the plain model first."""
        return (Greedy(), scale(self.a1), scale(self.a2))

    def choose(self, rows: Mapping[Reading, Prediction]) -> Prediction:
        """Return the row to answer with, given one row per reading."""
        sure = rows[Greedy()].confidence >= self.beta
        return rows[scale(self.a2 if sure else self.a1)]


Decoder = Reading | Choice

DECODERS: dict[str, type[Decoder]] = {
    "greedy": Greedy,
    "scale": Scale,
    "temper": Temper,
    "pai": Pai,
    "vcd": Vcd,
    "blind": Blind,
    "dola": Dola,
    "adaptvis": AdaptVis,
}


def scale(alpha: float) -> Reading:
    """Return the reading of an attention scale; 1 is greedy itself, without any intervention."""
    return Greedy() if alpha == 1 else Scale(alpha)


def readings_of(decoders: Iterable[Decoder]) -> list[Reading]:
    """Return the readings that decoders need, each once, the plain model first."""
    needed = [reading for decoder in decoders for reading in _readings(decoder)]
    return list(dict.fromkeys([Greedy(), *needed]))


def format_decoder(decoder: Decoder) -> str:
    """Return the canonical string, which ``parse_decoder`` reads back."""
    name = next(name for name, kind in DECODERS.items() if type(decoder) is kind)
    parameters = ",".join(f"{key}={value:.12g}" for key, value in asdict(decoder).items())
    return f"{name}({parameters})" if parameters else name


def parse_decoder(text: str) -> Decoder:
    """Read a decoder string; spaces and the order of parameters do not matter.

    Raises:
        ConfigError: unknown decoder or parameter, a parameter missing or given twice, or one that is not a number >= 0
            or above its limit.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    name = match[1] if match else text
    if match is None and text.count("(") != text.count(")"):
        example = "'[greedy, \"adaptvis(a1=0.5,a2=1.2,beta=0.4)\"]'"
        raise ConfigError(f"decoder {text!r} is cut off; put each one that has a comma in quotes: {example}")
    if match is None or name not in DECODERS:
        raise ConfigError(f"unknown decoder {text!r}; known: {', '.join(sorted(DECODERS))}{nearest(name, DECODERS)}")
    expected = [item.name for item in fields(DECODERS[name])]
    example = f"{name}({','.join(f'{key}=0.5' for key in expected)})" if expected else name
    given = [_parameter(part, text, example) for part in (match[2] or "").split(",") if part.strip()]
    if sorted(key for key, _ in given) != sorted(expected):
        raise ConfigError(f"decoder {text!r} needs exactly {', '.join(expected) or 'no parameter'}; write {example!r}")
    values = dict(given)
    for key, most in DECODERS[name].limits.items():
        if values[key] > most:
            raise ConfigError(f"decoder {text!r}: {key} is {values[key]:g}; use 0 to {most:g}")
    return DECODERS[name](**values)


def is_known(text: str) -> bool:
    """Tell whether a decoder string names an entry of ``DECODERS``; a program of the user's own may have had others."""
    return text.partition("(")[0].strip() in DECODERS


def canonical(text: str) -> str:
    """Return a decoder string as stored rows have it; one that is unknown here, as it is.

    Raises:
        ConfigError: as ``parse_decoder``, of a decoder that is known.
    """
    return format_decoder(parse_decoder(text)) if is_known(text) else text


def decode(decoder: Decoder, predictions: Iterable[Prediction]) -> list[Prediction]:
    """Return the decoder's predictions from stored rows of readings; other rows are ignored.

    Raises:
        ConfigError: a row of a reading that the decoder needs is not stored.
    """
    needed = {format_decoder(reading): reading for reading in _readings(decoder)}
    questions: dict[tuple[str, ...], dict[Reading, Prediction]] = defaultdict(dict)
    for row in predictions:
        if row.decoder in needed:
            name = (row.model_hash, row.record_id, row.template, row.image_mode, row.canvas)
            questions[name][needed[row.decoder]] = row
    return [_decode_one(decoder, rows) for rows in questions.values()]


def adaptvis(predictions: Sequence[Prediction], a1: float, a2: float, beta: float) -> list[Prediction]:
    """Return the AdaptVis predictions of stored ``scale`` rows (alpha 1 is stored as greedy)."""
    return decode(AdaptVis(a1, a2, beta), predictions)


def _readings(decoder: Decoder) -> tuple[Reading, ...]:
    if isinstance(decoder, Choice):
        return decoder.readings
    return (scale(decoder.alpha) if type(decoder) is Scale else decoder,)


def _decode_one(decoder: Decoder, rows: Mapping[Reading, Prediction]) -> Prediction:
    failed = next((row for row in rows.values() if row.failed), None)
    if failed is not None:
        return replace(failed, decoder=format_decoder(decoder))
    missing = [format_decoder(reading) for reading in _readings(decoder) if reading not in rows]
    if missing:
        record = next(iter(rows.values())).record_id
        raise ConfigError(f"{format_decoder(decoder)} needs stored rows of {missing[0]!r}; record {record} has none")
    chosen = decoder.choose(rows) if isinstance(decoder, Choice) else rows[_readings(decoder)[0]]
    return replace(chosen, decoder=format_decoder(decoder))


def _parameter(part: str, text: str, example: str) -> tuple[str, float]:
    key, _, value = part.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ConfigError(f"decoder {text!r}: {part.strip()!r} is not a number of at least 0; write e.g. {example!r}")
    return key.strip(), number
