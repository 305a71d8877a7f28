"""Means with intervals: attention by layer, of right and of wrong answers; and confidence against correctness.

Questions about one image are resampled together. Confidence is the largest probability of the first answer token of
the plain model, which is what AdaptVis decides by; bins of it hold equally many questions.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from eval.attend.overlap import auroc
from eval.attend.table import MEASURES
from eval.statistics import cluster_interval

SPLITS = ("all", "right", "wrong")
BINS = 5
LEAST = 8
"""Questions that a bin has at least, where there are that many; of fewer, a relation has one bin."""

Figure = dict[str, Any]


def layer_figures(table: pd.DataFrame, resamples: int, seed: int) -> dict[str, dict[str, list[Figure]]]:
    """Return a list over layers by decoder and by "all", "right" and "wrong": mean, interval and n of each measure."""
    found: dict[str, dict[str, list[Figure]]] = {}
    for decoder, rows in table.groupby("decoder", sort=False):
        parts = {"all": rows, "right": rows[rows.correct], "wrong": rows[~rows.correct]}
        found[str(decoder)] = {
            split: [
                {"layer": int(layer)}
                | {name: _mean(part[part.layer == layer], name, resamples, seed) for name in MEASURES}
                for layer in sorted(rows.layer.unique())
            ]
            for split, part in parts.items()
        }
    return found


def best_layer(layers: list[Figure]) -> tuple[int, str]:
    """Return the layer whose attention overlaps best with the objects, and what it is best in.

    Where no object has a box, it is that whose attention on the image is largest.
    """
    for name, said in (("auroc_either", "overlap with the objects"), ("image_share", "attention on the image")):
        known = [row for row in layers if row[name]["mean"] is not None]
        if known:
            return int(max(known, key=lambda row: row[name]["mean"])["layer"]), said
    raise ValueError("no layer was measured")


def confidence_figures(table: pd.DataFrame, resamples: int, seed: int) -> dict[str, Figure]:
    """Return, by decoder, how confidence and right answers agree, over all questions and per relation."""
    found: dict[str, Figure] = {}
    for decoder, rows in table[table.layer == table.layer.min()].groupby("decoder", sort=False):
        named = rows[rows.relation != ""].groupby("relation")
        parts = {str(relation): _confidence(part, resamples, seed) for relation, part in named}
        found[str(decoder)] = {"all": _confidence(rows, resamples, seed), "per_relation": parts}
    return found


def _confidence(rows: pd.DataFrame, resamples: int, seed: int) -> Figure:
    ordered = rows.sort_values(["confidence", "record_id", "template"])
    count = max(1, min(BINS, len(rows) // LEAST))
    parts = [ordered.iloc[index] for index in np.array_split(np.arange(len(ordered)), count)]
    tells = auroc(ordered.confidence.to_numpy()[None], ordered.correct.to_numpy()[None])[0, 0]
    return {
        "n": len(rows),
        "confidence": float(rows.confidence.mean()),
        "accuracy": _mean(rows, "correct", resamples, seed),
        "auroc_confidence": None if np.isnan(tells) else float(tells),
        "bins": [
            {"confidence": float(part.confidence.mean()), "accuracy": _mean(part, "correct", resamples, seed)}
            for part in parts
        ],
    }


def _mean(rows: pd.DataFrame, name: str, resamples: int, seed: int) -> Mapping[str, Any]:
    known = rows[rows[name].notna()]
    if known.empty:
        return {"mean": None, "ci95": None, "n": 0}
    values = known[name].astype(float).clip(0, 1).tolist()  # a sum of weights may be 1 and a rounding
    interval = cluster_interval(values, known.image_id.tolist(), resamples, seed)
    return {"mean": float(np.mean(values)), "ci95": list(interval), "n": len(values)}
