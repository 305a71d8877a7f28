"""AdaptVis for every threshold and pair of scales from one evaluation's stored rows, chosen on validation alone.

The model has run once per scale; a decoder is then a matter of picking rows (``eval.decoders``), so a thousand
combinations cost nothing. That is what makes it easy to fool oneself: the best of a thousand on the data that is
reported is good by luck. So groups are dealt into validation and test, one combination is chosen on the first, and only
the second is reported.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from eval.decoders import AdaptVis, Greedy, Scale, adaptvis, is_known, parse_decoder
from eval.metrics import Rows, scored
from eval.predictions import Prediction
from eval.splits import group_split
from spatial.errors import ConfigError

BETAS = tuple(round(0.05 * step, 2) for step in range(21))
"""Thresholds that are tried."""


@dataclass(frozen=True)
class Trial:
    """The accuracy of a combination on the validation part."""

    decoder: AdaptVis
    accuracy: float


@dataclass(frozen=True)
class Sweep:
    """What was tried and chosen.

    Attributes:
        trials: every combination, on validation.
        chosen: the best; of equals, the one that intervenes least, and then in the order of the trials.
        validation: groups and rows of the validation part, by decoder greedy.
        greedy: test rows of the plain model.
        adapted: test rows of the chosen combination.
        scales: test rows of each scale by itself.
    """

    trials: tuple[Trial, ...]
    chosen: AdaptVis
    validation: tuple[int, int]
    greedy: list[Prediction]
    adapted: list[Prediction]
    scales: dict[float, list[Prediction]]


def sweep(rows: Rows, share: float = 0.2, seed: int = 1, betas: Sequence[float] = ()) -> Sweep:
    """Choose AdaptVis's parameters on validation groups and return what they give on the others.

    Args:
        rows: of one model, template set and image mode, with greedy and at least one scale.
        share: of the questions, for validation, in whole groups.
        seed: deals the groups.
        betas: thresholds to try; ``BETAS`` if there are none.

    Raises:
        ConfigError: no scale is stored, or one part would be empty.
    """
    by_alpha = stored_scales(rows)
    if set(by_alpha) == {1.0}:
        raise ConfigError('no scales are stored; evaluate with decoders such as "scale(alpha=0.5)" first')
    validation = {row.record_id for row in group_split(by_alpha[1.0], share, seed)[0]}
    dealt = {alpha: [row for row in part if row.record_id in validation] for alpha, part in by_alpha.items()}
    kept = {alpha: [row for row in part if row.record_id not in validation] for alpha, part in by_alpha.items()}
    trials = tuple(_trials(dealt, betas or BETAS))
    best = max(trial.accuracy for trial in trials)
    chosen = min((trial.decoder for trial in trials if trial.accuracy == best), key=_strength)
    everything = [row for part in kept.values() for row in part]
    groups = len({row.group_id for row in dealt[1.0]})
    adapted = adaptvis(everything, chosen.a1, chosen.a2, chosen.beta)
    return Sweep(trials, chosen, (groups, len(dealt[1.0])), kept[1.0], adapted, kept)


def stored_scales(rows: Rows) -> dict[float, list[Prediction]]:
    """Return rows by attention scale, 1 being greedy; questions that failed at any scale are left out."""
    found: dict[float, list[Prediction]] = defaultdict(list)
    failed = {_question(row) for row in rows if row.failed}
    for row in scored(rows):
        if _question(row) in failed or not is_known(row.decoder):
            continue
        decoder = parse_decoder(row.decoder)
        if isinstance(decoder, Greedy):
            found[1.0].append(row)
        elif type(decoder) is Scale and decoder.alpha != 1:
            found[decoder.alpha].append(row)
    if 1.0 not in found:
        raise ConfigError("no rows of the plain model are stored; evaluate with decoder 'greedy', too")
    return {alpha: sorted(found[alpha], key=_question) for alpha in sorted(found)}


def _trials(by_alpha: Mapping[float, Sequence[Prediction]], betas: Sequence[float]) -> list[Trial]:
    """Return the accuracy of every combination, from tables of hits instead of rows."""
    confidence = np.array([row.confidence for row in by_alpha[1.0]])
    hits = {alpha: np.array([row.correct for row in part]) for alpha, part in by_alpha.items()}
    trials = []
    for a1, a2 in product(by_alpha, repeat=2):
        for beta in betas:
            right = np.where(confidence < beta, hits[a1], hits[a2])
            trials.append(Trial(AdaptVis(a1, a2, beta), float(right.mean())))
    return trials


def _strength(decoder: AdaptVis) -> float:
    """Return how far both scales are from 1, where nothing changes."""
    return float(sum(abs(np.log(max(alpha, 1e-9))) for alpha in (decoder.a1, decoder.a2)))


def _question(row: Prediction) -> tuple[str, str]:
    return (row.record_id, row.template)
