"""Metrics against values worked out by hand."""

import math
from dataclasses import replace

import pytest

from eval.calibration import calibration
from eval.metrics import METRICS, chance, matched, pairs, sets
from eval.predictions import Prediction


def row(
    record: str, image: str, truth: bool, said: bool, caption: str = "c", group: str = "g", **more: str
) -> Prediction:
    """A statement row; it is answered where it says yes."""
    words = ("yes", "no")
    answer, word = words[not truth], words[not said]
    base = Prediction("hash", record, image, group, "t", "greedy", "image", task="statement", caption=caption)
    filled = replace(base, options=words, answer=answer, predicted=word, correct=answer == word, answered=said)
    return replace(filled, **more)  # type: ignore[arg-type]


ROWS = [  # 6 true (5 found), 4 false (1 found): accuracy 6/10, says yes 8/10
    *[row(f"t{i}", f"i{i}", True, i != 0, relation="on", category="Topological") for i in range(6)],
    *[row(f"f{i}", f"i{i}", False, i != 0, relation="left of", category="Projective") for i in range(4)],
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 0.6),
        ("balanced_accuracy", (5 / 6 + 1 / 4) / 2),
        ("f1", 2 * 5 / (8 + 6)),
        ("yes_rate", 0.8),
        ("answered", 0.8),
        ("macro_accuracy", (5 / 6 + 1 / 4) / 2),
        ("worst_category", 1 / 4),
    ],
)
def test_counts_by_hand(name: str, value: float) -> None:
    assert METRICS[name](ROWS) == pytest.approx(value)
    failed = replace(ROWS[0], record_id="x", failed="photo missing", correct=False, predicted="")
    assert METRICS[name]([*ROWS, failed]) == pytest.approx(value)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_to_score_is_none(name: str) -> None:
    assert METRICS[name]([]) is None
    assert METRICS[name]([replace(ROWS[0], failed="photo missing")]) is None


def group(said: list[bool], **more: str) -> list[Prediction]:
    """Two captions on two images: A is true of image 1, B of image 2."""
    truths = [("A", "1", True), ("A", "2", False), ("B", "1", False), ("B", "2", True)]
    both = zip(truths, said, strict=True)
    return [row(f"{more}{c}{i}", i, truth, answer, caption=c, **more) for (c, i, truth), answer in both]


def test_pairs_and_sets_need_every_answer() -> None:
    right, half, blind = [True, False, False, True], [True, False, True, True], [True] * 4
    rows = group(right, group="g1") + group(half, group="g2") + group(blind, group="g3")
    assert METRICS["pair_accuracy"](rows) == pytest.approx(3 / 6)
    assert METRICS["set_accuracy"](rows) == pytest.approx(1 / 3)
    assert METRICS["accuracy"](group(blind)) == 0.5


def test_broken_pairs_and_sets_are_left_out_of_the_denominator() -> None:
    whole, broken = group([True, False, False, True], group="g1"), group([True, False, False, True], group="g2")[:3]
    assert (len(pairs(whole + broken)), len(sets(whole + broken))) == (3, 1)
    failed = [*whole[:3], replace(whole[3], failed="photo missing")]
    assert (len(pairs(failed)), len(sets(failed))) == (1, 0)


def test_pairs_are_disjoint_and_stay_within_a_group_and_template() -> None:
    rows = [row(f"t{i}", f"i{i}", True, True) for i in range(3)] + [row("f", "j", False, False)]
    assert len(pairs(rows)) == 1
    assert pairs([row("a", "1", True, True, group="g"), row("b", "2", False, False, group="h")]) == []
    assert pairs([row("a", "1", True, True), row("b", "2", False, False, template="other")]) == []


def test_chance_follows_the_options() -> None:
    assert chance(ROWS) == 0.5
    assert chance([replace(ROWS[0], options=("a", "b", "c", "d"))]) == 0.25


def test_matched_rows_answer_the_same_question() -> None:
    other = [replace(r, decoder="scale(alpha=2)") for r in ROWS[:5]]
    assert [(a.record_id, b.record_id) for a, b in matched(ROWS, other)] == [(r.record_id,) * 2 for r in ROWS[:5]]
    assert list(matched(ROWS, [replace(r, failed="x") for r in other])) == []


def choices(right: dict[str, bool], group: str = "cup and book") -> list[Prediction]:
    """Four images of the same two objects, or some of them, and whether each was read rightly."""
    options = ("left of", "on", "right of", "under")
    return [
        Prediction(
            "model",
            f"{group} {relation}",
            f"{group} {relation}",
            group,
            "where",
            "greedy",
            "image",
            task="choice",
            topic="relation",
            relation=relation,
            options=options,
            answer=relation,
            predicted=relation if hit else "nothing",
            correct=hit,
        )
        for relation, hit in right.items()
    ]


def test_pairs_and_sets_of_choices_are_of_complete_groups_and_the_released_ones_are_not() -> None:
    every = dict.fromkeys(("left of", "right of", "on", "under"), True)
    whole, cut = choices(every), choices({"left of": True, "right of": True, "on": True}, "cut")
    rows = whole + cut
    assert len(pairs(rows)) == 3 and len(sets(rows)) == 1
    assert METRICS["pair_accuracy"](rows) == METRICS["set_accuracy"](rows) == 1.0
    assert METRICS["released_pair_accuracy"](rows) == pytest.approx(3 / 3.5)
    assert METRICS["released_set_accuracy"](rows) == pytest.approx(1 / 1.75)
    worse = choices(every | {"on": False})
    assert METRICS["pair_accuracy"](worse) == 0.5 and METRICS["set_accuracy"](worse) == 0.0
    assert METRICS["released_pair_accuracy"]([]) is None


def test_an_answer_whose_options_a_contrast_has_all_cut_off_is_a_guess() -> None:
    cut = [replace(ROWS[i], option_logprobs=(-math.inf, -math.inf)) for i in (0, 1)]
    found = calibration(cut)
    assert found is not None and found.bins[0].probability == 0.5
    assert found.brier == 0.25
