"""Pictures of a report, with statements about them and what every model answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.predictions import Prediction
from spatial.dataset import DatasetFolder
from vsre.pictures import Picture, describe, picture
from vsre.summary import GREEDY, IMAGE, Evaluation

STATEMENTS = 4
"""Shown of a picture."""


@dataclass(frozen=True)
class Statement:
    """A question about a picture, its right answer, and (model, answer, right?) of every model that was asked it."""

    caption: str
    answer: str
    given: Sequence[tuple[str, str, bool]]


@dataclass(frozen=True)
class Example:
    """A picture ready for the page, with statements about it."""

    picture: Picture
    statements: Sequence[Statement]


def read_examples(data: str, evaluations: Sequence[Evaluation], count: int) -> list[Example]:
    """Return pictures of the data that the first model was asked about.

    Raises:
        RecordError: the dataset folder cannot be read.
    """
    images = DatasetFolder(data).images
    answers = {evaluation.name: _plain_rows(evaluation) for evaluation in evaluations}
    first = [row for row in next(iter(answers.values())).values() if row.image_id in images and row.relation]
    examples = []
    for image_id in choose_examples(first, count):
        row, statements = images[image_id], _statements(first, answers, image_id)
        alt = describe(row) if row.objects else f"image, asked about: {statements[0].caption}"
        examples.append(Example(picture(row, alt), statements))
    return examples


def choose_examples(rows: Sequence[Prediction], count: int) -> list[str]:
    """Return ``count`` image ids, going round the relations so that as many as possible are shown; always the same."""
    by_relation: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row.image_id):
        images = by_relation.setdefault(row.relation, [])
        if row.image_id not in images:
            images.append(row.image_id)
    chosen: list[str] = []
    for turn in range(max(map(len, by_relation.values()), default=0)):
        for _, images in sorted(by_relation.items()):
            if turn < len(images) and images[turn] not in chosen:
                chosen.append(images[turn])
    return chosen[:count]


def _statements(
    rows: Sequence[Prediction], answers: Mapping[str, Mapping[str, Prediction]], image_id: str
) -> list[Statement]:
    shown = [row for row in rows if row.image_id == image_id][:STATEMENTS]
    return [Statement(row.caption, row.answer, _given(row.record_id, answers)) for row in shown]


def _given(record_id: str, answers: Mapping[str, Mapping[str, Prediction]]) -> list[tuple[str, str, bool]]:
    found = {name: by_id[record_id] for name, by_id in answers.items() if record_id in by_id}
    return [(name, row.predicted, row.correct) for name, row in found.items()]


def _plain_rows(evaluation: Evaluation) -> dict[str, Prediction]:
    """Return the greedy answers with the image by record, in the first template that asked for it."""
    rows: dict[str, Prediction] = {}
    for row in sorted(evaluation.predictions, key=lambda row: (row.record_id, row.template)):
        if (row.decoder, row.image_mode) == (GREEDY, IMAGE) and not row.failed:
            rows.setdefault(row.record_id, row)
    return rows
