"""What a key is made of: whole weights, settings, and a version of the code that makes pixels."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import Siglip2VisionModel

from encoders import cache_key
from encoders.cache_key import FeatureKey, difference, feature_keys, weights_hash
from encoders.configuration import FusedVisionConfig
from encoders.processing import VsreImageProcessor
from encoders.tower import FusedVisionModel
from spatial.errors import ConfigError
from tests.encoders.tiny_towers import TINY

SIDE = 64


def key_of(build: Any) -> FeatureKey:
    model, processor = build(("clip",))
    return feature_keys(model.model.vision_tower, processor.image_processor)["clip"]


def emptied(module: torch.nn.Module) -> None:
    """Leave of a module's parameters what ZeRO-3 leaves of them outside of forward."""
    for number, parameter in enumerate(module.parameters()):
        parameter.ds_id = number
        parameter.data = torch.empty(0)


def test_weights_that_are_split_over_processes_are_never_hashed(build: Any) -> None:
    model, processor = build(("clip", "sam"))
    towers = model.model.vision_tower
    whole = weights_hash(towers.towers["sam"])
    for parameter in towers.towers["sam"].parameters():
        parameter.ds_id = 0
    assert weights_hash(towers.towers["sam"]) == whole, "gathered weights are whole"
    emptied(towers.towers["sam"])
    for refused in (
        lambda: weights_hash(towers.towers["sam"]),
        lambda: feature_keys(towers, processor.image_processor),
    ):
        with pytest.raises(ConfigError, match=r"ZeRO-3.* set zero_optimization\.stage to 2") as caught:
            refused()
        assert "\n" not in str(caught.value)


def test_one_split_parameter_is_enough_to_refuse(build: Any) -> None:
    """ZeRO-3 leaves small parameters whole; models that differ in the others would share a hash."""
    tower = build(("clip",))[0].model.vision_tower.towers["clip"]
    *_, last = tower.parameters()
    last.ds_id, last.data = 7, torch.empty(0)
    with pytest.raises(ConfigError, match="ZeRO-3"):
        weights_hash(tower)


@pytest.mark.parametrize("empty", [{}, [], None])
def test_a_setting_without_a_value_is_a_difference_too(build: Any, empty: Any) -> None:
    key = key_of(build)
    held = json.loads(json.dumps(asdict(key)))
    assert difference(held, key) == ""
    held["revision"]["config"]["added"] = empty
    assert difference(held, key) == f"revision.config.added {empty}, not nothing"
    assert difference({"dtype": key.dtype}, key).endswith("not clip"), "a file that says next to nothing"


def test_the_version_of_the_pixels_is_part_of_the_key(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(build)
    monkeypatch.setattr(cache_key, "PIXELS_VERSION", cache_key.PIXELS_VERSION + 1)
    after = key_of(build)
    assert before.folder != after.folder
    assert difference(asdict(before), after) == "preprocessing.version 1, not 2"


GOLDEN: dict[str, dict[str, list[float]]] = {
    "pad": {
        "clip": [0.245666, -1.63332, -0.011255, 0.435979, -0.720356, -0.001333, 0.15711, 0.723678, 0.309783],
        "dinov2": [0.362139, -1.644859, -0.028684, 0.017753, -1.420225, 0.008192, -0.181635, -0.247513, 0.305967],
        "sam": [-0.593801, -1.501413, -0.028684, 0.257703, 0.695378, 0.008192, 0.513639, 1.838257, 0.566642],
        "siglip2_naflex": [-0.09951, -0.090196, 0.096078, 0.189583, 0.016176, 0.180147, -0.090196, -0.090196, 0.155226],
    },
    "crop": {
        "clip": [0.206461, -0.76511, -0.319285, 0.351204, -0.674471, 1.359619, 0.830217, -0.301787, 0.574868],
        "dinov2": [0.379442, -0.562873, 0.001642, -0.121625, 1.084113, 1.316625, -0.491891, 1.60583, 0.560392],
        "sam": [-0.33693, 0.159688, -0.696549, 0.152661, -0.967787, 1.541961, 0.91451, -0.863268, 0.981183],
        "siglip2_naflex": [-0.474755, 0.3125, 0.181373, 0.186152, -0.118627, 0.535662, 0.079902, -0.215441, 0.247869],
    },
}
"""Of version 1: nine numbers of what each tower is fed, by the mode of the canvas."""


@pytest.mark.parametrize("mode", ["pad", "crop"])
def test_pixels_are_those_of_their_version(mode: str) -> None:
    found = {name: fingerprint(pixels) for name, pixels in fed(mode).items()}
    for name, expected in GOLDEN[mode].items():
        assert found[name] == pytest.approx(expected, abs=1e-4), (
            f"encoder {name!r} is fed other pixels than features in caches were computed from: raise PIXELS_VERSION in"
            f" encoders/cache_key.py, so that they are not used, and put the new numbers here: {found[name]}"
        )


def fed(mode: str) -> dict[str, Tensor]:
    """Return what towers get of a small picture: canvas, resizing both ways, normalisation, flattened patches."""
    names = ["clip", "dinov2", "sam", "siglip2_naflex"]
    towers = {name: {"config": TINY[name]} for name in names}
    towers["siglip2_naflex"]["image_size"] = 32
    towers["dinov2"]["resample"] = "bilinear"
    vision = FusedVisionModel(FusedVisionConfig(encoders=names, towers=towers, canvas_size=SIDE)).eval()
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _args, kwargs: seen.update({name: kwargs["pixel_values"]})

    for name, tower in vision.towers.items():
        tower.register_forward_pre_hook(keep(name), with_kwargs=True)
    processor = VsreImageProcessor(size={"height": SIDE, "width": SIDE}, mode=mode)
    y, x, channel = np.indices((60, 90, 3))
    picture = Image.fromarray(((x * (7 + channel) + y * y * 3 + 40 * channel) % 256).astype(np.uint8))
    vision(processor(images=picture, return_tensors="pt")["pixel_values"])
    assert isinstance(vision.towers["siglip2_naflex"], Siglip2VisionModel)
    return seen


def fingerprint(pixels: Tensor) -> list[float]:
    """Return eight values, spread over all, and the mean of the absolute values."""
    flat = pixels.flatten().double()
    places = torch.linspace(0.1, 0.9, 8).mul(len(flat)).long()
    return [round(float(value), 6) for value in [*flat[places], flat.abs().mean()]]
