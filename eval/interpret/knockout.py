"""Whether selected heads are needed: they are switched, all at once, on pairs that did not select them.

Their values at the tokens of a role are exchanged for those of the other run, once with the clean run as the one that
breaks (noise: are they needed?) and once with the corrupt run as the one that is restored (denoise: are they enough?).
Beside them stand as many random heads of the same layers, several sets of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.interpret.effects import Runs, gaps
from eval.interpret.heads import HeadName, joint_cell
from eval.interpret.prepare import Prepared
from eval.interpret.stack import Stack
from eval.interpret.staircase import sweep
from eval.interpret.summary import draws, interval
from spatial.proportion import Interval

SELECTED = -1
"""Number of the set of selected heads; random sets count from 0."""


@dataclass(frozen=True)
class Knockout:
    """What exchanging a set of heads did to the answer of one pair.

    Attributes:
        pair_id: of the pair.
        group_id: of the pair.
        direction: "denoise" or "noise".
        heads: number of the set, or ``SELECTED``.
        ld_clean: difference of the logits of right and wrong answer, clean run.
        ld_corrupt: of the corrupt run.
        ld_patched: of the patched one.
    """

    pair_id: str
    group_id: str
    direction: str
    heads: int
    ld_clean: float
    ld_corrupt: float
    ld_patched: float

    @property
    def moved(self) -> float:
        """How far the answer went towards the other run."""
        if self.direction == "denoise":
            return self.ld_patched - self.ld_corrupt
        return self.ld_clean - self.ld_patched


def knock_out(
    stack: Stack,
    prepared: Prepared,
    runs: Runs,
    role: str,
    chosen: Sequence[HeadName],
    others: Sequence[Sequence[HeadName]],
) -> list[Knockout]:
    """Return what exchanging the chosen heads, and each set of others, does to the answer of a pair."""
    positions = prepared.roles.get(role, ())
    if not positions or not chosen:
        return []
    cells = [joint_cell(heads, positions) for heads in (chosen, *others)]
    found = []
    for direction, base, source in (("denoise", runs.corrupt, runs.clean), ("noise", runs.clean, runs.corrupt)):
        answers = gaps(sweep(stack, base, source, cells, prepared.tokens).logits_RK)
        for number, answer in zip((SELECTED, *range(len(others))), answers, strict=True):
            pair = prepared.pair
            found.append(
                Knockout(pair.pair_id, pair.group_id, direction, number, runs.ld_clean, runs.ld_corrupt, answer)
            )
    return found


@dataclass(frozen=True)
class Comparison:
    """Selected heads beside random ones, over some pairs.

    Attributes:
        direction: "denoise" or "noise".
        pairs: how many.
        selected: share of the gap between the plain runs that the selected heads close.
        random: the same of random sets, mean.
        difference: of the two.
        ci95: its interval, over groups of pairs.
        beaten: share of the random sets that close less.
    """

    direction: str
    pairs: int
    selected: float
    random: float
    difference: float
    ci95: Interval
    beaten: float


def compare(rows: Sequence[Knockout], direction: str, resamples: int = 1000, seed: int = 0) -> Comparison | None:
    """Return the comparison in one direction; ``None`` where nothing was knocked out."""
    own = [row for row in rows if row.direction == direction]
    pairs = sorted({row.pair_id for row in own})
    if not pairs:
        return None
    place = {pair: index for index, pair in enumerate(pairs)}
    sets = max(row.heads for row in own) + 1
    moved_PX = np.zeros((len(pairs), sets + 1))
    gap_P, group_P = np.zeros(len(pairs)), [""] * len(pairs)
    for row in own:
        moved_PX[place[row.pair_id], row.heads + 1] = row.moved
        gap_P[place[row.pair_id]] = row.ld_clean - row.ld_corrupt
        group_P[place[row.pair_id]] = row.group_id or row.pair_id
    share_X = moved_PX.sum(0) / gap_P.sum()
    weights_BP = draws(group_P, resamples, seed)
    lead_P = moved_PX[:, 0] - moved_PX[:, 1:].mean(1) if sets else moved_PX[:, 0]
    bounds = interval((weights_BP @ lead_P) / (weights_BP @ gap_P))
    others = share_X[1:]
    random = float(others.mean()) if sets else float("nan")
    beaten = float((others < share_X[0]).mean()) if sets else float("nan")
    lead = float(lead_P.sum() / gap_P.sum())
    return Comparison(direction, len(pairs), float(share_X[0]), random, lead, bounds, beaten)
