"""A painter is shipped whole: in half precision, with its card and checksums, and found by its name."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import spatial.shipped
import vsre.assets
from datagen.config import EngineSettings
from datagen.engines.tiny import load
from datagen.verify.base import Detection
from encoders.painter import build_painter, load_painter
from scripts import measure_painter, ship_model
from spatial.records import ImageObject, ImageRow, encode_mask, encode_png
from spatial.shipped import damaged_files

from ..painters import mini

MINI = mini(64)
MADE = {
    "config": {"seed": 0},
    "steps": 9,
    "seconds": 12.3,
    "processes": 1,
    "data": {"data/x": "abc"},
    "versions": {"torch": "2"},
}
COUNTS = {"pictures": 40, "objects": 100, "there": 90, "in_place": 80, "coloured": 75, "pictures_in_place": 30}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    painter = build_painter(["cup", "book"], MINI)
    painter.save_pretrained(tmp_path / "checkpoint")
    reloaded = load_painter(tmp_path / "checkpoint")  # what is loaded remembers where it lay
    reloaded.save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "checkpoint" / "training.json").write_text(json.dumps(MADE))
    results = dict.fromkeys(("renders", "painted", "uncontrolled"), COUNTS)
    told = {"data": "def", "least_score": 0.3, "steps": 6, "guidance": 1.0, "seconds": 0.1, "cores": "2 CPU core(s)"}
    (tmp_path / "scores.json").write_text(json.dumps(results | told))
    for module in (ship_model, vsre.assets, spatial.shipped):
        monkeypatch.setattr(module, "ASSETS", tmp_path / "assets")
    write = ship_model._writer(tmp_path / "checkpoint")
    return write(tmp_path / "checkpoint", "tiny-depth", "configs/train/tiny-depth.yaml", tmp_path / "scores.json", "!")


def test_a_shipped_painter_is_found_by_its_name_and_whole(shipped: Path, tmp_path: Path) -> None:
    assert vsre.assets.resolve_model("tiny-depth") == str(shipped) and damaged_files(shipped) == []
    engine = load(EngineSettings(name="tiny-depth", device="cpu"))
    assert engine.provenance["weights"]["name"] == "tiny-depth" and "Apache-2.0" in engine.provenance["licence"]
    weights = shipped / "unet" / "diffusion_pytorch_model.safetensors"
    assert load_painter(shipped, torch.float16).unet.dtype == torch.float16
    assert str(tmp_path) not in "".join(path.read_text() for path in shipped.rglob("*.json"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert [line.split()[0] for line in damaged_files(shipped)] == [str(weights)]


def test_the_card_has_the_scores_with_their_intervals(shipped: Path) -> None:
    card = (shipped / "README.md").read_text()
    assert "| painted with control | 100 | 90.0 (82.6-94.5) | 80.0 (71.1-86.7) | 75.0 (65.7-82.5) | 75.0" in card
    assert "9 steps in 12 s" in card and "`def`" in card and "2 nouns" in card and "6 steps, guidance 1" in card


def test_objects_count_as_there_in_place_and_coloured() -> None:
    shades = {"red": (200, 0, 0), "blue": (0, 0, 200)}
    known = {("cup", name): np.array(shade, float) for name, shade in shades.items()}
    mask = np.zeros((20, 20), bool)
    mask[2:8, 2:8] = True
    item = ImageObject("cup", (2, 2, 8, 8), "red", encode_mask(mask))
    pixels = {name: np.where(mask[..., None], shade, 90).astype(np.uint8) for name, shade in shades.items()}
    row = ImageRow("i", encode_png(pixels["red"]), 20, 20, "render", (item,))
    here, aside, faint = (
        Detection("cup", (2, 2, 8, 9), 0.9),
        Detection("cup", (9, 9, 15, 15), 0.9),
        Detection("cup", (2, 2, 8, 8), 0.1),
    )
    cases = {
        (here, "red"): (1, 1, 1),
        (here, "blue"): (1, 1, 0),
        (aside, "red"): (1, 0, 0),
        (faint, "red"): (0, 0, 0),
    }
    for (detection, colour), expected in cases.items():
        counts = measure_painter.judge([pixels[colour]], [[detection]], [row], known)
        assert (counts["there"], counts["in_place"], counts["coloured"]) == expected
        assert counts["pictures_in_place"] == expected[1] and counts["objects"] == 1
