"""Findings on the terminal: tables of effects, of heads and of what they do, and lines for all else."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from eval.interpret.effects import ALL_HEADS
from eval.interpret.everywhere import in_words
from eval.interpret.naming import SHOWN, TITLES, Row, head_name, heads_in_words, is_confirmed
from eval.interpret.sites import KINDS
from eval.terminal import wide_console
from spatial.proportion import percent


def print_findings(found: Mapping[str, Any]) -> None:
    """Print tiers, the strongest sites, selected heads, agreement, functions and controls."""
    console = wide_console()
    for mode, own in found["modes"].items():
        console.print(f"{mode} pairs: " + ", ".join(f"{name} {count}" for name, count in own["tiers"].items()))
        console.print(sites_table(own, mode))
        if own["heads"]["all"]:
            console.print(heads_table(own["heads"], mode))
        for direction, kinds in own["screen"].items():
            if kinds and "all" in kinds:
                one = kinds["all"]
                console.print(
                    f"attribution against exact values, {direction}: Spearman {one['spearman']:.2f}, "
                    f"{one['recall']:.0%} of the {one['top']} largest of {one['count']} sites"
                )
        if own["exchanged"]:
            for name in ("denoise", "noise"):
                if one := own["exchanged"][name]:
                    low, high = one["ci95"]
                    console.print(
                        f"{heads_in_words(own['exchanged']['heads'])} exchanged on {one['pairs']} other pairs, {name}: "
                        f"{percent(one['selected'])} % against {percent(one['random'])} of random ones "
                        f"(difference {percent(low)} to {percent(high)})"
                    )
    for sentence in in_words(found["universality"]):
        console.print(sentence)
    if found["functions"]:
        console.print(functions_table(found["functions"]))
    for kind, one in found["controls"].items():
        console.print(f"control {kind}, {one['pairs']} pairs: {_kept(kind, one)}")


def _kept(kind: str, one: Row) -> str:
    if kind == "identity":
        return f"largest effect {one['largest_effect']:.1e}"
    if "keep_it_where_clean_is_right" in one:
        return f"{percent(one['keep_it_where_clean_is_right'])} % of those whose clean side is right keep the answer"
    return "the clean side of none is right"


def sites_table(own: Mapping[str, Any], mode: str) -> Table:
    """Return the table of the strongest sites of each direction."""
    table = Table(title=f"{mode} pairs: largest effects, in shares of the answer", title_justify="left")
    for head in ("direction", "site", "layer", "tokens of", "effect", "95 %", "median", "pairs"):
        table.add_column(head, justify="left" if head in ("direction", "site", "tokens of") else "right")
    for direction, rows in own["directions"].items():
        whole = [row for row in rows if row["kind"] in KINDS and row["head"] == ALL_HEADS and row["kind"] != "resid"]
        for row in sorted(whole, key=lambda row: -abs(row["share"]))[:5]:
            table.add_row(direction, TITLES[row["kind"]], str(row["layer"]), row["role"], *_figures(row))
    return table


def heads_table(heads: Mapping[str, Any], mode: str) -> Table:
    """Return the table of the heads with the largest effects."""
    table = Table(title=f"{mode} pairs: heads at '{heads['role']}'", title_justify="left")
    for head in ("head", "effect", "95 %", "median", "pairs", "z", "q", "selected"):
        table.add_column(head, justify="right")
    for one in heads["all"][:SHOWN]:
        table.add_row(
            head_name(one),
            *_figures(one["mean"]),
            f"{one['z_score']:.1f}",
            f"{one['q_value']:.3f}",
            "yes" * one["selected"],
        )
    return table


def functions_table(rows: Sequence[Row]) -> Table:
    """Return the table of labelled heads, and of what the answer loses without what they look at."""
    labelled = sorted((row for row in rows if row["labelled"]), key=lambda row: row["p_value"])
    table = Table(title=f"{len(labelled)} labels of heads, and what cutting them off costs", title_justify="left")
    for head in ("head", "function", "value", "p", "pairs", "lost", "95 %", "random heads", "confirmed"):
        table.add_column(head, justify="left" if head == "function" else "right")
    for row in labelled[:SHOWN]:
        table.add_row(
            f"{row['layer']}.{row['head']}",
            row["function"],
            f"{row['value']:.2f}",
            f"{row['p_value']:.1e}",
            str(row["pairs"]),
            *_tried(row),
        )
    return table


def _tried(row: Row) -> tuple[str, str, str, str]:
    one = row["confirmation"]
    if one is None:
        return "-", "-", "-", "not tried"
    low, high = one["ci95"]
    return (
        percent(one["lost"]),
        f"{percent(low)} to {percent(high)}",
        percent(one["random"]),
        "yes" if is_confirmed(row) else "no",
    )


def _figures(row: Row) -> tuple[str, str, str, str]:
    low, high = row["ci95"]
    return percent(row["share"]), f"{percent(low)} to {percent(high)}", percent(row["median"]), str(row["pairs"])
