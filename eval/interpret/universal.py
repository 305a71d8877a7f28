"""Whether the same heads matter everywhere: for every family of relations, in both modes, on every set of data.

NOTICE (arXiv 2406.16320, section 5) calls heads universal that are chosen for all of its tasks, with pictures and with
words changed. Here pairs are dealt into *conditions*, one for each set of data, family and mode. Heads are selected in
each of them by itself, by the rules of ``eval.interpret.heads``, and universal is what all select, if that is more than
chance would do. Places (the attention or MLP of a layer at the tokens of a role) are judged like heads.

By chance, each condition would have picked as many by lot: of heads as many of each layer, of places as many of each
kind. How many all conditions would then share, and by how many one would be picked, can be said exactly: intersections
of random sets are hypergeometric. Conditions of few pairs select next to nothing, and nothing would be universal, so
they are left out, and named.

Shapes: X conditions, N sites (heads or places).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from eval.interpret.chance import Flags, Floats, hits_by_chance, rank_correlations, shared_by_chance
from eval.interpret.effects import ALL_HEADS, Effect, Site
from eval.interpret.heads import DISCOVERY, Standing, standing_out
from eval.interpret.sites import HEADED
from eval.interpret.summary import LEAST_PAIRS


@dataclass(frozen=True)
class Condition:
    """Pairs of one kind: of a set of data, a family of relations, and a mode."""

    data: str
    family: str
    mode: str


@dataclass(frozen=True)
class Chosen:
    """How a site came out in a condition; a row of ``universality.parquet``.

    Attributes:
        data: of the condition, as are the next two.
        family: of relations.
        mode: "image" or "text".
        kind: see ``Site``, as are the next three.
        layer: counted from 0.
        head: its number, or ``ALL_HEADS``.
        role: whose tokens were patched.
        pairs: how many tell.
        share: of the answer.
        low: end of its 95 % interval.
        high: the other end.
        z_score: how far its share is from the mean of all sites of the condition, in their standard deviations.
        q_value: adjusted p-value that its effect is not zero.
        selected: whether both rules choose it.
    """

    data: str
    family: str
    mode: str
    kind: str
    layer: int
    head: int
    role: str
    pairs: int
    share: float
    low: float
    high: float
    z_score: float
    q_value: float
    selected: bool

    @property
    def condition(self) -> Condition:
        """The condition."""
        return Condition(self.data, self.family, self.mode)

    @property
    def site(self) -> Site:
        """The site."""
        return Site(self.kind, self.layer, self.head, self.role)


@dataclass(frozen=True)
class Spread:
    """How widely a site is selected.

    Attributes:
        site: the site.
        conditions: how many select it.
        expected: how many would by chance.
        q_value: adjusted p-value that chance would have so many.
        universal: whether all conditions select it, and chance does not explain it.
    """

    site: Site
    conditions: int
    expected: float
    q_value: float
    universal: bool


@dataclass(frozen=True)
class Overlap:
    """What two conditions have in common.

    Attributes:
        one: a condition.
        two: another one.
        shared: how many sites both select.
        jaccard: of those that either selects; NaN where neither selects any.
        expected: how many they would share by chance.
        q_value: adjusted p-value that chance would have them share so many.
        kendall: rank correlation of the shares of all sites.
    """

    one: Condition
    two: Condition
    shared: int
    jaccard: float
    expected: float
    q_value: float
    kendall: float


@dataclass(frozen=True)
class Universality:
    """What all conditions have in common.

    Attributes:
        sites: each site, the most widely selected first.
        shared: how many all conditions select.
        expected: how many they would by chance.
        p_value: that chance would have them select so many.
        overlaps: of every two conditions.
    """

    sites: list[Spread]
    shared: int
    expected: float
    p_value: float
    overlaps: list[Overlap]


def conditions_of(sets: Mapping[str, Sequence[Effect]]) -> tuple[dict[Condition, list[Effect]], dict[Condition, int]]:
    """Deal effects into conditions.

    Args:
        sets: effects on pairs that count, by the name of the data; of one direction.

    Returns:
        The effects of each condition that has pairs enough, and how many pairs the others have.
    """
    dealt: dict[Condition, list[Effect]] = defaultdict(list)
    for data, effects in sets.items():
        for row in effects:
            dealt[Condition(data, row.family, row.mode)].append(row)
    pairs = {condition: len({row.pair_id for row in rows}) for condition, rows in dealt.items()}
    order = sorted(dealt, key=lambda condition: (list(sets).index(condition.data), condition.mode))
    kept = {condition: dealt[condition] for condition in order if pairs[condition] >= LEAST_PAIRS}
    return kept, {condition: count for condition, count in pairs.items() if count < LEAST_PAIRS}


def choose_in_each(
    conditions: Mapping[Condition, Sequence[Effect]], resamples: int = 1000, seed: int = 0
) -> list[Chosen]:
    """Select in every condition by itself, among the sites that can matter in all of them.

    A site that a condition lacks, or whose values never differ there (image tokens, where only words change), could
    not be selected in it.

    Args:
        conditions: effects of one direction: of single heads at one role, or of places.
        resamples: of the intervals.
        seed: of the intervals.
    """
    sites = _common(conditions)
    found = []
    for condition, rows in conditions.items():
        own = [row for row in rows if Site(row.kind, row.layer, row.head, row.role) in sites]
        for one in standing_out(own, resamples, seed):
            found.append(_chosen(condition, one))
    return found


def _chosen(condition: Condition, one: Standing) -> Chosen:
    site, (low, high) = one.mean.site, one.mean.ci95
    return Chosen(
        condition.data,
        condition.family,
        condition.mode,
        site.kind,
        site.layer,
        site.head,
        site.role,
        one.mean.pairs,
        one.mean.share,
        low,
        high,
        one.z_score,
        one.q_value,
        one.selected,
    )


def _common(conditions: Mapping[Condition, Sequence[Effect]]) -> set[Site]:
    able = []
    for rows in conditions.values():
        pairs: dict[Site, set[str]] = defaultdict(set)
        differs: set[Site] = set()
        for row in rows:
            site = Site(row.kind, row.layer, row.head, row.role)
            pairs[site].add(row.pair_id)
            if not row.same:
                differs.add(site)
        able.append({site for site in differs if len(pairs[site]) >= LEAST_PAIRS})
    return set.intersection(*able) if able else set()


def universality(rows: Sequence[Chosen]) -> Universality | None:
    """Return what the conditions have in common; ``None`` for fewer than two, or where no site is in all of them."""
    conditions: list[Condition] = list(dict.fromkeys(row.condition for row in rows))
    sites: list[Site] = list(dict.fromkeys(row.site for row in rows))
    if len(conditions) < 2:
        return None
    selected_XN, share_XN = np.zeros((len(conditions), len(sites)), bool), np.zeros((len(conditions), len(sites)))
    for row in rows:
        place = conditions.index(row.condition), sites.index(row.site)
        selected_XN[place], share_XN[place] = row.selected, row.share
    strata_N = _strata(sites)
    chance = shared_by_chance(selected_XN, strata_N)
    shared = int(selected_XN.all(0).sum())
    return Universality(
        _spreads(sites, selected_XN, strata_N),
        shared,
        float(chance @ np.arange(len(chance))),
        float(chance[shared:].sum()),
        _overlaps(conditions, selected_XN, share_XN, strata_N),
    )


def _strata(sites: Sequence[Site]) -> NDArray[np.intp]:
    """Return for each site the number of the set that chance draws it from: heads of its layer, places of its kind."""
    names = [(site.kind, site.layer if site.kind in HEADED else ALL_HEADS) for site in sites]
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([order[name] for name in names], dtype=np.intp)


def _spreads(sites: Sequence[Site], selected_XN: Flags, strata_N: NDArray[np.intp]) -> list[Spread]:
    rates_XN = np.zeros(selected_XN.shape)
    for stratum in np.unique(strata_N):
        own = strata_N == stratum
        rates_XN[:, own] = selected_XN[:, own].mean(1, keepdims=True)
    counts_N = selected_XN.sum(0)
    tails = [hits_by_chance(rates_X)[count:].sum() for rates_X, count in zip(rates_XN.T, counts_N, strict=True)]
    q_values = false_discovery_control(np.clip(tails, 0.0, 1.0))
    found = [
        Spread(site, int(count), float(expected), float(q), bool(count == len(selected_XN) and q < DISCOVERY))
        for site, count, expected, q in zip(sites, counts_N, rates_XN.sum(0), q_values, strict=True)
    ]
    return sorted(found, key=lambda one: (-one.conditions, one.site.kind, one.site.layer, one.site.head))


def _overlaps(
    conditions: Sequence[Condition], selected_XN: Flags, share_XN: Floats, strata_N: NDArray[np.intp]
) -> list[Overlap]:
    both = list(combinations(range(len(conditions)), 2))
    chances = [shared_by_chance(selected_XN[list(pair)], strata_N) for pair in both]
    shared = [int(selected_XN[list(pair)].all(0).sum()) for pair in both]
    p_values = [chance[count:].sum() for chance, count in zip(chances, shared, strict=True)]
    q_values = false_discovery_control(np.clip(p_values, 0.0, 1.0))
    kendall_XX = rank_correlations(share_XN)
    found = []
    for (one, two), chance, count, q_value in zip(both, chances, shared, q_values, strict=True):
        either = int(selected_XN[[one, two]].any(0).sum())
        expected = float(chance @ np.arange(len(chance)))
        kendall = float(kendall_XX[one, two])
        jaccard = count / either if either else float("nan")
        found.append(Overlap(conditions[one], conditions[two], count, jaccard, expected, float(q_value), kendall))
    return found
