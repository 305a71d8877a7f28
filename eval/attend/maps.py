"""Single questions: the picture with its boxes, and where the last prompt token looks before and after interventions.

Shapes: C = G * G cells of a map, row by row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from encoders.canvas import square
from eval.attend.overlap import Sight
from eval.attend.table import Name
from eval.drawing import save_picture
from eval.plan import Item
from eval.study.pooling import canvas_box
from eval.study.samples import Box, pair_boxes
from eval.turns import in_turn
from spatial.records import ImageRow, decode_image
from spatial.scene import digest

BOX_COLOURS = {"subject": "#56B4E9", "object": "#E69F00"}
SHOWN = 256
"""Side of a drawn canvas in pixels."""


@dataclass(frozen=True)
class Panel:
    """A map [C] of one decoder, what it says of itself, and whether the decoder answered rightly."""

    map_C: NDArray[np.float64]
    title: str
    correct: bool


def choose_examples(items: Sequence[Item], images: Mapping[str, ImageRow], count: int, seed: int) -> dict[Name, Item]:
    """Choose questions to draw: with both boxes, one per image, of as many relations as there are."""
    order = sorted(items, key=lambda item: digest(f"{seed}/{item.record.record_id}"))
    seen: set[str] = set()
    usable = []
    for item in order:
        record = item.record
        image = images.get(record.image_id)
        if item.failed or image is None or record.image_id in seen or not pair_boxes(record, image):
            continue
        seen.add(record.image_id)
        usable.append(item)
    chosen = in_turn(usable, lambda item: item.record.relation)[:count]
    return {(item.record.record_id, item.template): item for item in chosen}


def draw_maps(
    examples: Sequence[tuple[Item, ImageRow, Sequence[Panel]]], sight: Sight, caption: str, path: Path
) -> None:
    """Draw a row per example: the picture as the model sees it, then the map of each decoder on one scale, as PNG.

    Args:
        examples: the question, its picture, and the maps of all decoders.
        sight: what the model sees.
        caption: above all of them.
        path: file to write.
    """
    across = 1 + len(examples[0][2])
    figure = Figure(figsize=(max(9.0, 2.75 * across), 0.8 + 3.0 * len(examples)), layout="constrained")
    figure.suptitle(fill(caption, 48 * across // 2), fontsize=11)
    grid = figure.subplots(len(examples), across, squeeze=False)
    for row, (item, image, panels) in zip(grid, examples, strict=True):
        canvas = square(decode_image(image.image, image.image_id), sight.mode, SHOWN)
        row[0].imshow(canvas, extent=(0, 1, 1, 0))
        row[0].set_title(fill(f"{item.record.caption} ({item.answer})", 32), fontsize=9)
        highest = max(float(panel.map_C.max()) for panel in panels)
        for axes, panel in zip(row[1:], panels, strict=True):
            shown = axes.imshow(
                panel.map_C.reshape(sight.grid, sight.grid), cmap="viridis", vmin=0, vmax=highest, extent=(0, 1, 1, 0)
            )
            axes.set_title(panel.title, fontsize=9, color="#00694E" if panel.correct else "#A83F00")
        bar = figure.colorbar(shown, ax=row[-1], fraction=0.046, pad=0.02)
        bar.ax.tick_params(labelsize=7)
        for axes in row:
            _boxes(axes, item, image, sight)
    draw_key(grid[0, 0])
    save_picture(figure, path)


def _boxes(axes: Axes, item: Item, image: ImageRow, sight: Sight) -> None:
    boxes = zip(BOX_COLOURS, pair_boxes(item.record, image) or (), strict=False)
    draw_boxes(axes, {role: canvas_box(box, image.width, image.height, sight.side, sight.mode) for role, box in boxes})


def draw_boxes(axes: Axes, boxes: Mapping[str, Box]) -> None:
    """Mark subject and object on a picture that is drawn from (0, 0) to (1, 1); boxes are in these units."""
    for role, (x0, y0, x1, y1) in boxes.items():
        for colour, width in (("black", 3.4), (BOX_COLOURS[role], 1.8)):
            corners: dict[str, Any] = {"xy": (x0, y0), "width": x1 - x0, "height": y1 - y0}
            axes.add_patch(Rectangle(**corners, fill=False, edgecolor=colour, linewidth=width))
    axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(1, 0))


def draw_key(axes: Axes) -> None:
    """Say which colour marks what."""
    handles = [Rectangle((0, 0), 1, 1, fill=False, edgecolor=colour, linewidth=2) for colour in BOX_COLOURS.values()]
    axes.legend(handles, list(BOX_COLOURS), loc="upper left", fontsize=8, framealpha=0.8)
