"""The detector's network: what it returns, that it comes back from disk, and what is said where it cannot."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel

from encoders.detector import DetectorConfig, TinyDetector
from encoders.detector_decode import find
from encoders.detector_load import load_detector_weights
from encoders.register import register
from spatial.errors import CheckpointError, ConfigError

NOUNS = ["book", "cup", "dog"]


def small(**changes: object) -> TinyDetector:
    torch.manual_seed(0)
    sizes: dict[str, object] = {"image_size": 32, "widths": [8, 8, 12, 16], "blocks": 1, "neck": 16}
    return TinyDetector(DetectorConfig(nouns=NOUNS, **sizes | changes)).eval()


@pytest.fixture
def pixels() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (5, 3, 32, 32), generator=generator, dtype=torch.uint8)


@torch.no_grad()
def test_maps_are_of_the_promised_sizes(pixels: Tensor) -> None:
    model = small()
    output = model(pixels)
    assert output.loss is None
    assert output.heat.shape == (5, 3, 8, 8) and output.box.shape == (5, 4, 8, 8)
    assert output.log_depth.shape == (5, 16, 16)
    masks = model.masks(output, torch.tensor([4, 0]), torch.tensor([63, 0]))
    assert masks.shape == (2, 16, 16)
    x0, y0, x1, y1 = output.box.unbind(1)
    assert (x0 < x1).all() and (y0 < y1).all()


@torch.no_grad()
def test_a_mask_follows_its_thing_and_no_other(pixels: Tensor) -> None:
    model = small()
    output = model(pixels)
    together = model.masks(output, torch.tensor([0, 1, 1]), torch.tensor([9, 9, 40]))
    assert torch.allclose(together[1], model.masks(output, torch.tensor([1]), torch.tensor([9]))[0], atol=1e-5)
    assert not torch.allclose(together[1], together[2]) and not torch.allclose(together[0], together[1])


@torch.no_grad()
def test_a_picture_is_seen_alike_in_every_batch(pixels: Tensor) -> None:
    model = small()
    whole = model(pixels)
    for index in range(len(pixels)):
        single = model(pixels[index : index + 1])
        for name in ("heat", "box", "log_depth"):
            assert torch.allclose(getattr(single, name)[0], getattr(whole, name)[index], atol=1e-4)
    assert torch.equal(model(pixels).heat, whole.heat)


def test_half_precision_comes_back_from_disk(pixels: Tensor, tmp_path: Path) -> None:
    model = small()
    with torch.no_grad():
        before = model(pixels)
    model.half().save_pretrained(tmp_path)
    again = load_detector_weights(tmp_path)
    assert again.dtype == torch.float32 and again.config.nouns == NOUNS and not again.training
    with torch.no_grad():
        after = again(pixels)
    assert torch.allclose(after.heat, before.heat, atol=0.02) and not torch.equal(after.heat, before.heat)
    register()
    assert isinstance(AutoModel.from_pretrained(tmp_path), TinyDetector)


def test_the_default_size_fits_into_two_megabytes(tmp_path: Path) -> None:
    TinyDetector(DetectorConfig(nouns=[f"thing {index}" for index in range(16)])).half().save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size <= 2_000_000


def test_nothing_is_found_where_no_centre_is_sure(pixels: Tensor) -> None:
    model = small()
    torch.nn.init.constant_(model.heat_head[-1].bias, -20.0)
    found, depth = find(model, pixels)
    assert found == [[]] * 5
    assert depth.shape == (5, 32, 32) and (depth > 0).all() and np.isfinite(depth).all()


def test_maps_may_have_fewer_cells_than_candidates_are_looked_at(pixels: Tensor) -> None:
    torch.manual_seed(0)
    sizes = {"widths": [8, 8, 12, 16], "blocks": 1, "neck": 16}
    model = TinyDetector(DetectorConfig(nouns=["cup"], image_size=16, **sizes)).eval()
    torch.nn.init.constant_(model.heat_head[-1].bias, 4.0)
    found, depth = find(model, pixels[..., :16, :16])
    assert depth.shape == (5, 16, 16) and all(len(things) <= 16 for things in found)


def test_a_config_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 16"):
        DetectorConfig(nouns=NOUNS, image_size=40)
    with pytest.raises(ConfigError, match="must differ"):
        DetectorConfig(nouns=["cup", "cup"])


def test_a_folder_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist; train one with"):
        load_detector_weights(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_detector_weights(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(CheckpointError, match="type 'llama', not 'vsre_detector'"):
        load_detector_weights(tmp_path)


@pytest.mark.parametrize("harm", ["missing", "misshapen", "truncated", "absent"])
def test_weights_that_are_not_whole_are_refused(tmp_path: Path, harm: str) -> None:
    small().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    if harm == "missing":
        del weights["depth_head.weight"]
        save_file(weights, file, metadata={"format": "pt"})
    elif harm == "misshapen":
        weights["depth_head.weight"] = torch.zeros(2, 2)
        save_file(weights, file, metadata={"format": "pt"})
    elif harm == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.unlink()
    with pytest.raises(CheckpointError, match=r"(lacks 1 weights, the first is .*depth_head\.weight|cannot be loaded)"):
        load_detector_weights(tmp_path)
