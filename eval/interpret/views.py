"""Attention to image tokens, laid over the picture that they look at.

Where the tokens look is known of our own models and of LLaVA-1.5 (``eval.attend.overlap``). BLIP looks at one grid over
the whole picture, behind a class token, and image tokens of Qwen2-VL come with their row and column. Of other models
the picture is shown without.

Shapes: N image tokens; a map has rows and columns.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.canvas import CANVAS_MODES, square
from eval.attend.maps import SHOWN
from eval.images import Picture, Placed
from eval.interpret.cross import CrossStack
from eval.interpret.opened import Opened
from eval.interpret.pairs import Pair
from eval.study.pooling import canvas_box
from eval.study.samples import Box
from spatial.records import decode_image

Map = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """A picture as the model sees it.

    Attributes:
        picture: what is seen of it.
        boxes: of subject and object, as far as they are known, in fractions of it.
        attention: share of all attention that goes to each part of it; ``None`` where it is not known what tokens see.
    """

    picture: Image.Image
    boxes: dict[str, Box]
    attention: Map | None


def view(opened: Opened, pair: Pair, image_id: str, seen: Picture, weights_N: Map | None) -> View:
    """Return a picture of a pair with the attention that its tokens get.

    Args:
        opened: the model and its pictures.
        pair: the pair.
        image_id: of the picture.
        seen: the picture as its tokens.
        weights_N: attention to each, if it is to be shown.
    """
    row = opened.images[image_id]
    picture = decode_image(row.image, image_id)
    mode = opened.sight.mode if opened.sight else opened.canvas
    boxes = opened.boxes(pair, image_id)
    if mode in CANVAS_MODES:
        picture = square(picture, mode, SHOWN)
        boxes = {role: canvas_box(box, row.width, row.height, SHOWN, mode) for role, box in boxes.items()}
    else:
        picture.thumbnail((2 * SHOWN, 2 * SHOWN))
        boxes = {
            role: (x0 / row.width, y0 / row.height, x1 / row.width, y1 / row.height)
            for role, (x0, y0, x1, y1) in boxes.items()
        }
    return View(picture, boxes, None if weights_N is None else _map(opened, seen, weights_N))


def _map(opened: Opened, seen: Picture, weights_N: Map) -> Map | None:
    if opened.sight:
        return (weights_N @ opened.sight.spread).reshape(opened.sight.grid, opened.sight.grid)
    if isinstance(seen, Placed):
        _, row_N, column_N = (seen.places_3N - seen.places_3N[:, :1]).cpu().numpy()
        attention = np.zeros((row_N.max() + 1, column_N.max() + 1))
        attention[row_N, column_N] = weights_N
        return attention
    if isinstance(opened.stack, CrossStack):
        side = isqrt(len(weights_N))
        return weights_N[-side * side :].reshape(side, side)
    return None
