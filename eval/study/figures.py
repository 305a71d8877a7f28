"""How far relations lie apart in a space of features: distances to centroids, silhouette, and a linear probe.

Everything is measured across groups: a centroid never holds the sample's own group, and the probe never learned from
it. The two images of a group show the same objects, so whoever compares within a group compares scenes, not relations.

Distances are cosine distances (1 - cosine, 0 to 2) of features standardised over all samples. Where features know
nothing of relations, those to the own centroid and to the others' are the same on average, and about 1 (somewhat more
where samples are few, for a sample's own part in the overall mean points away from it). Between the centroids
themselves the distance would say nothing: standardising makes K centroids sum to zero, so that the cosine distance of
two is K / (K - 1) on average whatever the features.

Shapes: N samples, F features, K relations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score

from eval.statistics import cluster_interval
from spatial.proportion import Interval

Rows = NDArray[np.float64]
Labels = NDArray[np.str_]

PENALTY_C = 1.0
"""Inverse strength of the probe's quadratic penalty, for rows that are about one long whatever F is."""

MARGIN_SHUFFLES = 20
"""Shuffles of the labels that say how large a margin comes about by chance."""


@dataclass(frozen=True)
class Figures:
    """How far the relations lie apart.

    Attributes:
        features: F.
        own: mean cosine distance to the centroid of the own relation (intra-class distance).
        other: mean cosine distance to the centroids of the other relations (inter-class distance).
        ratio: own / other; below 1 where relations lie apart.
        margin: other - own; 0 where features know nothing of relations.
        margin_ci95: its interval over groups, which holds the centroids fixed. They too are of few samples, so where
            there is nothing to find the interval is too narrow: compare with ``margin_null``.
        margin_null: where 95 % of margins lie when labels are shuffled (mean and deviation of ``MARGIN_SHUFFLES``).
        silhouette: mean silhouette with cosine distance, -1 to 1.
        probe: accuracy of the linear probe on held-out groups, each relation weighing the same.
        probe_ci95: its interval over groups.
        null: the same after shuffling the labels, averaged over the shuffles.
        null_ci95: its interval over shuffles (Student's t). Groups would make it too narrow: statements that are
            learned from each other are right and wrong together.
        per_relation: the probe's accuracy on each relation.
    """

    features: int
    own: float
    other: float
    ratio: float
    margin: float
    margin_ci95: Interval
    margin_null: Interval
    silhouette: float
    probe: float
    probe_ci95: Interval
    null: float
    null_ci95: Interval
    per_relation: dict[str, float]


def measure(
    features: NDArray[np.float32],
    relations: Sequence[str],
    groups: Sequence[str],
    folds: NDArray[np.int64],
    shuffles: int = 5,
    resamples: int = 1000,
    seed: int = 0,
) -> Figures:
    """Measure one source in one view.

    Args:
        features: [N, F].
        relations: of each sample; each in two groups or more.
        groups: of each sample.
        folds: of each sample; no group is in two of them.
        shuffles: how often labels are shuffled for the null, at least twice.
        resamples: of the bootstrap over groups.
        seed: of shuffling and bootstrap.
    """
    labels = np.asarray(relations)
    rows = standardise(features)
    own, other = centroid_distances(rows, labels, groups)
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(labels) for _ in range(shuffles)]
    right, *guesses = probe(features, [labels, *shuffled], folds)
    credit = _balanced(right, labels)
    nulls = [float(_balanced(*pair).mean()) for pair in zip(guesses, shuffled, strict=True)]
    margin = other - own
    return Figures(
        features=features.shape[1],
        own=float(own.mean()),
        other=float(other.mean()),
        ratio=float(own.mean() / other.mean()),
        margin=float(margin.mean()),
        margin_ci95=_margin_interval(margin, groups, resamples, seed),
        margin_null=_margin_null(rows, labels, groups, generator),
        silhouette=float(silhouette_score(rows, labels, metric="cosine")),
        probe=float(credit.mean()),
        probe_ci95=cluster_interval(credit.tolist(), groups, resamples, seed),
        null=float(np.mean(nulls)),
        null_ci95=_mean_interval(nulls),
        per_relation={str(name): float(right[labels == name].mean()) for name in np.unique(labels)},
    )


