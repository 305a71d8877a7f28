"""Intervals of 95 % hold the truth in 94 to 96 % of data sets, also where questions about a picture go together."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from eval.predictions import Prediction
from eval.results import summarise
from eval.statistics import cluster_interval
from scripts.measure_coverage import CORRELATIONS, DRAWS, SHARES, coverage, main

CELLS = [*product(DRAWS, SHARES, CORRELATIONS)]


@pytest.mark.parametrize(
    ("name", "p", "rho"), [("accuracy", 0.9, 0.5), ("pair accuracy", 0.3, 0.2), ("paired difference", 0.7, 0.5)]
)
def test_intervals_hold_the_truth_in_a_few_hundred_data_sets(name: str, p: float, rho: float) -> None:
    above, below = coverage(name, p, rho, runs=400)
    assert 0.92 <= 1 - above - below <= 0.98
    assert max(above, below) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("name", "p", "rho"), CELLS)
def test_intervals_hold_the_truth_in_ten_thousand_data_sets(name: str, p: float, rho: float) -> None:
    above, below = coverage(name, p, rho, runs=10_000)
    assert 0.94 <= 1 - above - below <= 0.96


def percentiles(correct: np.ndarray, clusters: np.ndarray, resamples: int = 1000) -> np.ndarray:
    """The interval as it is not computed any more: plain percentiles of resampled means."""
    sums, sizes = np.bincount(clusters, weights=correct), np.bincount(clusters)
    weights = np.random.default_rng(0).multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=resamples)
    return np.quantile((weights @ sums) / (weights @ sizes), [0.025, 0.975])


def test_of_a_skewed_sample_the_bounds_lie_further_towards_its_long_tail() -> None:
    """Nine of ten right: the truth may well lie far below, but hardly far above."""
    generator = np.random.default_rng(1)
    clusters = np.repeat(np.arange(200), generator.integers(1, 9, 200))
    correct = generator.random(len(clusters)) < generator.beta(0.9, 0.1, 200)[clusters]
    plain = percentiles(correct, clusters)
    low, high = cluster_interval(correct.tolist(), [f"{number:03d}" for number in clusters])
    assert low < plain[0] and high - correct.mean() < correct.mean() - low
    assert high < plain[1] + 0.002


def test_few_pictures_have_wide_intervals_within_what_is_possible() -> None:
    for count in (2, 3, 5):
        right = [True, False, *[True] * (count - 2)]
        low, high = cluster_interval(right, [str(index) for index in range(count)])
        assert 0 <= low < np.mean(right) <= high <= 1
    assert cluster_interval([True, False], ["a", "b"]) == (0.0, 1.0)


def test_results_have_the_interval_of_pairs_over_groups() -> None:
    """Two pictures, two pairs a group: resampling pairs would take the groups' skill for luck."""
    generator, rows, right = np.random.default_rng(3), [], []
    for group in range(30):
        skill = generator.beta(1, 1)
        for caption in ("c", "d"):
            both = generator.random(2) < skill
            right.append(bool(both.all()))
            for place, hit in enumerate(both):
                said = "yes" if (place == 0) == hit else "no"
                name = ("model", f"{group}{caption}{place}", f"{group} {place}", f"{group:02d}")
                asked = Prediction(*name, "question", "greedy", "image", task="statement", caption=caption)
                told = {"options": ("yes", "no"), "answer": ("yes", "no")[place], "predicted": said}
                rows.append(replace(asked, **told, correct=bool(hit)))  # type: ignore[arg-type]
    (score,) = summarise(rows, 1000, 0)
    assert score["pairs"] == 60 and score["pair_accuracy"] == pytest.approx(np.mean(right))
    groups = [f"{index // 2:02d}" for index in range(60)]
    assert score["pair_ci95"] == list(cluster_interval(right, groups, 1000, 0))
    assert summarise(rows[:1], 10, 0)[0]["pair_ci95"] is None


@pytest.mark.parametrize(("count", "resamples"), [(200, 1000), (5000, 1000)])
def test_kept_draws_change_no_bit(count: int, resamples: int) -> None:
    """Draws are kept up to some size, and drawn in parts beyond it; neither changes what a seed gives."""
    generator = np.random.default_rng(2)
    names = [f"{index:05d}" for index in range(count)] * 2
    samples = [(generator.random(2 * count) < share).tolist() for share in (0.3, 0.8)]
    first = [cluster_interval(sample, names, resamples, seed=seed) for sample in samples for seed in (0, 1)]
    again = [cluster_interval(sample, names, resamples, seed=seed) for sample in samples for seed in (0, 1)]
    assert first == again and len(set(first)) == 4


def test_the_script_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--runs", "2", "--clusters", "20"])
    assert "paired difference" in capsys.readouterr().out
