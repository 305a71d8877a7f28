"""Properties of towers and fusion: geometry, order, grids, pixels of any type."""

from typing import Any

import pytest
import torch

from encoders import ENCODERS, FUSIONS, VSRE_ENCODERS
from encoders.aligners import build_aligner
from encoders.configuration import FusedVisionConfig, VsreConfig
from encoders.projector import to_grid
from encoders.tower import FusedVisionModel, resize
from spatial.errors import ConfigError


@pytest.mark.parametrize("column,row", [(0, 0), (3, 0), (1, 2), (3, 3)])
def test_a_place_on_the_canvas_is_the_same_place_for_every_encoder(build: Any, column: int, row: int) -> None:
    model, processor = build(tuple(VSRE_ENCODERS))
    side, cells = model.config.vision.canvas_size, 4
    cell = side // cells
    canvas = processor.blank_canvas(1)
    canvas[:, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = 255
    seen: dict[str, torch.Tensor] = {}
    tower = model.model.vision_tower
    for name, encoder in tower.towers.items():
        encoder.register_forward_pre_hook(
            lambda _module, _args, kwargs, name=name: seen.update({name: kwargs["pixel_values"]}), with_kwargs=True
        )
    tower(canvas)
    for name, pixels in seen.items():
        assert pixels.shape[-1] == tower.plans[name].image_size
        brightness = torch.nn.functional.adaptive_avg_pool2d(pixels.mean(1), cells).flatten()
        assert brightness.argmax() == row * cells + column, name


def test_pixels_are_normalised_as_each_encoder_was_trained(build: Any) -> None:
    model, _ = build(tuple(VSRE_ENCODERS))
    white = torch.full((1, 3, 64, 64), 255, dtype=torch.uint8)
    seen: dict[str, torch.Tensor] = {}
    for name, encoder in model.model.vision_tower.towers.items():
        encoder.register_forward_pre_hook(
            lambda _module, _args, kwargs, name=name: seen.update({name: kwargs["pixel_values"]}), with_kwargs=True
        )
    model.model.vision_tower(white)
    for name, pixels in seen.items():
        expected = [(1 - mean) / std for mean, std in zip(ENCODERS[name].mean, ENCODERS[name].std, strict=True)]
        torch.testing.assert_close(pixels[0, :, 5, 5], torch.tensor(expected))


def test_pixels_may_be_bytes_or_floats(build: Any) -> None:
    model, _ = build(tuple(VSRE_ENCODERS))
    tower = model.model.vision_tower
    canvas = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    expected = tower(canvas)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):  # 0..255 is exact in all of them
        for name, feature in tower(canvas.to(dtype)).items():
            assert torch.equal(feature, expected[name])
    with pytest.raises(ValueError, match="pixel_values must be"):
        tower(canvas[0])


def test_a_low_precision_model_normalises_in_full_precision(build: Any) -> None:
    model, processor = build(("clip",))
    model.to(torch.bfloat16)
    tokens = model.get_image_features(processor.blank_canvas(1)).pooler_output[0]
    assert tokens.dtype == torch.bfloat16 and torch.isfinite(tokens).all()


def test_resizing_is_antialiased_and_clipped() -> None:
    stripes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 255
    small = resize(stripes, 16, "bicubic")
    assert small[..., 2:-2, 2:-2].std() < 12, "stripes finer than a pixel become grey instead of aliasing"
    assert small.min() >= 0 and small.max() <= 255


@pytest.mark.parametrize("fusion", list(FUSIONS))
def test_the_order_of_the_encoders_is_respected(build: Any, fusion: str) -> None:
    model, _ = build(("sam", "clip", "siglip"), fusion)
    canvas = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    features = model.model.vision_tower(canvas)
    assert list(features) == ["sam", "clip", "siglip"]
    projector = model.model.multi_modal_projector
    tokens = projector(features)
    assert torch.equal(projector(dict(reversed(features.items()))), tokens), "the order of a dict does not matter"
    if fusion == "sequence":
        normed = projector.prepared(features)
        for index, name in enumerate(features):
            part = tokens[:, 16 * index : 16 * (index + 1)]
            torch.testing.assert_close(part, projector.aligners[name](normed[name]))


def test_channel_fusion_joins_equal_grids_and_interpolates_others(build: Any) -> None:
    canvas = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    for patch, grid in ((16, 4), (8, 8)):
        model, processor = build(("clip", "sam"), "channel", sam_patch=patch)
        assert model.model.vision_tower.plans["sam"].grid == grid
        projector = model.model.multi_modal_projector
        features = model.model.vision_tower(canvas)
        normed = projector.prepared(features)
        joined = torch.cat([normed["clip"], to_grid(normed["sam"], grid, 4)], dim=-1)
        assert torch.equal(projector(features), projector.aligner(joined))
        assert processor.num_image_tokens == 16
    assert to_grid(normed["clip"], 4, 4) is normed["clip"]
    ramp = torch.arange(8.0).repeat(8, 1).reshape(1, 64, 1)  # brightness grows to the right
    columns = to_grid(ramp, 8, 4).reshape(4, 4)
    assert torch.equal(columns.argsort(1), torch.arange(4).expand(4, 4))


