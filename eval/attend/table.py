"""What was measured of the attention of each question in each reading, and the table of it.

Of each head, and of the mean over the heads of a layer: how much attention the image gets, and how well it overlaps
with the boxes of the subject, of the object, and of either. Where that has no value, it is counted why.

Shapes: L layers, H heads, N image tokens, C cells of a map, T targets.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.attend.overlap import Cells, Sight, auroc
from eval.attend.record import Attention
from eval.decoders import Choice, Decoder, Greedy, Reading, format_decoder, readings_of
from eval.plan import Item
from eval.predictions import Prediction
from eval.scoring import Question
from spatial.errors import CheckpointError
from spatial.records import ImageRow, Record

TARGETS = ("subject", "object", "either")
MEASURES = ("image_share", *(f"auroc_{target}" for target in TARGETS))
"""What is known of each layer (and head) of a question, in this order."""

NO_BOX = "no box"
NOT_SEEN = "box outside of what the model sees"
EVERYWHERE = "box covers every cell"

Name = tuple[str, str]
"""A record and a template."""


@dataclass(frozen=True)
class Targets:
    """Where attention may lie on the map of a picture.

    Attributes:
        picture_C: cells that show the picture.
        cells_TC: cells that each target covers.
        undefined: why there is nothing to overlap with, by target.
    """

    picture_C: Cells
    cells_TC: Cells
    undefined: Mapping[str, str]


def targets_of(record: Record, image: ImageRow, sight: Sight) -> Targets:
    """Return what the subject and object of a record cover; "either" is what the known ones cover together."""
    picture = sight.picture(image.width, image.height)
    cells = np.zeros((len(TARGETS), picture.size), dtype=np.bool_)
    known = []
    for row, place in enumerate((record.subject, record.object)):
        if 0 <= place < len(image.objects):
            known.append(row)
            cells[row] = sight.covered(image.objects[place].box_xyxy, image.width, image.height)
    cells[2] = cells[0] | cells[1]
    undefined = {}
    for row, target in enumerate(TARGETS):
        if row not in known and not (target == "either" and known):
            undefined[target] = NO_BOX
        elif not cells[row].any():
            undefined[target] = NOT_SEEN
        elif cells[row][picture].all():
            undefined[target] = EVERYWHERE
    return Targets(picture, cells, undefined)


@dataclass
class Heads:
    """Sums over questions [L, H, measures] of what is known of each head, and of how many questions it is known."""

    sums: Any = 0
    counts: Any = 0


@dataclass
class Measures:
    """Measures the attention of questions as it comes by; maps are kept of examples only.

    Attributes:
        sight: where tokens look.
        images: by identifier.
        items: the records that a question stands for.
        examples: records whose maps are kept.
        layers: measures [L, measures] of each question in each reading, of the mean over heads.
        tokens: image tokens, and all tokens, of each question's prompt.
        heads: by reading.
        maps: mean over heads [L, C] of examples, by reading.
        undefined: questions without an overlap, by target and reason.
    """

    sight: Sight
    images: Mapping[str, ImageRow]
    items: Mapping[Question, Sequence[Item]]
    examples: Collection[Name]
    layers: dict[tuple[Name, Reading], NDArray[np.float64]] = field(default_factory=dict)
    tokens: dict[Name, tuple[int, int]] = field(default_factory=dict)
    heads: dict[Reading, Heads] = field(default_factory=dict)
    maps: dict[tuple[Name, Reading], NDArray[np.float64]] = field(default_factory=dict)
    undefined: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        spread = self.sight.spread
        self._spread = None if np.array_equal(spread, np.eye(len(spread))) else spread  # a LLaVA's tokens are the cells

    def keep(self, question: Question, reading: Reading, attention: Attention) -> None:
        """Measure the attention of a question in a reading (``eval.attend.record.Keep``)."""
        check_tokens(attention, self.sight)
        share_LH = attention.share_LH.double().numpy()
        image_LHN = attention.image_LHN.double().numpy()
        maps_LHC = image_LHN if self._spread is None else image_LHN @ self._spread
        for item in self.items[question]:
            name = (item.record.record_id, item.template)
            targets = targets_of(item.record, self.images[item.record.image_id], self.sight)
            seen_LHC = maps_LHC[..., targets.picture_C]
            # One more "head" is the mean over them, so that ranks are counted in one go.
            all_LHC = np.concatenate([seen_LHC, seen_LHC.mean(1, keepdims=True)], axis=1)
            share = np.concatenate([share_LH, share_LH.mean(1, keepdims=True)], axis=1)
            overlap = auroc(all_LHC, targets.cells_TC[:, targets.picture_C])
            measured = np.concatenate([share[..., None], overlap], axis=-1)
            self.layers[name, reading] = measured[:, -1]
            heads = self.heads.setdefault(reading, Heads())
            heads.sums = heads.sums + np.nan_to_num(measured[:, :-1])
            heads.counts = heads.counts + ~np.isnan(measured[:, :-1])
            if name in self.examples:
                self.maps[name, reading] = maps_LHC.mean(1)
            if reading == Greedy():
                self.tokens[name] = (int(attention.image_K.sum()), len(attention.image_K))
                self.undefined.update(targets.undefined.items())

    def head_table(self) -> pd.DataFrame:
        """Return a row per reading, layer and head: means over questions, and of how many the overlap is known."""
        parts = []
        for reading, heads in self.heads.items():
            layer, head = np.indices(heads.sums.shape[:2])
            means = heads.sums / np.where(heads.counts, heads.counts, np.nan)
            columns: dict[str, Any] = {"reading": format_decoder(reading), "layer": layer.ravel(), "head": head.ravel()}
            columns |= {name: means[..., index].ravel() for index, name in enumerate(MEASURES)}
            columns |= {f"n_{name}": heads.counts[..., index].ravel() for index, name in enumerate(MEASURES)}
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)


def check_tokens(attention: Attention, sight: Sight) -> None:
    """Make sure that the model sees a picture by as many tokens as there are places.

    Raises:
        CheckpointError: it does not.
    """
    count = int(attention.image_K.sum())
    if count != len(sight.places):
        raise CheckpointError(
            f"the model sees a picture by {count} tokens where {len(sight.places)} are expected, so that it is not "
            "known where they look; 'vsre eval' can ask it"
        )


Answers = Mapping[Name, Mapping[Reading, Prediction]]
"""The rows of each question by reading."""


def answers_of(predictions: Iterable[Prediction], readings: Sequence[Reading]) -> Answers:
    """Return the rows of each question by reading."""
    by_name = {format_decoder(reading): reading for reading in readings}
    found: dict[Name, dict[Reading, Prediction]] = {}
    for row in predictions:
        found.setdefault((row.record_id, row.template), {})[by_name[row.decoder]] = row
    return found


def chosen_reading(decoder: Decoder, rows: Mapping[Reading, Prediction]) -> Reading | None:
    """Return the reading that a decoder answers a question with: AdaptVis chooses one for each.

    ``None`` if its answer is none of them, but made of several: no single look at the picture gave it.
    """
    if not isinstance(decoder, Choice):
        return readings_of([decoder])[-1]
    chosen = decoder.choose(rows)
    return next((reading for reading, row in rows.items() if row is chosen), None)


def attention_table(decoders: Sequence[Decoder], answers: Answers, measures: Measures) -> pd.DataFrame:
    """Return a row per question, decoder and layer, of questions that were answered."""
    columns: dict[str, list[Any]] = {}
    measured = []
    for decoder in decoders:
        for name, rows in answers.items():
            if any(row.failed for row in rows.values()):
                continue
            reading = chosen_reading(decoder, rows)
            if reading is None:
                continue
            layers, row = measures.layers[name, reading], rows[reading]
            measured.append(layers)
            about = {
                **{key: getattr(row, key) for key in ("record_id", "image_id", "relation", "category", "template")},
                "decoder": format_decoder(decoder),
                "reading": format_decoder(reading),
                "correct": row.correct,
                "confidence": row.confidence,
            }
            for key, value in about.items():
                columns.setdefault(key, []).extend([value] * len(layers))
            columns.setdefault("layer", []).extend(range(len(layers)))
    table = pd.DataFrame(columns)
    table[list(MEASURES)] = np.concatenate(measured) if measured else np.empty((0, len(MEASURES)))
    return table
