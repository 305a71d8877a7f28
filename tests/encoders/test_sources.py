"""Towers from checkpoints: every layout on disk gives the features of the class that wrote it, or one clear line."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from encoders import ENCODERS
from encoders.configuration import FusedVisionConfig
from encoders.sources import TowerSource, describe, read_tower
from encoders.tower import FusedVisionModel, normalise, resize
from spatial.errors import CheckpointError, ConfigError, UserError
from tests.encoders.tiny_towers import TINY, randomise

TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20}
SAM_PARTS = {
    "prompt_encoder_config": {"hidden_size": 24, "image_size": 64, "patch_size": 16, "mask_input_channels": 8},
    "mask_decoder_config": {"hidden_size": 24, "mlp_dim": 8, "num_attention_heads": 2, "iou_head_hidden_dim": 8},
}
LLAMA = {**TEXT, "model_type": "llama", "num_key_value_heads": 2}
CLIP_IN_LLAVA = {**TINY["clip"], "model_type": "clip_vision_model"}

Write = Callable[[Path], Any]


def _write(model_class: str, config_class: str, **config: Any) -> Write:
    def write(folder: Path) -> Any:
        torch.manual_seed(3)
        model = randomise(getattr(transformers, model_class)(getattr(transformers, config_class)(**config)))
        model.eval().save_pretrained(folder)
        return model

    return write


LAYOUTS: dict[str, tuple[str, Write]] = {
    "CLIPModel": ("clip", _write("CLIPModel", "CLIPConfig", vision_config=TINY["clip"], text_config=TEXT)),
    "CLIPVisionModel": ("clip", _write("CLIPVisionModel", "CLIPVisionConfig", **TINY["clip"])),
    "CLIPVisionModelWithProjection": (
        "clip",
        _write("CLIPVisionModelWithProjection", "CLIPVisionConfig", **TINY["clip"]),
    ),
    "LLaVA": (
        "clip",
        _write(
            "LlavaForConditionalGeneration",
            "LlavaConfig",
            vision_config=CLIP_IN_LLAVA,
            text_config=LLAMA,
            image_token_index=19,
        ),
    ),
    "SiglipModel": ("siglip", _write("SiglipModel", "SiglipConfig", vision_config=TINY["siglip"], text_config=TEXT)),
    "SiglipVisionModel": ("siglip", _write("SiglipVisionModel", "SiglipVisionConfig", **TINY["siglip"])),
    "Siglip2Model": (
        "siglip2_naflex",
        _write("Siglip2Model", "Siglip2Config", vision_config=TINY["siglip2_naflex"], text_config=TEXT),
    ),
    "Siglip2VisionModel": (
        "siglip2_naflex",
        _write("Siglip2VisionModel", "Siglip2VisionConfig", **TINY["siglip2_naflex"]),
    ),
    "Dinov2Model": ("dinov2", _write("Dinov2Model", "Dinov2Config", **TINY["dinov2"])),
    "Dinov2Model, SwiGLU": ("dinov2", _write("Dinov2Model", "Dinov2Config", **TINY["dinov2"], use_swiglu_ffn=True)),
    "Dinov2ForImageClassification": (
        "dinov2",
        _write("Dinov2ForImageClassification", "Dinov2Config", **TINY["dinov2"]),
    ),
    "Dinov2WithRegistersModel": (
        "dinov2_registers",
        _write("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", **TINY["dinov2_registers"]),
    ),
    "DINOv3ViTModel": ("dinov3", _write("DINOv3ViTModel", "DINOv3ViTConfig", **TINY["dinov3"])),
    "DINOv3ViTModel, gated": (
        "dinov3",
        _write("DINOv3ViTModel", "DINOv3ViTConfig", **TINY["dinov3"], use_gated_mlp=True),
    ),
    "SamModel": ("sam", _write("SamModel", "SamConfig", vision_config=TINY["sam"], **SAM_PARTS)),
    "SamVisionModel": ("sam", _write("SamVisionModel", "SamVisionConfig", **TINY["sam"])),
}


def canvas() -> Tensor:
    return torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def built(source: TowerSource) -> FusedVisionModel:
    """Return a tower that holds the weights of a source, as ``build-model`` would make it."""
    model = FusedVisionModel(FusedVisionConfig(encoders=[source.name], towers={source.name: source.entry}))
    model.towers[source.name].load_state_dict(source.weights, strict=True)
    return model.eval()


def vision_part(model: Any) -> Any:
    """Return the part of a Transformers model that gives the hidden states of its vision encoder."""
    for path in ("model.vision_tower", "vision_model", "dinov2", "vision_encoder"):
        try:
            return model.get_submodule(path)
        except AttributeError:
            continue
    return model


def expected_features(model: Any, name: str, fused: FusedVisionModel, layer: int) -> Tensor:
    plan = fused.plans[name]
    pixels = normalise(resize(canvas(), plan.image_size, plan.resample), plan)
    if name == "siglip2_naflex":
        flat = pixels.unflatten(3, (plan.grid, -1)).unflatten(2, (plan.grid, -1)).permute(0, 2, 4, 3, 5, 1)
        inputs = {
            "pixel_values": flat.reshape(2, plan.grid**2, -1),
            "pixel_attention_mask": torch.ones(2, plan.grid**2, dtype=torch.long),
            "spatial_shapes": torch.tensor([[plan.grid, plan.grid]] * 2),
        }
    else:
        inputs = {"pixel_values": pixels}
    output = vision_part(model)(**inputs, output_hidden_states=True)
    if name == "sam":
        return output.last_hidden_state.flatten(2).transpose(1, 2)
    return output.hidden_states[layer][:, -(plan.grid**2) :]


RARE = {"CLIPVisionModelWithProjection", "Dinov2Model, SwiGLU", "Dinov2ForImageClassification", "DINOv3ViTModel, gated"}


@pytest.mark.parametrize(
    "layout", [pytest.param(layout, marks=[pytest.mark.slow] * (layout in RARE)) for layout in LAYOUTS]
)
@torch.no_grad()
def test_every_layout_gives_the_features_of_the_class_that_wrote_it(layout: str, tmp_path: Path) -> None:
    name, write = LAYOUTS[layout]
    model = write(tmp_path)
    for layer, dtype in ((-1, None),) if name == "sam" else ((-1, None), (-2, torch.float32)):
        source = read_tower(tmp_path, feature_layer=layer, dtype=dtype)
        assert source.name == name and source.origin == tmp_path.name
        json.dumps(source.entry)
        fused = built(source)
        features = fused(canvas())[name]
        expected = expected_features(model, name, fused, layer)
        torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)


OLDER_NAMES: list[tuple[str, str, str]] = [
    # Layout, prefix that Transformers writes today, prefix that published files have.
    ("CLIPModel", "vision_model.", "vision_model."),
    ("CLIPVisionModel", "", "vision_model."),
    ("LLaVA", "vision_tower.", "vision_tower.vision_model."),
    ("LLaVA", "vision_tower.", "model.vision_tower."),
    ("SiglipModel", "vision_model.", "vision_model."),
    ("SiglipVisionModel", "", "vision_model."),
    ("Siglip2VisionModel", "", "vision_model."),
    ("Dinov2ForImageClassification", "dinov2.", ""),
    ("DINOv3ViTModel", "layer.", "model.layer."),
    ("SamVisionModel", "vision_encoder.", "vision_encoder."),
]


@pytest.mark.parametrize("layout,today,published", OLDER_NAMES)
def test_names_of_every_release_are_known(layout: str, today: str, published: str, tmp_path: Path) -> None:
    LAYOUTS[layout][1](tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    assert any(key.startswith(today) for key in weights)
    expected = read_tower(tmp_path).weights
    renamed = {
        published + key.removeprefix(today) if key.startswith(today) else key: tensor for key, tensor in weights.items()
    }
    torch.save(renamed, tmp_path / "pytorch_model.bin")  # the format before safetensors
    (tmp_path / "model.safetensors").unlink()
    again = read_tower(tmp_path).weights
    assert again.keys() == expected.keys() and all(torch.equal(again[key], expected[key]) for key in expected)


@torch.no_grad()
def test_shards_and_half_precision_are_read(tmp_path: Path) -> None:
    model = LAYOUTS["CLIPModel"][1](tmp_path / "whole")
    model.half().save_pretrained(tmp_path / "shards", max_shard_size="4KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    source = read_tower(tmp_path / "shards")
    assert {tensor.dtype for tensor in source.weights.values()} == {torch.float16}
    whole = read_tower(tmp_path / "whole", dtype=torch.float16)
    assert {tensor.dtype for tensor in whole.weights.values()} == {torch.float16}
    assert all(torch.equal(source.weights[key], whole.weights[key]) for key in whole.weights)


PROCESSORS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "CLIPModel",
        {
            "crop_size": 40,
            "do_center_crop": True,
            "size": 48,
            "resample": 3,
            "image_mean": [0.1] * 3,
            "image_std": [0.2] * 3,
        },
        {"image_size": 40, "resample": "bicubic", "mean": [0.1] * 3, "std": [0.2] * 3},
    ),
    (
        "Dinov2Model",
        {
            "crop_size": {"height": 21, "width": 21},
            "do_center_crop": True,
            "size": {"shortest_edge": 28},
            "resample": 3,
        },
        {"image_size": 21, "resample": "bicubic", "mean": list(ENCODERS["dinov2"].mean)},
    ),
    (
        "SiglipModel",
        {"size": {"height": 40, "width": 40}, "resample": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        {"image_size": 40, "resample": "bilinear", "mean": [0.5] * 3},
    ),
    (
        "DINOv3ViTModel",
        {"crop_size": None, "do_center_crop": None, "size": {"height": 24, "width": 24}, "resample": 2},
        {"image_size": 24, "resample": "bilinear"},
    ),
    ("SamModel", {"size": {"longest_edge": 1024}, "resample": 2}, {"image_size": 64, "resample": "bilinear"}),
    ("Siglip2Model", {"max_num_patches": 30, "patch_size": 8, "resample": 2}, {"image_size": 40}),
    ("CLIPModel", {"do_normalize": False, "size": {"shortest_edge": 32}}, {"mean": [0.0] * 3, "std": [1.0] * 3}),
    ("CLIPModel", {}, {"image_size": 32, "resample": "bicubic", "mean": list(ENCODERS["clip"].mean)}),
]


@pytest.mark.parametrize("layout,settings,expected", PROCESSORS)
def test_the_checkpoints_image_processor_decides(
    layout: str, settings: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    LAYOUTS[layout][1](tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    entry, pixels = read_tower(tmp_path).entry, describe(tmp_path).pixels
    assert {key: entry[key] for key in expected} == expected
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    assert describe(tmp_path).pixels == pixels, "newer releases keep it in processor_config.json"


def test_what_is_asked_goes_before_what_the_checkpoint_says(tmp_path: Path) -> None:
    LAYOUTS["Dinov2Model"][1](tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"crop_size": 21, "image_mean": [0.1] * 3}))
    source = read_tower(tmp_path, "dinov2", feature_layer=1, keep_cls=True, image_size=35)
    assert source.entry["image_size"] == 35 and source.entry["feature_layer"] == 1
    assert built(source)(canvas())["dinov2"].shape == (2, 26, 16)
    assert not any("layer.1." in key for key in source.weights)


def test_a_hub_id_is_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "models--someone--dino"
    LAYOUTS["Dinov2Model"][1](repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    source = read_tower("someone/dino")
    assert source.origin == "someone/dino" and source.name == "dinov2" and source.weights
    with pytest.raises(CheckpointError, match="hf download someone/else --local-dir DIR") as caught:
        read_tower("someone/else")
    assert "give the directory" in str(caught.value) and "\n" not in str(caught.value)


def _edit(folder: Path, **values: Any) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | values))


def _without(folder: Path, part: str) -> None:
    weights = {key: value for key, value in load_file(folder / "model.safetensors").items() if part not in key}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _wider(folder: Path) -> None:
    vision = json.loads((folder / "config.json").read_text())["vision_config"]
    _edit(folder, vision_config=vision | {"intermediate_size": 40})


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


@pytest.mark.parametrize(
    "damage,message",
    [
        (lambda folder: _edit(folder, model_type="sam2"), "'sam2', which cannot be a tower; .*facebook/sam-vit-base"),
        (lambda folder: _edit(folder, model_type="sam3_video"), "facebook/sam-vit-base"),
        (lambda folder: _edit(folder, model_type="dinov3_convnext"), "facebook/dinov3-vitb16"),
        (lambda folder: _edit(folder, model_type="bert"), "'bert', which cannot be a tower; types that can: clip, "),
        (
            lambda folder: (folder / "config.json").write_text('{"architecture": "vit_base_patch16_224"}'),
            "timm model 'vit_base_patch16_224'",
        ),
        (
            lambda folder: _edit(folder, model_type="llava", vision_config=None, mm_vision_tower="openai/clip"),
            "give 'openai/clip' instead",
        ),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "config.json").unlink(), "neither config.json nor open_clip_config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (_truncate, "cannot be loaded"),
        (lambda folder: _without(folder, "layers.1.mlp.fc1.bias"), "lacks 1 weights.*encoder.layers.1.mlp.fc1.bias"),
        (lambda folder: _without(folder, "vision_model"), "lacks .* weights of a 'clip' tower"),
        (_wider, "encoder.layers.0.mlp.fc1.bias, of another shape"),
    ],
)
def test_what_cannot_be_a_tower_is_refused_in_one_line(
    damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    LAYOUTS["CLIPModel"][1](tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_tower(tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_that_a_cut_tower_does_not_have_may_be_missing(tmp_path: Path) -> None:
    LAYOUTS["CLIPModel"][1](tmp_path)
    _without(tmp_path, "post_layernorm")
    _without(tmp_path, "layers.1.")
    read_tower(tmp_path, feature_layer=-2)
    with pytest.raises(CheckpointError, match=r"encoder\.layers\.1\."):
        read_tower(tmp_path)


@pytest.mark.parametrize(
    "layout,kept,later",
    [
        ("CLIPModel", "vision_model.encoder.layers.0.layer_scale1", "vision_model.encoder.layers.1.layer_scale1"),
        ("LLaVA", "vision_tower.encoder.layers.0.ls.weight", "language_model.model.layers.0.ls.weight"),
        ("SiglipModel", "vision_model.embeddings.norm.weight", "vision_model.head.norm.weight"),
        ("Dinov2ForImageClassification", "dinov2.embeddings.register_tokens", "dinov2.embeddings.mask_token"),
        ("DINOv3ViTModel", "layer.0.gate.weight", "layer.1.gate.weight"),
        ("SamModel", "vision_encoder.neck.conv3.weight", "mask_decoder.neck.weight"),
    ],
)
def test_a_weight_left_over_in_a_kept_layer_is_refused_and_others_are_not(
    layout: str, kept: str, later: str, tmp_path: Path
) -> None:
    LAYOUTS[layout][1](tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    layer = -1 if layout == "SamModel" else -2
    save_file({**weights, later: torch.ones(16)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    read_tower(tmp_path, feature_layer=layer)
    save_file({**weights, kept: torch.ones(16)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"has 1 weights that a .* tower lacks.*another architecture"):
        read_tower(tmp_path, feature_layer=layer)


@pytest.mark.parametrize(
    "layout,asked,message",
    [
        ("CLIPModel", {"name": "siglip"}, "is a 'clip' tower, not 'siglip'"),
        ("CLIPModel", {"name": "clp"}, "did you mean 'clip'"),
        ("CLIPModel", {"feature_layer": -4}, "2 layers"),
        ("SamModel", {"feature_layer": -2}, "after its neck"),
        ("SamModel", {"image_size": 128}, "64 pixels only"),
        ("SiglipModel", {"keep_cls": True}, "no class token"),
    ],
)
def test_what_a_tower_cannot_do_is_refused(layout: str, asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    LAYOUTS[layout][1](tmp_path)
    with pytest.raises(ConfigError, match=message):
        read_tower(tmp_path, **asked)


def test_a_damaged_file_of_weights_is_refused_in_one_line(tmp_path: Path) -> None:
    draw = random.Random(0)
    weights = {"visual.conv1.weight": torch.zeros(4, 3, 2, 2)}
    whole = []
    for zipped in (True, False):
        torch.save(weights, tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
        whole.append((tmp_path / "whole.pt").read_bytes())
    for turn in range(300):
        content = bytearray(whole[turn % 2])
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        if draw.random() < 0.2:
            del content[draw.randrange(len(content)) :]
        (tmp_path / "damaged.pt").write_bytes(content)
        with pytest.raises(UserError) as caught:  # if the damage is harmless: an OpenCLIP without an architecture
            read_tower(tmp_path / "damaged.pt")
        assert "\n" not in str(caught.value)


def test_a_file_that_holds_code_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    torch.save({"code": Path("x")}, tmp_path / "code.pt")
    with pytest.raises(CheckpointError, match="cannot be read as plain tensors, and nothing else is loaded"):
        read_tower(tmp_path / "code.pt")
    (tmp_path / "zip.pt").write_bytes((tmp_path / "code.pt").read_bytes()[:-1] + b"\xff")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_tower(tmp_path / "zip.pt")


def test_what_does_not_exist_is_said_to_be_missing() -> None:
    with pytest.raises(CheckpointError, match="does not exist; give a hub id"):
        read_tower("/nowhere/at/all")
