"""Intervals and tests against an independent library and hand computation."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from eval.statistics import cluster_interval, holm, mcnemar, paired_difference


def clustered(clusters: int, seed: int) -> tuple[list[bool], list[str]]:
    """Answers that agree within clusters of unequal sizes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, clusters)
    skill = rng.beta(2, 1, clusters)
    correct = [bool(rng.random() < skill[c]) for c in range(clusters) for _ in range(sizes[c])]
    return correct, [f"image {c}" for c in range(clusters) for _ in range(sizes[c])]


def test_the_width_agrees_with_cluster_robust_regression() -> None:
    correct, clusters = clustered(300, 1)
    low, high = cluster_interval(correct, clusters, 4000, 0)
    groups = np.unique(clusters, return_inverse=True)[1]
    fit = sm.OLS(np.array(correct, float), np.ones(len(correct))).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert (high - low) / (2 * 1.96) == pytest.approx(fit.bse[0], rel=0.05)
    assert (high + low) / 2 == pytest.approx(fit.params[0], abs=0.01)


def test_clusters_widen_the_interval() -> None:
    correct, clusters = clustered(200, 2)
    low, high = cluster_interval(correct, clusters)
    alone = cluster_interval(correct, [str(i) for i in range(len(correct))])
    assert high - low > alone[1] - alone[0]


def test_the_interval_depends_on_the_seed_alone() -> None:
    correct, clusters = clustered(50, 3)
    order = np.random.default_rng(0).permutation(len(correct))
    assert cluster_interval(correct, clusters, seed=5) == cluster_interval(correct, clusters, seed=5)
    shuffled = cluster_interval([correct[i] for i in order], [clusters[i] for i in order], seed=5)
    assert shuffled == pytest.approx(cluster_interval(correct, clusters, seed=5))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = 2 / 3
    hits = [low <= truth <= high for low, high in (cluster_interval(*clustered(60, s), 400) for s in range(200))]
    assert 0.88 <= np.mean(hits) <= 0.99


def test_all_right_is_not_certainty() -> None:
    low, high = cluster_interval([True] * 18, [str(i // 2) for i in range(18)])
    assert high == 1.0
    assert low == pytest.approx(1 / (1 + 1.959964**2 / 9), rel=1e-4)  # Wilson at 9 of 9
    low, high = cluster_interval([True, False] * 5, [str(i // 2) for i in range(10)])
    assert low < 0.5 < high


def test_no_rows_have_no_interval() -> None:
    with pytest.raises(ValueError, match="no interval"):
        cluster_interval([], [])


@pytest.mark.parametrize(("gained", "lost"), [(12, 3), (0, 5), (7, 7), (93, 12), (0, 0)])
def test_mcnemar_is_exact(gained: int, lost: int) -> None:
    first = [False] * gained + [True] * lost + [True] * 4 + [False] * 2
    second = [True] * gained + [False] * lost + [True] * 4 + [False] * 2
    result = mcnemar(first, second)
    assert (result.gained, result.lost) == (gained, lost)
    expected = reference_mcnemar([[4, lost], [gained, 2]], exact=True).pvalue
    assert result.p_value == pytest.approx(expected)
    with pytest.raises(ValueError):
        mcnemar([True], [])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_a_paired_difference_agrees_with_cluster_robust_regression() -> None:
    first, clusters = clustered(80, 4)
    second = [bool(a or b) for a, b in zip(first, clustered(80, 5)[0] * 2, strict=False)]
    found = paired_difference(first, second, clusters)
    difference = np.array(second, float) - np.array(first, float)
    groups = np.unique(clusters, return_inverse=True)[1]
    robust = {"groups": groups, "df_correction": False, "use_correction": False}
    fit = sm.OLS(difference, np.ones(len(first))).fit(cov_type="cluster", cov_kwds=robust)
    error = fit.bse[0] * np.sqrt(80 / 79)
    assert found.mean == pytest.approx(difference.mean())
    assert found.ci95 == pytest.approx((difference.mean() - 1.959964 * error, difference.mean() + 1.959964 * error))
    assert found.detectable == pytest.approx((1.959964 + 0.841621) * error)


def test_the_detectable_difference_is_found_in_eight_of_ten_samples() -> None:
    rng = np.random.default_rng(0)
    clusters = [str(index // 2) for index in range(800)]
    trials = []
    for _ in range(400):
        first = rng.random(800) < 0.6
        second = np.where(rng.random(800) < 0.25, ~first, first)
        trials.append(paired_difference(first, second, clusters).detectable or 0.0)
    wanted = float(np.mean(trials))
    hits = []
    for _ in range(1500):
        difference = rng.choice([-1.0, 0.0, 1.0], 800, p=[(0.25 - wanted) / 2, 0.75, (0.25 + wanted) / 2])
        low, high = paired_difference(np.zeros(800).tolist(), difference.tolist(), clusters).ci95
        hits.append(low > 0 or high < 0)
    assert 0.76 <= np.mean(hits) <= 0.84


@pytest.mark.parametrize(("second", "mean"), [([0, 1], 0.0), ([1, 1], 0.5), ([1, 0], 0.0)])
def test_clusters_that_agree_are_no_certainty(second: list[int], mean: float) -> None:
    images = [str(index // 2) for index in range(16)]
    found = paired_difference([0, 1] * 8, second * 8, images)
    others = proportion_confint(0, 8, method="wilson")[1]
    assert found.mean == mean
    assert found.ci95 == pytest.approx((mean - others, mean + others))
    assert found.detectable is None, "eight pictures without a difference do not say what would show"
    low, high = paired_difference([0] * 8, [1] * 8, images[::2]).ci95
    assert (low, high) == (pytest.approx(1 - others), 1.0)


def test_one_cluster_has_no_difference_to_test() -> None:
    with pytest.raises(ValueError, match="1 clusters"):
        paired_difference([0, 1], [1, 1], ["a", "a"])
    with pytest.raises(ValueError, match="clusters"):
        paired_difference([0, 1], [1, 1], ["a", "b", "c"])
