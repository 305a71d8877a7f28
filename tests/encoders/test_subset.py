"""Encoders left out of a trained model: the rest computes what the whole computed without them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from encoders.build import build_model, planned_config
from encoders.config import BuildConfig
from encoders.load import load_model
from spatial.errors import ConfigError

ALL = ["clip", "siglip", "dinov2", "sam"]
SUBSETS = [["clip"], ["sam"], ["siglip", "dinov2"], ["sam", "clip", "siglip"]]


@pytest.fixture
def whole(build: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """A function that saves a model of all four encoders with drawn values where it starts with zeros and ones."""

    def make(fusion: str) -> Path:
        model, processor = build(ALL, fusion)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.model.multi_modal_projector.parameters():
                if parameter.ndim == 1:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator))
        model.save_pretrained(tmp_path / fusion)
        processor.save_pretrained(tmp_path / fusion)
        return tmp_path / fusion

    return make


def features_of(model: Any, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    plans = model.config.vision.plans()
    return {name: torch.randn(2, plan.tokens, plan.width, generator=generator) for name, plan in plans.items()}


@pytest.mark.parametrize("fusion", ["channel", "add"])
@pytest.mark.parametrize("kept", SUBSETS, ids="-".join)
def test_on_one_grid_a_subset_is_the_model_with_the_others_blank(
    whole: Callable[..., Path], tmp_path: Path, fusion: str, kept: list[str]
) -> None:
    base = whole(fusion)
    out = build_model(BuildConfig(out=str(tmp_path / "cut"), base=str(base), encoders=kept))
    (model, _), (cut, processor) = load_model(base), load_model(out)
    features = features_of(model)
    blanked = {name: value if name in kept else torch.zeros_like(value) for name, value in features.items()}
    expected = model.model.multi_modal_projector(blanked)
    found = cut.model.multi_modal_projector({name: features[name] for name in kept})
    assert torch.allclose(expected, found, atol=1e-5)
    assert processor.num_image_tokens == cut.config.num_image_tokens == found.shape[1]
    assert list(cut.config.vision.plans()) == kept
    planned = planned_config(BuildConfig(base=str(base), encoders=kept))
    assert planned.branches().keys() == cut.config.branches().keys()
    assert planned.num_image_tokens == cut.config.num_image_tokens


@pytest.mark.parametrize("kept", SUBSETS, ids="-".join)
def test_in_sequence_the_tokens_of_the_others_are_gone(
    whole: Callable[..., Path], tmp_path: Path, kept: list[str]
) -> None:
    base = whole("sequence")
    out = build_model(BuildConfig(out=str(tmp_path / "cut"), base=str(base), encoders=kept))
    (model, _), (cut, _) = load_model(base), load_model(out)
    features = features_of(model)
    tokens = dict(zip(ALL, model.model.multi_modal_projector(features).split(16, dim=1), strict=True))
    found = cut.model.multi_modal_projector({name: features[name] for name in kept})
    assert torch.equal(found, torch.cat([tokens[name] for name in kept], dim=1))


@pytest.mark.parametrize("fusion", ["sequence", "channel", "interleave", "add", "resampler"])
def test_language_model_and_towers_are_the_same_tensors(
    whole: Callable[..., Path], tmp_path: Path, fusion: str
) -> None:
    base = whole(fusion)
    out = build_model(BuildConfig(out=str(tmp_path / "cut"), base=str(base), encoders=["siglip", "sam"]))
    before, after = load_model(base)[0].state_dict(), load_model(out)[0].state_dict()
    shared = [name for name in after if "multi_modal_projector.aligner" not in name]
    assert all(torch.equal(before[name], after[name]) for name in shared)
    assert not any("towers.clip" in name or "towers.dinov2" in name for name in after)


def test_what_the_base_has_seen_goes_with_it_and_building_again_does_nothing(
    whole: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = whole("channel")
    seen = {"photos": True, "targets": ["zeroshot"], "pixels": [], "concepts": {}}
    (base / "training.json").write_text(json.dumps({"exposure": seen, "steps": 3}))
    config = BuildConfig(out=str(tmp_path / "cut"), base=str(base), encoders=["clip"])
    out = build_model(config)
    assert json.loads((out / "training.json").read_text()) == {"exposure": seen}
    build_model(config)
    assert "already holds this build" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"encoders": ["dinov3"]}, "the base has no encoder 'dinov3'.*dinov2"),
        ({"encoders": []}, "no encoder would be left"),
        ({"encoders": ["clip"], "fusion": "channel"}, "which decides 'fusion'"),
        ({"encoders": ["clip"], "layer_norm": False}, "which decides 'layer_norm'"),
    ],
)
def test_what_cannot_be_cut_is_refused(
    whole: Callable[..., Path], tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        build_model(BuildConfig(out=str(tmp_path / "cut"), base=str(whole("add")), **settings))
