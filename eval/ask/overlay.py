"""Where the answer looked, over the picture: as the model is, and after AdaptVis changed its attention.

What is drawn is the attention of the last prompt token, mean over heads and, unless one is chosen, over layers, in the
cells that the model's image tokens stand for. Cells are not smoothed: nothing finer is known.

Shapes: C = G * G cells of a map, row by row.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from encoders.canvas import square
from eval.ask.asker import Answer, Said, changed_of
from eval.attend.overlap import Sight
from eval.drawing import save_picture

SHOWN = 512
"""Side of the drawn canvas in pixels."""

FAINT, STRONG = 0.1, 0.75
"""How much a cell of no attention, and the one of most, covers the picture."""


@dataclass(frozen=True)
class View:
    """A map [C] and what it is, in words."""

    map_C: NDArray[np.float64]
    title: str


def views_of(answer: Answer, layer: int) -> list[View]:
    """Return the map before any change and the one after, where a decoder made one; layer -1 is the mean over all."""
    if not answer.maps:
        return []
    found = [_view(answer, answer.said[0], "Before: the model as it is", layer)]
    after = changed_of(answer)
    if after is not None:
        did = f"After {after.decoder}"
        if after.decoder.startswith("adaptvis"):
            alpha = after.reading.partition("=")[2].rstrip(")")
            did = f"After AdaptVis, which {f'scales it by {alpha}' if alpha else 'changes nothing here'}"
        found.append(_view(answer, after, did, layer))
    return found


def _view(answer: Answer, said: Said, did: str, layer: int) -> View:
    maps_LC = answer.maps[said.reading]
    map_C = maps_LC.mean(0) if layer < 0 else maps_LC[layer]
    on_picture = f"{map_C.sum():.0%} of its attention is on the picture"
    return View(map_C, f"{did}\nsays {said.text!r}; {on_picture}")


def draw_overlay(
    picture: Image.Image, question: str, views: Sequence[View], sight: Sight, layer: int, path: Path
) -> None:
    """Draw the picture as the model sees it, and each map over it, side by side on one scale, as PNG."""
    canvas = np.asarray(square(picture, sight.mode, SHOWN))
    figure = Figure(figsize=(4.2 * (1 + len(views)) + 0.6, 5.3), layout="constrained")
    figure.suptitle(fill(question, 28 * (1 + len(views))), fontsize=14, parse_math=False)
    plain, *others = figure.subplots(1, 1 + len(views), squeeze=False)[0]
    plain.imshow(canvas, extent=(0, 1, 1, 0))
    plain.set_title("What the model sees\n", fontsize=11)
    plain.set(xticks=[], yticks=[])
    _draw_views(figure, others, canvas, views, sight.grid)
    figure.supxlabel(fill(_key(layer), 56 * (1 + len(views))), fontsize=10)
    _save(figure, path)


def draw_stacked(picture: Image.Image, views: Sequence[View], sight: Sight, layer: int, path: Path) -> None:
    """Draw each map over the picture, one below the other on one scale, as PNG that a phone can show."""
    canvas = np.asarray(square(picture, sight.mode, SHOWN))
    figure = Figure(figsize=(5.0, 4.9 * len(views) + 0.4), layout="constrained")
    places: list[Axes] = list(figure.subplots(len(views), 1, squeeze=False)[:, 0])
    _draw_views(figure, places, canvas, views, sight.grid)
    figure.supxlabel(fill(_key(layer), 56), fontsize=10)
    _save(figure, path)


def _draw_views(
    figure: Figure, places: Sequence[Axes], canvas: NDArray[np.uint8], views: Sequence[View], grid: int
) -> None:
    highest = 100 * max(float(view.map_C.max()) for view in views)
    for axes, view in zip(places, views, strict=True):
        shown = _heat(axes, canvas, view, grid, highest)
        axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(1, 0))
    bar = figure.colorbar(shown, ax=list(places), fraction=0.046, pad=0.02)
    bar.set_label("% of all attention, per cell", fontsize=10)


def _key(layer: int) -> str:
    which = "mean over layers and heads" if layer < 0 else f"layer {layer}, mean over heads"
    return f"Bright cells: where the last token before the answer looks ({which}). Looking there does not prove why."


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # of questions in other scripts
        save_picture(figure, path, 110)


def _heat(axes: Axes, canvas: NDArray[np.uint8], view: View, grid: int, highest: float) -> Any:
    """Lay a map over the greyed picture, stronger where there is more of it; return what a colour bar is made of."""
    grey = canvas.mean(-1)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
    cells = 100 * view.map_C.reshape(grid, grid)
    alpha = FAINT + (STRONG - FAINT) * np.sqrt(cells / highest)
    shown = axes.imshow(cells, cmap="inferno", vmin=0, vmax=highest, alpha=alpha, extent=(0, 1, 1, 0))
    axes.set_title(view.title, fontsize=11, parse_math=False)
    return shown
