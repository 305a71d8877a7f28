"""What sites and heads are called in pictures and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from eval.interpret.effects import ALL_HEADS

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

DIRECTION = {"denoise": "restored", "noise": "broken"}
"""What happens to the answer."""

SHOWN = 12
"""Heads in a table or a bar chart."""

Row = Mapping[str, Any]


def head_name(one: Row) -> str:
    """Return the layer and number of a head, "x" before those of cross-attention."""
    cross = "x" if one["kind"].startswith("cross") else ""
    return f"{cross}{one['layer']}.{one['head']}"


def place_name(one: Row) -> str:
    """Return what a site is called in a sentence: kind, layer and whose tokens, and the number of a single head."""
    head = "" if one["head"] == ALL_HEADS else f".{one['head']}"
    return f"{TITLES[one['kind']]} {one['layer']}{head} at '{one['role']}'"


def is_confirmed(function: Row) -> bool:
    """Tell whether a head's label holds, and the answer was found to need what it says."""
    tried = function["confirmation"]
    return bool(function["labelled"] and tried and tried["confirmed"])


def heads_in_words(heads: Sequence[object]) -> str:
    """Return "1 head", "2 heads"."""
    return f"{len(heads)} head{'s' * (len(heads) != 1)}"
