"""Intervals and paired tests that respect how the data came about.

Statements about one image succeed and fail together, so the image, not the statement, is what is resampled: a
percentile cluster bootstrap (Efron & Tibshirani 1993, chapters 8 and 13). Two decoders or models answer the same
questions, so they are compared by the exact McNemar test, which looks only at the questions where they differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

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
    """Return the percentile bootstrap interval of the mean of ``correct``, resampling whole clusters.

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
    means = _resampled_means(sums, sizes, resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
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
        detectable: smallest true difference that a two-sided test at 5 % would find in 80 % of such samples.
    """

    mean: float
    ci95: Interval
    detectable: float


def paired_difference(first: Sequence[float], second: Sequence[float], clusters: Sequence[str]) -> Difference:
    """Return the mean difference of two scores of each question, with what clusters leave of its certainty.

    The standard error is that of a mean over clusters of unequal sizes (Miller 2024, arXiv 2411.00640, section 2.2 and
    equation 4), with the factor G / (G - 1) for G clusters. The detectable difference is (z_0.975 + z_0.8) of it
    (the same, section 4).

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


def _resampled_means(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], resamples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    count = len(sizes)
    totals = np.column_stack([sums, sizes])
    step = max(1, _DRAWS_AT_ONCE // count)
    drawn = [
        generator.multinomial(count, np.full(count, 1 / count), size=min(step, resamples - start)) @ totals
        for start in range(0, resamples, step)
    ]
    sampled = np.concatenate(drawn)
    means: NDArray[np.float64] = sampled[:, 0] / sampled[:, 1]
    return means
