"""A small painted run, on an engine and a verifier that stand in for models, and a few rows of VSR to repaint."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datagen.config import DatagenConfig, PhotoSettings
from datagen.paint.stages import Parts
from eval.benchmarks import VSR_ANNOTATIONS
from spatial.vsr import read_rows
from tests.stand_ins import PARTS, SMALL

HELD = read_rows(VSR_ANNOTATIONS / "zeroshot.test.jsonl", "zeroshot", "test")[0]
"""A row that the zero-shot target keeps unseen."""

UMBRELLA, CAT = "The umbrella is on the truck.", "The cat is left of the bed."
ROWS = [
    ("000000000001.jpg", UMBRELLA, "on", 1),
    ("000000000002.jpg", UMBRELLA, "on", 0),
    ("000000000003.jpg", CAT, "left of", 1),
    (HELD.photo, HELD.caption, HELD.relation, 1),
]
SIZE = (64, 48)


@pytest.fixture(scope="session")
def parts() -> Parts:
    """Return engines and a verifier without models."""
    return PARTS


@pytest.fixture
def small(tmp_path: Path) -> DatagenConfig:
    """Return a run of 48 pictures in four shards."""
    return replace(SMALL, out=str(tmp_path / "data"))


@pytest.fixture
def photos(tmp_path: Path) -> PhotoSettings:
    """Three photos of training rows, boxes of the first two, and a photo that is tested on."""
    keys = ("image", "caption", "relation", "label")
    lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in ROWS]
    (tmp_path / "mine.train.jsonl").write_text("\n".join(lines))
    folder = tmp_path / "photos" / "train2017"
    folder.mkdir(parents=True)
    for seed, (name, *_) in enumerate(ROWS):
        pixels = np.random.default_rng(seed).integers(40, 200, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, format="JPEG")
    boxes = [(1, 1, [8, 4, 30, 20]), (1, 2, [2, 20, 60, 20]), (2, 1, [5, 5, 20, 20])]
    instances = {
        "categories": [{"id": 1, "name": "umbrella"}, {"id": 2, "name": "truck"}],
        "images": [{"id": n, "file_name": f"{n:012}.jpg", "width": SIZE[0], "height": SIZE[1]} for n in (1, 2)],
        "annotations": [{"image_id": image, "category_id": noun, "bbox": box} for image, noun, box in boxes],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    return PhotoSettings(str(tmp_path), str(tmp_path / "photos"), [str(tmp_path / "instances.json")], ["mine"])
