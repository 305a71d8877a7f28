"""Effects beside others as bars and points: of each vision encoder, and of another model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from eval.drawing import save_picture
from eval.interpret.naming import DIRECTION, SHOWN, Row, place_name
from eval.interpret.plotting import BLUE, GREY, ORANGE
from eval.interpret.sites import KINDS

ENCODERS = "encoder"
"""Kind of the rows about vision encoders (``eval.interpret.encoders.KIND``)."""


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
            place,
            [row["share"] for row in own],
            0.34,
            label=f"{direction}: {DIRECTION[direction]}",
            color=(BLUE, ORANGE)[index],
        )
        for at, row in zip(place, own, strict=True):
            axes.plot([at, at], row["ci95"], color="black", linewidth=1.4)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("share of the answer")
    picture.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    picture.suptitle("One encoder sees the other picture (95 % interval)", fontsize=11)
    return save_picture(picture, path, 120)


def draw_difference(rows: Sequence[Row], against: Row, mode: str, direction: str, path: Path) -> Path:
    """Draw the sites whose effect differs most from that in another model."""
    named = [row for row in rows if row["kind"] in KINDS and np.isfinite(row["difference"])]
    largest = sorted(named, key=lambda row: -abs(row["difference"]))[: 2 * SHOWN][::-1]
    picture = Figure(figsize=(8.4, 1.3 + 0.27 * len(largest)), layout="constrained")
    axes = picture.subplots()
    place = np.arange(len(largest))
    axes.scatter([row["other"] for row in largest], place, color=ORANGE, label="the other model", zorder=3)
    axes.scatter([row["mine"] for row in largest], place, color=BLUE, label="this model", zorder=3)
    for index, row in enumerate(largest):
        low, high = row["ci95"]
        sure = low > 0 or high < 0
        axes.plot([row["other"], row["mine"]], [index] * 2, color="black" if sure else GREY, linewidth=1.5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(place, [place_name(row) for row in largest])
    axes.set_xlabel(f"share of the answer {DIRECTION[direction]}")
    axes.legend(fontsize=9, loc="lower right")
    title = f"{mode} pairs, {direction}: where this model and that of {against['folder']} differ most"
    picture.suptitle(
        f"{title}\n{against['pairs']} pairs of both; black: 95 % interval of the difference without 0", fontsize=10
    )
    return save_picture(picture, path, 120)
