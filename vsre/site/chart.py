"""Charts that a page draws with Plotly, each with its numbers as a table and a switch for each of its series.

Plotly's Python half checks the figure here; its JavaScript half, which lies beside the pages, draws it in the browser.
Colours of text and lines are the page's (``templates/site.css``), so that a chart is right in light, dark and print.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from markupsafe import Markup

from spatial.proportion import percent
from vsre.compare_tables import Cells

PALETTE = ("#7b8794", "#2f7fd1", "#d0561b", "#00916a", "#b8609a", "#a8810f")
"""Each at least 3 to 1 against white and against the dark page; the colour-blind tell them apart by shape as well."""

SHAPES = ("circle", "diamond", "square", "triangle-up", "x", "star")

GAP, MARK, ABOVE, BELOW, CURVES = 13, 17, 6, 46, 340
"""Heights in pixels: between two rows, of a mark in a row, around the marks, and of a chart of curves."""

LABELLED = 24
"""A chart of at most so many marks has their values written beside them."""

TABLE_ROWS = 40
"""A curve's table has at most this many of its points."""


@dataclass(frozen=True)
class Mark:
    """A share with its interval, of ``n`` questions; ``said`` is more to say of it."""

    value: float
    interval: tuple[float, float] | None
    n: int
    said: str = ""

    @property
    def text(self) -> str:
        """The share in percent with its interval."""
        return percent(self.value) + (f" ({' to '.join(map(percent, self.interval))})" if self.interval else "")


@dataclass(frozen=True)
class Series:
    """What one switch shows and hides: marks by row of the chart.

    Attributes:
        name: as switch, tooltips and table call it.
        marks: by the name of their row.
        look: which colour and shape; series of one model share the colour.
        hollow: drawn as an outline.
        shown: before anything was switched.
    """

    name: str
    marks: Mapping[str, Mark]
    look: int = 0
    hollow: bool = False
    shown: bool = True

    @property
    def colour(self) -> str:
        """Colour of its marks and of its switch."""
        return PALETTE[self.look % len(PALETTE)]


@dataclass(frozen=True)
class Chart:
    """What ``_chart.html.j2`` draws.

    Attributes:
        name: anchor on the page.
        title: what it shows.
        note: how to read it.
        label: what it shows, for those who do not see it.
        figure: JSON of the Plotly figure, fit for a script element.
        height: in pixels.
        switches: (name, colour, whether it is shown) of each series, where there are several.
        table: the numbers.
    """

    name: str
    title: str
    note: str
    label: str
    figure: Markup
    height: int
    switches: Sequence[tuple[str, str, bool]]
    table: Cells


@dataclass(frozen=True)
class Words:
    """What is said around a chart: its anchor, title, how to read it, and the heads of its table's columns."""

    name: str
    title: str
    note: str
    heads: Sequence[str] = field(default=())


def interval_chart(words: Words, rows: Sequence[str], series: Sequence[Series], chance: float | None = None) -> Chart:
    """Draw shares with their intervals, a row for each name and in it a mark for each series.

    Args:
        words: around the chart; the first head is of the rows.
        rows: from top to bottom.
        series: of marks.
        chance: share that guessing reaches, drawn as a dotted line.
    """
    import plotly.graph_objects as go

    bands, height = _bands(rows, series)
    few = sum(len(one.marks) for one in series) <= LABELLED
    figure = go.Figure([trace for one in series for trace in _dots(one, bands, series, few)])
    figure.update_layout(
        height=height + ABOVE + BELOW,
        xaxis={"range": [0, 101], "title": {"text": "% right, with 95 % interval"}, "dtick": 25, "fixedrange": True},
        yaxis={
            "range": [height, 0],
            "tickvals": [(top + bottom) / 2 for top, bottom in bands.values()],
            "ticktext": [escape(row) for row in bands],
            "automargin": True,
            "fixedrange": True,
            "showgrid": False,
            "zeroline": False,
        },
    )
    for _, bottom in list(bands.values())[:-1]:
        figure.add_shape(y0=bottom, y1=bottom, xref="paper", x0=0, x1=1, line={"width": 1})
    if chance is not None:
        figure.add_shape(x0=100 * chance, x1=100 * chance, yref="paper", y0=0, y1=1, line={"width": 2, "dash": "dot"})
    return _chart(words, figure, series, _numbers(words.heads[0], rows, series))


