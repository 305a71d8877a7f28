"""Drawn charts: a score along an axis, and figures as SVG text that a page can hold inline."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("svg")


@dataclass(frozen=True)
class Point:
    """A point of a curve with its interval, as shares of 1.

    Attributes:
        at: place on the x axis.
        value: mean of what it stands for.
        low: end of the interval or range.
        high: its other end.
        label: of the place.
    """

    at: float
    value: float
    low: float
    high: float
    label: str


def curve_chart(
    lines: Mapping[str, Sequence[Point]], labels: tuple[str, str], to_scale: bool, chance: float | None = None
) -> Figure:
    """Draw a score with its interval along an axis, one line per name.

    Args:
        lines: name to points.
        labels: of the two axes.
        to_scale: whether the places are amounts, which are drawn on a logarithmic axis.
        chance: share that guessing reaches, if it is to be drawn.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    colours = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    for number, (name, points) in enumerate(lines.items()):
        row = sorted(points, key=lambda point: point.at)
        # A little aside, so that the intervals of several lines do not lie on one another.
        at = [point.at * 1.015**number if to_scale else point.at + 0.03 * number for point in row]
        values = [100 * point.value for point in row]
        reach = ([100 * (p.value - p.low) for p in row], [100 * (p.high - p.value) for p in row])
        colour = colours[number % len(colours)]
        axes.errorbar(at, values, reach, marker="o", capsize=3, label=name or "all", color=colour)
    if to_scale:
        axes.set_xscale("log")
    places = {point.at: point.label for points in lines.values() for point in points}
    axes.set_xticks(sorted(places), [places[at] for at in sorted(places)])
    axes.minorticks_off()
    if chance is not None:
        axes.axhline(100 * chance, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.grid(alpha=0.3)
    _tidy(axes)
    return figure


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize="small")


def svg_of(figure: Figure) -> str:
    """Return a figure as SVG text."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vsre"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
