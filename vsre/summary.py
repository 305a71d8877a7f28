"""What a report says in numbers, from the predictions of one or several evaluations.

The headline numbers are about relations only; statements about presence, colour and count, which every base model
should master, are listed beside them as controls.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.decoders import canonical
from eval.predictions import Prediction, read_predictions
from eval.results import summarise
from spatial.errors import RecordError, nearest

GREEDY, IMAGE, BLIND = "greedy", "image", "image_blind"
HEADLINE = ("accuracy", "ci95", "macro_accuracy", "worst_category", "pair_accuracy", "yes_rate")
RESAMPLES = 1000


@dataclass(frozen=True)
class Evaluation:
    """The predictions of one model and their scores.

    Attributes:
        name: as the settings call the model, "base" or "expert".
        predictions: all rows.
        relations: those that ``scores`` are of: about relations, or all where none is.
        scores: of the relation rows, one entry per decoder and image mode (see ``eval.results.summarise``).
        controls: accuracy with interval by topic, for the other topics (decoder greedy, with the image).
    """

    name: str
    predictions: Sequence[Prediction]
    relations: Sequence[Prediction]
    scores: Sequence[dict[str, Any]]
    controls: dict[str, dict[str, Any]]

    def find(self, decoder: str, image_mode: str) -> dict[str, Any] | None:
        """Return the scores of a decoder and image mode, if they were evaluated."""
        found = (run for run in self.scores if (run["decoder"], run["image_mode"]) == (decoder, image_mode))
        return next(found, None)


def read_evaluation(name: str, folder: Path) -> Evaluation:
    """Read the predictions of an evaluation's run directory and score them.

    Raises:
        RecordError: there are no readable predictions, or ``results.json`` is missing.
    """
    asked = _decoders(folder / "results.json")
    predictions = [row for row in read_predictions(folder / "predictions.parquet") if row.decoder in asked]
    relations = [row for row in predictions if row.topic in ("relation", "")] or predictions  # "": unreadable rows
    others = [row for row in predictions if row.topic not in ("relation", "")]
    others = [row for row in others if (row.decoder, row.image_mode) == (GREEDY, IMAGE)]
    topics = summarise(others, RESAMPLES, 0)[0]["per_topic"] if others else {}
    return Evaluation(name, predictions, relations, summarise(relations, RESAMPLES, 0), topics)


def label(name: str, decoder: str, image_mode: str, decoders: Sequence[str]) -> str:
    """Return what a row is called: "expert", "expert+adaptvis", "expert, image_blind".

    Args:
        decoders: all of the evaluation; the parameters of one are left away where its kind is there only once.
    """
    kind = decoder.partition("(")[0]
    short = kind if sum(other.partition("(")[0] == kind for other in decoders) == 1 else decoder
    return name + ("" if decoder == GREEDY else f"+{short}") + ("" if image_mode == IMAGE else f", {image_mode}")


def overview(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """Return the scores of every decoder and image mode by label."""
    decoders = list(dict.fromkeys(run["decoder"] for run in evaluation.scores))
    return {label(evaluation.name, run["decoder"], run["image_mode"], decoders): run for run in evaluation.scores}


def headline(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """Return the content of ``summary.json``; what was not evaluated is absent.

    Each model has its headline numbers under its name, and under ``name+decoder``; ``n``, ``image_blind``,
    ``pair_accuracy`` and ``worst_category`` are those of the last model, the one that the report is about.
    """
    summary: dict[str, Any] = {}
    for evaluation in evaluations:
        for name, scores in overview(evaluation).items():
            if scores["image_mode"] == IMAGE:
                summary[name] = _headline(scores)
        if evaluation.controls and evaluation.name in summary:
            summary[evaluation.name]["controls"] = evaluation.controls
    last = evaluations[-1].find(GREEDY, IMAGE) if evaluations else None
    blind = evaluations[-1].find(GREEDY, BLIND) if evaluations else None
    if last:
        summary |= {"n": last["n"], "pair_accuracy": last["pair_accuracy"], "worst_category": last["worst_category"]}
    if blind:
        summary["image_blind"] = _headline(blind)
    return summary


def _decoders(results: Path) -> set[str]:
    """Return the decoders that were asked for; predictions also hold the scales that some of them are made from."""
    folder = results.parent
    if not folder.is_dir():
        names = [path.name for path in folder.parent.glob("*") if (path / results.name).is_file()]
        raise RecordError(
            f"there is no evaluation {folder}{nearest(folder.name, names, 0.6) or '; name a folder of vsre eval'}"
        )
    try:
        config = json.loads(results.read_text(encoding="utf-8"))["config"]
        asked = [str(text) for text in config["decoders"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{results} is missing or damaged; run the 'vsre eval' command of that folder again"
        ) from error
    return {canonical(text) for text in asked}


def _headline(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {key: scores[key] for key in HEADLINE}
