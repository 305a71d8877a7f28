"""Intervals and paired tests that respect how the data came about.

Statements about one image succeed and fail together, so the image, not the statement, is what is resampled: a
percentile cluster bootstrap (Efron & Tibshirani 1993, chapters 8 and 13). Two decoders or models answer the same
questions, so they are compared by the exact McNemar test, which looks only at the questions where they differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

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
