"""How an answer is read from the model: greedy, ScalingVis, AdaptVis (arXiv 2503.01773).

Running the model gives, for a question, one set of option scores per attention scale alpha ("scale rows"; alpha 1 is
greedy). A decoder says which alphas it needs and picks its answer among them, so AdaptVis is a pure function over
stored rows, and its threshold can be swept without running the model again.

A decoder is named by a canonical string with its parameters, such as ``scale(alpha=0.5)``.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

from eval.predictions import Prediction
from spatial.errors import ConfigError, nearest


@dataclass(frozen=True)
class Greedy:
    """The model as it is."""

    @property
    def alphas(self) -> tuple[float, ...]:
        """Scales that the decoder needs."""
        return (1.0,)

    def choose(self, rows: Mapping[float, Prediction]) -> Prediction:
        """Return the row to answer with, given one row per needed alpha."""
        return rows[1.0]


@dataclass(frozen=True)
class Scale:
    """ScalingVis: image attention of the last prompt token times ``alpha`` (> 1 sharpens, < 1 smooths)."""

    alpha: float

    @property
    def alphas(self) -> tuple[float, ...]:
        """Scales that the decoder needs."""
        return (self.alpha,)

    def choose(self, rows: Mapping[float, Prediction]) -> Prediction:
        """Return the row to answer with, given one row per needed alpha."""
        return rows[self.alpha]


@dataclass(frozen=True)
class AdaptVis:
    """Scale by ``a1`` where the plain model's confidence is below ``beta``, else by ``a2``.

    The confidence is a probability (a softmax over the vocabulary), compared as it is, not rounded.
    """

    a1: float
    a2: float
    beta: float

    @property
    def alphas(self) -> tuple[float, ...]:
        """Scales that the decoder needs."""
        return (1.0, self.a1, self.a2)

    def choose(self, rows: Mapping[float, Prediction]) -> Prediction:
        """Return the row to answer with, given one row per needed alpha."""
        return rows[self.a1 if rows[1.0].confidence < self.beta else self.a2]


Decoder = Greedy | Scale | AdaptVis

DECODERS: dict[str, type[Decoder]] = {
    "greedy": Greedy,
    "scale": Scale,
    "adaptvis": AdaptVis,
}


def format_decoder(decoder: Decoder) -> str:
    """Return the canonical string, which ``parse_decoder`` reads back."""
    name = next(name for name, kind in DECODERS.items() if isinstance(decoder, kind))
    parameters = ",".join(f"{key}={value:.12g}" for key, value in asdict(decoder).items())
    return f"{name}({parameters})" if parameters else name


def parse_decoder(text: str) -> Decoder:
    """Read a decoder string; spaces and the order of parameters do not matter.

    Raises:
        ConfigError: unknown decoder or parameter, a parameter missing, or one that is not a number >= 0.
    """
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    name = match[1] if match else text
    if match is None or name not in DECODERS:
        raise ConfigError(f"unknown decoder {text!r}; known: {', '.join(sorted(DECODERS))}{nearest(name, DECODERS)}")
    expected = [item.name for item in fields(DECODERS[name])]
    example = f"{name}({','.join(f'{key}=0.5' for key in expected)})" if expected else name
    given = dict(_parameter(part, text, example) for part in (match[2] or "").split(",") if part.strip())
    if sorted(given) != sorted(expected):
        raise ConfigError(f"decoder {text!r} needs exactly {', '.join(expected) or 'no parameter'}; write {example!r}")
    return DECODERS[name](**given)


def scale_name(alpha: float) -> str:
    """Return the decoder string under which the row of one alpha is stored; alpha 1 is greedy itself."""
    return format_decoder(Greedy() if alpha == 1.0 else Scale(alpha))


def decode(decoder: Decoder, predictions: Iterable[Prediction]) -> list[Prediction]:
    """Return the decoder's predictions from stored greedy and scale rows; other rows are ignored.

    Raises:
        ConfigError: a row of an alpha that the decoder needs is not stored.
    """
    alpha_of = {scale_name(alpha): alpha for alpha in decoder.alphas}
    questions: dict[tuple[str, ...], dict[float, Prediction]] = defaultdict(dict)
    for row in predictions:
        if row.decoder in alpha_of:
            name = (row.model_hash, row.record_id, row.template, row.image_mode, row.canvas)
            questions[name][alpha_of[row.decoder]] = row
    return [_decode_one(decoder, rows) for rows in questions.values()]


def adaptvis(predictions: Sequence[Prediction], a1: float, a2: float, beta: float) -> list[Prediction]:
    """Return the AdaptVis predictions of stored ``scale`` rows (alpha 1 is stored as greedy)."""
    return decode(AdaptVis(a1, a2, beta), predictions)


def _decode_one(decoder: Decoder, rows: Mapping[float, Prediction]) -> Prediction:
    failed = next((row for row in rows.values() if row.failed), None)
    if failed is not None:
        return replace(failed, decoder=format_decoder(decoder))
    missing = [scale_name(alpha) for alpha in decoder.alphas if alpha not in rows]
    if missing:
        record = next(iter(rows.values())).record_id
        raise ConfigError(f"{format_decoder(decoder)} needs stored rows of {missing[0]!r}; record {record} has none")
    return replace(decoder.choose(rows), decoder=format_decoder(decoder))


def _parameter(part: str, text: str, example: str) -> tuple[str, float]:
    key, _, value = part.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ConfigError(f"decoder {text!r}: {part.strip()!r} is not a number of at least 0; write e.g. {example!r}")
    return key.strip(), number
