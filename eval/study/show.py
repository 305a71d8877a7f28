"""The study for people: a table per view, and a picture of maps and figures per view."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from rich.table import Table

from eval.drawing import save_picture
from eval.terminal import percent_range
from spatial.proportion import percent

# Okabe and Ito's colours without yellow, told apart by every kind of colour vision. With the markers, whose number
# has no common factor with theirs, 35 relations look different.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "X", "D")
ACROSS = 3
"""Maps in a row."""

KEYS = 5
"""Relations in a row of the legend."""

TITLES = {
    "pair": "Features of subject and object: the means over their boxes, and the difference",
    "image": "Features of the whole image: the mean over the picture",
}


def table(view: str, figures: Mapping[str, Mapping[str, Any]], data: Mapping[str, Any]) -> Table:
    """Return the table of one view (``Figures`` as mappings by source)."""
    title = (
        f"{TITLES[view]}\n{data['samples']} true statements, {len(data['relations'])} relations, {data['groups']} "
        f"groups; chance {percent(data['chance'])} %"
    )
    shown = Table("source", title=title, title_justify="left")
    for head in ("features", "own", "other", "own/other", "other-own, 95 %", "shuffled", "silhouette"):
        shown.add_column(head, justify="right")
    for head in ("probe, %", "95 %", "shuffled, %", "95 %"):
        shown.add_column(head, justify="right")
    for source, row in figures.items():
        low, high = row["margin_ci95"]
        shown.add_row(
            source,
            str(row["features"]),
            *(f"{row[key]:.3f}" for key in ("own", "other", "ratio")),
            f"{row['margin']:.3f} ({low:.3f} to {high:.3f})",
            "{:.3f} to {:.3f}".format(*row["margin_null"]),
            f"{row['silhouette']:.3f}",
            *(percent(row["probe"]), percent_range(row["probe_ci95"])),
            *(percent(row["null"]), percent_range(row["null_ci95"])),
        )
    return shown


def draw(
    view: str,
    figures: Mapping[str, Mapping[str, Any]],
    maps: Mapping[str, NDArray[np.float64]],
    relations: Sequence[str],
    path: Path,
) -> None:
    """Draw the maps of all sources with the figures beside them, as PNG.

    Args:
        view: "pair" or "image".
        figures: ``Figures`` as mappings by source.
        maps: coordinates [N, 2] by source.
        relations: of each sample.
        path: file to write.
    """
    names = sorted(set(relations))
    down = ceil(len(maps) / ACROSS)
    legend_rows = ceil(len(names) / KEYS)
    figure = Figure(figsize=(13, 1.3 + 0.25 * legend_rows + max(5.4, 2.9 * down)), layout="constrained")
    title = f"{TITLES[view]}\nt-SNE of {len(relations)} true statements about {len(names)} relations"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(2.5, 1), wspace=0.02)[0]
    panels = left.subplots(down, ACROSS, squeeze=False).ravel()
    for axes in panels[len(maps) :]:
        axes.set_axis_off()
    for axes, (source, points) in zip(panels, maps.items(), strict=False):
        _map(axes, source, points, np.asarray(relations), names)
    keys = [
        Line2D([], [], linestyle="", marker=marker, color=colour, label=name)
        for name, (colour, marker) in zip(names, _looks(len(names)), strict=True)
    ]
    left.legend(handles=keys, loc="outside lower center", ncols=min(KEYS, len(names)), frameon=False, fontsize=9)
    upper, lower = right.subplots(2, 1)
    _probe_bars(upper, figures, len(names))
    _margin_bars(lower, figures)
    save_picture(figure, path)


def _map(axes: Axes, source: str, points: NDArray[np.float64], labels: NDArray[Any], names: Sequence[str]) -> None:
    for name, (colour, marker) in zip(names, _looks(len(names)), strict=True):
        x, y = points[labels == name].T
        axes.scatter(x, y, s=16, c=colour, marker=marker, linewidths=0.3, edgecolors="white", alpha=0.9)
    axes.set_title(source, fontsize=11)
    axes.set(xticks=[], yticks=[])
    axes.margins(0.04)


def _probe_bars(axes: Axes, figures: Mapping[str, Mapping[str, Any]], relations: int) -> None:
    for place, row in enumerate(figures.values()):
        value, low, high = (100 * number for number in (row["probe"], *row["probe_ci95"]))
        _bar(axes, place, value, low, high, f"{value:.0f}")
        null, low, high = (100 * number for number in (row["null"], *row["null_ci95"]))
        _null(axes, place, null, low, high)
    chance = axes.axvline(100 / relations, color="black", linewidth=0.9, linestyle=":")
    shuffled = Line2D([], [], linestyle="", marker="D", markersize=4, color=COLOURS[1])
    labels = [f"chance {100 / relations:.1f} %", "labels shuffled"]
    axes.legend(
        [chance, shuffled], labels, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=9
    )
    axes.set(xlim=(0, 112), xlabel="linear probe on other groups,\naccuracy in %, 95 % interval")
    axes.set_xticks(range(0, 101, 20))
    _name_bars(axes, list(figures))


def _margin_bars(axes: Axes, figures: Mapping[str, Mapping[str, Any]]) -> None:
    for place, row in enumerate(figures.values()):
        low, high = row["margin_ci95"]
        _bar(axes, place, row["margin"], low, high, f"{row['margin']:.2f}")
        low, high = row["margin_null"]
        _null(axes, place, (low + high) / 2, low, high)
    axes.axvline(0, color="black", linewidth=0.9, linestyle=":")
    axes.margins(x=0.18)
    axes.set(xlabel="cosine distance to other relations'\nminus own centroid, 95 % interval")
    _name_bars(axes, list(figures))


def _null(axes: Axes, place: int, value: float, low: float, high: float) -> None:
    error = [[max(0.0, value - low)], [max(0.0, high - value)]]
    axes.errorbar(value, place + 0.37, xerr=error, fmt="D", color=COLOURS[1], markersize=3.5, capsize=2)


def _bar(axes: Axes, place: int, value: float, low: float, high: float, text: str) -> None:
    error = [[max(0.0, value - low)], [max(0.0, high - value)]]
    axes.barh(place, value, 0.56, xerr=error, color=COLOURS[5], capsize=3)
    axes.annotate(text, (max(value, high, 0), place), (4, 0), textcoords="offset points", va="center", fontsize=9)


def _name_bars(axes: Axes, sources: list[str]) -> None:
    axes.set_yticks(range(len(sources)), sources)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _looks(count: int) -> list[tuple[str, str]]:
    return [(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]) for index in range(count)]
