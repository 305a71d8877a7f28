"""What effects on single pairs amount to: means with intervals, in the units of the gap between the two plain runs.

The effect of a site is a ratio of sums over pairs: how far patching moved the answers, by how far they are apart. (A
mean of ratios of single pairs is at the mercy of those whose runs hardly differ; the median of these ratios is given
beside it.) Signs are kept: a head that works against the answer has a negative effect. Intervals are 95 % percentile
bootstraps that draw whole groups.

Pairs count from a tier on: T0 all, T1 the clean side is answered rightly, T2 the corrupt side is answered otherwise as
well (the main one), T3 the two are at least ``GAP`` apart as well.

Shapes: P pairs, C cells, B resamples, G groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.interpret.effects import Effect, Site
from spatial.proportion import Interval

TIERS = ("T0", "T1", "T2", "T3")

GAP = 0.5
"""Nats between clean and corrupt answer from which on a pair is of tier T3."""

LEAST_PAIRS = 10
"""Fewer pairs say nothing by themselves."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """The effect of a site over some pairs.

    Attributes:
        site: the site.
        pairs: how many had it.
        share: of the gap between the plain runs that patching closed (denoise) or opened (noise).
        ci95: its interval.
        nats: mean change of the difference of logits.
        median: of the shares of single pairs.
        same: how many of them had equal values there, whose effect is zero by construction.
    """

    site: Site
    pairs: int
    share: float
    ci95: Interval
    nats: float
    median: float
    same: int


def tier(ld_clean: float, ld_corrupt: float) -> int:
    """Return the highest tier that a pair is of, 0 to 3."""
    if not ld_clean > 0:
        return 0
    if not ld_corrupt < 0:
        return 1
    return 3 if abs(ld_clean - ld_corrupt) >= GAP else 2


def of_tier(effects: Sequence[Effect], least: int) -> list[Effect]:
    """Return the effects on pairs that are of a tier at least, controls left out."""
    return [row for row in effects if not row.control and tier(row.ld_clean, row.ld_corrupt) >= least]


def tier_counts(effects: Sequence[Effect]) -> dict[str, int]:
    """Return how many pairs are of each tier at least, controls left out."""
    reached = {row.pair_id: tier(row.ld_clean, row.ld_corrupt) for row in effects if not row.control}
    return {name: sum(found >= least for found in reached.values()) for least, name in enumerate(TIERS)}


def moved(row: Effect) -> tuple[float, float]:
    """Return how far patching moved the answer towards the other run, and how far that is away.

    In the sign of the clean run less the corrupt one, for both directions alike.
    """
    gap = row.ld_clean - row.ld_corrupt
    return (row.ld_patched - row.ld_corrupt if row.direction == "denoise" else row.ld_clean - row.ld_patched), gap


def means(effects: Sequence[Effect], resamples: int = 1000, seed: int = 0) -> list[Mean]:
    """Return the mean effect of every site, over effects of one mode and direction.

    Args:
        effects: of any pairs.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: effects of several modes or directions are mixed.
    """
    if len({(row.mode, row.direction) for row in effects}) > 1:
        raise ValueError("effects of several modes or directions are not of one kind; ask for each by itself")
    if not effects:
        return []
    sites, table = tabulate(effects)
    drawn = draws([row[1] for row in table.groups], resamples, seed)
    found = []
    for column, site in enumerate(sites):
        known = ~np.isnan(table.moved_PC[:, column])
        moved_P, gap_P = table.moved_PC[known, column], table.gap_P[known]
        weights_BP = drawn[:, known]
        with np.errstate(invalid="ignore", divide="ignore"):
            shares_B = (weights_BP @ moved_P) / (weights_BP @ gap_P)
            ratios = moved_P / gap_P
            share = float(moved_P.sum() / gap_P.sum())
        bounds = interval(shares_B)
        median = float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else float("nan")
        same = int(table.same_PC[known, column].sum())
        found.append(Mean(site, int(known.sum()), share, bounds, float(moved_P.mean()), median, same))
    return found


@dataclass(frozen=True)
class Table:
    """Effects by pair and site.

    Attributes:
        groups: of each pair, (pair_id, group_id).
        moved_PC: how far patching moved the answer, NaN where a pair has no such site.
        gap_P: how far the plain runs are apart.
        same_PC: whether the effect is zero by construction.
    """

    groups: list[tuple[str, str]]
    moved_PC: Floats
    gap_P: Floats
    same_PC: NDArray[np.bool_]


def tabulate(effects: Sequence[Effect]) -> tuple[list[Site], Table]:
    """Return the sites in the order of their first row, and a table of pairs and sites."""
    pairs = {row.pair_id: row for row in reversed(effects)}
    order = list(dict.fromkeys(row.pair_id for row in effects))
    sites = list(dict.fromkeys(Site(row.kind, row.layer, row.head, row.role) for row in effects))
    place_of, column_of = ({key: index for index, key in enumerate(keys)} for keys in (order, sites))
    moved_PC = np.full((len(order), len(sites)), np.nan)
    same_PC = np.zeros(moved_PC.shape, dtype=bool)
    for row in effects:
        place = place_of[row.pair_id], column_of[Site(row.kind, row.layer, row.head, row.role)]
        moved_PC[place] = moved(row)[0]
        same_PC[place] = row.same
    gap_P = np.array([moved(pairs[name])[1] for name in order])
    return sites, Table([(name, pairs[name].group_id or name) for name in order], moved_PC, gap_P, same_PC)


def draws(groups: Sequence[str], resamples: int, seed: int) -> Floats:
    """Return how often each pair is in each resample (B, P), whole groups at a time."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    drawn: Floats = counts[:, index].astype(np.float64)
    return drawn


def interval(values: Floats) -> Interval:
    """Return between which values 95 % of the finite ones lie; NaN where there are none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
