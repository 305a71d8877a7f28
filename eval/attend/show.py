"""The analysis for people: curves over layers, confidence against correctness, and a table on the terminal."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from rich.table import Table

from eval.attend.figures import Figure
from eval.attend.table import TARGETS
from eval.drawing import save_picture
from eval.study.show import COLOURS, MARKERS
from eval.terminal import percent_range
from spatial.proportion import percent

ACROSS = 4
"""Panels in a row."""

RELATIONS = 15
"""Relations that are drawn, those with the most questions; ``results.json`` has all."""

SPLIT_LOOKS = {"right": ("#009E73", "o", "-"), "wrong": ("#D55E00", "X", "--")}

Layers = Mapping[str, Mapping[str, Sequence[Figure]]]
"""By decoder and split, one figure per layer."""


def draw_share(layers: Layers, uniform: float, path: Path) -> None:
    """Draw the attention share of the image over layers: all decoders, then right against wrong answers of each.

    Args:
        layers: figures by decoder and split.
        uniform: share that the image would get if every token got the same.
        path: PNG to write.
    """
    down = ceil((1 + len(layers)) / ACROSS)
    across = ceil((1 + len(layers)) / down)
    picture = Picture(figsize=(0.6 + 3.6 * across, 0.9 + 2.9 * down), layout="constrained")
    panels = picture.subplots(down, across, squeeze=False, sharey=True).ravel()
    for axes in panels[1 + len(layers) :]:
        axes.set_axis_off()
    _decoders(panels[0], layers, "image_share")
    panels[0].set_title("all answers", fontsize=10)
    for axes, (decoder, splits) in zip(panels[1:], layers.items(), strict=False):
        _splits(axes, splits, "image_share")
        axes.set_title(f"right and wrong: {decoder}", fontsize=10)
    for axes in panels[: 1 + len(layers)]:
        axes.axhline(uniform, color="black", linewidth=0.9, linestyle=":")
        axes.set(xlabel="layer", ylim=(0, 1))
    for axes in panels[::across]:
        axes.set_ylabel("attention on the image")
    title = "How much attention of the last prompt token the image gets, mean over heads, 95 % interval"
    _key(picture, panels[0])
    picture.suptitle(f"{title}\ndotted: {uniform:.2f}, the share of image tokens in the prompt", fontsize=11)
    save_picture(picture, path)


def draw_overlap(layers: Layers, path: Path) -> None:
    """Draw the AUROC of attention against boxes over layers: by target, all decoders, then right against wrong.

    Targets without any box are left out; where there is none, no picture is drawn, and an old one goes.
    """
    rows = [row for splits in layers.values() for row in splits["all"]]
    targets = [target for target in TARGETS if any(row[f"auroc_{target}"]["n"] for row in rows)]
    if not targets:
        path.unlink(missing_ok=True)
        return
    size = (max(8.0, 4.0 * len(targets)), 0.8 + 2.7 * (1 + len(layers)))
    picture = Picture(figsize=size, layout="constrained")
    grid = picture.subplots(1 + len(layers), len(targets), squeeze=False, sharey=True)
    for column, target in enumerate(targets):
        _decoders(grid[0, column], layers, f"auroc_{target}")
        grid[0, column].set_title(f"box of {target}" if target != "either" else "either box", fontsize=10)
        for row, (decoder, splits) in enumerate(layers.items(), start=1):
            _splits(grid[row, column], splits, f"auroc_{target}")
            grid[row, column].set_title(f"right and wrong: {decoder}", fontsize=10)
    for axes in grid.ravel():
        axes.axhline(0.5, color="black", linewidth=0.9, linestyle=":")
    for axes in grid[:, 0]:
        axes.set_ylabel("AUROC")
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    title = "How well attention on the image overlaps with boxes: AUROC over cells, mean over questions, 95 % interval"
    _key(picture, grid[0, 0])
    picture.suptitle(f"{title}\ndotted: 0.5, no better than chance", fontsize=11)
    save_picture(picture, path)


def draw_confidence(confidence: Mapping[str, Figure], path: Path) -> None:
    """Draw accuracy against confidence in bins, over all questions and per relation, a line per decoder."""
    first = next(iter(confidence.values()))["per_relation"]
    names = sorted(first, key=lambda name: (-first[name]["n"], name))[:RELATIONS]
    down = ceil((1 + len(names)) / ACROSS)
    picture = Picture(figsize=(14, 1.0 + 2.6 * down), layout="constrained")
    panels = picture.subplots(down, ACROSS, squeeze=False, sharey=True, sharex=True).ravel()
    for axes in panels[1 + len(names) :]:
        axes.set_axis_off()
    seen = [part["confidence"] for part in _all(confidence)["bins"]]
    beside = 0.015 * (max(seen) - min(seen))  # so that the error bars of decoders do not hide each other
    for axes, name in zip(panels, ["", *names], strict=False):
        for index, (decoder, found) in enumerate(confidence.items()):
            part = found["per_relation"].get(name) if name else found["all"]
            if part:
                _bins(axes, part["bins"], decoder, index, beside * (index - (len(confidence) - 1) / 2))
        axes.set_title(
            f"{name or 'all questions'} (n = {(first[name] if name else _all(confidence))['n']})", fontsize=10
        )
        axes.set(ylim=(-0.05, 1.05))
    for index, axes in enumerate(panels[: 1 + len(names)]):
        if index % ACROSS == 0:
            axes.set_ylabel("accuracy")
        if index + ACROSS > len(names):
            axes.set_xlabel("confidence of the plain model")
            axes.tick_params(labelbottom=True)
    _key(picture, panels[0])
    left = len(first) - len(names)
    note = "\ndecoders are drawn side by side, a little left and right of their common place"
    note += f"; {left} relations with fewer questions are in results.json" if left else ""
    picture.suptitle(
        f"Confidence against correctness, bins of equally many questions, 95 % interval{note}", fontsize=11
    )
    save_picture(picture, path)


def layer_table(layers: Layers) -> Table:
    """Return the table of attention share and overlap by decoder and layer."""
    table = Table("decoder", title="Attention of the last prompt token, mean over heads", title_justify="left")
    for head in ("layer", "on the image, %", "95 %", "AUROC subject", "object", "either", "95 %"):
        table.add_column(head, justify="right")
    for decoder, splits in layers.items():
        for place, row in enumerate(splits["all"]):
            share, either = row["image_share"], row["auroc_either"]
            overlaps = [_score(row[f"auroc_{target}"]["mean"]) for target in TARGETS]
            name = decoder if place == 0 else ""
            shares = (percent(share["mean"]), percent_range(share["ci95"]))
            table.add_row(name, str(row["layer"]), *shares, *overlaps, _scores(either["ci95"]))
        table.add_section()
    return table


def confidence_table(found: Figure) -> Table:
    """Return the table of confidence and accuracy by relation, of one decoder."""
    table = Table("relation", title="Confidence of the plain model, and its right answers", title_justify="left")
    for head in ("n", "confidence", "accuracy, %", "95 %", "AUROC of confidence"):
        table.add_column(head, justify="right")
    for name, row in [*found["per_relation"].items(), ("all", found["all"])]:
        accuracy = row["accuracy"]
        cells = (percent(accuracy["mean"]), percent_range(accuracy["ci95"]), _score(row["auroc_confidence"]))
        table.add_row(name, str(row["n"]), f"{row['confidence']:.3f}", *cells)
    return table


def _decoders(axes: Axes, layers: Layers, measure: str) -> None:
    for index, (decoder, splits) in enumerate(layers.items()):
        _curve(axes, splits["all"], measure, decoder, _look(index))
    axes.spines[["top", "right"]].set_visible(False)


def _splits(axes: Axes, splits: Mapping[str, Sequence[Figure]], measure: str) -> None:
    for split, look in SPLIT_LOOKS.items():
        count = max((row[measure]["n"] for row in splits[split]), default=0)
        _curve(axes, splits[split], measure, f"{split} (n = {count})", look)
    _legend(axes)


def _curve(axes: Axes, rows: Sequence[Figure], measure: str, label: str, look: tuple[str, str, str]) -> None:
    known = [(row["layer"], row[measure]) for row in rows if row[measure]["mean"] is not None]
    if not known:
        return
    places = [layer for layer, _ in known]
    colour, marker, line = look
    axes.plot(places, [part["mean"] for _, part in known], line, color=colour, marker=marker, markersize=4, label=label)
    low, high = zip(*(part["ci95"] for _, part in known), strict=True)
    axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.set_xticks(places if len(places) <= 12 else places[:: ceil(len(places) / 8)])


def _bins(axes: Axes, bins: Sequence[Figure], decoder: str, index: int, aside: float) -> None:
    colour, marker, line = _look(index)
    at = [part["confidence"] + aside for part in bins]
    means = [part["accuracy"]["mean"] for part in bins]
    low, high = zip(*(part["accuracy"]["ci95"] for part in bins), strict=True)
    errors = [
        [max(0.0, mean - edge) for mean, edge in zip(means, low, strict=True)],
        [max(0.0, edge - mean) for mean, edge in zip(means, high, strict=True)],
    ]
    axes.errorbar(at, means, errors, fmt=line, marker=marker, color=colour, label=decoder, markersize=4, capsize=2)


def _look(index: int) -> tuple[str, str, str]:
    return COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)], ("-", "--", "-.", ":")[index % 4]


def _all(confidence: Mapping[str, Figure]) -> Figure:
    found: Figure = next(iter(confidence.values()))["all"]
    return found


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, framealpha=0.9, edgecolor="none")
    axes.spines[["top", "right"]].set_visible(False)


def _key(picture: Picture, axes: Axes) -> None:
    """Explain the lines of all decoders below the picture."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        picture.legend(
            handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False, fontsize=9
        )


def _score(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"


def _scores(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.3f}-{bounds[1]:.3f}"
