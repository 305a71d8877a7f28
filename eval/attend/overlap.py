"""Where the image tokens of a model look, and whether its attention lies on the objects that are asked about.

Attention on image tokens becomes a map over the canvas: a token gives its weight to its cell, evenly, and where several
encoders look at one place, their weights add up. The map has the finest grid that there is. On one grid of one encoder,
as in LLaVA-1.5, it is the weights themselves.

How well a map fits a box is told by the area under the ROC curve: the chance that a cell of the object is attended to
more than a cell beside it. 0.5 is no better than chance; how strong the attention is as a whole does not matter.
Cells of the padding beside a picture do not count.

Shapes: N image tokens, G side of the finest grid, C = G * G cells of the map, T labellings of them, X whatever
else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from encoders.fusion import FUSIONS
from encoders.projector import Place
from eval.study.pooling import canvas_box, cell_areas
from eval.study.samples import Box
from spatial.errors import CheckpointError

Cells = NDArray[np.bool_]
Map = NDArray[np.float64]

COVERED = 0.5
"""Share of a cell from which on it counts as covered."""


def fused_places(model: Any) -> list[Place]:
    """Return where each image token of one of our models looks.

    Raises:
        CheckpointError: its fusion mixes the whole picture into every token.
    """
    fusion = model.config.fusion
    places = FUSIONS[fusion].places(model.config)
    if not any(places):
        raise CheckpointError(f"under fusion {fusion!r} every image token looks at the whole picture; {MEND}")
    return places


def square_places(model: Any) -> list[Place]:
    """Return where each image token of a LLaVA-1.5 looks: one square grid, row by row, maybe after a class token."""
    vision = model.config.vision_config
    grid = int(vision.image_size) // int(vision.patch_size)
    classes = [None] * int(model.config.vision_feature_select_strategy == "full")
    return [*classes, *((grid, cell) for cell in range(grid * grid))]


MEND = "there is no place to compare boxes with; 'vsre eval' can ask it"

PLACES: dict[str, Callable[[Any], list[Place]]] = {"vsre": fused_places, "llava": square_places}
"""Where image tokens look, by the model's type; what is not here is refused."""


def check_kind(kind: str) -> None:
    """Refuse, before weights are read, a kind of model whose image tokens have no known places.

    Raises:
        CheckpointError: it is such a kind.
    """
    if kind not in PLACES:
        known = ", ".join(sorted(PLACES))
        raise CheckpointError(
            f"where the image tokens of a model of type {kind!r} look is not known here (known: {known}); {MEND}"
        )


def canvas_geometry(model: Any, processor: Any, canvas: str) -> tuple[str, int]:
    """Return the mode in which pictures become square, as a name of ``encoders.canvas.CANVAS_MODES``, and the side.

    Raises:
        CheckpointError: the checkpoint's own processor makes them square in another way.
    """
    pixels = processor.image_processor
    if canvas != "processor":
        size = dict(pixels.size)
        return canvas, int(size["height"] if "height" in size else size["shortest_edge"])
    side = int(model.config.vision_config.image_size)
    crop, size = dict(pixels.crop_size or {}), dict(pixels.size)
    if not (pixels.do_center_crop and crop.get("height") == crop.get("width") == size.get("shortest_edge") == side):
        raise CheckpointError(
            f"{type(pixels).__name__} does not cut the middle square out of pictures, so that boxes cannot be carried "
            "to what the model sees; use --canvas pad"
        )
    return "crop", side


@dataclass(frozen=True)
class Sight:
    """What a model sees of a picture, and where its tokens look.

    Attributes:
        places: of each image token.
        mode: how pictures become square.
        side: of the canvas, in pixels.
    """

    places: Sequence[Place]
    mode: str
    side: int

    @property
    def grid(self) -> int:
        """G, the side of the finest grid."""
        return max(place[0] for place in self.places if place)

    @cached_property
    def spread(self) -> Map:
        """The share [N, C] of its weight that each token gives to each cell; a token without a place gives none.

        Multiplied from the left by weights [X, N] it makes maps [X, C].
        """
        spread = np.zeros((len(self.places), self.grid**2))
        for token, place in enumerate(self.places):
            if place:
                row, column = divmod(place[1], place[0])
                box = (column / place[0], row / place[0], (column + 1) / place[0], (row + 1) / place[0])
                areas = cell_areas(box, self.grid)
                spread[token] = areas / areas.sum()
        spread.flags.writeable = False  # all who ask get this one
        return spread

    def picture(self, width: int, height: int) -> Cells:
        """Return which cells [C] show a picture, and not the padding beside it."""
        areas = self.areas((0, 0, width, height), width, height)
        return areas >= min(COVERED, areas.max())

    def covered(self, box: Box, width: int, height: int) -> Cells:
        """Return which cells [C] of the picture a box covers.

        These are the cells of which at least half lies in the box; a box that is too small for that covers the cell
        that it shares most with. One that lies outside of what is seen covers none.
        """
        areas = self.areas(box, width, height) * self.picture(width, height)
        return (areas > 0) & (areas >= min(COVERED, areas.max()))

    def areas(self, box: Box, width: int, height: int) -> Map:
        """Return the share [C] of each cell that a box of a picture covers."""
        areas = cell_areas(canvas_box(box, width, height, self.side, self.mode), self.grid) * self.grid**2
        return areas.round(9)  # half a cell is half a cell


def auroc(scores_XC: NDArray[Any], labels_TC: Cells) -> Map:
    """Return the area under the ROC curve [X, T] of scores for each of some labellings, NaN where all labels are alike.

    By ranks (Mann and Whitney 1947), of which equal scores share the mean, so that a tie counts half.
    """
    hits_T = labels_TC.sum(-1).astype(np.float64)
    pairs_T = hits_T * (labels_TC.shape[-1] - hits_T)
    above_XT = rankdata(scores_XC, axis=-1) @ labels_TC.T.astype(np.float64) - hits_T * (hits_T + 1) / 2
    return np.divide(above_XT, pairs_T, out=np.full(above_XT.shape, np.nan), where=pairs_T > 0)
