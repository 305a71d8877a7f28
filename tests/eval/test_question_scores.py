"""MME's accuracy+, EmbSpatial's relations, and calibration: whole runs of a stand-in, and values worked out by hand."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from eval.calibration import calibration
from eval.config import DataConfig, EvalConfig
from eval.metrics import METRICS
from eval.predictions import Prediction
from eval.run import evaluate
from eval.scoring import Question, Scorer, Scores

from .released_files import base64_picture, expect, mme, write_json

BEHIND = "Is the sea behind people in the image? Please answer yes or no."
BEFORE = "Is the sea in front of people in the image? Please answer yes or no."


def answering(monkeypatch: pytest.MonkeyPatch, says: Any) -> None:
    """Let a function of the question stand in for the model."""

    def score(self: Scorer, questions: list[Question], pictures: Any, readings: Any) -> Any:
        told = [tuple(-1.0 - (option != says(question)) for option in question.options) for question in questions]
        return {reading: [Scores(logprobs, 0.5, True) for logprobs in told] for reading in readings}

    monkeypatch.setattr(Scorer, "score", score)


def results(checkpoint: Path, kind: str, folder: Path) -> dict[str, Any]:
    """The scores of a run over a benchmark in a folder."""
    data = DataConfig(kind=kind, path=str(folder))
    config = EvalConfig(str(checkpoint), data, str(folder / "run"), ["given-alone"], bootstrap=20)
    score: dict[str, Any] = json.loads((evaluate(config) / "results.json").read_text())["scores"][0]
    return score


def test_accuracy_plus_of_mme_needs_both_answers_about_a_photo(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {f"00000000000{number}": f"{BEHIND}\tYes\n{BEFORE}\tNo\n" for number in range(3)}
    mme(tmp_path, texts | {"000000000003": f"{BEHIND}\tNo\n{BEFORE}\tYes\n"})
    expect(monkeypatch, "mme-position", 8)
    answering(monkeypatch, lambda question: "yes" if "behind" in question.text else "no")
    found = results(checkpoint, "mme-position", tmp_path)
    assert (found["n"], found["accuracy"], found["accuracy_plus"]) == (8, 6 / 8, 3 / 4)
    answering(monkeypatch, lambda question: "yes")
    (tmp_path / "again").mkdir()
    mme(tmp_path / "again", texts)
    expect(monkeypatch, "mme-position", 6)
    found = results(checkpoint, "mme-position", tmp_path / "again")
    assert (found["accuracy"], found["accuracy_plus"]) == (0.5, 0.0)


def test_accuracy_plus_leaves_out_photos_that_are_not_whole() -> None:
    row = Prediction("m", "a", "photo", "photo", "given-alone", "greedy", "image", task="choice", correct=True)
    other = replace(row, record_id="b")
    assert METRICS["accuracy_plus"]([row]) is None
    assert METRICS["accuracy_plus"]([row, other, replace(row, record_id="c", template="given-words")]) == 1.0
    assert METRICS["accuracy_plus"]([row, replace(other, correct=False)]) == 0.0
    assert METRICS["accuracy_plus"]([row, replace(other, failed="no picture", correct=False)]) is None


def test_embspatial_is_scored_by_relation(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"left": "left of", "right": "right of", "above": "above", "under": "under"}
    said |= {"close": "close to", "far": "far from"}
    rows = [
        {"data_source": "mp3d", "scene_id": "a", "question_id": f"mp3d_{relation}_{number}", "relation": relation}
        | {"question": f"Which is {relation}?", "answer_options": ["cart", "left", "above"], "answer": 0}
        | {"image": base64_picture(place), "objects": []}
        for place, relation in enumerate([*said, "diagonal"])
        for number in range(2)
    ]
    write_json(tmp_path / "embspatial_bench.json", rows)
    expect(monkeypatch, "embspatial", 14)
    answering(monkeypatch, lambda question: "left" if "far" in question.text else "cart")
    found = results(checkpoint, "embspatial", tmp_path)
    assert {name: part["accuracy"] for name, part in found["per_relation"].items()} == {
        name: float(name != "far from") for name in said.values()
    }
    assert set(found["per_category"]) == {"Projective", "Proximity", "question"} and found["n"] == 14
    assert found["macro_accuracy"] == pytest.approx(5 / 6)
    assert found["pairs"] == found["sets"] == 0 and found["released_pair_accuracy"] is None


def asked(shares: list[float], truths: list[bool]) -> list[Prediction]:
    """Statements that are said to be true with some probability, and whether they are."""
    rows = []
    for number, (share, truth) in enumerate(zip(shares, truths, strict=True)):
        said, answer = ("yes", "no")[share < 0.5], ("yes", "no")[not truth]
        name = ("m", str(number), "photo", "group", "question", "greedy", "image")
        logprobs = (math.log(share) - 3, math.log(1 - share) - 3)  # other words have the rest
        row = Prediction(*name, options=("yes", "no"), answer=answer, predicted=said, correct=said == answer)
        rows.append(replace(row, option_logprobs=logprobs))
    return rows


def test_calibration_by_hand() -> None:
    found = calibration(asked([0.9, 0.8, 0.6, 0.3], [True, False, True, True]), bins=2)
    assert found is not None
    assert [(part.n, part.accuracy) for part in found.bins] == [(2, 0.5), (2, 0.5)]
    assert [part.probability for part in found.bins] == pytest.approx(
        [0.65, 0.85]
    )  # of the answers: 0.6, 0.7; 0.8, 0.9
    assert found.ece == pytest.approx(0.5 * 0.15 + 0.5 * 0.35)
    assert found.brier == pytest.approx((0.1**2 + 0.8**2 + 0.4**2 + 0.7**2) / 4)
    assert calibration([]) is None


def test_calibration_agrees_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    shares = generator.uniform(0.02, 0.98, 500)
    truths = generator.random(500) < shares**2
    rows = asked(shares.tolist(), truths.tolist())
    found = calibration(rows, bins=10)
    assert found is not None
    assert found.brier == pytest.approx(brier_score_loss(truths, shares))
    sure, correct = np.maximum(shares, 1 - shares), [row.correct for row in rows]
    accuracy, probability = calibration_curve(correct, sure, n_bins=10, strategy="quantile")
    assert [part.accuracy for part in found.bins] == pytest.approx(accuracy)
    assert [part.probability for part in found.bins] == pytest.approx(probability)
    assert found.ece == pytest.approx(np.mean(abs(accuracy - probability)))
    assert {part.n for part in found.bins} == {50}


def test_a_sure_and_right_model_is_calibrated_and_a_sure_and_wrong_one_is_not() -> None:
    sure = [1 - 1e-12] * 20
    right, wrong = calibration(asked(sure, [True] * 20)), calibration(asked(sure, [False] * 20))
    assert right is not None and wrong is not None
    assert (right.ece, right.brier, wrong.ece, wrong.brier) == pytest.approx((0, 0, 1, 1), abs=1e-9)
