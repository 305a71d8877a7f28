"""Building and loading: identical builds, adapters, and one clear line for every damaged directory."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from encoders.build import build_model
from encoders.config import BuildConfig
from encoders.load import load_model, read_config
from encoders.model_hash import model_hash
from encoders.parameters import parameter_counts
from spatial.errors import CheckpointError, ConfigError

Prompt = Callable[..., dict[str, Tensor]]

LORA_TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@pytest.fixture
def checkpoint(build: Any, tmp_path: Path) -> Path:
    """Return a saved model."""
    model, processor = build()
    folder = tmp_path / "base"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def test_building_is_atomic_repeatable_and_refuses_to_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = BuildConfig(out=str(tmp_path / "one"), encoders=["siglip"], fusion="channel")
    first = build_model(config)
    assert "vision_tower.siglip" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one"]
    weights = (first / "model.safetensors").read_bytes()
    build_model(config)
    assert "already holds this build" in capsys.readouterr().out
    second = build_model(BuildConfig(out=str(tmp_path / "two"), encoders=["siglip"], fusion="channel"))
    assert (second / "model.safetensors").read_bytes() == weights
    with pytest.raises(CheckpointError, match="something else"):
        build_model(BuildConfig(out=str(tmp_path / "one"), encoders=["siglip"], fusion="channel", seed=1))
    model, processor = load_model(first)
    assert not model.training and processor.num_image_tokens == 64


def test_unknown_presets_and_encoders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        build_model(BuildConfig(out=str(tmp_path / "out"), preset="tny"))
    with pytest.raises(ConfigError, match="did you mean 'dinov"):
        build_model(BuildConfig(out=str(tmp_path / "out"), encoders=["dinov"]))
    assert not (tmp_path / "out").exists()


def test_every_parameter_is_counted_once(build: Any) -> None:
    model, _ = build()
    counts = parameter_counts(model)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(everything for everything, _ in counts.values()) == model.num_parameters()
    assert sum(some for _, some in counts.values()) == trainable


def test_a_float16_checkpoint_computes_in_float32_without_a_gpu(checkpoint: Path, tmp_path: Path) -> None:
    model, processor = load_model(checkpoint, torch.float16)
    model.save_pretrained(tmp_path / "half")
    processor.save_pretrained(tmp_path / "half")
    expected = torch.float16 if torch.cuda.is_available() else torch.float32
    assert load_model(tmp_path / "half")[0].dtype == expected


def test_an_adapter_holds_the_projector_and_nothing_of_the_towers(
    checkpoint: Path, picture: Image.Image, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    model, processor = load_model("base")
    lora = LoraConfig(r=2, target_modules=LORA_TARGETS, modules_to_save=["multi_modal_projector"])
    tuned = get_peft_model(model, lora)
    tuned.train()
    trainable = [name for name, parameter in tuned.named_parameters() if parameter.requires_grad]
    assert trainable and not any("vision_tower" in name for name in trainable)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.full_like(parameter, 0.01))
    tuned.eval()
    tuned.save_pretrained("adapter")
    saved = load_file("adapter/adapter_model.safetensors")
    assert any("multi_modal_projector" in name for name in saved) and not any("vision_tower" in name for name in saved)
    assert json.loads(Path("adapter/adapter_config.json").read_text())["base_model_name_or_path"] == "base"

    merged, _ = load_model("adapter")
    inputs = prompt(processor, picture, "where is the red cup?")
    torch.testing.assert_close(merged(**inputs).logits, tuned(**inputs).logits, atol=1e-5, rtol=1e-5)
    base, _ = load_model("base")
    assert not torch.allclose(base(**inputs).logits, tuned(**inputs).logits, atol=1e-3)
    assert not any("lora" in name or "modules_to_save" in name for name, _ in merged.named_parameters())

    weights = {name: tensor for name, tensor in saved.items() if "multi_modal_projector" not in name}
    save_file(weights, "adapter/adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="lacks weights"):
        load_model("adapter")


def test_the_base_of_an_adapter_is_found_beside_it_or_named_as_missing(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "here")  # no other "../base" must be near
    checkpoint = checkpoint.resolve()
    model, _ = load_model(checkpoint)
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=LORA_TARGETS))
    tuned.peft_config["default"].base_model_name_or_path = "../base"
    tuned.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    load_model(tmp_path / "adapter")
    shutil.move(checkpoint, tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="base_model_name_or_path"):
        load_model(tmp_path / "adapter")


def test_an_adapter_on_an_adapter_keeps_both(
    checkpoint: Path, tmp_path: Path, picture: Image.Image, prompt: Prompt
) -> None:
    inputs, logits = None, []
    folder = checkpoint
    for step in range(3):
        model, processor = load_model(folder)
        inputs = inputs or prompt(processor, picture, "the red cup")
        logits.append(model(**inputs).logits)
        tuned = get_peft_model(model, LoraConfig(r=2, target_modules=LORA_TARGETS, init_lora_weights=False))
        expected = tuned.eval()(**inputs).logits
        folder = tmp_path / f"adapter-{step}"
        tuned.save_pretrained(folder, save_embedding_layers=False)
        torch.testing.assert_close(load_model(folder)[0](**inputs).logits, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits[0], logits[1]) and not torch.allclose(logits[1], logits[2])


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _drop_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.multi_modal_projector.aligners.clip.0.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _edit(folder: Path, name: str, **values: Any) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | values))


def _resize_text(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    _edit(folder, "config.json", text_config=text | {"intermediate_size": 40})


def _resize_canvas(folder: Path, width: int, height: int) -> None:
    settings = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    settings["size"] = {"width": width, "height": height}
    _edit(folder, "processor_config.json", image_processor=settings)


def _other_image_token() -> dict[str, int]:
    return {"image_token_index": 7, "image_token_id": 7}


@pytest.mark.parametrize("use", [load_model, read_config, model_hash])
def test_adapters_that_name_each_other_as_their_base_are_refused(use: Callable[[Path], Any], tmp_path: Path) -> None:
    for name, base in (("one", "../two"), ("two", "../one"), ("self", ".")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
        (tmp_path / name / "adapter_model.safetensors").touch()
    for name in ("one", "self"):
        with pytest.raises(CheckpointError, match=r"as its base; correct base_model_name_or_path in .*json$"):
            use(tmp_path / name)


@pytest.mark.parametrize("content,message", [("{", "build.json cannot be read .*; remove"), ("[]", "something else")])
def test_a_damaged_record_of_a_build_is_said_in_one_line(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        build_model(BuildConfig(out=str(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage,message",
    [
        (lambda folder: shutil.rmtree(folder), "does not exist"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: _edit(folder, "config.json", model_type="llava"), "'llava', not 'vsre'"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights as safetensors"),
        (_truncate, "cannot be loaded"),
        (_drop_weight, "aligners.clip.0.weight"),
        (_resize_text, "copy or build it again"),
        (lambda folder: (folder / "processor_config.json").unlink(), "no processor"),
        (lambda folder: _edit(folder, "processor_config.json", num_image_tokens=7), "makes 7 image tokens"),
        (lambda folder: _resize_canvas(folder, 48, 32), "makes canvases of 48x32 pixels but the model has 64x64"),
        (lambda folder: _resize_canvas(folder, 32, 32), "set size of the image_processor in processor_config.json"),
        (lambda folder: _edit(folder, "config.json", **_other_image_token()), "<image> is token 3 .* but 7 in config"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(
    checkpoint: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(checkpoint)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(checkpoint)
    assert "\n" not in str(caught.value)


def test_a_subset_of_the_encoders_is_one_changed_list(checkpoint: Path, build: Any) -> None:
    vision = json.loads((checkpoint / "config.json").read_text())["vision_config"]
    _edit(checkpoint, "config.json", vision_config=vision | {"encoders": ["clip"]})
    _edit(checkpoint, "processor_config.json", num_image_tokens=16)
    model, processor = load_model(checkpoint)
    full, _ = build()
    canvas = processor.blank_canvas(1)
    tokens = model.get_image_features(canvas).pooler_output[0]
    assert torch.equal(tokens, full.get_image_features(canvas).pooler_output[0][:16])


def test_a_model_loads_in_the_wanted_precision(checkpoint: Path) -> None:
    model, _ = load_model(checkpoint, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
