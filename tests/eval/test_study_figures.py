"""Known separations give the known figures, labels that mean nothing are at chance, and groups leak nothing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from eval.audit.folds import fold_of
from eval.study.figures import Figures, centroid_distances, measure, probe, standardise
from eval.study.maps import lay_out
from spatial.records import Record

RELATIONS = ("above", "left of", "near")
CHANCE = 1 / len(RELATIONS)


def labelled(groups: int) -> tuple[list[str], list[str], NDArray[np.int64]]:
    """Return relations, groups and folds of twins: two samples of different relations per group."""
    relations = [RELATIONS[(group + twin) % 3] for group in range(groups) for twin in range(2)]
    names = [f"group {group}" for group in range(groups) for _ in range(2)]
    records = [Record("image", name, "", "statement", "relation", "", "true") for name in names]
    return relations, names, fold_of(records, 5, seed=0)


def figures(features: NDArray[np.float64], groups: int, **changes: int) -> Figures:
    relations, names, folds = labelled(groups)
    return measure(features.astype(np.float32), relations, names, folds, **{"resamples": 300, **changes})


def noise(count: int, width: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, width))


def test_relations_that_lie_apart_give_the_known_figures() -> None:
    relations, _, _ = labelled(30)
    found = figures(np.eye(3)[[RELATIONS.index(name) for name in relations]] * 7 + 3, 30)
    # Three points at the corners of a triangle around the middle: 0 degrees to the own, 120 to the others.
    assert found.own == pytest.approx(0, abs=1e-6)
    assert found.other == pytest.approx(1.5, abs=1e-6)
    assert found.ratio == pytest.approx(0, abs=1e-6)
    assert found.margin == pytest.approx(1.5, abs=1e-6)
    assert found.silhouette == pytest.approx(1, abs=1e-6)
    assert found.probe == 1 and set(found.per_relation.values()) == {1.0}


def test_more_noise_separates_less() -> None:
    relations, _, _ = labelled(60)
    signal = np.eye(3)[[RELATIONS.index(name) for name in relations]]
    clear, blurred = (figures(signal + scale * noise(120, 3), 60) for scale in (0.2, 0.8))
    assert clear.ratio < blurred.ratio < 1
    assert clear.silhouette > blurred.silhouette
    assert clear.probe > blurred.probe > CHANCE
    assert clear.margin_ci95[0] > blurred.margin_ci95[1]
    assert blurred.probe_ci95[0] <= blurred.probe <= blurred.probe_ci95[1]


@pytest.mark.parametrize("width", [4, 100])
def test_features_that_know_nothing_are_at_chance(width: int) -> None:
    """Eight draws: one alone is outside its interval one time in twenty."""
    draws = [figures(noise(120, width, seed), 60, shuffles=2, resamples=100) for seed in range(8)]
    probes = [found.probe for found in draws]
    assert np.mean(probes) == pytest.approx(CHANCE, abs=3.5 * np.std(probes, ddof=1) / 8**0.5)
    assert max(probes) < 0.5
    reach = np.mean([found.margin_null[1] - found.margin_null[0] for found in draws]) / 2
    assert np.mean([found.margin for found in draws]) == pytest.approx(0, abs=1.5 * reach / 8**0.5)
    assert all(found.margin_null[0] < 0 < found.margin_null[1] for found in draws)
    assert np.mean([found.own for found in draws]) == pytest.approx(1, abs=0.12)
    assert np.mean([found.other for found in draws]) == pytest.approx(1, abs=0.12)


def test_shuffled_labels_are_at_chance_where_the_true_ones_are_plain() -> None:
    relations, _, _ = labelled(120)
    found = figures(np.eye(3)[[RELATIONS.index(name) for name in relations]] + 0.1 * noise(240, 3), 120, shuffles=5)
    assert found.probe == 1
    assert found.margin > 5 * found.margin_null[1] > 0
    assert found.null_ci95[0] <= CHANCE <= found.null_ci95[1] < 0.6


def test_features_that_name_the_group_do_not_help() -> None:
    """Every group has a relation to itself, so whoever had seen the group would know the relation."""
    groups = 90
    relations = [RELATIONS[group % 3] for group in range(groups) for _ in range(3)]
    names = [f"group {group}" for group in range(groups) for _ in range(3)]
    records = [Record("image", name, "", "statement", "relation", "", "true") for name in names]
    identity = np.eye(groups)[np.repeat(np.arange(groups), 3)].astype(np.float32)
    folds = fold_of(records, 5, seed=0)
    found = measure(identity, relations, names, folds, resamples=300)
    # Unseen groups all look the same: their answer is one guess, not better than chance.
    assert found.probe <= CHANCE + 0.02
    assert found.own >= found.other - 0.01
    leaky = probe(identity, [np.asarray(relations)], np.tile(np.arange(3), groups))[0]
    assert leaky.mean() == 1


def test_a_centroid_leaves_the_own_group_out() -> None:
    rows = standardise(noise(6, 5).astype(np.float32))
    labels = np.array(["on", "on", "under", "on", "under", "under"])
    own, other = centroid_distances(rows, labels, ["a", "a", "a", "b", "b", "c"])

    def distance(row: NDArray[np.float64], centroid: NDArray[np.float64]) -> float:
        return float(1 - row @ centroid / np.linalg.norm(row) / np.linalg.norm(centroid))

    assert own[0] == pytest.approx(distance(rows[0], rows[3]))
    assert other[0] == pytest.approx(distance(rows[0], rows[[4, 5]].mean(0)))
    assert own[5] == pytest.approx(distance(rows[5], rows[[2, 4]].mean(0)))
    assert other[5] == pytest.approx(distance(rows[5], rows[[0, 1, 3]].mean(0)))


def test_uneven_relations_weigh_the_same() -> None:
    """A probe that only ever says the frequent relation is at chance, not at its frequency."""
    relations = ["on"] * 80 + ["under"] * 20
    names = [f"group {index}" for index in range(100)]
    folds = np.arange(100) % 5
    constant = np.ones((100, 3), dtype=np.float32)
    found = measure(constant, relations, names, folds, resamples=200)
    assert found.probe == pytest.approx(0.5)
    assert (found.own, found.other) == (1, 1)


def test_wide_features_give_the_answers_of_the_plain_regression() -> None:
    """Turning rows into fewer dimensions first changes no answer."""
    from sklearn.linear_model import LogisticRegression

    from eval.study.figures import PENALTY_C

    relations, _, folds = labelled(40)
    labels = np.asarray(relations)
    signal = np.repeat(np.eye(3)[[RELATIONS.index(name) for name in relations]], 100, axis=1)
    features = (signal + 9 * noise(80, 300)).astype(np.float32)
    expected = np.empty_like(labels)
    for fold in range(5):
        known = folds != fold
        rows = standardise(features, known) / np.sqrt(300)
        model = LogisticRegression(C=PENALTY_C, class_weight="balanced", max_iter=2000)
        expected[~known] = model.fit(rows[known], labels[known]).predict(rows[~known])
    assert (probe(features, [labels], folds)[0] == (expected == labels)).all()
    assert 0 < (expected == labels).mean() < 1


def test_a_map_keeps_neighbours_together_and_repeats_itself() -> None:
    relations, _, _ = labelled(30)
    index = np.array([RELATIONS.index(name) for name in relations])
    features = (np.eye(3)[index] * 9 + 0.1 * noise(60, 3)).astype(np.float32)
    points = lay_out(features, seed=1)
    assert points.shape == (60, 2) and np.isfinite(points).all()
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.diag([np.inf] * 60)
    assert (index[distances.argmin(1)] == index).mean() > 0.95
    assert (lay_out(features, seed=1) == points).all()


def test_constant_features_have_a_map() -> None:
    assert np.isfinite(lay_out(np.ones((12, 1), dtype=np.float32), seed=0)).all()
