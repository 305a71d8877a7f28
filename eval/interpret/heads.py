"""Which heads matter: chosen by their effect, checked on other pairs.

A head is selected if its mean effect stands out among all heads (more than ``STANDS_OUT`` standard deviations from
their mean, NOTICE's rule) and is not one that chance would bring up among so many (Benjamini and Hochberg 1995, at
5 %). NOTICE chooses by the level of the right answer's probability and never looks at other pairs; a level is high for
every head where the answer is easy, so here the signed effect counts.

What was selected on some pairs is then switched on others, all heads at once, beside random heads of the same layers.

Shapes: P pairs, C sites, G groups of pairs.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, ttest_1samp

from eval.interpret.effects import Effect
from eval.interpret.sites import Cell, Patch
from eval.interpret.summary import Floats, Mean, means, tabulate

STANDS_OUT = 2.0
"""Standard deviations among heads."""

DISCOVERY = 0.05
"""Share of false discoveries that is accepted."""

ADDED = ("z", "cross_z")
"""Kinds of heads that add to the answer, among which heads are selected."""

HeadName = tuple[str, int, int]
"""Kind, layer and number of a head."""


@dataclass(frozen=True)
class Standing:
    """How a site came out among others.

    Attributes:
        mean: its effect.
        z_score: how far its effect is from the mean of all sites, in their standard deviations.
        q_value: adjusted p-value of a t-test over groups that its effect is not zero.
        selected: whether both rules choose it.
    """

    mean: Mean
    z_score: float
    q_value: float
    selected: bool


@dataclass(frozen=True)
class Head:
    """How a head came out; see ``Standing``.

    Attributes:
        kind: "z" or "cross_z".
        layer: counted from 0.
        head: its number.
        mean: its effect.
        z_score: among all heads.
        q_value: of its effect.
        selected: whether both rules choose it.
    """

    kind: str
    layer: int
    head: int
    mean: Mean
    z_score: float
    q_value: float
    selected: bool

    @property
    def name(self) -> HeadName:
        """Kind, layer and number."""
        return self.kind, self.layer, self.head


def of_heads(effects: Sequence[Effect], role: str, direction: str) -> list[Effect]:
    """Return the effects among which heads are selected: of what single heads add, at one role, in one direction."""
    return [row for row in effects if row.kind in ADDED and (row.role, row.direction) == (role, direction)]


def select(effects: Sequence[Effect], resamples: int = 1000, seed: int = 0) -> list[Head]:
    """Return all heads with their effects, the largest first.

    Args:
        effects: of single heads, of one mode and direction.
        resamples: of the intervals.
        seed: of the intervals.

    Raises:
        ValueError: there are effects of something else than single heads, or heads of several roles.
    """
    if any(row.head < 0 for row in effects):
        raise ValueError("heads can be chosen among effects of single heads only")
    if len({row.role for row in effects}) > 1:
        raise ValueError("heads were patched at tokens of several roles; choose among one at a time")
    if not effects:
        return []
    heads = [
        Head(one.mean.site.kind, one.mean.site.layer, one.mean.site.head, **vars(one))
        for one in standing_out(effects, resamples, seed)
    ]
    return sorted(heads, key=lambda head: -abs(head.mean.share))


def standing_out(effects: Sequence[Effect], resamples: int = 1000, seed: int = 0) -> list[Standing]:
    """Return for every site, in the order of the first rows, whether its effect stands out among those of all sites.

    Args:
        effects: of sites that can be compared, of one mode and direction.
        resamples: of the intervals.
        seed: of the intervals.
    """
    found = means(effects, resamples, seed)
    if not found:
        return []
    moved_PC, group_P = _by_group(effects)
    judged = zip(found, *_judged(np.array([mean.share for mean in found]), _summed(moved_PC, group_P)), strict=True)
    return [Standing(mean, float(z), float(q), bool(selected)) for mean, z, q, selected in judged]


def _by_group(effects: Sequence[Effect]) -> tuple[Floats, NDArray[np.intp]]:
    """Return how far patching each site moved each pair, 0 where it has no such site, and the number of its group."""
    _, table = tabulate(effects)
    group_P = np.unique([group for _, group in table.groups], return_inverse=True)[1]
    return np.nan_to_num(table.moved_PC), group_P


def _summed(moved_PC: Floats, group_P: NDArray[np.intp]) -> Floats:
    """Return the sums (G, C) over the pairs of each group."""
    summed_GC = np.zeros((group_P.max() + 1, moved_PC.shape[1]))
    np.add.at(summed_GC, group_P, moved_PC)
    return summed_GC


def _judged(size_C: Floats, summed_GC: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return z-scores of sites' effects, q-values that their mean over groups is zero, and what both rules select."""
    spread = float(size_C.std())
    z_C = (size_C - size_C.mean()) / spread if spread > 0 else np.zeros(len(size_C))
    p_C = np.ones(len(size_C))
    if len(summed_GC) > 1:
        with np.errstate(invalid="ignore", divide="ignore"):
            p_C = np.nan_to_num(np.asarray(ttest_1samp(summed_GC, 0.0).pvalue, dtype=np.float64), nan=1.0)
    q_C = false_discovery_control(p_C)
    return z_C, q_C, (abs(z_C) > STANDS_OUT) & (q_C < DISCOVERY)


