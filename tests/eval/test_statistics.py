"""Intervals and tests against an independent library and hand computation."""

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar

from eval.statistics import cluster_interval, mcnemar


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
