"""Charts of shares with their intervals: a row for each name, and in it a mark for each series that is shown.

Where the rows lie is decided in the browser (``templates/site.js``), as rows close up when a series is switched off.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any

from spatial.proportion import percent
from vsre.compare_tables import Cells
from vsre.site.chart import Chart, Switch, Words, chart_of, colour_of, shape_of

LABELLED = 24
"""A chart of at most so many marks has their values written beside them."""

NAME_WIDTH = 18
"""Letters in a line of a row's name."""


@dataclass(frozen=True)
class Mark:
    """A share with its interval, of ``n`` questions; drawn as an outline if it is ``hollow``."""

    value: float
    interval: tuple[float, float]
    n: int
    hollow: bool = False

    @property
    def text(self) -> str:
        """The share in percent with its interval."""
        return f"{percent(self.value)} ({' to '.join(map(percent, self.interval))})"


@dataclass(frozen=True)
class Series:
    """What one switch shows and hides.

    Attributes:
        name: as switch, tooltips and table call it.
        marks: by the name of their row.
        look: which colour and shape; all series of a model share it.
        shown: before anything was switched.
    """

    name: str
    marks: Mapping[str, Mark]
    look: int
    shown: bool = True


def interval_chart(words: Words, rows: Sequence[str], series: Sequence[Series], chance: float | None) -> Chart:
    """Draw shares with their intervals.

    Args:
        words: around the chart; its head is of the rows.
        rows: from top to bottom.
        series: of marks.
        chance: share that guessing reaches, drawn as a dotted line.
    """
    import plotly.graph_objects as go

    labelled = sum(len(one.marks) for one in series) <= LABELLED
    figure = go.Figure([trace for one in series for trace in _traces(one, rows, labelled)])
    figure.update_layout(
        meta={"rows": ["<br>".join(map(escape, wrap(row.replace("+", "\u200b+"), NAME_WIDTH))) for row in rows]},
        xaxis={"range": [0, 101], "title": {"text": "% right"}, "dtick": 25},
        yaxis={"showgrid": False, "zeroline": False},
    )
    if chance is not None:
        line = {"width": 2, "dash": "dot"}
        figure.add_shape(type="line", x0=100 * chance, x1=100 * chance, yref="paper", y0=0, y1=1, line=line)
    hollow = [all(mark.hollow for mark in one.marks.values()) for one in series]
    switches = [Switch(one.name, one.look, one.shown, open_) for one, open_ in zip(series, hollow, strict=True)]
    return chart_of(words, figure, switches, _numbers(words.heads[0], rows, series))


def _traces(one: Series, rows: Sequence[str], labelled: bool) -> list[Any]:
    """Return the marks of a series with their intervals, and, if asked for, their values in words.

    What the marks' places are made of is in ``meta``: the row of each.
    """
    import plotly.graph_objects as go

    found = [(place, row, one.marks[row]) for place, row in enumerate(rows) if row in one.marks]
    places, marks = [place for place, _, _ in found], [mark for _, _, mark in found]
    shared: dict[str, Any] = {"name": one.name, "y": places, "meta": places, "visible": one.shown, "cliponaxis": False}
    shapes = [shape_of(one.look) + "-open" * mark.hollow for mark in marks]
    dots = go.Scatter(
        x=[100 * mark.value for mark in marks],
        mode="markers",
        marker={
            "color": colour_of(one.look),
            "symbol": shapes,
            "size": 10,
            "line": {"width": 2, "color": colour_of(one.look)},
        },
        error_x=_reach(marks, colour_of(one.look)),
        customdata=[_told(one.name, row, mark) for _, row, mark in found],
        hovertemplate="%{customdata}<extra></extra>",
        **shared,
    )
    words = go.Scatter(
        x=[100 * max(mark.interval[1], mark.value) for mark in marks],
        text=["\u2002" + percent(mark.value) for mark in marks],
        mode="text",
        textposition="middle right",
        hoverinfo="skip",
        **shared,
    )
    return [dots, words] if labelled else [dots]


def _reach(marks: Sequence[Mark], colour: str) -> dict[str, Any]:
    """Return how far intervals reach to both sides."""
    above = [max(0.0, 100 * (mark.interval[1] - mark.value)) for mark in marks]
    below = [max(0.0, 100 * (mark.value - mark.interval[0])) for mark in marks]
    return {"type": "data", "array": above, "arrayminus": below, "color": colour, "thickness": 2, "width": 4}


def _told(name: str, row: str, mark: Mark) -> str:
    """Return what a tooltip says."""
    model = "" if row.startswith(name) else f"<b>{escape(name)}</b><br>"
    return f"{model}{escape(row)}<br>{escape(mark.text)} %<br>n = {mark.n:,}"


def _numbers(head: str, rows: Sequence[str], series: Sequence[Series]) -> Cells:
    """Return the table: a column for each series; or share and n, where no row has several marks."""
    found = {row: [one.marks[row] for one in series if row in one.marks] for row in rows}
    if all(len(marks) == 1 for marks in found.values()):
        return (head, "% right (95 %)", "n"), [(row, mark.text, f"{mark.n:,}") for row, (mark,) in found.items()]
    cells = [
        (row, *(f"{one.marks[row].text}, n = {one.marks[row].n:,}" if row in one.marks else "-" for one in series))
        for row in rows
    ]
    return (head, *(one.name for one in series)), cells
