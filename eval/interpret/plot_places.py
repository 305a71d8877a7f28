"""Heat maps of places: roles down and layers across, and attention that is cut off between roles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.drawing import save_picture
from eval.interpret.naming import DIRECTION, TITLES, Row
from eval.interpret.plotting import DOTS, MAP, colour_limit, draw_dots, is_sure
from eval.interpret.roles import BY_OBJECT, IMAGE_PARTS, WORDS
from eval.interpret.sites import KINDS

ROWS = (*BY_OBJECT, *IMAGE_PARTS, "image", *WORDS)
"""Order of roles in heat maps."""


def draw_effects(rows: Sequence[Row], mode: str, direction: str, path: Path) -> Path:
    """Draw effects as maps, roles down and layers across, one for each kind of site."""
    whole = list(rows)
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in whole)]
    roles = [role for role in ROWS if any(row["role"] == role for row in whole)]
    layers = 1 + max(row["layer"] for row in whole)
    picture = Figure(figsize=(2.4 + (0.9 + 0.42 * layers) * len(kinds), 1.5 + 0.36 * len(roles)), layout="constrained")
    panels = picture.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    maps = {kind: _grid(whole, kind, roles, layers) for kind in kinds}
    limit = colour_limit(list(maps.values()))
    drawn: Any = None
    for axes, kind in zip(panels, kinds, strict=True):
        drawn = axes.imshow(maps[kind], cmap=MAP, vmin=-limit, vmax=limit, aspect="auto")
        sure = {(row["role"], row["layer"]) for row in whole if row["kind"] == kind and is_sure(row)}
        draw_dots(axes, [(layer, roles.index(role)) for role, layer in sure])
        axes.set(title=TITLES[kind], xlabel="layer", xticks=range(layers))
        axes.set_yticks(range(len(roles)), [_role(role, whole) for role in roles])
    panels[0].set_ylabel("tokens (pairs, where fewer)")
    picture.colorbar(drawn, ax=list(panels), label=f"share of the answer {DIRECTION[direction]}", shrink=0.9)
    pairs = max(row["pairs"] for row in whole)
    what = "two pictures, the same words" if mode == "image" else "two wordings, the same picture"
    picture.suptitle(f"{direction}, {what}: {pairs} pairs; {DOTS}", fontsize=11)
    return save_picture(picture, path, 120)


def draw_cuts(rows: Sequence[Row], mode: str, path: Path) -> Path:
    """Draw what the answer loses where one role no longer sees another: a panel for who looks, a row for whom."""
    lookers = list(dict.fromkeys(row["role"].split(" < ")[0] for row in rows))
    layers = 1 + max(row["layer"] for row in rows)
    seen = {who: list(dict.fromkeys(_whom(row) for row in rows if _who(row) == who)) for who in lookers}
    size = (3.2 + (1.6 + 0.42 * layers) * len(lookers), 1.6 + 0.36 * max(map(len, seen.values())))
    picture = Figure(figsize=size, layout="constrained")
    panels = picture.subplots(1, len(lookers), squeeze=False)[0]
    limit = colour_limit([np.array([row["share"] for row in rows])])
    drawn: Any = None
    for axes, who in zip(panels, lookers, strict=True):
        values = np.full((len(seen[who]), layers), np.nan)
        own = [row for row in rows if _who(row) == who]
        for row in own:
            values[seen[who].index(_whom(row)), row["layer"]] = row["share"]
        drawn = axes.imshow(values, cmap=MAP, vmin=-limit, vmax=limit, aspect="auto")
        draw_dots(axes, [(row["layer"], seen[who].index(_whom(row))) for row in own if is_sure(row)])
        axes.set(title=f"'{who}' no longer sees", xlabel="layer", xticks=range(layers))
        axes.set_yticks(range(len(seen[who])), seen[who])
    picture.colorbar(drawn, ax=list(panels), label="share of the answer lost", shrink=0.9)
    picture.suptitle(f"Attention cut off in the clean run, {mode} pairs; {DOTS}", fontsize=11)
    return save_picture(picture, path, 120)


def _who(row: Row) -> str:
    return str(row["role"]).split(" < ")[0]


def _whom(row: Row) -> str:
    return str(row["role"]).split(" < ")[1]


def _role(role: str, rows: Sequence[Row]) -> str:
    few = min(row["pairs"] for row in rows if row["role"] == role)
    most = max(row["pairs"] for row in rows)
    return role if few == most else f"{role} ({few})"


def _grid(rows: Sequence[Row], kind: str, roles: Sequence[str], layers: int) -> NDArray[np.float64]:
    values = np.full((len(roles), layers), np.nan)
    for row in rows:
        if row["kind"] == kind:
            values[roles.index(row["role"]), row["layer"]] = row["share"]
    return values