def test_a_tower_is_cut_at_its_feature_layer(build: Any) -> None:
    model, _ = build(("clip", "siglip", "dinov2"))
    full = model.model.vision_tower
    towers = {name: {**entry, "feature_layer": -2} for name, entry in full.config.towers.items()}
    cut = FusedVisionModel(FusedVisionConfig(encoders=full.config.encoders, towers=towers, canvas_size=64)).eval()
    missing, unexpected = cut.load_state_dict(full.state_dict(), strict=False)
    assert not missing and unexpected
    canvas = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    features = cut(canvas)
    for name, encoder in full.towers.items():
        seen: list[torch.Tensor] = []
        encoder.register_forward_pre_hook(
            lambda _module, _args, kwargs, seen=seen: seen.append(kwargs["pixel_values"]), with_kwargs=True
        )
        full(canvas)
        hidden = encoder(pixel_values=seen[0], output_hidden_states=True).hidden_states[-2]
        assert torch.equal(features[name], hidden[:, 1:] if ENCODERS[name].has_cls else hidden)


def test_a_kept_class_token_is_counted() -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    towers = {"clip": {"config": {**sizes, "intermediate_size": 32}, "keep_cls": True}}
    tower = FusedVisionModel(FusedVisionConfig(encoders=["clip"], towers=towers))
    assert tower(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))["clip"].shape == (1, 17, 16)
    assert VsreConfig(vision_config=tower.config.to_dict()).num_image_tokens == 17
    with pytest.raises(ConfigError, match="no place for the class token"):
        VsreConfig(vision_config=tower.config.to_dict(), fusion="channel")


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"encoders": ["clp"]}, "did you mean 'clip'"),
        ({"encoders": []}, "at least one"),
        ({"encoders": ["clip", "clip"]}, "each encoder once"),
        ({"encoders": ["siglip"], "towers": {"siglip": {"keep_cls": True}}}, "no class token"),
        ({"encoders": ["sam"], "towers": {"sam": {"feature_layer": -2}}}, "after its neck"),
        ({"encoders": ["clip"], "towers": {"clip": {"feature_layer": -40}}}, "12 layers"),
        ({"encoders": ["clip"], "towers": {"clip": {"feature": -2}}}, "did you mean 'feature_layer'"),
        (
            {"encoders": ["clip"], "towers": {"clip": {"config": {"hidden_size": 20}}}},
            "size .20. is not a multiple",
        ),
        ({"encoders": ["sam"], "towers": {"sam": {"image_size": 512}}}, "1024 pixels only"),
        ({"encoders": ["clip"], "towers": {"clip": {"image_size": 8}}}, "less than one patch"),
        ({"encoders": ["clip"], "towers": {"clip": {"mean": [0.5, 0.5]}}}, "three means"),
        ({"encoders": ["clip"], "towers": {"clip": {"std": [0.5, 0.5, 0]}}}, "positive deviations"),
        ({"canvas_size": -5}, "in pixels"),
    ],
)
def test_settings_that_cannot_work_say_so(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FusedVisionConfig(**settings)


def test_unknown_fusion_and_aligner_say_so() -> None:
    with pytest.raises(ConfigError, match="did you mean 'sequence'"):
        VsreConfig(fusion="sequense")
    with pytest.raises(ConfigError, match="mlp2x_gelu"):
        build_aligner("mlp", 4, 4)
    assert len(build_aligner("mlp3x_gelu", 4, 8)) == 5 and len(build_aligner("linear", 4, 8)) == 1


@pytest.mark.parametrize("name", ["siglip", "dinov2", "clip", "siglip2_naflex", "dinov2_registers", "dinov3"])
def test_an_input_of_broken_patches_still_shows_the_whole_canvas(name: str) -> None:
    """SigLIP so400m/14-384 has 27.43 patches a side: 384 pixels would hide the last six, and shift every place."""
    torch.manual_seed(0)  # of some weights, the change that attention carries elsewhere is the largest
    patch, own = 6, 20  # 3 patches and a third
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": patch}
    sizes |= {"num_patches": 9} if name == "siglip2_naflex" else {"image_size": own}
    towers = {name: {"config": sizes, "image_size": own}}
    tower = FusedVisionModel(FusedVisionConfig(encoders=[name], towers=towers, canvas_size=60))
    assert (tower.plans[name].image_size, tower.plans[name].grid) == (18, 3)
    canvas = torch.full((1, 3, 60, 60), 90, dtype=torch.uint8)
    for row in range(3):
        for column in range(3):
            marked = canvas.clone()
            marked[:, :, 20 * row : 20 * row + 20, 20 * column : 20 * column + 20] = 255
            change = (tower(marked)[name] - tower(canvas)[name]).norm(dim=-1)[0]
            assert int(change.argmax()) == 3 * row + column
    edge = canvas.clone()
    edge[..., -1] = 255
    assert not torch.equal(tower(edge)[name], tower(canvas)[name]), "the last column of pixels is seen"
