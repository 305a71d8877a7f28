"""Intervals and paired tests that respect how the data came about.

Statements about one image succeed and fail together, so the image, not the statement, is what is resampled: a cluster
bootstrap (Efron & Tibshirani 1993, chapters 8 and 14). Plain percentiles of the resampled means lie too close together,
and too near to the mean on the side of its long tail: of 200 images with nine of ten answers right, they hold the truth
in 93.6 % of samples instead of 95 if answers about one image correlate by one half. So the levels at which they are
read are corrected for bias and skewness (BCa, Efron 1987) and for the number of images (Hesterberg 2015,
arXiv 1411.5279). ``scripts/measure_coverage.py`` measures what is left.

Two decoders or models answer the same questions, so they are compared by the exact McNemar test, which looks only at
the questions where they differ.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm
from scipy.stats import t as student

from spatial.proportion import Interval, wilson

_DRAWS_AT_ONCE = 4_000_000
"""Cluster weights held in memory at one time."""


@dataclass(frozen=True)
class Comparison:
    """Questions that only the second of two answered rightly, that only the first did, and the two-sided p-value."""

    gained: int
    lost: int
    p_value: float


def cluster_interval(
    correct: Sequence[float], clusters: Sequence[str], resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the BCa bootstrap interval of the mean of ``correct``, resampling whole clusters.

    Where all clusters have the same mean, resampling cannot show any spread (9 of 9 right is not certainty); then
    the Wilson interval with one observation per cluster is returned.

    Args:
        correct: one value per row, 0 to 1.
        clusters: the row's image.

    Raises:
        ValueError: no rows, or lengths that differ.
    """
    if not correct or len(correct) != len(clusters):
        raise ValueError(f"{len(correct)} values with {len(clusters)} clusters have no interval")
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sizes = np.bincount(index).astype(np.float64)
    sums = np.bincount(index, weights=np.asarray(correct, dtype=np.float64)).astype(np.float64)
    if np.ptp(sums / sizes) == 0:
        return wilson(float(sums.sum() / sizes.sum()), len(sizes), level)
    means = _resampled_means(sums, sizes, resamples, seed)
    low, high = np.quantile(means, _corrected_levels(sums, sizes, means, level), method="weibull")
    return float(low), float(high)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Comparison:
    """Compare two sets of answers to the same questions with the exact (binomial) McNemar test.

    Raises:
        ValueError: lengths that differ.
    """
    gained = sum(b and not a for a, b in zip(first, second, strict=True))
    lost = sum(a and not b for a, b in zip(first, second, strict=True))
    p_value = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    return Comparison(gained, lost, p_value)


@dataclass(frozen=True)
class Difference:
    """How much better the second of two answers the same questions.

    Attributes:
        mean: of the differences of their scores.
        ci95: normal interval with the cluster-robust standard error.
        detectable: smallest true difference that a two-sided test at 5 % would find in 80 % of such samples; None where
            all clusters agree, which does not show how much others would differ.
    """

    mean: float
    ci95: Interval
    detectable: float | None


def paired_difference(first: Sequence[float], second: Sequence[float], clusters: Sequence[str]) -> Difference:
    """Return the mean difference of two scores of each question, with what clusters leave of its certainty.

    The standard error is that of a mean over clusters of unequal sizes (Miller 2024, arXiv 2411.00640, section 2.2 and
    equation 4), with the factor G / (G - 1) for G clusters. The detectable difference is (z_0.975 + z_0.8) of it
    (the same, section 4). Where all clusters agree, that error would be 0, which eight pictures without a difference do
    not prove; then the interval allows for the share of others (Wilson) that none of so many clusters has shown.

    Raises:
        ValueError: fewer than two clusters, or lengths that differ.
    """
    differences = np.subtract(second, first, dtype=np.float64)
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    count = int(index.max(initial=-1)) + 1
    if len(first) != len(second) or len(index) != len(differences) or count < 2:
        raise ValueError(f"{len(first)} and {len(second)} scores in {count} clusters have no difference to test")
    mean = float(differences.mean())
    sums = np.bincount(index, weights=differences - mean)
    error = float(np.sqrt(count / (count - 1) * np.square(sums).sum()) / len(differences))
    if error == 0:
        others = wilson(0.0, count)[1]
        return Difference(mean, (max(-1.0, mean - others), min(1.0, mean + others)), None)
    reach = float(norm.ppf(0.975)) * error
    return Difference(mean, (mean - reach, mean + reach), float(norm.ppf(0.975) + norm.ppf(0.8)) * error)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the same order (Holm 1979), to bound the family-wise error."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _corrected_levels(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], means: NDArray[np.float64], level: float
) -> NDArray[np.float64]:
    """Return the two levels at which resampled means bound the interval.

    A long tail is told by the skewness of the means that leave out one cluster, a bias by the share of resampled means
    that lie below the mean of all. Resampling G clusters shows too little spread by (G - 1) / G, and not that the
    spread itself is estimated: hence Student's t with G - 1 degrees of freedom, widened by that factor.
    """
    count = len(sizes)
    mean = sums.sum() / sizes.sum()
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    offsets = left_out.mean() - left_out
    spread = np.square(offsets).sum() ** 1.5
    acceleration = float((offsets**3).sum() / (6 * spread)) if spread else 0.0
    below = float(np.mean(means < mean) + np.mean(means <= mean)) / 2
    edge = 0.5 / len(means)  # none below is no proof that there are none
    bias = float(norm.ppf(np.clip(below, edge, 1 - edge)))
    reach = float(student.ppf((1 + level) / 2, count - 1)) * np.sqrt(count / (count - 1))
    shifted = bias + np.array([-reach, reach])
    levels: NDArray[np.float64] = norm.cdf(bias + shifted / np.maximum(1 - acceleration * shifted, 1e-9))
    return levels


def _resampled_means(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    totals = np.column_stack([sums, sizes])
    sampled = np.concatenate([drawn @ totals for drawn in _weights(len(sizes), resamples, seed)])
    means: NDArray[np.float64] = sampled[:, 0] / sampled[:, 1]
    return means


def _weights(count: int, resamples: int, seed: int) -> Iterable[NDArray[np.int64]]:
    """Return how often each resample has each cluster, in parts; the same for the same arguments.

    Drawing them takes nearly all the time of an interval, so that of small ones the latest are kept.
    """
    if count * resamples <= _DRAWS_AT_ONCE:
        return _kept_weights(count, resamples, seed)
    return _drawn_weights(count, resamples, seed)


@lru_cache(maxsize=4)
def _kept_weights(count: int, resamples: int, seed: int) -> tuple[NDArray[np.int64], ...]:
    return tuple(_drawn_weights(count, resamples, seed))


def _drawn_weights(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    step = max(1, _DRAWS_AT_ONCE // count)
    for start in range(0, resamples, step):
        yield generator.multinomial(count, np.full(count, 1 / count), size=min(step, resamples - start))
