"""Tables about patched models: pairs that count, selected heads beside random ones, functions, and what tuning changed.

A run is what ``results.json`` of ``vsre interpret`` holds. Whatever a table says is said whichever way it falls.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from eval.interpret.effects import ALL_HEADS
from eval.interpret.naming import DIRECTION, TITLES, head_name, is_confirmed, place_name
from eval.interpret.summary import LEAST_PAIRS
from spatial.proportion import percent
from vsre.compare_tables import Cells

Run = Mapping[str, Any]

LISTED = 8
"""Heads that a cell names; of more it gives the number."""

CHANGES = 3
"""Places in the table of what differs, for each kind of pair and direction."""

OTHER_TITLES = {"cut": "attention cut off", "encoder": "one encoder exchanged"}
"""Of places that are not parts of a layer."""

TIERS = {"T0": "all", "T1": "clean side right", "T2": "both sides right", "T3": "and far apart"}

FUNCTIONS = {
    "detection": "looks at the subject (area under the ROC curve; 0.5: neither at nor away)",
    "suppression": "looks away from the subject (area under the ROC curve; 0.5: neither at nor away)",
    "outlier suppression": "looks away from image tokens of extreme length (standard deviations of the layer's heads)",
    "spatial read-out": "the direction in which it looks turns around with the picture (share of pairs)",
}


def tiers_table(runs: Mapping[str, Run]) -> Cells:
    """Return how many pairs of each model are of which tier, and how many count."""
    rows = []
    for name, run in runs.items():
        for mode, own in run["modes"].items():
            counts = [str(own["tiers"][tier]) for tier in TIERS]
            rows.append([name, mode, *counts, str(counted(run, mode))])
    return ["model", "pairs", *(f"{tier}: {what}" for tier, what in TIERS.items()), "counted"], rows


def counted(run: Run, mode: str) -> int:
    """Return how many pairs of a mode the numbers of a run are of."""
    found: int = run["modes"][mode]["tiers"][f"T{run['tier']}"]
    return found


def held_out_table(runs: Mapping[str, Run]) -> Cells:
    """Return what exchanging the selected heads does on pairs that did not select them, beside random heads."""
    rows = []
    for name, run in runs.items():
        for mode, direction, exchanged, one in comparisons(run):
            heads = _listed(selected_heads(exchanged))
            chosen = heads if exchanged["selected_by_rule"] else f"{heads}; no rule"
            selected, random, difference = (_percent(one[key]) for key in ("selected", "random", "difference"))
            numbers = [str(one["pairs"]), selected, random, f"{difference} ({_range(one['ci95'])})"]
            rows.append([f"{name},\u00a0{mode}", DIRECTION[direction], *numbers, verdict(one), chosen])
    return ["pairs", "answer", "n", "selected %", "random %", "difference (95 %)", "selected do", "heads"], rows


def comparisons(run: Run) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield mode, direction, the heads that were exchanged, and how they compare with random ones."""
    for mode, own in run["modes"].items():
        for direction in DIRECTION:
            if own["exchanged"] and own["exchanged"][direction]:
                yield mode, direction, own["exchanged"], own["exchanged"][direction]


def verdict(comparison: Mapping[str, Any]) -> str:
    """Say in words how selected heads compare with random ones: by the interval of the difference."""
    if comparison["pairs"] < LEAST_PAIRS:
        return "too few pairs"
    return {1: "more", -1: "less", 0: "no clear difference"}[_sign(comparison["ci95"])]


def cells_of(table: Table) -> Cells:
    """Return a table of the terminal as text."""
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    return [str(column.header) for column in table.columns], list(zip(*columns, strict=True))


def effects_tables(run: Run) -> dict[str, Cells]:
    """Return the effects of all places but single heads, as the maps draw them: a row a part, a column a layer."""
    tables: dict[str, Cells] = {}
    for mode, own in run["modes"].items():
        for direction, sites in own["directions"].items():
            whole = [row for row in sites if row["head"] == ALL_HEADS]
            if whole:
                tables[f"{mode} pairs, {DIRECTION[direction]}, in % with 95 % intervals"] = _map_of(whole)
    return tables


def _map_of(sites: Sequence[Mapping[str, Any]]) -> Cells:
    layers = sorted({row["layer"] for row in sites})
    rows: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for row in sites:
        rows[row["kind"], row["role"]][row["layer"]] = f"{_percent(row['share'])} ({_range(row['ci95'])})"
    body = [
        [f"{(TITLES | OTHER_TITLES)[kind]}, {role}", *(cells.get(layer, "-") for layer in layers)]
        for (kind, role), cells in rows.items()
    ]
    return ["part of the layer, tokens", *(f"layer {layer}" for layer in layers)], body


def functions_of(run: Run) -> dict[str, tuple[str, str]]:
    """Return by function what is measured, and the heads that have it by size and by test, with their values."""
    heads: dict[str, list[str]] = defaultdict(list)
    for row in run["functions"]:
        if row["labelled"]:
            heads[row["function"]].append(f"{row['layer']}.{row['head']} ({row['value']:.2f}{_cut_off(row)})")
    return {name: (what, ", ".join(heads[name])) for name, what in FUNCTIONS.items() if heads[name]}


def _cut_off(function: Mapping[str, Any]) -> str:
    """Say what the answer loses where a head no longer sees what its label says, if that was tried."""
    tried = function["confirmation"]
    if not tried:
        return ""
    words = f"; cut off: {_percent(tried['lost'])} % lost, {_percent(tried['random'])} by random heads"
    return words + (", confirmed" if is_confirmed(function) else "")


def selected_heads(exchanged: Mapping[str, Any]) -> list[str]:
    """Return what the heads are called that were exchanged on other pairs."""
    return [head_name(dict(zip(("kind", "layer", "head"), head, strict=True))) for head in exchanged["heads"]]


def changes_table(run: Run, other: str) -> Cells:
    """Return the places whose effect differs most from that in another model, of those that surely differ."""
    rows = []
    for mode, direction, sites in _compared(run):
        for row in sorted(_sure(sites), key=lambda row: -abs(row["difference"]))[:CHANGES]:
            shares = [_percent(row[key]) for key in ("other", "mine", "difference")]
            rows.append([mode, direction, place_name(row), *shares, _range(row["ci95"])])
    return ["pairs", "patched", "place", f"{other} %", "here %", "difference", "95 % interval"], rows


def changes_counted(run: Run) -> tuple[int, int]:
    """Return how many places were compared with another model, and how many of them surely differ."""
    compared = [sites for _, _, sites in _compared(run)]
    return sum(map(len, compared)), sum(len(_sure(sites)) for sites in compared)


def _compared(run: Run) -> Iterator[tuple[str, str, Sequence[Mapping[str, Any]]]]:
    for mode, directions in run["against"]["sites"].items():
        for direction, sites in directions.items():
            yield mode, direction, [row for row in sites if row["kind"] in TITLES and row["difference"] is not None]


def _sure(sites: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in sites if _sign(row["ci95"])]


def _sign(bounds: Sequence[float | None]) -> int:
    """Return the sign that an interval is sure of; 0 for none."""
    low, high = bounds
    if low is None or high is None:
        return 0
    return 1 if low > 0 else -1 if high < 0 else 0


def _range(bounds: Sequence[float | None]) -> str:
    return " to ".join(map(_percent, bounds))


def _percent(value: float | None) -> str:
    text = percent(value)
    return "0.0" if text == "-0.0" else text


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
