"""The calibration for people: tables on the terminal, and a chart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.console import Console
from rich.table import Table

from datagen.verify.summary import renders_lacking
from spatial.files import atomic
from spatial.proportion import percent

# Okabe and Ito's colours, told apart by every kind of colour vision; the markers serve print in grey.
RIGHT_STYLE, WRONG_STYLE = ("#0072B2", "o"), ("#D55E00", "X")


def print_tables(content: Mapping[str, Any]) -> None:
    """Print the rates of faithful and faulty pictures, and those of every relation."""
    console = Console()
    if not console.is_terminal:
        console.width = 140  # a log file has no edge to wrap at
    console.print(fault_table(content))
    console.print(relation_table(content["relations"]))
    names, renders = renders_lacking(content)
    if names:
        console.print(
            f"not measured enough: {', '.join(names)}; about {renders:,} renders more of the same kind would be,"
            " if errors stay as rare: raise 'groups' of the data"
        )


def fault_table(content: Mapping[str, Any]) -> Table:
    """Return the table of faithful pictures and of the faults."""
    table = Table(title="What the verifier does with pictures", title_justify="left")
    for head, justify in (("pictures", "left"), ("n", "right"), ("right verdict", "right"), ("95 %", "right")):
        table.add_column(head, justify=justify)  # type: ignore[arg-type]
    table.add_column("goal", justify="right")
    table.add_column("refused because")
    faithful = content["faithful"]
    table.add_row("faithful, accepted", *_cells(faithful), _reasons(faithful["refused"]))
    for name, row in content["faults"].items():
        table.add_row(f"{name}, rejected", *_cells(row), _reasons(row["refused"]))
    return table


def relation_table(relations: Mapping[str, Any]) -> Table:
    """Return the table of the relations."""
    table = Table("relation", title="Per relation: accepted of right and of wrong pictures, in %", title_justify="left")
    for head in ("right", "TPR", "95 %", "wrong", "FPR", "95 %", "decided"):
        table.add_column(head, justify="right")
    table.add_column("trusted")
    for name, row in relations.items():
        right, wrong = row["right"], row["wrong"]
        cells = [str(right["n"]), percent(right["share"]), _interval(right["ci95"])]
        cells += [str(wrong["n"]), percent(wrong["share"]), _interval(wrong["ci95"]), percent(row["decided"])]
        table.add_row(name, *cells, "yes" if row["trusted"] else f"no: {row['why_not']}")
    return table


def draw(content: Mapping[str, Any], path: Path) -> None:
    """Draw the rates of relations and of faults with their intervals, as PNG."""
    relations, faults = content["relations"], content["faults"]
    names = sorted(relations, key=lambda name: (relations[name]["wrong"]["share"] or 0.0, name))
    rows = [("faithful", content["faithful"]), *faults.items()]
    heights = [0.6 + 0.3 * len(rows), 0.6 + 0.24 * len(names)]
    figure = Figure(figsize=(7.5, 1.4 + sum(heights)), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=heights)
    for place, (_, row) in enumerate(rows):
        _dot(above, place, row, RIGHT_STYLE)
        if "goal" in row:
            above.plot([100 * row["goal"]] * 2, [place - 0.4, place + 0.4], color="black", linewidth=1)
    _axes(above, [f"{name}: {'accepted' if name == 'faithful' else 'rejected'}" for name, _ in rows])
    above.set_title("Right verdicts in %, 95 % interval; line: goal", loc="left", fontsize="medium")
    for place, name in enumerate(names):
        _dot(below, place, relations[name]["right"], RIGHT_STYLE)
        _dot(below, place, relations[name]["wrong"], WRONG_STYLE)
    below.axvline(100 * content["most_wrong"], color="black", linewidth=1, linestyle=":")
    _axes(below, [name if relations[name]["trusted"] else f"({name})" for name in names])
    below.set_title(
        "Accepted in %, 95 % interval; relations in brackets are not trusted", loc="left", fontsize="medium"
    )
    key = [("of pictures that show the relation", RIGHT_STYLE), ("of those that do not", WRONG_STYLE)]
    handles = [Line2D([], [], color=style[0], marker=style[1], label=label) for label, style in key]
    handles.append(Line2D([], [], color="black", linestyle=":", label="most that is trusted"))
    figure.legend(handles=handles, frameon=False, loc="outside lower left", ncols=3, fontsize="small")
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _dot(axes: Axes, place: int, row: Mapping[str, Any], style: tuple[str, str]) -> None:
    if row["share"] is None:
        return
    value, low, high = (100 * number for number in (row["share"], *row["ci95"]))
    error = [[max(0.0, value - low)], [max(0.0, high - value)]]
    axes.errorbar(value, place, xerr=error, fmt=style[1], color=style[0], markersize=5, linewidth=1)


def _axes(axes: Axes, names: Sequence[str]) -> None:
    axes.set(xlim=(-2, 102))
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", linewidth=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _cells(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    goal = f"{100 * row['goal']:.0f}" if "goal" in row else ""
    return str(row["n"]), percent(row["share"]), _interval(row["ci95"]), goal


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"{percent(bounds[0])}-{percent(bounds[1])}"


def _reasons(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in list(refused.items())[:4])