def standardise(features: NDArray[np.float32], known: NDArray[np.bool_] | None = None) -> Rows:
    """Return features [N, F] with mean 0 and deviation 1; a feature that never changes becomes 0.

    Args:
        known: rows that mean and deviation are taken from; all by default.
    """
    rows = features.astype(np.float64)
    source = rows if known is None else rows[known]
    middle, spread = source.mean(0), source.std(0)
    # Rounding gives constant float32 features a deviation of about 1e-7 of their size.
    constant = spread <= 1e-6 * np.maximum(np.abs(middle), 1e-6)
    return np.where(constant, 0.0, (rows - middle) / np.where(constant, 1.0, spread))


def centroid_distances(rows: Rows, labels: Labels, groups: Sequence[str]) -> tuple[Rows, Rows]:
    """Return the cosine distances [N] of samples to their own relation's centroid, and the mean to the others'.

    The centroids are those of the samples of other groups. A relation that no other group has is at distance 1.
    """
    names, index = np.unique(labels, return_inverse=True)
    member = np.eye(len(names))[index]  # [N, K]
    sums, counts = member.T @ rows, member.sum(0)
    _, group_index = np.unique(np.asarray(groups), return_inverse=True)
    distances = np.empty((len(rows), len(names)))
    for group in range(group_index.max() + 1):
        inside = group_index == group
        left = counts - member[inside].sum(0)
        centroids = sums - member[inside].T @ rows[inside]  # the length does not matter
        distances[inside] = np.where(left > 0, 1.0 - _unit(rows[inside]) @ _unit(centroids).T, np.nan)
    own = distances[np.arange(len(rows)), index]
    distances[np.arange(len(rows)), index] = np.nan
    return np.where(np.isnan(own), 1.0, own), np.nanmean(distances, axis=1)


def probe(
    features: NDArray[np.float32], labellings: Sequence[Labels], folds: NDArray[np.int64]
) -> list[NDArray[np.bool_]]:
    """Return [N] per labelling whether a logistic regression on the other folds names a sample's label."""
    said = [np.empty_like(labels) for labels in labellings]
    for fold in np.unique(folds):
        known = folds != fold
        rows = _turned(standardise(features, known) / np.sqrt(features.shape[1]), known)
        for labels, answers in zip(labellings, said, strict=True):
            answers[~known] = _answers(rows[known], labels[known], rows[~known])
    return [np.asarray(answers == labels) for answers, labels in zip(said, labellings, strict=True)]


def _turned(rows: Rows, known: NDArray[np.bool_]) -> Rows:
    """Return rows in as many dimensions as there are known ones, if those are fewer.

    A linear model with a quadratic penalty only looks along the rows it learned from, so this changes no answer.
    """
    if rows.shape[1] <= known.sum():
        return rows
    _, _, directions = np.linalg.svd(rows[known], full_matrices=False)
    return rows @ directions.T


def _answers(rows: Rows, labels: Labels, asked: Rows) -> Labels:
    if len(np.unique(labels)) < 2:  # all there is to learn
        return np.full(len(asked), labels[0])
    model = LogisticRegression(C=PENALTY_C, class_weight="balanced", max_iter=2000)
    return np.asarray(model.fit(rows, labels).predict(asked))


def _margin_interval(margin: Rows, groups: Sequence[str], resamples: int, seed: int) -> Interval:
    """Return the interval of a mean of values -2 to 2; intervals are of values 0 to 1."""
    low, high = cluster_interval(((margin + 2) / 4).tolist(), groups, resamples, seed)
    return 4 * low - 2, 4 * high - 2


def _mean_interval(values: Sequence[float]) -> Interval:
    """Return the 95 % interval of a mean of shares."""
    reach = float(t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return max(0.0, float(np.mean(values)) - reach), min(1.0, float(np.mean(values)) + reach)


def _margin_null(rows: Rows, labels: Labels, groups: Sequence[str], generator: np.random.Generator) -> Interval:
    distances = [centroid_distances(rows, generator.permutation(labels), groups) for _ in range(MARGIN_SHUFFLES)]
    margins = np.array([(other - own).mean() for own, other in distances])
    reach = 1.96 * float(margins.std(ddof=1))
    return float(margins.mean()) - reach, float(margins.mean()) + reach


def _balanced(right: NDArray[np.bool_], labels: Labels) -> Rows:
    """Return right answers [N] weighted so that their mean is the mean over relations of the share that is right."""
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return right * (len(labels) / (len(counts) * counts[index]))


def _unit(rows: Rows) -> Rows:
    """Return rows of length one; empty ones stay empty."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)
