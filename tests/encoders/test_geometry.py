"""A mark on a picture arrives in the visual tokens whose places cover it: processor, towers and fusion agree.

The whole chain is tested by occlusion: the same noise with and without a white mark. Random towers are nearly local
(their attention is weak beside the residual stream), so the token that changes most is the one that looks at the mark.
Only SAM's neck is not: it ends in a convolution that gives neighbours the same weight, and gets a local one here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from encoders import FUSIONS, VSRE_ENCODERS
from encoders.canvas import crop_box, letterbox_box
from encoders.projector import Place

SIDE, CELLS = 64, 4
SHAPES = [(64, 64), (128, 70), (45, 100), (300, 200)]
BOXES = {"pad": letterbox_box, "crop": crop_box}


def marked(size: tuple[int, int], mode: str, column: int, row: int) -> tuple[Image.Image, Image.Image] | None:
    """Return noise without and with a white mark that covers one cell of a 4 x 4 grid over the canvas."""
    left, top, width, height = BOXES[mode](*size, SIDE)
    cell = SIDE // CELLS
    corners = [(column * cell - left) / width, (row * cell - top) / height]
    corners += [((column + 1) * cell - left) / width, ((row + 1) * cell - top) / height]
    if min(corners) < 0 or max(corners) > 1:
        return None  # this cell is padding, at least in part
    plain = Image.fromarray(np.random.default_rng(1).integers(60, 120, (size[1], size[0], 3), dtype=np.uint8))
    white = plain.copy()
    left, top, right, bottom = (round(corner * size[axis % 2]) for axis, corner in enumerate(corners))
    white.paste((255, 255, 255), (left, top, right, bottom))
    return plain, white


def marks(mode: str) -> list[tuple[Image.Image, Image.Image, int, int]]:
    places = [(size, column, row) for size in SHAPES for column in range(CELLS) for row in range(CELLS)]
    found = [(marked(size, mode, column, row), column, row) for size, column, row in places]
    return [(*pair, column, row) for pair, column, row in found if pair]


def cell_of(place: Place) -> tuple[int, int]:
    """Return column and row, on the 4 x 4 grid over the canvas, of the middle of a token's place."""
    assert place is not None
    side, cell = place
    return int((cell % side + 0.5) / side * CELLS), int((cell // side + 0.5) / side * CELLS)


def streams(fusion: str, encoders: Sequence[str], places: list[Place]) -> list[list[int]]:
    """Return the token indices of each encoder, or of all together where they share tokens."""
    everything = list(range(len(places)))
    if fusion == "interleave":
        return [everything[index :: len(encoders)] for index in range(len(encoders))]
    if fusion == "sequence":
        found: list[list[int]] = []
        for index, place in enumerate(places):
            assert place is not None
            found += [[]] if place[1] == 0 else []
            found[-1].append(index)
        return found
    return [everything]


@pytest.mark.parametrize("mode", ["pad", "crop"])
@pytest.mark.parametrize("fusion", [name for name in FUSIONS if name != "resampler"])
@pytest.mark.parametrize("sam_patch", [16, 8])
def test_a_mark_lands_in_the_places_of_the_tokens_that_change(
    build: Any, fusion: str, mode: str, sam_patch: int
) -> None:
    model, processor = built(build, fusion, sam_patch)
    places = FUSIONS[fusion].places(model.config)
    each = streams(fusion, VSRE_ENCODERS, places)
    assert len(each) == (4 if fusion in ("sequence", "interleave") else 1)
    for change, column, row in _changes(processor, mode, lambda pixels: _tokens(model, pixels)):
        for tokens in each:
            winner = tokens[int(change[tokens].argmax())]
            assert cell_of(places[winner]) == (column, row)


@pytest.mark.parametrize("mode", ["pad", "crop"])
def test_a_mark_lands_in_the_same_cell_of_every_grid(build: Any, mode: str) -> None:
    model, processor = built(build, "sequence", sam_patch=8)
    tower = model.model.vision_tower
    for name in VSRE_ENCODERS:
        side = tower.plans[name].grid
        assert side == (8 if name == "sam" else 4)
        for change, column, row in _changes(processor, mode, lambda pixels, name=name: tower(pixels, [name])[name]):
            assert cell_of((side, int(change.argmax()))) == (column, row), name


def test_the_queries_of_a_resampler_have_no_place_but_see_places(build: Any) -> None:
    """What the queries look at are the cells of every encoder in turn; a mark changes those that it covers."""
    model, processor = built(build, "resampler", sam_patch=8)
    assert set(FUSIONS["resampler"].places(model.config)) == {None}
    places: list[Place] = [
        (plan.grid, cell) for plan in model.config.vision.plans().values() for cell in range(plan.tokens)
    ]
    looked_at: list[Tensor] = []
    model.model.multi_modal_projector.layers[0].register_forward_pre_hook(lambda _, inputs: looked_at.append(inputs[1]))

    def seen(pixels: Tensor) -> Tensor:
        _tokens(model, pixels)
        return looked_at.pop()

    for change, column, row in _changes(processor, "pad", seen):
        for tokens in streams("sequence", VSRE_ENCODERS, places):
            assert cell_of(places[tokens[int(change[tokens].argmax())]]) == (column, row)


def built(build: Any, fusion: str, sam_patch: int) -> tuple[Any, Any]:
    model, processor = build(tuple(VSRE_ENCODERS), fusion, sam_patch=sam_patch)
    torch.nn.init.dirac_(model.model.vision_tower.towers["sam"].vision_encoder.neck.conv2.weight)
    return model, processor


def _tokens(model: Any, pixels: Tensor) -> Tensor:
    return torch.stack(model.get_image_features(pixels).pooler_output)


@torch.no_grad()
def _changes(processor: Any, mode: str, compute: Any) -> list[tuple[Tensor, int, int]]:
    """Return how much each token changes by each mark [N], and the mark's column and row."""
    every = marks(mode)
    assert len({(column, row) for *_, column, row in every}) == CELLS * CELLS
    pictures = [picture for plain, white, *_ in every for picture in (plain, white)]
    pixels = processor.image_processor(pictures, mode=mode, return_tensors="pt")["pixel_values"]
    features = compute(pixels).float()
    change = (features[1::2] - features[::2]).norm(dim=-1)
    return [(norms, column, row) for norms, (*_, column, row) in zip(change, every, strict=True)]
