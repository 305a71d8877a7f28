"""An adapter of a shipped model is shipped as one: found by name, loaded on its base, with a card of its scores."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import spatial.shipped
import vsre.assets
from encoders.load import load_model
from scripts import ship_model
from spatial.shipped import damaged_files

SCORE = {"n": 80, "accuracy": 0.75, "ci95": [0.65, 0.8]}
PLAIN: dict[str, Any] = {
    "decoder": "greedy",
    "image_mode": "image",
    "pairs": 40,
    "pair_accuracy": 0.6,
    "pair_ci95": [0.5, 0.7],
    "per_topic": {"relation": SCORE},
    "per_relation": {"facing": SCORE},
}


@pytest.fixture
def tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped adapter as a checkpoint that was just tuned, among assets of which only the base is there."""
    assets, checkpoint = tmp_path / "assets", tmp_path / "checkpoints" / "mine"
    shutil.copytree(spatial.shipped.ASSETS / "tiny-base", assets / "tiny-base")
    shutil.copytree(spatial.shipped.ASSETS / "tiny-expert", checkpoint)
    adapter = json.loads((checkpoint / "adapter_config.json").read_text())
    named = adapter | {"base_model_name_or_path": "../../assets/tiny-base"}
    (checkpoint / "adapter_config.json").write_text(json.dumps(named))
    made = {"config": {"seed": 3}, "steps": 9, "seconds": 12.0, "processes": 2, "data": {"d": "abc"}, "versions": {}}
    (checkpoint / "training.json").write_text(json.dumps(made))
    (tmp_path / "results.json").write_text(json.dumps({"scores": [PLAIN], "config": {"templates": ["question"]}}))
    for module in (ship_model, vsre.assets, spatial.shipped):
        monkeypatch.setattr(module, "ASSETS", assets)
    return checkpoint


def test_an_adapter_is_shipped_with_the_weights_that_were_tuned(tuned: Path, tmp_path: Path) -> None:
    out = ship_model._writer(tuned)(tuned, "mine", "configs/train/mine.yaml", tmp_path, "A note.")
    assert vsre.assets.resolve_model("mine") == str(out) and damaged_files(out) == []
    assert str(tmp_path) not in (out / "adapter_config.json").read_text()
    ours, theirs = (load_model(path, torch.float32)[0].state_dict() for path in (out, tuned))
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())
    card = (out / "README.md").read_text()
    assert "An adapter of `tiny-base`" in card and "| facing | 80 | 75.0 (65.0-80.0) |" in card
    assert "9 steps in 12 s" in card and "60.0 % (50.0-70.0)" in card and "A note." in card


def test_an_adapter_of_a_model_that_is_not_shipped_is_refused(tuned: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "assets" / "tiny-base", tmp_path / "elsewhere")
    (tmp_path / "assets").mkdir(exist_ok=True)
    adapter = json.loads((tuned / "adapter_config.json").read_text())
    named = adapter | {"base_model_name_or_path": str(tmp_path / "elsewhere")}
    (tuned / "adapter_config.json").write_text(json.dumps(named))
    with pytest.raises(SystemExit, match="not shipped; merge it with 'vsre merge'"):
        ship_model._writer(tuned)(tuned, "mine", "", tmp_path, "")