def line_chart(
    words: Words,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    axes: Sequence[str],
    looks: Sequence[int],
    diagonal: bool = False,
) -> Chart:
    """Draw curves.

    Args:
        words: around the chart; the heads are of the table's columns.
        lines: by name, (x, y) points.
        axes: titles of the two.
        looks: of the lines.
        diagonal: whether x and y are shares, with a line on which both are the same.
    """
    import plotly.graph_objects as go

    scale = 100.0 if diagonal else 1.0
    series = [Series(name, {}, look) for name, look in zip(lines, looks, strict=True)]
    figure = go.Figure([_curve(one, lines[one.name], scale, axes) for one in series])
    figure.update_layout(
        height=CURVES,
        xaxis={"title": {"text": axes[0]}, "automargin": True, "fixedrange": True},
        yaxis={"title": {"text": axes[1]}, "automargin": True, "fixedrange": True, "rangemode": "tozero"},
    )
    if diagonal:
        figure.update_xaxes(range=[0, 102], dtick=25)
        figure.update_yaxes(range=[0, 102], dtick=25)
        figure.add_shape(x0=0, y0=0, x1=100, y1=100, line={"width": 2, "dash": "dot"})
    body = [
        (name, *(f"{scale * part:.4g}" for part in point))
        for name, points in lines.items()
        for point in thinned(points)
    ]
    return _chart(words, figure, series, (words.heads, body))


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most ``TABLE_ROWS`` of the points, evenly spread, with the first and the last."""
    if len(points) <= TABLE_ROWS:
        return list(points)
    step = (len(points) - 1) / (TABLE_ROWS - 1)
    return [points[round(index * step)] for index in range(TABLE_ROWS)]


def _bands(rows: Sequence[str], series: Sequence[Series]) -> tuple[dict[str, tuple[float, float]], float]:
    """Return the upper and the lower edge of each row in pixels from the top, and the height of all."""
    bands, top = {}, 0.0
    for row in rows:
        bottom = top + GAP + MARK * max(1, sum(row in one.marks for one in series))
        bands[row] = (top, bottom)
        top = bottom
    return bands, top


def _dots(one: Series, bands: Mapping[str, tuple[float, float]], series: Sequence[Series], labelled: bool) -> list[Any]:
    """Return the marks of a series with their intervals, and, if asked for, their values in words."""
    import plotly.graph_objects as go

    rows = [row for row in bands if row in one.marks]
    marks = [one.marks[row] for row in rows]
    order = {row: [other.name for other in series if row in other.marks] for row in rows}
    ys = [bands[row][0] + GAP / 2 + MARK * (order[row].index(one.name) + 0.5) for row in rows]
    xs = [100 * mark.value for mark in marks]
    ends = [mark.interval or (mark.value, mark.value) for mark in marks]
    shape = SHAPES[one.look % len(SHAPES)] + ("-open" if one.hollow else "")
    told = [
        f"<b>{escape(one.name)}</b><br>" * (one.name != row)
        + f"{escape(row)}: {escape(mark.text)} %<br>n = {mark.n:,}{escape(mark.said)}"
        for row, mark in zip(rows, marks, strict=True)
    ]
    dots = go.Scatter(
        name=one.name,
        x=xs,
        y=ys,
        mode="markers",
        marker={"color": one.colour, "symbol": shape, "size": 10, "line": {"width": 2 if one.hollow else 0}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, 100 * high - x) for x, (_, high) in zip(xs, ends, strict=True)],
            "arrayminus": [max(0.0, x - 100 * low) for x, (low, _) in zip(xs, ends, strict=True)],
            "color": one.colour,
            "thickness": 2,
            "width": 4,
        },
        customdata=told,
        hovertemplate="%{customdata}<extra></extra>",
        cliponaxis=False,
        visible=one.shown,
    )
    if not labelled:
        return [dots]
    words = go.Scatter(
        name=one.name,
        x=[100 * high + 1.5 for _, high in ends],
        y=ys,
        text=[percent(mark.value) for mark in marks],
        mode="text",
        textposition="middle right",
        hoverinfo="skip",
        cliponaxis=False,
        visible=one.shown,
    )
    return [dots, words]


def _curve(one: Series, points: Sequence[tuple[float, float]], scale: float, axes: Sequence[str]) -> Any:
    import plotly.graph_objects as go

    return go.Scatter(
        name=one.name,
        x=[scale * x for x, _ in points],
        y=[scale * y for _, y in points],
        mode="lines+markers" if len(points) <= TABLE_ROWS else "lines",
        line={"color": one.colour, "width": 2},
        marker={"symbol": SHAPES[one.look % len(SHAPES)], "size": 7},
        hovertemplate=f"<b>{escape(one.name)}</b><br>{axes[0]} %{{x:.4g}}<br>{axes[1]} %{{y:.4g}}<extra></extra>",
    )


def _numbers(head: str, rows: Sequence[str], series: Sequence[Series]) -> Cells:
    """Return the table of an interval chart: a column for each series, or share and n of rows that have one mark."""
    found = {row: [one.marks[row] for one in series if row in one.marks] for row in rows}
    if all(len(marks) == 1 for marks in found.values()):
        return (head, "% right (95 %)", "n"), [(row, mark.text, f"{mark.n:,}") for row, (mark,) in found.items()]
    cells = [
        (row, *(f"{one.marks[row].text}, n = {one.marks[row].n:,}" if row in one.marks else "-" for one in series))
        for row in rows
    ]
    return (head, *(one.name for one in series)), cells


def _chart(words: Words, figure: Any, series: Sequence[Series], table: Cells) -> Chart:
    figure.update_layout(
        template={},
        showlegend=False,
        margin={"l": 8, "r": 34, "t": ABOVE, "b": BELOW},
        font={"family": "system-ui, sans-serif", "size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        dragmode=False,
        hovermode="closest",
        hoverlabel={"align": "left"},
    )
    switches = [(one.name, one.colour, one.shown) for one in series] if len(series) > 1 else []
    named = ", ".join(one.name for one in series)
    return Chart(
        name=words.name,
        title=words.title,
        note=words.note,
        label=f"Chart: {words.title}: {named}. The numbers are in the table below it.",
        figure=Markup(figure.to_json().replace("<", "\\u003c")),  # so that no text can end the script element
        height=int(figure.layout.height),
        switches=switches,
        table=table,
    )
