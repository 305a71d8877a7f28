"""How much sets that are drawn by lot have in common, exactly, and how alike rankings are.

Shapes: X conditions, N sites (heads or places).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def shared_by_chance(selected_XN: Flags, strata_N: NDArray[np.intp]) -> Floats:
    """Return the probability of every number of sites that all conditions would share if each had drawn by lot.

    Args:
        selected_XN: what each condition selects; as many would be drawn.
        strata_N: number of the set that each site is of; as many would be drawn of each set.
    """
    total = np.ones(1)
    for stratum in np.unique(strata_N):
        own_XN = selected_XN[:, strata_N == stratum]
        size, counts = own_XN.shape[1], own_XN.sum(1)
        shared = np.zeros(size + 1)
        shared[counts[0]] = 1.0
        for count in counts[1:]:
            # Of m sites shared so far, so many are among the next condition's draw.
            following = [hypergeom.pmf(np.arange(size + 1), size, m, count) for m in range(size + 1)]
            shared = shared @ np.array(following)
        total = np.convolve(total, shared)
    return total


def hits_by_chance(rates_X: Floats) -> Floats:
    """Return the probability of every number of hits among independent trials with these rates."""
    found = np.ones(1)
    for rate in rates_X:
        found = np.convolve(found, [1 - rate, rate])
    return found


def rank_correlations(share_XN: Floats) -> Floats:
    """Return Kendall's rank correlation (tau-b) of every two rows, (X, X); NaN for a row whose values are all equal."""
    first_N, second_N = np.triu_indices(share_XN.shape[1], 1)
    order = np.sign(share_XN[:, first_N] - share_XN[:, second_N])
    length_X = np.linalg.norm(order, axis=1)
    with np.errstate(invalid="ignore"):
        found: Floats = order @ order.T / np.outer(length_X, length_X)
    return found
