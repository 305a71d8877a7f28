"""Whether families of relations differ in the heads that matter, or only as any parts of the pairs would.

The shares of all sites in two families are compared by rank (Kendall). Two families of few pairs agree badly even if
the same heads matter to both, so beside that stands how well two parts of the pairs agree that have the families'
sizes, but are dealt by lot ("label-shuffled"). Only families of one set of data and mode are compared.

Shapes: P pairs, C sites, F families.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.interpret.chance import rank_correlations
from eval.interpret.effects import Effect
from eval.interpret.summary import Table, interval, tabulate
from eval.interpret.universal import Condition
from spatial.proportion import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """How families agree.

    Attributes:
        agreement: mean rank correlation between two families.
        dealt: the same of parts that are dealt by lot, mean.
        dealt_95: between which values 95 % of these lie.
        p_value: how often parts by lot agree as badly, one-sided.
    """

    agreement: float
    dealt: float
    dealt_95: Interval
    p_value: float


def compare_families(
    conditions: Mapping[Condition, Sequence[Effect]], rounds: int = 200, seed: int = 0
) -> Difference | None:
    """Return how families agree, beside parts by lot; ``None`` where none has two families in a mode, or no effect.

    Args:
        conditions: effects of one direction: of single heads at one role.
        rounds: how often pairs are dealt.
        seed: of the deals.
    """
    rng = np.random.default_rng(seed)
    observed: list[float] = []
    dealt: list[list[float]] = [[] for _ in range(rounds)]
    for data, mode in dict.fromkeys((condition.data, condition.mode) for condition in conditions):
        own = {
            condition.family: rows
            for condition, rows in conditions.items()
            if (condition.data, condition.mode) == (data, mode)
        }
        if len(own) < 2:
            continue
        table, block_P, labels = _blocks(own)
        observed += _agreements(table, labels[block_P])
        for found in dealt:
            found += _agreements(table, rng.permutation(labels)[block_P])
    if not observed or not np.isfinite(observed).all():
        return None
    agreement, by_lot = float(np.mean(observed)), np.array([np.mean(found) for found in dealt])
    p_value = (1 + int((by_lot <= agreement).sum())) / (1 + rounds)
    return Difference(agreement, float(by_lot.mean()), interval(by_lot), p_value)


def _blocks(
    families: Mapping[str, Sequence[Effect]],
) -> tuple[Table, NDArray[np.intp], NDArray[np.str_]]:
    """Return a table of all pairs, the number of the block that each is of, and the family of each block.

    Pairs of one group are not independent, so those of one family stay together: they are a block.
    """
    _, table = tabulate([row for rows in families.values() for row in rows])
    family_of = {row.pair_id: family for family, rows in families.items() for row in rows}
    blocks = [(group, family_of[pair]) for pair, group in table.groups]
    names = list(dict.fromkeys(blocks))
    block_P = np.array([names.index(block) for block in blocks], dtype=np.intp)
    return table, block_P, np.array([family for _, family in names])


def _agreements(table: Table, family_P: NDArray[np.str_]) -> list[float]:
    """Return the rank correlation of the sites' shares for every two families."""
    moved_PC = np.nan_to_num(table.moved_PC)
    shares = [moved_PC[family_P == name].sum(0) / table.gap_P[family_P == name].sum() for name in np.unique(family_P)]
    found_FF = rank_correlations(np.array(shares))
    found: list[float] = found_FF[np.triu_indices(len(shares), 1)].tolist()
    return found
