"""Logistic regression with a quadratic penalty, by SciPy's L-BFGS.

The plainest learner that finds a shortcut, and a convex problem, so that the answer depends on the data alone. Both
answers weigh equally in the loss: a plain surplus of one answer is another probe's finding (``probes.answer_prior``).

Shapes: N rows, F features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Matrix = Any
"""A NumPy array or SciPy sparse array [N, F]."""

ITERATIONS = 200


@dataclass(frozen=True)
class Linear:
    """A fitted model: weights [F] and bias."""

    weights: NDArray[np.float64]
    bias: float

    def scores(self, rows: Matrix) -> NDArray[np.float64]:
        """Return the log-odds of "true" of rows [N, F]."""
        scores: NDArray[np.float64] = rows @ self.weights + self.bias
        return scores


def fit(rows: Matrix, truth: NDArray[np.bool_], penalty: float) -> Linear:
    """Minimise the weighted log-loss plus ``penalty / 2 * |weights|^2``; the bias is free.

    Args:
        rows: features [N, F].
        truth: answers [N]. Where all are equal there is no boundary to learn, and every score is zero.
        penalty: strength of the quadratic penalty, in units of rows.
    """
    true = int(truth.sum())
    if true in (0, len(truth)):
        return Linear(np.zeros(rows.shape[1]), 0.0)
    signs = np.where(truth, 1.0, -1.0)
    weight = np.where(truth, len(truth) / (2 * true), len(truth) / (2 * (len(truth) - true)))

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = parameters[:-1], parameters[-1]
        margins = signs * (rows @ weights + bias)
        value = float(weight @ np.logaddexp(0.0, -margins) + penalty / 2 * weights @ weights)
        # d/dz log(1 + exp(-z)) = -1 / (1 + exp(z)); tanh does not overflow.
        pull = -weight * signs * 0.5 * (1.0 - np.tanh(margins / 2))
        return value, np.append(rows.T @ pull + penalty * weights, pull.sum())

    start = np.zeros(rows.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    return Linear(found.x[:-1], float(found.x[-1]))
