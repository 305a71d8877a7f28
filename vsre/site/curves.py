"""Charts of curves: losses over steps, and how often a model is right where it is how sure."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from vsre.site.chart import Chart, Switch, Words, chart_of, colour_of, shape_of

Points = Sequence[tuple[float, float]]

TABLE_ROWS = 40
"""A curve's table has at most this many of its points; of so many, each has a mark."""

HEIGHT = 340
"""In pixels."""


def line_chart(words: Words, lines: Mapping[str, Points], looks: Sequence[int], diagonal: bool = False) -> Chart:
    """Draw curves.

    Args:
        words: around the chart; its heads are of the name of a line, of x and of y.
        lines: points by name.
        looks: of the lines.
        diagonal: whether x and y are percentages, with a line on which both are the same.
    """
    import plotly.graph_objects as go

    _, across, up = words.heads
    figure = go.Figure(
        [_curve(name, points, look, words) for (name, points), look in zip(lines.items(), looks, strict=True)]
    )
    figure.update_layout(
        height=HEIGHT, xaxis={"title": {"text": across}}, yaxis={"title": {"text": up}, "rangemode": "tozero"}
    )
    if diagonal:
        figure.update_xaxes(range=[0, 102], dtick=25)
        figure.update_yaxes(range=[0, 102], dtick=25)
        figure.add_shape(type="line", x0=0, y0=0, x1=100, y1=100, line={"width": 2, "dash": "dot"})
    body = [(name, f"{x:.4g}", f"{y:.4g}") for name, points in lines.items() for x, y in thinned(points)]
    switches = [Switch(name, look) for name, look in zip(lines, looks, strict=True)]
    return chart_of(words, figure, switches, (words.heads, body))


def thinned(points: Points) -> list[tuple[float, float]]:
    """Return at most ``TABLE_ROWS`` of the points, evenly spread, with the first and the last."""
    if len(points) <= TABLE_ROWS:
        return list(points)
    step = (len(points) - 1) / (TABLE_ROWS - 1)
    return [points[round(index * step)] for index in range(TABLE_ROWS)]


def _curve(name: str, points: Points, look: int, words: Words) -> Any:
    import plotly.graph_objects as go

    _, across, up = words.heads
    return go.Scatter(
        name=name,
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="lines+markers" if len(points) <= TABLE_ROWS else "lines",
        line={"color": colour_of(look), "width": 2},
        marker={"symbol": shape_of(look), "size": 8},
        hovertemplate=f"<b>{escape(name)}</b><br>{across} %{{x:.4g}}<br>{up} %{{y:.4g}}<extra></extra>",
    )
