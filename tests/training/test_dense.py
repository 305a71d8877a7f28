"""Dense labels: each cell of a grid is told which object covers it; encoders, projector and words learn from it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.load import load_model
from spatial.dataset import RecordSet, write_shard
from spatial.errors import RecordError
from spatial.records import ImageObject, ImageRow, decode_image, encode_mask, encode_png, image_id_of
from spatial.scene import ObjectSpec, Scene
from spatial.vocabulary import COLOURS, NOUNS, words
from training.config import TrainConfig
from training.dense import IGNORED, DenseImages, cell_labels
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


def write_squares(folder: Path) -> None:
    rows = [square_row(colour, seed) for seed in range(4) for colour in ("red", "blue")]
    write_shard(folder, 0, rows, [])


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


def test_pictures_that_show_nothing_are_learnt_from_too_and_things_without_masks_are_refused() -> None:
    row = square_row()
    empty = replace(row, image_id="", objects=(), scene="")
    assert len(DenseImages([RecordSet([], {"": empty, row.image_id: row})])) == 2
    with pytest.raises(RecordError, match="no object masks"):
        DenseImages([RecordSet([], {"": empty})])
    for photo in (replace(row, scene=""), replace(row, objects=(replace(row.objects[0], mask_rle=""),))):
        with pytest.raises(RecordError, match=f"image {row.image_id} has objects without masks or a scene"):
            cell_labels(photo, 4)


def test_what_sees_learns_and_what_speaks_does_not(config: TrainConfig, tmp_path: Path) -> None:
    write_squares(tmp_path / "squares")
    dense = replace(config, stage="towers", data=[str(tmp_path / "squares")])
    before, _ = load_model(config.model)
    after, _ = load_model(train(dense))
    assert type(after) is type(before)
    old = before.state_dict()
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, old[name])}
    parts = ("vision_tower", "multi_modal_projector", "embed_tokens", "lm_head")  # the last two are one tensor
    assert {part for part in parts if any(part in name for name in changed)} == set(parts)
    assert all(any(part in name for part in parts) for name in changed)
    assert not any(parameter.requires_grad for parameter in after.model.vision_tower.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["channel", "sequence"])
def test_visual_tokens_come_to_mean_the_words_of_their_cells(
    config: TrainConfig, tmp_path: Path, make_model: Callable[[str, list[str]], Path], fusion: str
) -> None:
    write_squares(tmp_path / "squares")
    longer = config.trainer | {"max_steps": 60, "learning_rate": 1e-2}
    data, start = [str(tmp_path / "squares")], str(make_model(fusion, words()))
    model, processor = load_model(train(replace(config, stage="towers", data=data, model=start, trainer=longer)))
    row = square_row("blue", seed=9)
    canvas = processor.image_processor(images=[decode_image(row.image, "blue")], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        tokens = model.get_image_features(canvas).pooler_output[0].reshape(-1, 4, 4, 32)
    colours = processor.tokenizer(list(COLOURS), add_special_tokens=False)["input_ids"]
    scores = tokens[:, :2, :2] @ model.get_input_embeddings().weight[torch.tensor(colours)[:, 0]].T
    assert (scores.argmax(dim=-1) == COLOURS.index("blue")).all()


def test_data_without_masks_is_refused(config: TrainConfig) -> None:
    with pytest.raises(RecordError, match="no object masks"):
        train(replace(config, stage="towers"))
