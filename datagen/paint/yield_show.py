"""The yield table for people: on the terminal, in the card, and as a chart."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from datagen.markdown import Cells, table
from datagen.paint.yields import ALL, Visor, Yield
from spatial.files import atomic
from spatial.proportion import Proportion, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADS = (
    "relation",
    "pictures",
    "objects",
    "VISOR unc.",
    "VISOR cond.",
    "VISOR 1/2/3/4",
    "unread",
    "passed",
    "accepted",
)

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, told apart by every kind of colour vision."""


def console() -> Console:
    """Return a console for tables; a log file has no edge to wrap at."""
    found = Console()
    if not found.is_terminal:
        found.width = 180
    return found


def tables(lines: Sequence[Yield]) -> list[Table]:
    """Return the table of yields and that of reasons, one of each for an engine."""
    return [it for name, own in by_engine(lines).items() for it in (_yields(name, own), _reasons(name, own))]


def by_engine(lines: Sequence[Yield]) -> dict[str, list[Yield]]:
    """Return the lines of each engine under its name: "RUN: NAME" of one of several runs."""
    found: dict[str, list[Yield]] = {}
    for line in lines:
        found.setdefault(engine_label(line), []).append(line)
    return found


def engine_label(line: Yield) -> str:
    """Return how an engine is called: with the folder of its run if there are several, and whether it was steered."""
    name = f"{line.run}: {line.engine}" if line.run else line.engine
    return name if line.control else f"{name}, prompt alone"


def cells(line: Yield) -> list[str]:
    """Return the columns of a line as ``HEADS`` names them, without seconds."""
    return [
        line.relation,
        f"{line.attempts:,}",
        with_interval(line.objects),
        *(_of_fewer(share, line.attempts) for share in (line.unconditional, line.conditional)),
        visor_text(line.visor),
        f"{line.unread:,}",
        with_interval(line.passed),
        with_interval(line.accepted),
    ]


def _of_fewer(share: Proportion, attempts: int) -> str:
    """Return a share with its interval, and of how many pictures it is where that is not all."""
    told = with_interval(share)
    return told if share.total in (0, attempts) else f"{told} of {share.total:,}"


def visor_text(found: Visor) -> str:
    """Return "75.0 / 50.0 / 25.0 / 0.0 of 4", with the specs that are left out because a picture was not read."""
    if not found.shares:
        return f"- ({found.unread:,} unread)" if found.unread else "-"
    unread = f", {found.unread:,} unread" if found.unread else ""
    return f"{' / '.join(percent(share.value) for share in found.shares)} (of {found.shares[0].total:,}{unread})"


def head_of(lines: Sequence[Yield]) -> tuple[str, ...]:
    """Return the columns of lines, without seconds; corrected precision only where it is known of one."""
    return (*HEADS, *(["right of passed"] if any(line.precision for line in lines) else []))


def row_of(line: Yield, head: Sequence[str]) -> list[str]:
    """Return a line as ``head_of`` names its columns."""
    return cells(line) + [precision_text(line)] * (len(head) - len(HEADS))


def precision_text(line: Yield) -> str:
    """Return the corrected share of right pictures among those that passed with its interval, or "-"."""
    if line.precision is None:
        return "-"
    low, high = line.precision.interval
    return f"{percent(line.precision.share)} ({percent(low)}-{percent(high)})"


def seconds_text(line: Yield) -> str:
    """Return seconds for an accepted picture, or "-"."""
    return "-" if line.seconds is None else f"{line.seconds:.2f}"


def with_interval(share: Proportion) -> str:
    """Return "51.3 (40.1-62.4)", in percent, or "-" where nothing was counted."""
    bounds = share.ci95
    return f"{percent(share.value)} ({percent(bounds[0])}-{percent(bounds[1])})" if bounds else "-"


def _yields(name: str, lines: Sequence[Yield]) -> Table:
    shown = Table(title=f"{name}: what is right of what was painted, in % with 95 % intervals", title_justify="left")
    heads = head_of(lines)
    for place, head in enumerate((*heads, "s/accepted")):
        shown.add_column(head, justify="right" if place else "left")
    for line in lines:
        if line.relation == ALL:
            shown.add_section()
        shown.add_row(*row_of(line, heads), seconds_text(line))
    return shown


def _reasons(name: str, lines: Sequence[Yield]) -> Table:
    total = lines[-1]
    shown = Table("not in the data because", title=f"{name}: {total.attempts:,} pictures", title_justify="left")
    for head in ("pictures", "% of all"):
        shown.add_column(head, justify="right")
    for reason, count in total.reasons.items():
        shown.add_row(reason, f"{count:,}", percent(count / total.attempts))
    return shown


def card_lines(lines: Sequence[Yield]) -> list[str]:
    """Return the yield table as Markdown; seconds depend on the machine, and a card does not."""
    found: list[str] = []
    for name, own in by_engine(lines).items():
        total = own[-1]
        rows: list[Cells] = [row_of(line, head_of(own)) for line in own]
        reasons: list[Cells] = [(why, f"{n:,}", percent(n / total.attempts)) for why, n in total.reasons.items()]
        found += [*([""] if found else []), f"**{name}**: {total.accepted.count:,} of {total.attempts:,} pictures."]
        found += ["", *table(head_of(own), rows)]
        found += ["", *table(("not in the data because", "pictures", "%"), reasons)] if reasons else []
    return found


def draw(lines: Sequence[Yield], path: Path) -> None:
    """Draw what is accepted, and where the relation holds, by relation with intervals, as PNG."""
    figure = chart(lines)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def chart(lines: Sequence[Yield]) -> "Figure":
    """Return the chart: a bar for what is accepted, a diamond for VISOR unconditional; a colour for each engine."""
    from matplotlib.figure import Figure

    engines = by_engine(lines)
    relations = sorted({line.relation for line in lines if line.relation != ALL})
    names = [ALL, *relations]
    figure = Figure(figsize=(8, 1.6 + 0.3 * len(names) * (0.6 + 0.5 * len(engines))), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(engines)
    for index, (engine, own) in enumerate(engines.items()):
        colour = COLOURS[index % len(COLOURS)]
        offset = (index - (len(engines) - 1) / 2) * height
        places = [names.index(line.relation) + offset for line in own]
        values, errors = _bars([line.accepted for line in own])
        axes.barh(places, values, 0.92 * height, xerr=errors, color=colour, label=f"{engine}: accepted", capsize=2)
        marks = [
            (100 * value, place)
            for line, place in zip(own, places, strict=True)
            if (value := line.unconditional.value) is not None
        ]
        axes.scatter(
            [x for x, _ in marks], [y for _, y in marks], marker="D", s=16, color="white", edgecolor="black", zorder=3
        )
    axes.scatter(
        [], [], marker="D", s=16, color="white", edgecolor="black", label="relation holds (VISOR unconditional)"
    )
    axes.set(xlim=(0, 100), xlabel="% of the pictures that were painted, with 95 % interval")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize="small")
    return figure


def _bars(shares: Sequence[Proportion]) -> tuple[list[float], tuple[list[float], list[float]]]:
    """Return lengths in percent, and how far the intervals reach below and above."""
    values = [100 * (share.value or 0.0) for share in shares]
    bounds = [share.ci95 or (0.0, 0.0) for share in shares]
    low = [max(0.0, value - 100 * pair[0]) for value, pair in zip(values, bounds, strict=True)]
    high = [max(0.0, 100 * pair[1] - value) for value, pair in zip(values, bounds, strict=True)]
    return values, (low, high)
