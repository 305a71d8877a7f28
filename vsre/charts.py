"""The report's charts, as SVG text that a page can hold inline."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("svg")

COLOURS = ("#9aa5b1", "#1768ac", "#d1495b", "#2e8b57", "#edae49")


def relation_chart(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Draw accuracy with its interval per relation, one bar per model.

    Args:
        scores: model to relation to {"accuracy", "ci95"}; the last model decides the order of the relations.
    """
    last = list(scores.values())[-1]
    known = [name for name in last if last[name]["accuracy"] is not None]
    relations = sorted(known, key=lambda name: (last[name]["accuracy"], name))
    figure = Figure(figsize=(7, 1.2 + 0.22 * len(relations) * (len(scores) + 0.6)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(scores)
    for index, (model, by_relation) in enumerate(scores.items()):
        rows = [(place, by_relation[name]) for place, name in enumerate(relations) if by_relation.get(name)]
        rows = [(place, part) for place, part in rows if part["accuracy"] is not None]
        values = [100 * part["accuracy"] for _, part in rows]
        low = [max(0.0, value - 100 * part["ci95"][0]) for value, (_, part) in zip(values, rows, strict=True)]
        high = [max(0.0, 100 * part["ci95"][1] - value) for value, (_, part) in zip(values, rows, strict=True)]
        places = [place + (index - (len(scores) - 1) / 2) * height for place, _ in rows]
        axes.barh(places, values, height, xerr=(low, high), label=model, color=COLOURS[index % len(COLOURS)])
    axes.axvline(50, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, 100), xlabel="accuracy in % with 95 % interval; dotted: chance of a true/false statement")
    axes.set_yticks(range(len(relations)), relations)
    axes.margins(y=0.01)
    _tidy(axes)
    return svg_of(figure)


def training_chart(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Draw the training loss over steps, one line per run.

    Args:
        curves: run to (step, loss) points.
    """
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for (name, points), colour in zip(curves.items(), (COLOURS[1:] + COLOURS[:1]) * len(curves), strict=False):
        axes.plot(*zip(*points, strict=True), label=name, color=colour)
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    _tidy(axes)
    return svg_of(figure)


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
