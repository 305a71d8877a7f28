"""What differs between two models on the same pairs: what tuning changed, or what another encoder does.

The effect of a site in one model is a share of that model's own gap between its two plain runs, so models that answer
more or less strongly can be compared. Pairs count that are of the tier in both.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from eval.interpret.effects import Effect
from eval.interpret.summary import draws, interval, of_tier, tabulate


def differences(
    mine: Sequence[Effect], other: Sequence[Effect], least: int, resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Return for each mode and direction how the effect of every site differs, mine less the other's.

    Args:
        mine: effects of one model.
        other: effects of another one, on the same pairs.
        least: tier that pairs have to reach in both.
        resamples: of the intervals, which draw whole groups, the same for both models.
        seed: of the intervals.
    """
    kept = [of_tier(rows, least) for rows in (mine, other)]
    both = {row.pair_id for row in kept[0]} & {row.pair_id for row in kept[1]}
    found: dict[str, Any] = {"pairs": len(both), "sites": {}}
    conditions = dict.fromkeys((row.mode, row.direction) for row in kept[0])
    for mode, direction in conditions:
        sides = [
            [row for row in rows if row.pair_id in both and (row.mode, row.direction) == (mode, direction)]
            for rows in kept
        ]
        if all(sides):
            found["sites"].setdefault(mode, {})[direction] = _sites(sides[0], sides[1], resamples, seed)
    return found


def _sites(mine: Sequence[Effect], other: Sequence[Effect], resamples: int, seed: int) -> list[dict[str, Any]]:
    (my_sites, my_table), (their_sites, their_table) = tabulate(mine), tabulate(other)
    order = {name: place for place, (name, _) in enumerate(their_table.groups)}
    places = [order[name] for name, _ in my_table.groups]
    weights_BP = draws([group for _, group in my_table.groups], resamples, seed)
    rows = []
    for column, site in enumerate(my_sites):
        if site not in their_sites:
            continue
        other_column = their_sites.index(site)
        shares, resampled = [], []
        for moved_P, gap_P in (
            (my_table.moved_PC[:, column], my_table.gap_P),
            (their_table.moved_PC[places, other_column], their_table.gap_P[places]),
        ):
            known = ~np.isnan(moved_P)
            with np.errstate(invalid="ignore", divide="ignore"):
                shares.append(float(moved_P[known].sum() / gap_P[known].sum()))
                resampled.append((weights_BP[:, known] @ moved_P[known]) / (weights_BP[:, known] @ gap_P[known]))
        difference = {"mine": shares[0], "other": shares[1], "difference": shares[0] - shares[1]}
        rows.append(asdict(site) | difference | {"ci95": interval(resampled[0] - resampled[1])})
    return rows
