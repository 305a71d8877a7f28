"""How often 95 % intervals hold the truth, where the truth is known because the answers are drawn at random.

    .venv/bin/python scripts/measure_coverage.py

Each data set has 200 pictures (or groups of pictures) of one to eight questions, which succeed and fail together: a
cluster's skill is drawn from a beta distribution with mean ``p``, so that two answers of it correlate by ``rho``.
The intervals are those of ``vsre eval``: of an accuracy, of pairs (both of two answers right, by group), and of the
difference between two models of which the second repeats half of the answers of the first.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from eval.statistics import cluster_interval, paired_difference
from spatial.proportion import Interval

SHARES = (0.3, 0.5, 0.7, 0.9)
CORRELATIONS = (0.0, 0.2, 0.5)
LARGEST = 8
"""Questions of a cluster."""

Generator = np.random.Generator
Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Drawn:
    """The interval of one data set, and what it should hold."""

    interval: Interval
    truth: float


def draw_accuracy(p: float, rho: float, clusters: int, generator: Generator) -> Drawn:
    """Draw answers to questions about pictures."""
    names, index = _clusters(clusters, generator)
    correct = _answers(p, rho, clusters, index, generator)
    return Drawn(cluster_interval(correct.tolist(), names), p)


def draw_pairs(p: float, rho: float, clusters: int, generator: Generator) -> Drawn:
    """Draw pairs of answers; the two of a pair have the skill of their group in common."""
    names, index = _clusters(clusters, generator)
    skill = _skill(p, rho, clusters, generator)[index]
    both = (generator.random((2, len(index))) < skill).all(0)
    return Drawn(cluster_interval(both.tolist(), names), p * p + rho * p * (1 - p))


def draw_difference(p: float, rho: float, clusters: int, generator: Generator) -> Drawn:
    """Draw the answers of two models, the second 5 points better where it does not repeat the first."""
    names, index = _clusters(clusters, generator)
    first = _answers(p, rho, clusters, index, generator)
    own = _answers(p + 0.05, rho, clusters, index, generator)
    second = np.where(generator.random(len(index)) < 0.5, first, own)
    return Drawn(paired_difference(first.tolist(), second.tolist(), names).ci95, 0.025)


DRAWS: dict[str, Callable[[float, float, int, Generator], Drawn]] = {
    "accuracy": draw_accuracy,
    "pair accuracy": draw_pairs,
    "paired difference": draw_difference,
}


def coverage(name: str, p: float, rho: float, runs: int, clusters: int = 200, seed: int = 0) -> tuple[float, float]:
    """Return the shares of data sets whose interval lies above the truth, and below it."""
    generator = np.random.default_rng([seed, *name.encode(), round(100 * p), round(100 * rho)])
    found = [DRAWS[name](p, rho, clusters, generator) for _ in range(runs)]
    above = sum(drawn.interval[0] > drawn.truth for drawn in found)
    below = sum(drawn.interval[1] < drawn.truth for drawn in found)
    return above / runs, below / runs


def _clusters(count: int, generator: Generator) -> tuple[list[str], NDArray[np.int64]]:
    """Return the name and the number of each question's cluster."""
    index = np.repeat(np.arange(count), generator.integers(1, LARGEST + 1, count))
    return [f"{number:06d}" for number in index.tolist()], index


def _answers(p: float, rho: float, count: int, index: NDArray[np.int64], generator: Generator) -> Bits:
    skill = _skill(p, rho, count, generator)[index]
    answers: Bits = generator.random(len(index)) < skill
    return answers


def _skill(p: float, rho: float, count: int, generator: Generator) -> NDArray[np.float64]:
    if rho == 0:
        return np.full(count, p)
    spread = (1 - rho) / rho
    return generator.beta(p * spread, (1 - p) * spread, count)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="data sets of each cell")
    parser.add_argument("--clusters", type=int, default=200, help="of each data set")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    console = Console(width=120)
    noise = 100 * math.sqrt(0.95 * 0.05 / given.runs)
    title = f"{given.runs} data sets of {given.clusters} clusters; standard error {noise:.2f}; seed {given.seed}"
    table = Table("coverage, %", "p", "rho", "holds", "above", "below", title=title)
    for name in DRAWS:
        for p in SHARES:
            for rho in CORRELATIONS:
                above, below = coverage(name, p, rho, given.runs, given.clusters, given.seed)
                rates = (1 - above - below, above, below)
                table.add_row(name, f"{p:g}", f"{rho:g}", *(f"{100 * rate:.2f}" for rate in rates))
    console.print(table)


if __name__ == "__main__":
    main()
