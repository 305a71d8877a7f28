"""Dataset folders that the tests of the gallery look through, and a pipeline that patches a model on one of them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datagen.config import DatagenConfig
from datagen.run import generate
from eval.attend.run import attend
from eval.config import AttendConfig, DataConfig
from spatial.dataset import write_shard
from spatial.records import ImageObject, ImageRow, Record, image_id_of
from spatial.shipped import ASSETS
from vsre.config import RunConfig
from vsre.pipeline import run
from vsre.settings import from_mapping

CAPTION = "The cat is at the left side of the <sofa>."


@pytest.fixture(scope="session")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four groups of small renders: two about left and right, two about on and off."""
    folder = tmp_path_factory.mktemp("renders") / "scenes"
    relations = ["left of", "right of", "on", "off"]
    plain = {"contrasts": ["direct"], "frames": "viewer", "nouns": ["core"], "exclude_nouns": []}
    generate(DatagenConfig(str(folder), groups=4, relations=relations, image_size=48, dense=True, workers=1, **plain))
    return folder


def photo(seed: int, width: int, height: int, objects: tuple[ImageObject, ...] = ()) -> ImageRow:
    """Return a JPEG of noise as an image row without a scene."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(buffer, format="JPEG")
    image_id = image_id_of(np.asarray(Image.open(buffer)))
    return ImageRow(image_id, buffer.getvalue(), width, height, "vsr", objects, licence="COCO photo")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of photos, a photo whose record has no group, one without any record, and a record without a photo."""
    cat = (ImageObject("cat", (8.0, 16.0, 32.0, 40.0)), ImageObject("sofa", (0.0, 30.0, 64.0, 48.0), "red"))
    rows = [photo(0, 64, 48, cat), photo(1, 48, 64), photo(2, 64, 64), photo(3, 32, 32)]
    shared = {"task": "statement", "topic": "relation", "caption": CAPTION, "relation": "at the left side of"}
    records = [
        Record(rows[0].image_id, "pair", "true", answer="true", split="dev", **shared),
        Record(rows[1].image_id, "pair", "false", answer="false", split="dev", **shared),
        Record(rows[2].image_id, "", "", "statement", "presence", "There is a dog in the picture.", "false"),
        Record("gone", "other", "true", answer="true", **shared),
    ]
    folder = tmp_path_factory.mktemp("photos") / "photos"
    write_shard(folder, 0, rows, records)
    return folder


@pytest.fixture(scope="session")
def attended(renders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ``vsre attend``: a few questions about the renders, asked of the tiny base."""
    data = DataConfig(path=str(renders), tasks=["statement"], topics=["relation"], limit=6)
    out = str(tmp_path_factory.mktemp("attended") / "run")
    return attend(
        AttendConfig(str(ASSETS / "tiny-base"), data, out, ["question"], ["scale(alpha=2)"], examples=1, bootstrap=20)
    )


@pytest.fixture(scope="session")
def patched(renders: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A pipeline that was run: a few pairs of the renders on the tiny base, and again against the first."""
    settings = {"data": {"path": str(renders)}, "modes": ["image"], "pairs": 4, "tier": 0}
    settings |= {"kinds": ["attn"], "roles": ["image", "last"], "head_roles": ["last"], "knockouts": 2, "bootstrap": 20}
    settings |= {"directions": ["denoise"], "controls": False, "screen": False, "encoders": False, "cuts": False}
    steps = [
        {"name": "base", "command": "interpret", "settings": settings},
        {"name": "expert", "command": "interpret", "settings": settings | {"against": "step:base"}},
    ]
    folder = tmp_path_factory.mktemp("patched") / "run"
    config: RunConfig = from_mapping("run", {"out": str(folder), "steps": steps})
    run(config)
    return config
