"""Single heads as pictures: their effects, their functions, and what exchanging selected ones does on other pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.drawing import save_picture
from eval.interpret.naming import DIRECTION, SHOWN, TITLES, Row, head_name, heads_in_words, is_confirmed
from eval.interpret.plotting import BLUE, GREY, MAP, colour_limit, draw_dots, draw_rings
from eval.interpret.sites import HEADED, KINDS


def draw_heads(heads: Mapping[str, Any], mode: str, path: Path) -> Path:
    """Draw the effect of every head as a map, and the largest ones with their intervals."""
    rows = [head["mean"] for head in heads["all"]]
    chosen = {(head["kind"], head["layer"], head["head"]) for head in heads["all"] if head["selected"]}
    kinds = [kind for kind in KINDS if kind in HEADED and any(row["kind"] == kind for row in rows)]
    layers, count = 1 + max(row["layer"] for row in rows), 1 + max(row["head"] for row in rows)
    width = (1.2 + 0.42 * count) * len(kinds) + 4.6
    picture = Figure(figsize=(width, max(3.4, 1.6 + 0.42 * layers)), layout="constrained")
    panels = picture.subplots(1, len(kinds) + 1, squeeze=False, width_ratios=[*[0.42 * count + 1] * len(kinds), 4.2])[0]
    maps = [_head_grid(rows, kind, layers, count) for kind in kinds]
    limit = colour_limit(maps)
    drawn: Any = None
    for axes, kind, values in zip(panels, kinds, maps, strict=False):
        drawn = axes.imshow(values, cmap=MAP, vmin=-limit, vmax=limit, aspect="auto", origin="lower")
        draw_dots(axes, [(head, layer) for found, layer, head in chosen if found == kind])
        axes.set(title=TITLES[kind], xlabel="head", ylabel="layer", xticks=range(count), yticks=range(layers))
    picture.colorbar(drawn, ax=list(panels[:-1]), label="share of the answer restored", shrink=0.9)
    _bars(panels[-1], heads["all"][:SHOWN])
    title = f"{mode} pairs, heads at the token of role '{heads['role']}': {len(chosen)} selected (dots)"
    picture.suptitle(f"{title}, {heads['by_chance']:.2f} expected by chance", fontsize=11)
    return save_picture(picture, path, 120)


def draw_exchanged(found: Mapping[str, Any], mode: str, path: Path) -> Path:
    """Draw what exchanging the selected heads does on pairs that did not select them, beside random heads."""
    rows = [(name, found[name]) for name in ("denoise", "noise") if found[name]]
    picture = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = picture.subplots()
    place = np.arange(len(rows))
    axes.bar(place - 0.2, [row["selected"] for _, row in rows], 0.36, color=BLUE, label="selected heads")
    axes.bar(place + 0.2, [row["random"] for _, row in rows], 0.36, color="#999999", label="random heads, mean")
    for index, (_, row) in enumerate(rows):
        low, high = (bound + row["random"] for bound in row["ci95"])
        axes.plot([index - 0.2] * 2, [low, high], color="black", linewidth=1.5)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(place, [f"{name}: {DIRECTION[name]}\n{row['pairs']} pairs" for name, row in rows])
    axes.set_ylabel("share of the answer")
    picture.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    how = "selected by rule" if found["selected_by_rule"] else "largest; the rule selected none"
    title = f"{mode} pairs that did not choose: {heads_in_words(found['heads'])} ({how})"
    picture.suptitle(f"{title}\nline: 95 % interval of the difference", fontsize=10)
    return save_picture(picture, path, 120)


def draw_functions(rows: Sequence[Row], path: Path) -> Path:
    """Draw the functions of heads: layers up, heads across, one map each; dots are labels, rings confirmed ones."""
    shown = {
        "detection": ("looks at the subject (AUROC)", 0.0, 1.0),
        "spatial read-out": ("turns with the picture (share of pairs)", 0.0, 1.0),
        "outlier suppression": ("at outlier tokens (s.d. of the layer's heads)", -3.0, 3.0),
    }
    known = {row["function"] for row in rows if np.isfinite(row["value"])}
    shown = {name: about for name, about in shown.items() if name in known}
    layers, count = 1 + max(row["layer"] for row in rows), 1 + max(row["head"] for row in rows)
    size = (max(7.0, len(shown) * (2.1 + 0.42 * count)), max(3.2, 1.9 + 0.42 * layers))
    picture = Figure(figsize=size, layout="constrained")
    panels = picture.subplots(1, len(shown), squeeze=False)[0]
    for axes, (name, (title, low, high)) in zip(panels, shown.items(), strict=True):
        values = np.full((layers, count), np.nan)
        for row in rows:
            if row["function"] == name:
                values[row["layer"], row["head"]] = row["value"]
        drawn = axes.imshow(values, cmap=MAP, vmin=low, vmax=high, aspect="auto", origin="lower")
        labels = (name, "suppression") if name == "detection" else (name,)
        own = [row for row in rows if row["function"] in labels and row["labelled"]]
        draw_dots(axes, [(row["head"], row["layer"]) for row in own])
        draw_rings(axes, [(row["head"], row["layer"]) for row in own if is_confirmed(row)])
        axes.set_title(title, fontsize=9)
        axes.set(xlabel="head", ylabel="layer", xticks=range(count), yticks=range(layers))
        picture.colorbar(drawn, ax=axes, shrink=0.9)
    title = "What heads do with the picture, from the word for the subject\ndots: size and test agree"
    picture.suptitle(f"{title}; rings: cutting the head off from there costs the answer, on other pairs", fontsize=10)
    return save_picture(picture, path, 120)


def _head_grid(rows: Sequence[Row], kind: str, layers: int, count: int) -> NDArray[np.float64]:
    values = np.full((layers, count), np.nan)
    for row in rows:
        if row["kind"] == kind:
            values[row["layer"], row["head"]] = row["share"]
    return values


def _bars(axes: Axes, heads: Sequence[Row]) -> None:
    values = [one["mean"]["share"] for one in heads][::-1]
    bounds = [one["mean"]["ci95"] for one in heads][::-1]
    place = np.arange(len(heads))
    colours = [BLUE if one["selected"] else GREY for one in heads][::-1]
    axes.barh(place, values, color=colours)
    for index, (low, high) in enumerate(bounds):
        axes.plot([low, high], [index] * 2, color="black", linewidth=1.2)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(place, [head_name(one) for one in heads][::-1])
    axes.set(xlabel="share of the answer restored", ylabel="layer.head")
