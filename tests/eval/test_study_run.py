"""A whole study: every file is written, features do not depend on the batch, mistakes are one line."""

import json
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from encoders.build import assemble
from encoders.load import load_model
from encoders.presets import PRESETS
from eval.config import StudyConfig
from eval.study.features import open_eyes, read_features
from eval.study.run import study
from eval.study.samples import Sample, Samples, choose_samples, pair_boxes
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import CheckpointError, ConfigError, RecordError
from spatial.records import ImageObject, ImageRow, Record, encode_png
from spatial.vocabulary import words
from tests.eval.squares import PLACES, RELATIONS, groups_of_two, scene, statement

Make = Callable[..., StudyConfig]


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen groups of two images, and false statements beside the true ones."""
    folder = tmp_path_factory.mktemp("squares")
    write_shard(folder, 0, *groups_of_two(18))
    return folder


@pytest.fixture
def make(checkpoint: Path, squares: Path, tmp_path: Path) -> Make:
    """Return settings for the tiny model and the squares, with changes."""
    usual = StudyConfig(
        str(checkpoint), str(squares), str(tmp_path / "study"), bootstrap=50, batch_size=5, folds=3, shuffles=2
    )
    return lambda **changes: replace(usual, **changes)


def test_a_study_writes_figures_maps_and_pictures(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    out = study(make())
    assert sorted(path.name for path in out.iterdir()) == ["image.png", "pair.png", "points.parquet", "results.json"]
    found = json.loads((out / "results.json").read_text())
    assert found["data"]["samples"] == 36 and found["data"]["relations"] == dict.fromkeys(sorted(RELATIONS), 12)
    assert {view: list(rows) for view, rows in found["views"].items()} == {
        view: ["pixels", "clip", "fusion"] for view in ("pair", "image")
    }
    # The squares stand in the same three ways every time, which even random weights show.
    assert found["views"]["pair"]["clip"]["probe"] > 0.9
    points = pd.read_parquet(out / "points.parquet")
    assert len(points) == 36 * 6 and np.isfinite(points[["x", "y"]].to_numpy()).all()
    assert set(points.relation) == set(RELATIONS) and set(points.source) == {"pixels", "clip", "fusion"}
    for name in ("pair.png", "image.png"):
        with Image.open(out / name) as picture:
            assert picture.format == "PNG" and picture.width > 1200
    shown = capsys.readouterr().out
    assert "36 true statements, 3 relations, 18 groups; chance 33.3 %" in shown and "fusion" in shown


def test_a_second_study_gives_the_same_numbers_and_leaves_nothing_stale(make: Make) -> None:
    config = make(views=["image"], samples=5)
    stale = Path(config.out) / "pair.png"
    first = json.loads((study(config) / "results.json").read_text())
    stale.touch()
    assert json.loads((study(config) / "results.json").read_text()) == first
    assert not stale.exists()


def test_features_do_not_depend_on_the_batch(make: Make) -> None:
    config = make()
    folder = DatasetFolder(config.data)
    samples, eyes = choose_samples(folder, config).chosen, open_eyes(config.model)
    one, many = (read_features(eyes, samples, folder.images, config.views, size) for size in (1, 36))
    assert one.keys() == many.keys() and len(one) == 6
    for name in one:
        np.testing.assert_allclose(one[name], many[name], atol=1e-5, rtol=1e-5)


def test_features_are_the_means_of_the_models_tokens(make: Make, checkpoint: Path) -> None:
    """A square picture, boxes along cell borders: the weighted means are plain means of some tokens."""
    pixels = np.random.default_rng(0).integers(0, 255, (48, 48, 3), dtype=np.uint8)
    network, processor = load_model(checkpoint)
    grid = network.config.vision.plan("clip").grid
    cell = 48 // grid
    boxes = ((0, 0, 2 * cell, cell), (cell, 2 * cell, 2 * cell, 3 * cell))
    image = ImageRow("x", encode_png(pixels), 48, 48, "test")
    features = read_features(
        open_eyes(checkpoint), [Sample(statement(image, "g", "above"), boxes)], {"x": image}, ["pair", "image"], 1
    )
    canvas = processor.image_processor(images=[Image.fromarray(pixels)], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        fused = network.get_image_features(pixel_values=canvas).pooler_output[0].numpy()
        tower = network.model.vision_tower(canvas)["clip"][0].numpy()
    for source, tokens in (("fusion", fused), ("clip", tower)):
        subject, other = tokens[:2].mean(0), tokens[2 * grid + 1]
        expected = np.concatenate([subject, other, subject - other])
        np.testing.assert_allclose(features["pair", source][0], expected, atol=1e-5)
        np.testing.assert_allclose(features["image", source][0], tokens.mean(0), atol=1e-5)


def test_tokens_without_places_have_no_pair(make: Make, tmp_path: Path) -> None:
    preset = deepcopy(PRESETS["tiny"])
    preset["canvas_size"] = 48
    preset["towers"]["dinov2"] |= {"image_size": 48}
    preset["projector"] = {**preset.get("projector", {}), "resampler_tokens": 4}
    model, processor = assemble(preset, ["dinov2"], "resampler", words(), seed=0)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    config = make(model=str(tmp_path / "model"))
    folder = DatasetFolder(config.data)
    samples = choose_samples(folder, config).chosen[:3]
    features = read_features(open_eyes(config.model), samples, folder.images, config.views, 2)
    assert [source for view, source in features if view == "pair"] == ["pixels", "dinov2"]
    assert [source for view, source in features if view == "image"] == ["pixels", "dinov2", "fusion"]


def test_an_adapter_shows_the_fusion_before_and_after_tuning(make: Make, checkpoint: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    network, _ = load_model(checkpoint)
    adapted = get_peft_model(
        network, LoraConfig(r=2, target_modules=r".*language_model.*q_proj", modules_to_save=["multi_modal_projector"])
    )
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "modules_to_save" in name:
                parameter.mul_(1.5)
    adapted.save_pretrained(tmp_path / "adapter")
    config = make(model=str(tmp_path / "adapter"), views=["image"])
    folder = DatasetFolder(config.data)
    samples = choose_samples(folder, config).chosen[:4]
    tuned = read_features(open_eyes(config.model), samples, folder.images, ["image"], 4)
    plain = read_features(open_eyes(checkpoint), samples, folder.images, ["image"], 4)
    assert [source for _, source in tuned] == ["pixels", "clip", "fusion, base", "fusion, tuned"]
    np.testing.assert_allclose(tuned["image", "fusion, base"], plain["image", "fusion"], atol=1e-5)
    assert np.abs(tuned["image", "fusion, tuned"] - plain["image", "fusion"]).max() > 1e-3


def folder_of(path: Path, images: list[ImageRow], records: list[Record]) -> str:
    write_shard(path, 0, images, records)
    return str(path)


def chosen(config: StudyConfig) -> Samples:
    return choose_samples(DatasetFolder(config.data), config)


def test_each_image_stands_for_one_relation_and_relations_come_out_even(make: Make, tmp_path: Path) -> None:
    images = [scene("left of", seed) for seed in range(24)]
    records = [statement(image, f"g{n}", "left of") for n, image in enumerate(images)]
    both = {"subject": 1, "object": 0, "caption": "The book is right of the cup."}
    records += [statement(image, f"g{n}", "right of", **both) for n, image in enumerate(images)]
    config = make(data=folder_of(tmp_path / "both", images, records))
    found = chosen(config)
    assert len({record.image_id for record in found.records}) == len(found.records) == 24
    counts = [sum(record.relation == name for record in found.records) for name in ("left of", "right of")]
    assert counts == [12, 12]
    assert found.records != chosen(replace(config, seed=1)).records
    few = chosen(replace(config, samples=4))
    assert len(few.records) == 8 and few.left_out == {"another statement of the image, or enough of the relation": 40}


def test_rare_relations_are_left_out_and_counted(make: Make, squares: Path, tmp_path: Path) -> None:
    folder = DatasetFolder(squares)
    rare = scene("above", 99)
    records = [*folder.records, statement(rare, "rare", "on")]
    config = make(data=folder_of(tmp_path / "rare", [*folder.images.values(), rare], records))
    found = chosen(config)
    assert "on" not in found.relations and found.left_out["relation in fewer than 3 groups"] == 1


def test_a_box_outside_its_picture_is_no_box() -> None:
    image = scene("left of", 0)
    assert pair_boxes(statement(image, "g", "left of"), image) == PLACES["left of"]
    assert pair_boxes(statement(image, "g", "left of", object=-1), image) is None
    assert pair_boxes(statement(image, "g", "left of", object=2), image) is None
    outside = replace(image, objects=(image.objects[0], ImageObject("book", (60, 0, 70, 10))))
    assert pair_boxes(statement(outside, "g", "left of"), outside) is None


def test_data_without_true_statements_is_refused(make: Make, squares: Path, tmp_path: Path) -> None:
    folder = DatasetFolder(squares)
    false = [record for record in folder.records if record.answer == "false"]
    config = make(data=folder_of(tmp_path / "false", list(folder.images.values()), false))
    with pytest.raises(RecordError, match="no true statement about a relation"):
        study(config)


def test_one_relation_cannot_be_told_apart(make: Make) -> None:
    with pytest.raises(RecordError, match=r"has 1 relations in 3 groups or more.*--relations"):
        study(make(relations=["above"]))


def test_data_without_boxes_allows_whole_images_only(make: Make, squares: Path, tmp_path: Path) -> None:
    folder = DatasetFolder(squares)
    images = [replace(image, objects=()) for image in folder.images.values()]
    config = make(data=folder_of(tmp_path / "boxless", images, folder.records))
    with pytest.raises(RecordError, match=r"boxes of its subject and object.*--views '\[image\]'"):
        study(config)
    assert len(chosen(replace(config, views=["image"])).chosen) == 36


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ""}, "name a dataset folder"),
        ({"views": []}, "views must not be empty"),
        ({"views": ["pairs"]}, "did you mean 'pair'"),
        ({"relations": ["abov"]}, "did you mean 'above'"),
        ({"folds": 1}, "use 2 or more"),
        ({"batch_size": 0}, "use 1 or more"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study(make(**changes))


def test_without_scikit_learn_the_mend_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[study\]'"):
        study(make())


def test_a_model_that_crops_is_refused(make: Make, tmp_path: Path) -> None:
    model, processor = load_model(make().model)
    processor.image_processor.mode = "crop"
    model.save_pretrained(tmp_path / "cropping")
    processor.save_pretrained(tmp_path / "cropping")
    with pytest.raises(CheckpointError, match="set mode to 'pad'"):
        study(make(model=str(tmp_path / "cropping")))
