"""Dense labels: each cell of an encoder's grid is told which object covers it, and only the encoders learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.load import load_model
from spatial.dataset import write_shard
from spatial.errors import RecordError
from spatial.records import ImageObject, ImageRow, encode_mask, encode_png, image_id_of
from spatial.scene import ObjectSpec, Scene
from spatial.vocabulary import COLOURS, NOUNS
from training.config import TrainConfig
from training.dense import IGNORED, cell_labels
from training.run import train


def square_row(colour: str = "red", seed: int = 0) -> ImageRow:
    """Return a 32 px picture with a dog facing right in its top left quarter."""
    pixels = np.random.default_rng(seed).integers(90, 110, (32, 32, 3)).astype(np.uint8)
    mask = np.zeros((32, 32), dtype=bool)
    mask[:16, :16] = True
    pixels[mask] = (220, 40, 40) if colour == "red" else (40, 60, 220)
    spec = ObjectSpec("dog", colour, (0, 0, 0), (1, 1, 1), yaw=90.0, has_front=True)
    item = ImageObject("dog", (0, 0, 16, 16), colour, encode_mask(mask), 1.0, (0, 0, 0, 1, 1, 1, 90.0))
    scene = Scene((spec,), width=32, height=32)
    return ImageRow(
        image_id_of(pixels), encode_png(pixels), 32, 32, "render", (item,), scene.scene_id, scene.canonical_json()
    )


def test_cells_are_labelled_by_the_object_that_covers_them() -> None:
    labels = cell_labels(square_row(), 4).reshape(5, 4, 4)
    inside = torch.zeros(4, 4, dtype=torch.bool)
    inside[:2, :2] = True
    expected = (NOUNS.index("dog") + 1, COLOURS.index("red"), 1, 2, 2)
    for question, answer in enumerate(expected):
        assert (labels[question][inside] == answer).all()
    assert (labels[0][~inside] == 0).all()
    assert (labels[1:, ~inside] == IGNORED).all()


def test_an_object_without_a_front_has_no_heading() -> None:
    row = square_row()
    row = replace(row, scene=row.scene.replace('"has_front":true', '"has_front":false'))
    assert (cell_labels(row, 4)[2] == IGNORED).all()


def test_cells_need_a_side_that_the_grid_divides() -> None:
    with pytest.raises(RecordError, match="multiple of 5"):
        cell_labels(square_row(), 5)


def test_only_the_encoders_learn_and_the_result_is_a_plain_checkpoint(config: TrainConfig, tmp_path: Path) -> None:
    rows = [square_row(colour, seed) for seed in range(4) for colour in ("red", "blue")]
    write_shard(tmp_path / "squares", 0, rows, [])
    dense = replace(config, stage="towers", data=[str(tmp_path / "squares")])
    before, _ = load_model(config.model)
    after, _ = load_model(train(dense))
    assert type(after) is type(before)
    old = before.state_dict()
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, old[name])}
    assert changed and all("vision_tower" in name for name in changed)
    assert not any(parameter.requires_grad for parameter in after.model.vision_tower.parameters())


def test_data_without_masks_is_refused(config: TrainConfig) -> None:
    with pytest.raises(RecordError, match="no object masks"):
        train(replace(config, stage="towers"))
