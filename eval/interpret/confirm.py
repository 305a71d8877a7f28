"""Whether what a labelled head looks at matters: it is cut off from that part of the picture, and the answer measured.

A label (``eval.interpret.functions``) says where a head looks, not that the answer needs it. So the head no longer
sees, from any word, what its label says it looks at: of detection the subject, of spatial read-out subject and object,
of the two suppressions all but what they look away from. Half of the pairs label heads, and the other half is asked.
Beside each head stand random ones of its layer without that label, which are cut off from the same part.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from eval.interpret.effects import Runs, gaps
from eval.interpret.functions import Look, functions
from eval.interpret.heads import HeadName, halves, random_heads
from eval.interpret.knockout import SELECTED, Knockout, compare
from eval.interpret.prepare import Prepared
from eval.interpret.roles import IMAGE_PARTS, Roles
from eval.interpret.sites import Block, Cell, around
from eval.interpret.stack import Stack
from eval.interpret.staircase import ROWS, sweep
from spatial.proportion import Interval

MOST = 12
"""Labels that are tried; of more, those whose test is the clearest."""

SUBJECT, OBJECT, _, OUTLIERS = IMAGE_PARTS

LOOKED_AT = {"detection": (SUBJECT,), "spatial read-out": (SUBJECT, OBJECT)}
AVOIDED = {"suppression": SUBJECT, "outlier suppression": OUTLIERS}


@dataclass(frozen=True)
class Trial:
    """A label that is tried.

    Attributes:
        function: of ``eval.interpret.functions.FUNCTIONS``.
        layer: of the head.
        head: its number.
        others: layers and numbers of random heads.
    """

    function: str
    layer: int
    head: int
    others: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Loss:
    """What cutting off a head, or a random one in its place, did to the answer of one pair.

    Attributes:
        pair_id: of the pair.
        group_id: of the pair.
        function: of the trial.
        layer: of the trial's head.
        head: its number.
        other: number of the random head, or ``SELECTED`` for the trial's own.
        ld_clean: difference of the logits of right and wrong answer, clean run.
        ld_corrupt: of the corrupt run.
        ld_cut: of the clean run in which the head is cut off.
    """

    pair_id: str
    group_id: str
    function: str
    layer: int
    head: int
    other: int
    ld_clean: float
    ld_corrupt: float
    ld_cut: float


@dataclass(frozen=True)
class Confirmation:
    """What cutting off a labelled head does, over some pairs.

    Attributes:
        pairs: how many.
        lost: share of the gap between the plain runs that the answer loses.
        ci95: its interval, over groups of pairs.
        random: the same of random heads, mean.
        difference_ci95: interval of the difference of the two.
        confirmed: whether both intervals are above 0.
    """

    pairs: int
    lost: float
    ci95: Interval
    random: float
    difference_ci95: Interval
    confirmed: bool


def choose_trials(looks: Sequence[Look], count: int, seed: int = 0) -> tuple[list[Trial], set[str]]:
    """Return the labels that half of the pairs speak for, and the pairs of the other half.

    Args:
        looks: of the pairs that count.
        count: random heads for each label, where its layer has so many.
        seed: of the deal, and of the random heads.
    """
    first, second = halves({row.pair_id: row.group_id or row.pair_id for row in looks}, seed)
    found = functions([row for row in looks if row.pair_id in first])
    every = list(dict.fromkeys((row.layer, row.head) for row in found))
    trials = []
    for row in sorted((row for row in found if row.labelled), key=lambda row: row.p_value)[:MOST]:
        labelled = {(one.layer, one.head) for one in found if one.function == row.function and one.labelled}
        others = _others((row.layer, row.head), [name for name in every if name not in labelled], count, seed)
        trials.append(Trial(row.function, row.layer, row.head, others))
    return [trial for trial in trials if trial.others], second


def _others(
    own: tuple[int, int], without: Sequence[tuple[int, int]], count: int, seed: int
) -> tuple[tuple[int, int], ...]:
    """Return random heads of the same layer; of other layers, where it has none."""
    if not without:
        return ()
    chosen: HeadName = ("z", *own)
    drawn = random_heads([chosen], [("z", *name) for name in without], count, seed)
    return tuple(dict.fromkeys((layer, head) for ((_, layer, head),) in drawn))


def looked_at(function: str, roles: Roles) -> tuple[int, ...]:
    """Return the image tokens that a label says a head looks at; none where that part of the picture is not known."""
    parts = LOOKED_AT.get(function, ())
    if function in AVOIDED and AVOIDED[function] in roles:
        parts = tuple(part for part in IMAGE_PARTS if part != AVOIDED[function] and part in roles)
    if not all(part in roles for part in parts):
        return ()
    return tuple(position for part in parts for position in roles[part])


@torch.no_grad()
def cut_off(
    stack: Stack,
    prepared: Prepared,
    runs: Runs,
    heads: Sequence[tuple[int, int]],
    hidden: Sequence[int],
    width: int = 1,
    rows: int = ROWS,
) -> list[float]:
    """Return the answer of the clean run in which each head by itself no longer sees some tokens from the words.

    Args:
        stack: a causal model, whose picture is among its tokens.
        prepared: the pair.
        runs: its plain runs.
        heads: layer and number.
        hidden: positions that they do not see.
        width: of the window of layers in which the head of this number is cut off.
        rows: at most so many heads are computed at once.
    """
    words = tuple(range(prepared.text_start, runs.clean.length))
    cells = [
        Cell(blocks=tuple(Block(at, words, tuple(hidden), (head,)) for at in around(layer, width, stack.layers)))
        for layer, head in heads
    ]
    return gaps(sweep(stack, runs.clean, runs.clean, cells, prepared.tokens, rows).logits_RK)


def confirm(
    stack: Stack, prepared: Prepared, runs: Runs, trials: Sequence[Trial], width: int = 1, rows: int = ROWS
) -> list[Loss]:
    """Return what cutting off the head of each trial, and random ones, does to the answer of a pair.

    Labels about a part of the picture that is not known have no row. The arguments are those of ``cut_off``.
    """
    by_function: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_function[trial.function].append(trial)
    found: list[Loss] = []
    for function, own in by_function.items():
        hidden = looked_at(function, prepared.clean_roles)
        if hidden:
            heads = list(dict.fromkeys(name for trial in own for name in ((trial.layer, trial.head), *trial.others)))
            answers = dict(zip(heads, cut_off(stack, prepared, runs, heads, hidden, width, rows), strict=True))
            found += [loss for trial in own for loss in _losses(prepared, runs, trial, answers)]
    return found


def _losses(prepared: Prepared, runs: Runs, trial: Trial, answers: dict[tuple[int, int], float]) -> Iterator[Loss]:
    pair, about = prepared.pair, (trial.function, trial.layer, trial.head)
    for number, name in enumerate([(trial.layer, trial.head), *trial.others], start=SELECTED):
        yield Loss(pair.pair_id, pair.group_id, *about, number, runs.ld_clean, runs.ld_corrupt, answers[name])


def confirmations(
    losses: Sequence[Loss], resamples: int = 1000, seed: int = 0
) -> dict[tuple[str, int, int], Confirmation]:
    """Return what the pairs say of each label that was tried, by function, layer and head.

    Args:
        losses: of any labels.
        resamples: of the intervals, which draw whole groups.
        seed: of the intervals.
    """
    by_label: dict[tuple[str, int, int], list[Knockout]] = defaultdict(list)
    for row in losses:
        by_label[row.function, row.layer, row.head].append(
            Knockout(row.pair_id, row.group_id, "noise", row.other, row.ld_clean, row.ld_corrupt, row.ld_cut)
        )
    found = {}
    for label, rows in by_label.items():
        alone = compare([row for row in rows if row.heads == SELECTED], "noise", resamples, seed)
        beside = compare(rows, "noise", resamples, seed)
        if alone and beside:
            sure = alone.ci95[0] > 0 and beside.ci95[0] > 0
            found[label] = Confirmation(alone.pairs, alone.selected, alone.ci95, beside.random, beside.ci95, bool(sure))
    return found
