"""Whether the same heads matter everywhere, as a picture: heads (or places) down, conditions across."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eval.drawing import save_picture
from eval.interpret.everywhere import condition_name, several_sets
from eval.interpret.naming import Row, head_name, place_name
from eval.interpret.plotting import MAP, colour_limit, draw_dots
from eval.interpret.universal import Chosen

MOST = 24
"""Rows of a picture; of more sites, those that the most conditions select, and then those of the largest effects."""


def draw_universality(found: Mapping[str, Any], chosen: Sequence[Chosen], out: Path) -> list[Path]:
    """Draw heads and places by condition, as far as there are conditions to compare, and return the pictures."""
    made = []
    for name in ("heads", "places"):
        if found[name] and chosen:
            made.append(_draw(found, name, chosen, out / f"universal-{name}.png"))
    return made


def _draw(found: Mapping[str, Any], name: str, chosen: Sequence[Chosen], path: Path) -> Path:
    sites = [one["site"] for one in found[name]["sites"]]
    keys = [tuple(site.values()) for site in sites]
    columns = found["conditions"]
    place = {(cell["data"], cell["family"], cell["mode"]): number for number, cell in enumerate(columns)}
    shares, marks = np.full((len(sites), len(columns)), np.nan), np.zeros((len(sites), len(columns)), dtype=bool)
    for row in chosen:
        key = (row.kind, row.layer, row.head, row.role)
        if key in keys:
            at = keys.index(key), place[row.data, row.family, row.mode]
            shares[at], marks[at] = row.share, row.selected
    order = _largest(found[name]["sites"], shares)
    shares, marks = shares[order], marks[order]
    picture = Figure(figsize=(5.2 + 0.62 * len(columns), 3.4 + 0.27 * len(order)), layout="constrained")
    axes = picture.subplots()
    limit = colour_limit([shares])
    drawn = axes.imshow(shares, cmap=MAP, vmin=-limit, vmax=limit, aspect="auto")
    draw_dots(axes, [(int(column), int(row)) for row, column in np.argwhere(marks)])
    several = several_sets(found)
    named = [f"{condition_name(cell, several)} ({cell['pairs']})" for cell in columns]
    axes.set_xticks(range(len(columns)), named, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(order)), [_label(found[name]["sites"][site], len(columns)) for site in order])
    axes.set_xlabel("condition (pairs)")
    axes.set_ylabel("layer.head" if name == "heads" else "part, layer and tokens")
    picture.colorbar(drawn, ax=axes, label="share of the answer", shrink=0.9)
    picture.suptitle(_title(found, name, len(order)), fontsize=10)
    return save_picture(picture, path, 120)


def _largest(sites: Sequence[Row], shares: Any) -> list[int]:
    size = np.nanmean(np.abs(shares), axis=1)
    return sorted(range(len(sites)), key=lambda number: (-sites[number]["conditions"], -size[number]))[:MOST]


def _label(one: Row, conditions: int) -> str:
    name = head_name(one["site"]) if one["site"]["head"] >= 0 else place_name(one["site"])
    widely = f"{one['conditions']} of {conditions}" + (", universal" if one["universal"] else "")
    return f"{name}  ({widely})" if one["conditions"] else name


def _title(found: Mapping[str, Any], name: str, shown: int) -> str:
    own = found[name]
    universal = sum(one["universal"] for one in own["sites"])
    few = len(found["left_out"])
    left_out = f"; {few} condition{'s' * (few != 1)} of fewer pairs left out" if few else ""
    rest = f"; the first {shown} are shown" if shown < len(own["sites"]) else ""
    return (
        f"Universal {name}, selected (dots) in all {len(found['conditions'])} conditions: {universal} of "
        f"{len(own['sites'])}{rest}\n"
        f"all conditions share {own['shared']}; by chance {own['expected']:.2g}, p {own['p_value']:.2g}{left_out}"
    )
