"""Towers from files of OpenCLIP and segment-anything give the features that those projects compute themselves.

The files under ``originals/`` were made by the real packages (``originals/make.py``); where these are installed, the
comparison is also made afresh, and our tables are held against theirs.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from encoders import openclip_models
from encoders.configuration import FusedVisionConfig
from encoders.openclip_models import OPENCLIP_MODELS, vision_config
from encoders.published import published_entry
from encoders.source_originals import _describe_sam
from encoders.sources import TowerSource, describe, read_tower
from encoders.tower import FusedVisionModel
from spatial.errors import CheckpointError, ConfigError, UserError
from tests.encoders.originals import make

FIXTURES = Path(__file__).parent / "originals"
GELU, QUICK_GELU = "openclip-gelu", "openclip-quickgelu"


class Fixture:
    """A file of ``originals/``: weights as in the original file, pixels, and the features of the original."""

    def __init__(self, name: str) -> None:
        with safe_open(FIXTURES / f"{name}.safetensors", framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            self.model_cfg: dict[str, Any] = json.loads((file.metadata() or {}).get("model_cfg", "{}"))
        self.weights = {key.removeprefix("weights/"): value for key, value in tensors.items() if "/" in key}
        self.pixels, self.features = tensors["input"], tensors["features"]
        self.before = tensors.get("before")

    def openclip_folder(self, folder: Path, pickled: bool = False, **preprocess: Any) -> Path:
        """Write a directory as OpenCLIP pushes it to the hub."""
        folder.mkdir(exist_ok=True)
        content = {"model_cfg": self.model_cfg, "preprocess_cfg": preprocess}
        (folder / "open_clip_config.json").write_text(json.dumps(content))
        if pickled:
            torch.save(self.weights, folder / "open_clip_pytorch_model.bin")
        else:
            save_file(self.weights, folder / "open_clip_model.safetensors")
        return folder


@torch.no_grad()
def tokens(source: TowerSource, pixels: Tensor) -> Tensor:
    """Return all tokens that a tower computes from normalised pixels."""
    model = FusedVisionModel(FusedVisionConfig(encoders=[source.name], towers={source.name: source.entry})).eval()
    model.towers[source.name].load_state_dict(source.weights, strict=True)
    features: Tensor = model.towers[source.name](pixel_values=pixels).last_hidden_state
    return features.flatten(2).transpose(1, 2) if features.ndim == 4 else features


def close(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() < 1e-4)


@pytest.mark.parametrize("name", [GELU, QUICK_GELU])
@pytest.mark.parametrize("pickled", [False, True])
def test_an_openclip_directory_gives_openclips_features(name: str, pickled: bool, tmp_path: Path) -> None:
    original = Fixture(name)
    preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear"}
    folder = original.openclip_folder(tmp_path, pickled, **preprocess)
    source = read_tower(folder)
    assert source.name == "clip" and close(tokens(source, original.pixels), original.features)
    expected = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "resample": "bilinear", "image_size": 16}
    assert {key: source.entry[key] for key in expected} == expected
    assert original.before is not None
    assert close(tokens(read_tower(folder, feature_layer=-2), original.pixels), original.before)
    weights = next(folder.glob("open_clip_*model.*"))
    assert read_tower(weights).weights.keys() == source.weights.keys(), "or the file of weights beside its description"


def test_the_two_activations_are_told_apart(tmp_path: Path) -> None:
    original = Fixture(QUICK_GELU)
    original.model_cfg["quick_gelu"] = False
    assert not close(tokens(read_tower(original.openclip_folder(tmp_path)), original.pixels), original.features)


def test_one_file_of_openclip_needs_its_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Fixture(QUICK_GELU)
    monkeypatch.setitem(openclip_models.OPENCLIP_MODELS, "ViT-tiny", Fixture(GELU).model_cfg)
    monkeypatch.setitem(openclip_models.OPENCLIP_MODELS, "ViT-tiny-quickgelu", original.model_cfg)
    plain, trained = tmp_path / "tiny.pt", tmp_path / "epoch_3.pt"
    torch.save(original.weights, plain)
    distributed = {f"module.{key}": value for key, value in original.weights.items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": distributed}, trained)
    for file in (plain, trained):
        source = read_tower(f"ViT-tiny-quickgelu@{file}")
        assert close(tokens(source, original.pixels), original.features)
        assert source.origin == f"{file.name} (OpenCLIP ViT-tiny-quickgelu)"
        with pytest.raises(ConfigError, match=r"ViT-tiny@.*could be ViT-tiny or ViT-tiny-quickgelu"):
            read_tower(file)
    with pytest.raises(ConfigError, match="did you mean 'ViT-tiny'"):
        read_tower(f"ViT-tny@{plain}")
    with pytest.raises(CheckpointError, match=r"lacks \d+ weights of a 'clip' tower, the first is embeddings"):
        read_tower(f"ViT-B-32@{plain}")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_segment_anything_file_gives_its_features(legacy: bool, tmp_path: Path) -> None:
    original = Fixture("sam")
    file = tmp_path / "sam_vit_t.pth"
    torch.save(original.weights, file, _use_new_zipfile_serialization=not legacy)
    source = read_tower(file)
    assert source.name == "sam" and source.origin == "sam_vit_t.pth (segment-anything)"
    assert source.entry["config"]["window_size"] == 3 and source.entry["config"]["global_attn_indexes"] == [1]
    assert close(tokens(source, original.pixels), original.features)
    half = read_tower(file, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in half.weights.values()} == {torch.bfloat16}
    with pytest.raises(ConfigError, match="is a SAM"):
        read_tower(f"ViT-B-32@{file}")
    original.weights.pop("image_encoder.blocks.2.mlp.lin2.bias")
    torch.save(original.weights, file)
    with pytest.raises(CheckpointError, match=r"lacks 1 weights.*layers\.2\.mlp\.lin2\.bias"):
        read_tower(file)


@pytest.mark.parametrize(
    "name,source,key",
    [
        (GELU, "ViT-tiny@{}", "visual.transformer.resblocks.0.ls_1.gamma"),
        ("sam", "{}", "image_encoder.blocks.0.adapter.weight"),
    ],
)
def test_weights_that_would_be_left_out_are_named(
    name: str, source: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Fixture(name)
    monkeypatch.setitem(openclip_models.OPENCLIP_MODELS, "ViT-tiny", Fixture(GELU).model_cfg)
    torch.save({**original.weights, key: torch.ones(16)}, tmp_path / "more.pt")
    with pytest.raises(CheckpointError, match=f"1 weights that a .* tower lacks.*{key.split('.', 3)[-1]}"):
        read_tower(source.format(tmp_path / "more.pt"))


@pytest.mark.parametrize(
    "key,message",
    [
        ("visual.trunk.blocks.0.norm1.weight", "timm's; use .*google/siglip-so400m"),
        ("visual.layer1.0.conv1.weight", "ResNet"),
        ("visual.attn_pool.query", "CoCa"),
        ("visual.blocks.0.attn.q_proj.weight", "EVA-CLIP"),
        ("image_encoder.patch_embed.seq.0.c.weight", "MobileSAM.*facebook/sam-vit-base"),
        ("image_encoder.trunk.pos_embed", "SAM 2"),
        ("detector.backbone.vision.weight", "SAM 3"),
        ("storage_tokens", "DINOv3"),
        ("downsample_layers.0.0.weight", "ConvNeXt"),
        ("blocks.0.attn.qkv.weight", "facebook/dinov2-base"),
        ("fc.weight", r"first weight is 'fc\.weight'"),
    ],
)
def test_files_of_other_architectures_are_named(key: str, message: str, tmp_path: Path) -> None:
    torch.save({key: torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        read_tower(tmp_path / "weights.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "vision,message",
    [
        ({"timm_model_name": "vit_base_patch16_siglip_224"}, "a tower of timm .vit_base_patch16_siglip_224."),
        ({"layers": [3, 4, 6, 3]}, "a ResNet"),
        ({"attentional_pool": True}, "CoCa"),
        ({"no_ln_pre": True}, "CLIPA"),
        ({"ls_init_value": 1e-4}, "ls_init_value"),
        ({"qk_norm": True}, "qk_norm"),
        ({"act_kwargs": {"approximate": "other"}}, "act_kwargs"),
        ({"image_size": [16, 32]}, "only squares"),
    ],
)
def test_openclip_towers_without_a_class_are_named(vision: dict[str, Any], message: str, tmp_path: Path) -> None:
    original = Fixture(GELU)
    original.model_cfg["vision_cfg"].update(vision)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_tower(original.openclip_folder(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_directory_of_timm_and_openclip_says_what_it_has(tmp_path: Path) -> None:
    original = Fixture(GELU)
    original.model_cfg["vision_cfg"]["timm_model_name"] = "vit_so400m"
    (original.openclip_folder(tmp_path) / "config.json").write_text('{"architecture": "vit_so400m"}')
    with pytest.raises(CheckpointError, match=r"a tower of timm \(vit_so400m\)"):
        read_tower(tmp_path)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    scripted = tmp_path / "ViT-L-14-336px.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), scripted)
    with pytest.raises(CheckpointError, match=r"TorchScript.*openai/clip-vit-large-patch14-336"):
        read_tower(f"ViT-L-14-336-quickgelu@{scripted}")
    pickled = tmp_path / "model.pt"
    torch.save({"state_dict": torch.nn.Linear(2, 2)}, pickled)
    with pytest.raises(CheckpointError, match="plain tensors"):
        read_tower(pickled)


@pytest.mark.parametrize("name,content", [("a.pth", b"not a pickle"), ("a.safetensors", b"short"), ("b.pth", b"")])
def test_damaged_files_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        read_tower(tmp_path / name)
    assert "\n" not in str(caught.value)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="no state dict"):
        read_tower(tmp_path / "list.pth")


def test_an_openclip_directory_without_weights_is_refused(tmp_path: Path) -> None:
    folder = Fixture(GELU).openclip_folder(tmp_path)
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no open_clip_model\.safetensors or"):
        read_tower(folder)
    with pytest.raises(ConfigError, match="is a directory"):
        read_tower(f"ViT-B-32@{folder}")


def test_our_table_of_openclips_towers_is_openclips() -> None:
    open_clip = pytest.importorskip("open_clip")
    for name, ours in OPENCLIP_MODELS.items():
        theirs = open_clip.get_model_config(name)
        assert vision_config(ours, name) == vision_config(theirs, name), name
    for name in open_clip.list_models():  # each of the others is refused by name, or is one of ours with another text
        try:
            vision_config(open_clip.get_model_config(name), name)
        except UserError as error:
            assert name not in OPENCLIP_MODELS and name in str(error)


@pytest.mark.parametrize("name", [GELU, QUICK_GELU])
def test_a_fresh_openclip_model_gives_the_same_features(name: str, tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    from open_clip.model import set_model_preprocess_cfg
    from open_clip.push_to_hf_hub import save_config_for_hf

    model = make.openclip(name)
    set_model_preprocess_cfg(model, {"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0), "interpolation": "bicubic"})
    save_config_for_hf(model, tmp_path / "open_clip_config.json", make.OPENCLIP[name])
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    before, features = make.openclip_features(model, make.pixels(16))
    source = read_tower(tmp_path)
    assert source.entry["mean"] == [0.1, 0.2, 0.3]
    assert close(tokens(source, make.pixels(16)), features)
    assert close(tokens(read_tower(tmp_path, feature_layer=-2), make.pixels(16)), before)


@torch.no_grad()
def test_a_fresh_sam_gives_the_same_features(tmp_path: Path) -> None:
    pytest.importorskip("segment_anything")
    model = make.sam()
    torch.save(model.state_dict(), tmp_path / "sam.pth")
    features = model.image_encoder(make.pixels(20)).flatten(2).transpose(1, 2)
    assert close(tokens(read_tower(tmp_path / "sam.pth"), make.pixels(20)), features)


@pytest.mark.parametrize("size,hub_id", [("b", "base"), ("l", "large"), ("h", "huge")])
def test_the_published_sams_are_told_from_shapes(size: str, hub_id: str) -> None:
    segment_anything = pytest.importorskip("segment_anything")
    with torch.device("meta"):
        state = segment_anything.sam_model_registry[f"vit_{size}"]().state_dict()
    checkpoint = _describe_sam(state, "sam.pth")
    name, entry = published_entry(f"facebook/sam-vit-{hub_id}")
    configs = [
        FusedVisionConfig(encoders=["sam"], towers={"sam": {"config": config}}).plan(name).config.to_dict()
        for config in (checkpoint.config, entry["config"])
    ]
    assert configs[0] == configs[1]


def test_a_description_costs_no_weights(tmp_path: Path) -> None:
    folder = Fixture(GELU).openclip_folder(tmp_path)
    (folder / "open_clip_model.safetensors").unlink()
    assert describe(folder).config["hidden_size"] == 16
