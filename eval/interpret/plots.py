"""Findings as pictures: heat maps of effects, heads with their intervals, their functions, and the knock-out.

Every map has one colour scale around zero, the same for all panels of a picture, so that colours can be compared;
nothing is stretched to fill it, as NOTICE's figures are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.interpret.effects import ALL_HEADS
from eval.interpret.findings import LEAST_PAIRS
from eval.interpret.naming import DIRECTION, SHOWN, TITLES, Row, head_name, heads_in_words, is_confirmed
from eval.interpret.roles import BY_OBJECT, IMAGE_PARTS, WORDS
from eval.interpret.sites import HEADED, KINDS
from spatial.files import atomic

ROWS = (*BY_OBJECT, *IMAGE_PARTS, "image", *WORDS)
"""Order of roles in heat maps."""

ENCODERS = "encoder"
"""Kind of the rows about vision encoders (``eval.interpret.encoders.KIND``)."""

CUTS = "cut"
"""Kind of the rows about attention that is cut off (``eval.interpret.cuts.KIND``)."""

DOTS = f"dots: 95 % interval without 0, of {LEAST_PAIRS} pairs or more"

BARS = ("#0072B2", "#E69F00")


def draw(out: Path, found: Mapping[str, Any]) -> list[Path]:
    """Draw all findings into a folder, and return the pictures."""
    made = []
    for mode, own in found["modes"].items():
        for direction, rows in own["directions"].items():
            sites = [row for row in rows if row["kind"] in KINDS and row["head"] == ALL_HEADS]
            if sites:
                made.append(draw_effects(sites, mode, direction, out / f"effects-{mode}-{direction}.png"))
        if any(row["kind"] == ENCODERS for rows in own["directions"].values() for row in rows):
            made.append(draw_encoders(own["directions"], out / "encoders.png"))
        cuts = [row for rows in own["directions"].values() for row in rows if row["kind"] == CUTS]
        if cuts:
            made.append(draw_cuts(cuts, mode, out / f"cuts-{mode}.png"))
        if own["heads"]["all"]:
            made.append(draw_heads(own["heads"], mode, out / f"heads-{mode}.png"))
        if own["exchanged"]:
            made.append(draw_exchanged(own["exchanged"], mode, out / f"exchanged-{mode}.png"))
    for mode, directions in found.get("against", {}).get("sites", {}).items():
        for direction, rows in directions.items():
            made.append(
                draw_difference(rows, found["against"], mode, direction, out / f"against-{mode}-{direction}.png")
            )
    if found["functions"]:
        made.append(draw_functions(found["functions"], out / "functions.png"))
    return made


def draw_effects(rows: Sequence[Row], mode: str, direction: str, path: Path) -> Path:
    """Draw effects as maps, roles down and layers across, one for each kind of site."""
    whole = list(rows)
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in whole)]
    roles = [role for role in ROWS if any(row["role"] == role for row in whole)]
    layers = 1 + max(row["layer"] for row in whole)
    picture = Figure(figsize=(2.4 + (0.9 + 0.42 * layers) * len(kinds), 1.5 + 0.36 * len(roles)), layout="constrained")
    panels = picture.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    maps = {kind: _grid(whole, kind, roles, layers) for kind in kinds}
    limit = _limit(list(maps.values()))
    drawn: Any = None
    for axes, kind in zip(panels, kinds, strict=True):
        drawn = axes.imshow(maps[kind], cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        sure = {(row["role"], row["layer"]) for row in whole if row["kind"] == kind and _is_sure(row)}
        _dots(axes, [(layer, roles.index(role)) for role, layer in sure])
        axes.set(title=TITLES[kind], xlabel="layer", xticks=range(layers))
        axes.set_yticks(range(len(roles)), [_role(role, whole) for role in roles])
    panels[0].set_ylabel("tokens (pairs, where fewer)")
    picture.colorbar(drawn, ax=list(panels), label=f"share of the answer {DIRECTION[direction]}", shrink=0.9)
    pairs = max(row["pairs"] for row in whole)
    what = "two pictures, the same words" if mode == "image" else "two wordings, the same picture"
    picture.suptitle(f"{direction}, {what}: {pairs} pairs; {DOTS}", fontsize=11)
    return _save(picture, path)


def draw_encoders(directions: Mapping[str, Sequence[Row]], path: Path) -> Path:
    """Draw what exchanging the features of each encoder does."""
    picture = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = picture.subplots()
    names: list[str] = []
    for index, (direction, rows) in enumerate(directions.items()):
        own = [row for row in rows if row["kind"] == ENCODERS]
        names = [row["role"] for row in own]
        place = np.arange(len(own)) + 0.38 * (index - (len(directions) - 1) / 2)
        axes.bar(
            place, [row["share"] for row in own], 0.34, label=f"{direction}: {DIRECTION[direction]}", color=BARS[index]
        )
        for at, row in zip(place, own, strict=True):
            axes.plot([at, at], row["ci95"], color="black", linewidth=1.4)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("share of the answer")
    picture.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    picture.suptitle("One encoder sees the other picture (95 % interval)", fontsize=11)
    return _save(picture, path)


def draw_cuts(rows: Sequence[Row], mode: str, path: Path) -> Path:
    """Draw what the answer loses where one role no longer sees another: a panel for who looks, a row for whom."""
    lookers = list(dict.fromkeys(row["role"].split(" < ")[0] for row in rows))
    layers = 1 + max(row["layer"] for row in rows)
    seen = {who: list(dict.fromkeys(_whom(row) for row in rows if _who(row) == who)) for who in lookers}
    size = (3.2 + (1.6 + 0.42 * layers) * len(lookers), 1.6 + 0.36 * max(map(len, seen.values())))
    picture = Figure(figsize=size, layout="constrained")
    panels = picture.subplots(1, len(lookers), squeeze=False)[0]
    limit = max(abs(row["share"]) for row in rows if np.isfinite(row["share"]))
    drawn: Any = None
    for axes, who in zip(panels, lookers, strict=True):
        values = np.full((len(seen[who]), layers), np.nan)
        own = [row for row in rows if _who(row) == who]
        for row in own:
            values[seen[who].index(_whom(row)), row["layer"]] = row["share"]
        drawn = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        _dots(axes, [(row["layer"], seen[who].index(_whom(row))) for row in own if _is_sure(row)])
        axes.set(title=f"'{who}' no longer sees", xlabel="layer", xticks=range(layers))
        axes.set_yticks(range(len(seen[who])), seen[who])
    picture.colorbar(drawn, ax=list(panels), label="share of the answer lost", shrink=0.9)
    picture.suptitle(f"Attention cut off in the clean run, {mode} pairs; {DOTS}", fontsize=11)
    return _save(picture, path)


def _who(row: Row) -> str:
    return str(row["role"]).split(" < ")[0]


def _whom(row: Row) -> str:
    return str(row["role"]).split(" < ")[1]


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
    limit = _limit(maps)
    drawn: Any = None
    for axes, kind, values in zip(panels, kinds, maps, strict=False):
        drawn = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", origin="lower")
        _dots(axes, [(head, layer) for found, layer, head in chosen if found == kind])
        axes.set(title=TITLES[kind], xlabel="head", ylabel="layer", xticks=range(count), yticks=range(layers))
    picture.colorbar(drawn, ax=list(panels[:-1]), label="share of the answer restored", shrink=0.9)
    _bars(panels[-1], heads["all"][:SHOWN])
    title = f"{mode} pairs, heads at the token of role '{heads['role']}': {len(chosen)} selected (dots)"
    picture.suptitle(f"{title}, {heads['by_chance']:.2f} expected by chance", fontsize=11)
    return _save(picture, path)


def draw_exchanged(found: Mapping[str, Any], mode: str, path: Path) -> Path:
    """Draw what exchanging the selected heads does on pairs that did not select them, beside random heads."""
    rows = [(name, found[name]) for name in ("denoise", "noise") if found[name]]
    picture = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = picture.subplots()
    place = np.arange(len(rows))
    axes.bar(place - 0.2, [row["selected"] for _, row in rows], 0.36, color="#0072B2", label="selected heads")
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
    return _save(picture, path)


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
        drawn = axes.imshow(values, cmap="RdBu_r", vmin=low, vmax=high, aspect="auto", origin="lower")
        labels = (name, "suppression") if name == "detection" else (name,)
        own = [row for row in rows if row["function"] in labels and row["labelled"]]
        _dots(axes, [(row["head"], row["layer"]) for row in own])
        _rings(axes, [(row["head"], row["layer"]) for row in own if is_confirmed(row)])
        axes.set_title(title, fontsize=9)
        axes.set(xlabel="head", ylabel="layer", xticks=range(count), yticks=range(layers))
        picture.colorbar(drawn, ax=axes, shrink=0.9)
    title = "What heads do with the picture, from the word for the subject\ndots: size and test agree"
    picture.suptitle(f"{title}; rings: cutting the head off from there costs the answer, on other pairs", fontsize=10)
    return _save(picture, path)


def draw_difference(rows: Sequence[Row], against: Row, mode: str, direction: str, path: Path) -> Path:
    """Draw the sites whose effect differs most from that in another model."""
    named = [row for row in rows if row["kind"] in KINDS and np.isfinite(row["difference"])]
    largest = sorted(named, key=lambda row: -abs(row["difference"]))[: 2 * SHOWN][::-1]
    picture = Figure(figsize=(8.4, 1.3 + 0.27 * len(largest)), layout="constrained")
    axes = picture.subplots()
    place = np.arange(len(largest))
    axes.scatter([row["other"] for row in largest], place, color="#E69F00", label="the other model", zorder=3)
    axes.scatter([row["mine"] for row in largest], place, color="#0072B2", label="this model", zorder=3)
    for index, row in enumerate(largest):
        low, high = row["ci95"]
        sure = low > 0 or high < 0
        axes.plot([row["other"], row["mine"]], [index] * 2, color="black" if sure else "#BBBBBB", linewidth=1.5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(place, [_place(row) for row in largest])
    axes.set_xlabel(f"share of the answer {DIRECTION[direction]}")
    axes.legend(fontsize=9, loc="lower right")
    title = f"{mode} pairs, {direction}: where this model and that of {against['folder']} differ most"
    picture.suptitle(
        f"{title}\n{against['pairs']} pairs of both; black: 95 % interval of the difference without 0", fontsize=10
    )
    return _save(picture, path)


def _place(row: Row) -> str:
    head = "" if row["head"] == ALL_HEADS else f".{row['head']}"
    return f"{TITLES[row['kind']]} {row['layer']}{head} at {row['role']}"


def _role(role: str, rows: Sequence[Row]) -> str:
    few = min(row["pairs"] for row in rows if row["role"] == role)
    most = max(row["pairs"] for row in rows)
    return role if few == most else f"{role} ({few})"


def _is_sure(row: Row) -> bool:
    low, high = row["ci95"]
    return row["pairs"] >= LEAST_PAIRS and bool(low > 0 or high < 0) and row["same"] < row["pairs"]


def _grid(rows: Sequence[Row], kind: str, roles: Sequence[str], layers: int) -> NDArray[np.float64]:
    values = np.full((len(roles), layers), np.nan)
    for row in rows:
        if row["kind"] == kind:
            values[roles.index(row["role"]), row["layer"]] = row["share"]
    return values


def _head_grid(rows: Sequence[Row], kind: str, layers: int, count: int) -> NDArray[np.float64]:
    values = np.full((layers, count), np.nan)
    for row in rows:
        if row["kind"] == kind:
            values[row["layer"], row["head"]] = row["share"]
    return values


def _limit(maps: Sequence[NDArray[np.float64]]) -> float:
    """Return the end of the colour scale."""
    known = [np.abs(values[np.isfinite(values)]) for values in maps]
    return max([float(values.max()) for values in known if len(values)] + [1e-6])


def _dots(axes: Axes, places: Sequence[tuple[int, int]]) -> None:
    if places:
        across, down = zip(*places, strict=True)
        axes.scatter(across, down, s=18, color="black", edgecolors="white", linewidths=0.6)


def _rings(axes: Axes, places: Sequence[tuple[int, int]]) -> None:
    if places:
        across, down = zip(*places, strict=True)
        for colour, width in (("white", 3.0), ("black", 1.5)):
            axes.scatter(across, down, s=110, facecolors="none", edgecolors=colour, linewidths=width)


def _bars(axes: Axes, heads: Sequence[Row]) -> None:
    values = [one["mean"]["share"] for one in heads][::-1]
    bounds = [one["mean"]["ci95"] for one in heads][::-1]
    place = np.arange(len(heads))
    colours = ["#0072B2" if one["selected"] else "#BBBBBB" for one in heads][::-1]
    axes.barh(place, values, color=colours)
    for index, (low, high) in enumerate(bounds):
        axes.plot([low, high], [index] * 2, color="black", linewidth=1.2)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(place, [head_name(one) for one in heads][::-1])
    axes.set(xlabel="share of the answer restored", ylabel="layer.head")


def _save(picture: Figure, path: Path) -> Path:
    with atomic(path) as temporary:
        picture.savefig(temporary, format="png", dpi=120)
    return path
