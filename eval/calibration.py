"""Whether a model that is sure of an answer is right more often: reliability, expected calibration error, Brier score.

The probability of an answer is that among the options, a softmax over their log-probabilities. Bins hold equally many
questions, since most answers of a tuned model lie in the last of bins of equal width (Nixon et al. 2019,
arXiv 1904.01685).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics import Rows, scored


@dataclass(frozen=True)
class Bin:
    """Questions that were answered with about the same probability: how many, its mean, and the share that is right."""

    n: int
    probability: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How probabilities and right answers agree.

    Attributes:
        ece: mean distance of probability and accuracy over the bins, weighed by their questions; 0 is perfect.
        brier: mean squared distance of the options' probabilities from the truth, summed over options and halved, so
            that it lies between 0 and 1; a coin between two options has 0.25.
        bins: from the least to the most probable answers.
    """

    ece: float
    brier: float
    bins: tuple[Bin, ...]


def calibration(rows: Rows, bins: int = 10) -> Calibration | None:
    """Return the calibration of scored rows; ``None`` where none has log-probabilities."""
    known = [row for row in scored(rows) if row.option_logprobs]
    if not known:
        return None
    options = [option_shares(row.option_logprobs) for row in known]
    probability = np.array(
        [shares[row.options.index(row.predicted)] for row, shares in zip(known, options, strict=True)]
    )
    correct = np.array([row.correct for row in known], dtype=np.float64)
    truth = [[float(option == row.answer) for option in row.options] for row in known]
    brier = np.mean([np.square(np.subtract(p, t)).sum() / 2 for p, t in zip(options, truth, strict=True)])
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(known))) if len(part)]
    found = tuple(Bin(len(part), float(probability[part].mean()), float(correct[part].mean())) for part in parts)
    ece = sum(part.n * abs(part.probability - part.accuracy) for part in found) / len(known)
    return Calibration(float(ece), float(brier), found)


def option_shares(logprobs: Sequence[float]) -> list[float]:
    """Return the probabilities among the options; equal ones where a contrast has left none of them any."""
    if max(logprobs) == -math.inf:
        return [1 / len(logprobs)] * len(logprobs)
    shares = np.exp(np.subtract(logprobs, max(logprobs)))
    found: list[float] = (shares / shares.sum()).tolist()
    return found
