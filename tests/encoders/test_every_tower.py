"""Each encoder of the registry at tiny size, against its Transformers class called directly."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from encoders import ENCODERS
from encoders.configuration import FusedVisionConfig
from encoders.tower import FusedVisionModel, flatten_patches, normalise, resize
from spatial.errors import ConfigError
from tests.encoders.tiny_towers import TINY, randomise

OTHER_SIZE = {"clip": 48, "siglip": 50, "dinov2": 42, "siglip2_naflex": 48, "dinov2_registers": 35, "dinov3": 48}
EVERY_SIZE = [(name, 0) for name in ENCODERS] + list(OTHER_SIZE.items())


def fused(name: str, **entry: Any) -> FusedVisionModel:
    """Return a fused tower of one encoder with random weights that are not zero anywhere."""
    torch.manual_seed(0)
    model = FusedVisionModel(FusedVisionConfig(encoders=[name], towers={name: {"config": TINY[name], **entry}}))
    return randomise(model).eval()


def canvas(side: int = 56, images: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (images, 3, side, side), generator=generator, dtype=torch.uint8)


def called_directly(model: FusedVisionModel, name: str, pixels: Tensor, layer: int) -> Tensor:
    """Return all tokens of a hidden state [B, tokens, C] of the uncut class with the same weights."""
    encoder, plan = ENCODERS[name], model.plans[name]
    config = getattr(transformers, encoder.config_class)(**TINY[name])
    whole = randomise(getattr(transformers, encoder.model_class)(config)).eval()
    _, unexpected = whole.load_state_dict(model.towers[name].state_dict(), strict=False)
    assert not unexpected
    if name == "siglip2_naflex":
        processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=plan.grid**2, do_resize=False)
        pictures = [np.asarray(picture.permute(1, 2, 0)) for picture in pixels.to(torch.uint8)]
        inputs = dict(processor(pictures, return_tensors="pt"))
    else:
        inputs = {"pixel_values": normalise(pixels, plan)}
        if name in ("clip", "siglip"):
            inputs["interpolate_pos_encoding"] = True
    output = whole(**inputs, output_hidden_states=True)
    if name == "sam":
        return output.last_hidden_state.flatten(2).transpose(1, 2)
    return output.hidden_states[layer]


@pytest.mark.parametrize("layer", [-1, -2, 1])
@pytest.mark.parametrize("name,size", EVERY_SIZE)
@torch.no_grad()
def test_features_are_those_of_the_class_called_directly(name: str, size: int, layer: int) -> None:
    if name == "sam" and layer != -1:
        pytest.skip("SAM has features only after its neck")
    keep_cls = ENCODERS[name].has_cls
    entry = {"feature_layer": layer, "image_size": size}
    model = fused(name, **entry)
    plan = model.plans[name]
    patch = plan.config.patch_size
    assert size // patch * patch in (0, plan.image_size) and plan.image_size == plan.grid * patch
    pixels = resize(canvas(), plan.image_size, plan.resample).round()
    expected = called_directly(model, name, pixels, layer)
    patches = model(pixels)[name]
    assert patches.shape == (2, plan.grid**2, plan.width)
    torch.testing.assert_close(patches, expected[:, -(plan.grid**2) :], atol=1e-5, rtol=1e-5)
    if keep_cls:
        with_cls = fused(name, **entry, keep_cls=True)(pixels)[name]
        torch.testing.assert_close(with_cls[:, 1:], patches, atol=0, rtol=0)
        torch.testing.assert_close(with_cls[:, 0], expected[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_every_parameter_is_used_also_under_checkpointing(name: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = fused(name)
        model.train_towers(True)
        if checkpointing:
            model.activation_checkpointing_enable()
        model.train()
        model(canvas())[name].square().sum().backward()
        unused = [path for path, parameter in model.named_parameters() if parameter.grad is None]
        assert not unused
        gradients.append([parameter.grad for parameter in model.parameters()])
    checkpointed = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    assert len(checkpointed) == 2 and all(layer.gradient_checkpointing for layer in checkpointed)
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_no_layer_is_split_over_devices(name: str) -> None:
    model = fused(name)
    kept_whole = set(model._no_split_modules)
    assert {type(m).__name__ for m in model.modules() if isinstance(m, GradientCheckpointingLayer)} <= kept_whole
    own = getattr(transformers, ENCODERS[name].model_class)._no_split_modules
    present = {type(module).__name__ for module in model.modules()}
    assert set(own) & present <= kept_whole


@pytest.mark.parametrize("name", list(ENCODERS))
@torch.no_grad()
def test_a_saved_tower_comes_back_bit_equal(name: str, tmp_path: Path) -> None:
    model = fused(name)
    model.save_pretrained(tmp_path)
    loaded, info = FusedVisionModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert torch.equal(loaded(canvas())[name], model(canvas())[name])
    low = FusedVisionModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in low.parameters()} == {torch.bfloat16}
    features = low(canvas())[name]
    assert features.dtype == torch.bfloat16
    scale = model(canvas())[name].std()
    assert (features.float() - model(canvas())[name]).abs().mean() < 0.05 * scale


@pytest.mark.parametrize("name,size", EVERY_SIZE)
@torch.no_grad()
def test_towers_are_built_on_meta_and_in_half_precision(name: str, size: int) -> None:
    config = FusedVisionConfig(encoders=[name], towers={name: {"config": TINY[name], "image_size": size}})
    with torch.device("meta"):
        model = FusedVisionModel(deepcopy(config))
        features = model(torch.zeros(2, 3, 56, 56, dtype=torch.uint8))[name]
    plan = config.plan(name)
    assert features.is_meta and features.shape == (2, plan.tokens, plan.width)
    half = FusedVisionModel._from_config(deepcopy(config), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert torch.isfinite(half(canvas())[name]).all()


def test_flat_patches_are_those_of_the_image_processor() -> None:
    picture = canvas(48, images=1)
    processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=36)
    expected = processor(np.asarray(picture[0].permute(1, 2, 0)), return_tensors="pt")
    assert expected["spatial_shapes"].tolist() == [[6, 6]] and expected["pixel_attention_mask"].all()
    ours = flatten_patches((picture / 255 - 0.5) / 0.5, 8)
    torch.testing.assert_close(ours, expected["pixel_values"], atol=1e-6, rtol=0)


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="64 pixels only"):
        fused("sam", image_size=32)


def test_positions_of_dinov3_stay_exact_in_half_precision(tmp_path: Path) -> None:
    model = fused("dinov3")
    model.save_pretrained(tmp_path)
    low = FusedVisionModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    rope: nn.Module = low.towers["dinov3"].rope_embeddings
    assert torch.equal(rope.inv_freq, model.towers["dinov3"].rope_embeddings.inv_freq)
