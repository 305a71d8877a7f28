"""With ``encoders`` named, stage "align" trains their part of the projector and nothing else, and runs only them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from encoders.cache_build import cache_features
from encoders.config import CacheFeaturesConfig
from encoders.load import load_model
from encoders.parameters import PROJECTOR
from spatial.errors import ConfigError
from tests.training.conftest import WORDS
from training.config import LoraSettings, TrainConfig
from training.run import check, train
from training.stages import prepare_stage


@pytest.fixture(scope="session")
def models(make_model: Callable[[str, list[str]], Path]) -> dict[str, Path]:
    """A model for each fusion that has a part per encoder."""
    return {fusion: make_model(fusion, WORDS) for fusion in ("sequence", "interleave", "add", "resampler")}


def changed(before: Path, after: Path) -> set[str]:
    old, new = load_model(before)[0].state_dict(), load_model(after)[0].state_dict()
    return {name for name in old if not torch.equal(old[name], new[name])}


@pytest.mark.parametrize(
    "fusion", ["sequence", *(pytest.param(name, marks=pytest.mark.slow) for name in ("interleave", "add", "resampler"))]
)
def test_parts_of_other_encoders_stay_as_they_are(config: TrainConfig, models: dict[str, Path], fusion: str) -> None:
    trainer = config.trainer | {"max_steps": 2, "weight_decay": 0.1}
    out = train(replace(config, model=str(models[fusion]), stage="align", encoders=["dinov2"], trainer=trainer))
    names = changed(models[fusion], out)
    assert any(".dinov2." in name for name in names)
    assert all(PROJECTOR in name and "clip" not in name for name in names)
    shared = {name for name in names if "dinov2" not in name}
    assert bool(shared) == (fusion == "resampler")  # its layers serve all encoders


def test_only_named_encoders_run_while_training(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = prepare_stage(load_model(models["sequence"])[0], "align", LoraSettings(), ["clip"])
    tower = model.model.vision_tower
    encode, ran = tower._encode, list[str]()

    def noted(name: str, pixels: torch.Tensor) -> Any:
        ran.append(name)
        return encode(name, pixels)

    monkeypatch.setattr(tower, "_encode", noted)
    pixels = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    model.train().get_image_features(pixels)
    assert ran == ["clip"]
    model.eval().get_image_features(pixels)
    assert ran == ["clip", "clip", "dinov2"]  # what is scored is the whole model


@pytest.mark.slow
def test_features_of_other_encoders_need_not_be_cached(
    config: TrainConfig, models: dict[str, Path], tmp_path: Path
) -> None:
    model = str(models["sequence"])
    trainer = config.trainer | {"per_device_train_batch_size": 1, "max_steps": 3}
    aligned = replace(config, model=model, stage="align", encoders=["clip"], trainer=trainer)
    plain = train(replace(aligned, out=str(tmp_path / "plain")))
    features = tmp_path / "features"
    cache_features(CacheFeaturesConfig(model, list(config.data), str(features), ["clip"], "float32", 1, "cpu"))
    cached = train(replace(aligned, out=str(tmp_path / "cached"), features=str(features)))
    assert not list(features.glob("dinov2-*"))
    assert (cached / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"stage": "align", "encoders": ["clp"]}, r"'encoders' names 'clp', but the model has clip, dinov2; did you"),
        ({"stage": "full", "encoders": ["clip"]}, "remove it from stage 'full'"),
        ({"stage": "align", "encoders": ["clip"]}, "fusion 'channel' has one aligner for all encoders"),
    ],
)
def test_what_cannot_be_aligned_by_itself_is_refused(
    config: TrainConfig, settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        check(replace(config, **settings))