def expected_by_chance(effects: Sequence[Effect], rounds: int = 200, seed: int = 0) -> float:
    """Return how many heads the rules select on average where clean and corrupt are drawn by lot for each group.

    Which side of a pair is clean then says nothing, and neither does any head.
    """
    rng = np.random.default_rng(seed)
    moved_PC, group_P = _by_group(effects)
    summed_GC = _summed(moved_PC, group_P)
    counts = []
    for _ in range(rounds):
        drawn_GC = summed_GC * rng.choice([-1.0, 1.0], len(summed_GC))[:, None]
        counts.append(int(_judged(drawn_GC.sum(0), drawn_GC)[2].sum()))
    return float(np.mean(counts))


def halves(pair_groups: dict[str, str], seed: int = 0) -> tuple[set[str], set[str]]:
    """Deal pairs into two halves, whole groups at a time.

    Args:
        pair_groups: group of each pair.
        seed: of the deal.
    """
    groups = sorted(set(pair_groups.values()))
    order = np.random.default_rng(seed).permutation(len(groups))
    first = {groups[place] for place in order[: (len(groups) + 1) // 2]}
    chosen = {pair for pair, group in pair_groups.items() if group in first}
    return chosen, set(pair_groups) - chosen


def random_heads(
    chosen: Sequence[HeadName], every: Sequence[HeadName], count: int, seed: int = 0
) -> list[list[HeadName]]:
    """Return sets of random heads, as many of each kind and layer as were chosen, none of them chosen.

    Where a layer has too few others, the set takes what is missing from other layers.

    Raises:
        ValueError: fewer heads are left than were chosen.
    """
    others = [name for name in every if name not in set(chosen)]
    if len(others) < len(chosen):
        raise ValueError(f"{len(chosen)} of {len(every)} heads were chosen; there are too few others to compare with")
    by_layer = defaultdict(list)
    for name in others:
        by_layer[name[:2]].append(name)
    wanted = Counter(name[:2] for name in chosen)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        drawn: list[HeadName] = []
        for layer, number in wanted.items():
            pool = by_layer[layer]
            drawn += [pool[place] for place in rng.permutation(len(pool))[:number]]
        rest = [name for name in others if name not in drawn]
        drawn += [rest[place] for place in rng.permutation(len(rest))[: len(chosen) - len(drawn)]]
        found.append(drawn)
    return found


def joint_cell(heads: Sequence[HeadName], positions: Sequence[int]) -> Cell:
    """Return the cell that patches several heads at once."""
    by_layer: dict[tuple[str, int], list[int]] = defaultdict(list)
    for kind, layer, head in heads:
        by_layer[kind, layer].append(head)
    own = tuple(positions)
    return Cell(
        tuple(Patch(kind, layer, own, tuple(sorted(found))) for (kind, layer), found in sorted(by_layer.items()))
    )
