"""Lay features out in two dimensions (t-SNE, van der Maaten & Hinton, JMLR 2008).

A map shows who is near whom. Distances between clusters, their sizes and their shapes mean nothing, and clusters that
the map shows need not exist; the figures are what is compared.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from eval.study.figures import standardise

COMPONENTS = 50
PERPLEXITY = 30.0


def lay_out(features: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Return coordinates [N, 2] of features [N, F], standardised and reduced to ``COMPONENTS`` first."""
    rows = standardise(features)
    count = min(COMPONENTS, *rows.shape)
    with np.errstate(invalid="ignore"):  # shares of no variance, where features are constant
        reduced = PCA(count, svd_solver="full").fit_transform(rows)
    reduced = reduced / max(float(reduced.std()), 1e-12)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    start = reduced[:, :2] if count > 1 else np.hstack([reduced, np.zeros_like(reduced)])
    start = 1e-4 * start / max(float(start[:, 0].std()), 1e-12)
    placed = TSNE(2, perplexity=perplexity, init=start.astype(np.float32), random_state=seed, n_jobs=1)
    return np.asarray(placed.fit_transform(reduced), dtype=np.float64)
