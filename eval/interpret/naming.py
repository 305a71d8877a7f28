"""What sites and heads are called in pictures and tables."""

from collections.abc import Mapping
from typing import Any

TITLES = {
    "resid": "output of the layer",
    "attn": "attention",
    "cross": "cross-attention",
    "mlp": "MLP",
    "z": "heads",
    "cross_z": "heads of cross-attention",
    "q": "queries",
    "k": "keys",
    "v": "values",
    "cross_q": "queries of cross-attention",
}

SHOWN = 12
"""Heads in a table or a bar chart."""

Row = Mapping[str, Any]


def head_name(one: Row) -> str:
    """Return the layer and number of a head, "x" before those of cross-attention."""
    cross = "x" if one["kind"].startswith("cross") else ""
    return f"{cross}{one['layer']}.{one['head']}"
