"""How far a score depends on the wording: its mean, worst and spread over templates and over their families.

A family is a form of asking: "whether ...", "A. yes B. no", ... Families are held out of training whole, so the spread
over the held-out ones tells how a model takes to forms that it never met. VSRE's Test-G is a mean over templates.
"""

from collections.abc import Iterable, Mapping
from statistics import fmean, pstdev
from typing import Any

from eval.metrics import Rows, accuracy, partition
from spatial.templates import HELD_OUT, TEMPLATES


def family_of(template: str) -> str:
    """Return the family of a template; "" of one that is not known any more."""
    return TEMPLATES[template].family if template in TEMPLATES else ""


def wording_spread(rows: Rows) -> dict[str, dict[str, Any]]:
    """Return the spread of accuracy by task, over "templates", "families" and "held_out_families".

    A spread has ``n``, how many there are, and the ``mean``, ``worst`` and ``std`` (population standard deviation) of
    their accuracies. Each counts once, however many records it suits.
    """
    known = [row for row in rows if family_of(row.template)]
    return {task: _spreads(part) for task, part in partition(known, lambda row: row.task).items()}


def _spreads(rows: Rows) -> dict[str, Any]:
    templates = partition(rows, lambda row: row.template)
    families = partition(rows, lambda row: family_of(row.template))
    held_out = {name: part for name, part in families.items() if name in HELD_OUT}
    return {
        "templates": _spread(_accuracies(templates)),
        "families": _spread(_accuracies(families)),
        "held_out_families": _spread(_accuracies(held_out)),
    }


def _accuracies(parts: Mapping[str, Rows]) -> list[float]:
    return [value for part in parts.values() if (value := accuracy(part)) is not None]


def _spread(values: Iterable[float]) -> dict[str, Any]:
    known = list(values)
    if not known:
        return {"n": 0, "mean": None, "worst": None, "std": None}
    return {"n": len(known), "mean": fmean(known), "worst": min(known), "std": pstdev(known)}
