"""Score a probe on groups that it has not learned from, and say whether what it found matters.

Members of a group contradict each other by design: whoever learns from one half of a group is wrong on the other half.
So groups are never split. A caption may still come again in another group. Where groups are balanced, it is as often
true as false there too, and says nothing; where they are not, its labels may contradict those elsewhere (in VSR, most
captions have one true and one false image), and a probe that learns them falls *below* one half. Being wrong reliably
is knowing the answer, so the verdict is two-sided, and the accuracy on captions that training had is told apart from
the accuracy on new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.audit.probes import Probe, Scores, Statements, truths
from eval.statistics import cluster_interval
from spatial.errors import RecordError
from spatial.proportion import Interval
from spatial.records import Record
from spatial.scene import digest

MARGIN = 0.015
"""A probe passes within this distance of one half."""

DECISIVE = 1e-6
"""Smaller scores are rounding, not an answer."""

PASS, UNCLEAR, FAIL = "pass", "unclear", "fail"


@dataclass(frozen=True)
class Result:
    """What a probe reached on held-out groups.

    Attributes:
        accuracy: an answer that it could not give counts one half, as a coin would.
        ci95: interval of the accuracy, clustered by group; one half exactly where nothing was answered.
        n: statements.
        answered: those that it gave an answer to.
        accuracy_answered: accuracy on those; ``None`` if there is none.
        repeated: statements whose caption its training groups had too.
        accuracy_repeated: accuracy on those.
        accuracy_new: accuracy on the others.
        exact: it is right on exactly half of every group.
        verdict: "pass" within ``MARGIN`` of one half, "fail" where the whole interval is outside, else "unclear".
    """

    accuracy: float
    ci95: Interval
    n: int
    answered: int
    accuracy_answered: float | None
    repeated: int
    accuracy_repeated: float | None
    accuracy_new: float | None
    exact: bool
    verdict: str


def fold_of(statements: Statements, folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold [N] of each statement: groups in the order of their hashes are dealt out in turn.

    Raises:
        RecordError: there are fewer groups than folds.
    """
    groups = sorted({record.group_id for record in statements}, key=lambda group: digest(f"{seed}/{group}"))
    if len(groups) < folds:
        raise RecordError(
            f"{len(groups)} groups cannot be dealt to {folds} folds; lower --folds, or make more groups with "
            "'vsre datagen'"
        )
    place = {group: index % folds for index, group in enumerate(groups)}
    return np.array([place[record.group_id] for record in statements], dtype=np.int64)


def held_out_scores(probe: Probe, statements: Statements, folds: NDArray[np.int64], fold: int) -> Scores:
    """Return the scores of one fold's statements, learned from all others."""
    return probe(*_split(statements, folds, fold))


def repeats(statements: Statements, folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return [N] whether a statement's caption also stands in another fold."""
    seen: dict[str, set[int]] = {}
    for record, fold in zip(statements, folds.tolist(), strict=True):
        seen.setdefault(record.caption, set()).add(fold)
    return np.array([len(seen[record.caption]) > 1 for record in statements], dtype=bool)


def judge(
    scores: Scores, statements: Statements, repeated: NDArray[np.bool_], resamples: int = 1000, seed: int = 0
) -> Result:
    """Score the answers of a probe.

    Args:
        scores: one per statement [N], by a fit that had not seen its group.
        statements: in the same order.
        repeated: as ``repeats`` returns it.
        resamples: of the bootstrap over groups.
        seed: of the bootstrap.
    """
    answers = np.where(np.abs(scores) > DECISIVE, np.sign(scores), 0.0)
    credit = 0.5 + 0.5 * answers * np.where(truths(statements), 1.0, -1.0)
    groups = [record.group_id for record in statements]
    accuracy = float(credit.mean())
    # A probe that found nothing to answer is a coin, whatever the groups: there is no sampling error to estimate.
    interval = cluster_interval(credit.tolist(), groups, resamples, seed) if answers.any() else (0.5, 0.5)
    return Result(
        accuracy=accuracy,
        ci95=interval,
        n=len(statements),
        answered=int((answers != 0).sum()),
        accuracy_answered=_mean(credit[answers != 0]),
        repeated=int(repeated.sum()),
        accuracy_repeated=_mean(credit[repeated]),
        accuracy_new=_mean(credit[~repeated]),
        exact=_half_everywhere(credit, groups),
        verdict=verdict_of(accuracy, interval),
    )


def verdict_of(accuracy: float, interval: Interval) -> str:
    """Return "pass", "unclear" or "fail" (see ``Result.verdict``)."""
    # Half a statement in a million of slack: 51.5 % of 1000 is on the line, not over it by rounding.
    if abs(accuracy - 0.5) <= MARGIN + 5e-7:
        return PASS
    reaches = interval[0] <= 0.5 + MARGIN and interval[1] >= 0.5 - MARGIN
    return UNCLEAR if reaches else FAIL


def _split(statements: Statements, folds: NDArray[np.int64], fold: int) -> tuple[list[Record], list[Record]]:
    places = folds.tolist()
    train = [record for record, place in zip(statements, places, strict=True) if place != fold]
    test = [record for record, place in zip(statements, places, strict=True) if place == fold]
    return train, test


def _half_everywhere(credit: NDArray[np.float64], groups: Sequence[str]) -> bool:
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(index, weights=credit - 0.5)
    return bool((np.abs(sums) < 1e-9).all())


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
