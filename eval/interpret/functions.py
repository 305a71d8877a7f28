"""What heads do with a picture, measured: where they look from the words for two things, and if that tracks the answer.

NOTICE (arXiv 2406.16320, section 5) names three functions by looking at maps. Here each is a number per pair:

- detection and suppression: the map of a head, less the mean map of its layer's heads, ranks the cells of a thing above
  (or below) all others: area under the ROC curve, 0.5 for a head that does not care.
- outlier suppression: the map of a head, less that mean, at image tokens of extreme length.
- spatial read-out: from the word for the subject and from that for the object a head looks at two places; which way the
  middles of the two maps lie apart tells left from right and above from below. It tracks the relation if it turns
  around with the picture.

A map says where a head looks, not that it matters: ``eval.interpret.confirm`` cuts it off from there.

Shapes: H heads, N image tokens, C cells of the map.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest, ttest_1samp

from eval.attend.overlap import Cells, Sight, auroc
from eval.interpret.capture import Captured
from eval.interpret.effects import Runs
from eval.interpret.prepare import Prepared
from eval.interpret.roles import long_tokens
from eval.interpret.stack import Stack

MARGIN = 0.05
"""How far from 0.5 the area under the curve has to be to speak of detection or suppression."""

FUNCTIONS = ("detection", "suppression", "outlier suppression", "spatial read-out")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """How one head looks at the pictures of one pair.

    Attributes:
        pair_id: of the pair.
        group_id: of the pair.
        family: of the pair.
        layer: of the head.
        head: its number.
        share: of its attention that the picture gets, from the last word of the subject; clean run, as the next three.
        auroc: how its map, less the layer's mean, ranks the cells of the subject; NaN where there is no box.
        density: attention on the subject's cells over what an even map would put there.
        outliers: its map less the layer's mean at outlier tokens, mean; NaN where there are none.
        across: how far right of the middle of its map from the object that from the subject is, in canvas widths.
        down: how far below, likewise.
        across_corrupt: the same in the corrupt run.
        down_corrupt: likewise.
    """

    pair_id: str
    group_id: str
    family: str
    layer: int
    head: int
    share: float
    auroc: float
    density: float
    outliers: float
    across: float
    down: float
    across_corrupt: float
    down_corrupt: float


@dataclass(frozen=True)
class Seen:
    """What is needed of the clean picture of a pair, and of where its tokens look.

    Attributes:
        sight: where image tokens look.
        subject: cells (C) of the subject; all False where its box is not known.
        features_ND: image tokens.
    """

    sight: Sight
    subject: Cells
    features_ND: torch.Tensor


def look(stack: Stack, prepared: Prepared, runs: Runs, picture: Seen) -> list[Look]:
    """Return how every head looks at the pictures of a pair; nothing if the question names no two things."""
    roles = prepared.roles
    if "subject" not in roles or "object" not in roles:
        return []
    spread_NC = picture.sight.spread
    outliers = long_tokens(picture.features_ND)
    pair, found = prepared.pair, []
    for layer in range(stack.layers):
        clean, other = (
            [on_image(stack, run, layer, roles[role][-1], prepared) for role in ("subject", "object")]
            for run in (runs.clean, runs.corrupt)
        )
        subject_HN = clean[0]
        relative_HN = subject_HN - subject_HN.mean(0)
        ranks_H = auroc(relative_HN @ spread_NC, picture.subject[None])[:, 0]
        across, down = _gap(clean, picture.sight, spread_NC)
        across_corrupt, down_corrupt = _gap(other, picture.sight, spread_NC)
        density_H = _density(subject_HN @ spread_NC, picture.subject)
        for head in range(stack.heads):
            found.append(
                Look(
                    pair.pair_id,
                    pair.group_id,
                    pair.family,
                    layer,
                    head,
                    float(subject_HN[head].sum()),
                    float(ranks_H[head]),
                    float(density_H[head]),
                    float(relative_HN[head, outliers].mean()) if outliers else float("nan"),
                    float(across[head]),
                    float(down[head]),
                    float(across_corrupt[head]),
                    float(down_corrupt[head]),
                )
            )
    return found


def on_image(stack: Stack, run: Captured, layer: int, position: int, prepared: Prepared) -> Floats:
    """Return the attention (H, N) of a token to the picture."""
    seen_HK = stack.looks(run, layer, position).cpu().double().numpy()
    image = prepared.roles.get("image")
    return seen_HK[:, list(image)] if image else seen_HK


def _density(map_HC: Floats, cells_C: Cells) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (map_HC[:, cells_C].sum(-1) / map_HC.sum(-1)) / cells_C.mean()
    return found


def _gap(looks: Sequence[Floats], sight: Sight, spread_NC: Floats) -> tuple[Floats, Floats]:
    """Return how far the middle of the first map is right of and below that of the second, (H,) each."""
    row, column = np.divmod(np.arange(sight.grid**2), sight.grid)
    middles = []
    for map_HN in looks:
        map_HC = map_HN @ spread_NC
        weight_HC = map_HC / np.maximum(map_HC.sum(-1, keepdims=True), np.finfo(float).tiny)
        middles.append((weight_HC @ (column + 0.5) / sight.grid, weight_HC @ (row + 0.5) / sight.grid))
    (x0, y0), (x1, y1) = middles
    return x0 - x1, y0 - y1


@dataclass(frozen=True)
class Function:
    """What a head does, over some pairs.

    Attributes:
        layer: of the head.
        head: its number.
        function: of ``FUNCTIONS``.
        value: area under the curve; share of pairs in which the sign turns; or attention to outliers, less the mean, in
            standard deviations of the layer's heads.
        p_value: two-sided, that it does not.
        pairs: how many pairs tell.
        labelled: whether both the size and the test speak for it.
    """

    layer: int
    head: int
    function: str
    value: float
    p_value: float
    pairs: int
    labelled: bool


def functions(looks: Sequence[Look], level: float = 0.05) -> list[Function]:
    """Return for every head each of its functions; tests are corrected for the number of heads (Bonferroni)."""
    by_head: dict[tuple[int, int], list[Look]] = defaultdict(list)
    for row in looks:
        by_head[row.layer, row.head].append(row)
    strict = level / max(1, len(by_head))
    found = [one for own in by_head.values() for one in (*_ranking(own, strict), _turning(own, strict))]
    return [*found, *_outliers(by_head, strict)]


def _ranking(rows: Sequence[Look], level: float) -> Iterator[Function]:
    values = np.array([row.auroc for row in rows])
    values = values[~np.isnan(values)]
    mean = float(values.mean()) if len(values) else float("nan")
    p_value = _p_value(values, 0.5)
    for function, apart in (("detection", mean - 0.5), ("suppression", 0.5 - mean)):
        labelled = bool(apart >= MARGIN and p_value < level)
        yield Function(rows[0].layer, rows[0].head, function, mean, p_value, len(values), labelled)


def _turning(rows: Sequence[Look], level: float) -> Function:
    """Take the axis along which the signs differ more often; that there are two is counted against it."""
    best = (float("nan"), 1.0)
    for clean, corrupt in (("across", "across_corrupt"), ("down", "down_corrupt")):
        turned = sum(getattr(row, clean) * getattr(row, corrupt) < 0 for row in rows)
        p_value = min(1.0, 2 * float(binomtest(turned, len(rows), 0.5).pvalue))
        if p_value < best[1] or np.isnan(best[0]):
            best = turned / len(rows), p_value
    return Function(
        rows[0].layer, rows[0].head, "spatial read-out", *best, len(rows), bool(best[0] > 0.5 and best[1] < level)
    )


def _outliers(by_head: dict[tuple[int, int], list[Look]], level: float) -> list[Function]:
    mean = {
        head: np.array([row.outliers for row in rows if not np.isnan(row.outliers)]) for head, rows in by_head.items()
    }
    found = []
    for (layer, head), values in mean.items():
        others = [float(own.mean()) for (at, _), own in mean.items() if at == layer and len(own)]
        spread = float(np.std(others)) if others else 0.0
        value = float(values.mean()) / spread if len(values) and spread > 0 else float("nan")
        p_value = _p_value(values, 0.0)
        labelled = bool(value < -2 and p_value < level)
        found.append(Function(layer, head, "outlier suppression", value, p_value, len(values), labelled))
    return found


def _p_value(values: Floats, expected: float) -> float:
    if len(values) < 2 or np.ptp(values) == 0:
        return 1.0
    return float(ttest_1samp(values, expected).pvalue)
