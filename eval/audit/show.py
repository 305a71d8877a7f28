"""The audit for people: tables on the terminal, and the chart of the probes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich.markup import escape
from rich.table import Table

from eval.audit.folds import FAIL, MARGIN, PASS, UNCLEAR
from eval.drawing import save_picture
from eval.terminal import percent_range
from spatial.proportion import percent

LISTED = 5
"""Violations of a rule that the terminal shows; ``audit.json`` has all."""

# Okabe and Ito's colours, told apart by every kind of colour vision; the hatches serve print in grey.
STYLES = {PASS: ("#0072B2", ""), UNCLEAR: ("#999999", ".."), FAIL: ("#D55E00", "//")}


def probe_table(probes: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the table of the probes (``Result`` as mappings by name)."""
    table = Table(title="Answering without looking, on held-out groups", title_justify="left")
    table.add_column("probe")
    for head in ("n", "answered", "accuracy", "95 %", "captions seen", "new"):
        table.add_column(head, justify="right")
    table.add_column("verdict")
    for name, row in probes.items():
        table.add_row(
            name,
            str(row["n"]),
            str(row["answered"]),
            percent(row["accuracy"]),
            percent_range(row["ci95"]),
            percent(row["accuracy_repeated"]),
            percent(row["accuracy_new"]),
            f"{row['verdict']}{_note(row)}",
        )
    return table


def balance_table(balances: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of the exact balances."""
    table = Table("rule", title="Exact balances", title_justify="left")
    table.add_column("checked", justify="right")
    table.add_column("broken", justify="right")
    table.add_column("such as")
    for row in balances:
        broken = row["violations"]
        shown = "\n".join(" ".join(f"{key}={value}" for key, value in item.items()) for item in broken[:LISTED])
        table.add_row(row["rule"], str(row["checked"]), str(len(broken)), escape(shown))
    return table


def agreement_tables(found: Mapping[str, Any]) -> list[Table]:
    """Return the table of the agreement with VSR by relation, and that of the rows left out."""
    table = Table("relation", title="Predicates on boxes against VSR's labels", title_justify="left")
    for head in ("decided", "undecided", "agreement", "95 %", "said true", "right", "said false", "right"):
        table.add_column(head, justify="right")
    rows = [*found["per_relation"].items(), ("overall", found["overall"])]
    for name, row in rows:
        if name == "overall":
            table.add_section()
        said = [str(row[answer][key]) for answer in ("said_true", "said_false") for key in ("n", "right")]
        cells = (str(row["decided"]), str(row["undecided"]), percent(row["agreement"]), percent_range(row["ci95"]))
        table.add_row(name, *cells, *said)
    left = Table("left out because", title_justify="left", title=f"Of {found['rows']} rows")
    left.add_column("rows", justify="right")
    for why, count in found["left_out"].items():
        left.add_row(why, str(count))
    return [table, left]


def draw_probes(probes: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw each probe's accuracy with its interval, and the band within which it passes, as PNG."""
    names = list(probes)
    figure = Figure(figsize=(7.5, 1.4 + 0.42 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(50 - 100 * MARGIN, 50 + 100 * MARGIN, color="#F0E442", alpha=0.6, zorder=0)
    axes.axvline(50, color="black", linewidth=0.8)
    for place, name in enumerate(names):
        row = probes[name]
        value, low, high = (100 * number for number in (row["accuracy"], *row["ci95"]))
        colour, hatch = STYLES[row["verdict"]]
        error = [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.barh(place, value, 0.6, xerr=error, color=colour, hatch=hatch, edgecolor="white", capsize=3)
        axes.annotate(
            f"{value:.1f}", (max(value, high), place), (6, 0), textcoords="offset points", va="center", fontsize="small"
        )
    axes.set(xlim=(0, 108), xlabel="accuracy in %, with 95 % interval over groups")
    axes.set_xticks(range(0, 101, 10))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    verdicts = [word for word in STYLES if any(row["verdict"] == word for row in probes.values())]
    key = [Patch(facecolor=STYLES[word][0], hatch=STYLES[word][1], edgecolor="white", label=word) for word in verdicts]
    band = Patch(facecolor="#F0E442", alpha=0.6, label=f"50 % ± {100 * MARGIN:.1f}: pass")
    axes.legend(handles=[*key, band], frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize="small")
    save_picture(figure, path, 150)


def _note(row: Mapping[str, Any]) -> str:
    if not row["answered"]:
        return ": nothing to learn"
    if row["exact"]:
        return ": exactly half of every group"
    if row["verdict"] == UNCLEAR:
        return ": too few groups to tell"
    if row["verdict"] == FAIL and row["accuracy"] < 0.5:
        return ": reliably wrong, so its reverse is right"
    return ""
