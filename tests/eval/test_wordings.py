"""The spread over wordings against values worked out by hand."""

import pytest

from eval.predictions import Prediction
from eval.results import print_tables, summarise
from eval.wordings import wording_spread
from spatial.templates import HELD_OUT, TEMPLATES


def rows(template: str, right: int, wrong: int, failed: int = 0) -> list[Prediction]:
    """Statements in one template, of which so many are answered rightly, wrongly and not at all."""

    def one(index: int, correct: bool, why: str = "") -> Prediction:
        said = "yes" if correct else "no"
        fields = {"task": TEMPLATES[template].task, "options": ("yes", "no"), "answer": "yes", "predicted": said}
        place = ("hash", f"{template}/{index}", f"image {index}", "g", template, "greedy", "image")
        return Prediction(*place, **fields, correct=correct, failed=why)  # type: ignore[arg-type]

    outcomes = [(True, "")] * right + [(False, "")] * wrong + [(False, "no photo")] * failed
    return [one(index, *outcome) for index, outcome in enumerate(outcomes)]


ROWS = [
    *rows("question", 3, 1),  # two templates of one family: 3/4 each
    *rows("question-short", 3, 1, failed=5),
    *rows("clause", 1, 1),
    *rows("whether", 1, 3),  # held out: 1/4, and 2/2 in a lettered form
    *rows("letters-whether", 2, 0),
    *rows("where", 1, 3),
]


def test_each_template_and_family_counts_once_whatever_its_number_of_rows() -> None:
    spread = wording_spread(ROWS)["statement"]
    assert spread["templates"] == pytest.approx({"n": 5, "mean": 0.65, "worst": 0.25, "std": 0.255}, abs=5e-4)
    assert spread["families"] == pytest.approx({"n": 4, "mean": 0.625, "worst": 0.25, "std": 0.2795}, abs=5e-4)
    assert spread["held_out_families"] == {"n": 2, "mean": 0.625, "worst": 0.25, "std": 0.375}


def test_tasks_are_kept_apart_and_what_is_not_there_has_no_number() -> None:
    assert wording_spread(ROWS)["choice"] == {
        "templates": {"n": 1, "mean": 0.25, "worst": 0.25, "std": 0.0},
        "families": {"n": 1, "mean": 0.25, "worst": 0.25, "std": 0.0},
        "held_out_families": {"n": 0, "mean": None, "worst": None, "std": None},
    }
    assert wording_spread(rows("question", 0, 0, failed=2))["statement"]["templates"]["n"] == 0
    assert wording_spread([]) == {}


def test_the_results_have_them_and_the_screen_shows_those_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    (scores,) = summarise(ROWS, 10, 0)
    assert scores["wordings"] == wording_spread(ROWS)
    assert {name: part["n"] for name, part in scores["per_family"].items()} == {
        "question": 8,
        "clause": 2,
        "whether": 4,
        "letters-whether": 2,
        "where": 4,
    }
    assert set(scores["per_family"]) & set(HELD_OUT) == {"whether", "letters-whether"}
    print_tables([scores])
    shown = capsys.readouterr().out
    assert "held out families" in shown and "62.5" in shown and "choice" not in shown


def test_one_wording_has_no_table_of_wordings(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(summarise(rows("question", 2, 1), 10, 0))
    assert "wordings" not in capsys.readouterr().out
