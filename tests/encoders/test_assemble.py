"""Models on a LLaVA or a language model: the same functions as before, and nothing copied, lost or left unsaid."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    LlavaForConditionalGeneration,
    SamVisionConfig,
    SamVisionModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from encoders import FUSIONS
from encoders.assemble import assemble_on_base, plan
from encoders.bases import read_base
from encoders.build import build_model
from encoders.config import BuildConfig, TowerSettings
from encoders.fingerprint import fingerprint
from encoders.load import load_model
from encoders.modeling import VsreForConditionalGeneration
from encoders.tower import normalise, resize
from spatial.errors import CheckpointError, ConfigError
from tests.encoders.tiny_bases import CHATML, language_model, llava
from vsre.settings import parse

_VIT: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def _slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a LLaVA, language models and encoders."""
    root = tmp_path_factory.mktemp("bases")
    llava(root / "llava")
    language_model(root / "vicuna")
    language_model(root / "smollm2", "smollm2", CHATML)
    language_model(root / "qwen2", "qwen2", CHATML, rows=448)
    for kind in ("qwen3", "smollm3", "mistral"):
        language_model(root / kind, kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        clip = CLIPVisionConfig(**_VIT, intermediate_size=32, image_size=32, patch_size=8)
        siglip = SiglipVisionConfig(**_VIT, intermediate_size=32, image_size=32, patch_size=8)
        sam = SamVisionConfig(
            **_VIT, image_size=64, patch_size=4, mlp_dim=32, output_channels=8, window_size=4,
            global_attn_indexes=[1], initializer_range=0.02,
        )  # fmt: skip
        CLIPVisionModel(clip).save_pretrained(root / "clip")
        SiglipVisionModel(siglip).save_pretrained(root / "siglip")
        Dinov2Model(Dinov2Config(**_VIT, image_size=28, patch_size=7, mlp_ratio=2)).save_pretrained(root / "dinov2")
        SamVisionModel(sam).save_pretrained(root / "sam")
    return root


def _towers(bases: Path, *names: str) -> dict[str, TowerSettings]:
    return {name: TowerSettings(weights=str(bases / name)) for name in names}


def _ids(model: Any, processor: Any, length: int = 12) -> torch.Tensor:
    rows = len(processor.tokenizer)
    ids = torch.arange(2 * length).view(2, length) * 7 % rows
    return torch.where(ids == model.config.image_token_id, 5, ids)


def _canvas(processor: Any) -> torch.Tensor:
    noise = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    return torch.as_tensor(processor.image_processor(Image.fromarray(noise), return_tensors="pt")["pixel_values"])


def test_with_its_own_clip_alone_a_llava_is_the_same_function(bases: Path, tmp_path: Path) -> None:
    config = BuildConfig(out=str(tmp_path / "out"), base=str(bases / "llava"), encoders=["clip"], layer_norm=False)
    model, processor = load_model(build_model(config))
    original = LlavaForConditionalGeneration.from_pretrained(bases / "llava")
    canvas = _canvas(processor)
    plan = model.config.vision.plan("clip")
    assert (plan.feature_layer, plan.keep_cls, plan.tokens) == (-2, False, 16)
    pixels = normalise(resize(canvas, plan.image_size, plan.resample), plan)
    ids = torch.tensor([[5, 6, *[model.config.image_token_id] * 16, 7, 8, 9]])
    expected = original(input_ids=ids, pixel_values=pixels).logits
    torch.testing.assert_close(model(input_ids=ids, pixel_values=canvas).logits, expected, atol=1e-5, rtol=0)
    assert (model(input_ids=ids, pixel_values=255 - canvas).logits - expected).abs().max() > 1e-2
    assert processor.tokenizer("a red cup").input_ids == _tokenizer(bases / "llava")("a red cup").input_ids
    assert model.generation_config.eos_token_id == 2
    assert len(model.model.vision_tower.towers["clip"].encoder.layers) == 2


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", ["vicuna", "smollm2", "qwen2", *map(_slow, ("qwen3", "smollm3", "mistral"))])
def test_text_alone_is_scored_as_the_language_model_scores_it(bases: Path, tmp_path: Path, name: str) -> None:
    config = BuildConfig(
        out=str(tmp_path / "out"), base=str(bases / name), encoders=["siglip"], towers=_towers(bases, "siglip")
    )
    built = build_model(config)
    model, processor = load_model(built)
    original = AutoModelForCausalLM.from_pretrained(bases / name)
    rows = original.config.vocab_size
    ids = _ids(model, processor)
    ids = torch.where(ids < rows, ids, 5)
    expected = original(input_ids=ids).logits
    torch.testing.assert_close(model(input_ids=ids).logits[..., :rows], expected, atol=1e-5, rtol=1e-5)
    tied = original.config.tie_word_embeddings
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == tied == (name not in ("vicuna", "mistral"))

    inputs = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image", "image": Image.new("RGB", (9, 9))}, _text("the cup?")]}],
        tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True,
    )  # fmt: skip
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == 16
    written = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert inputs["input_ids"].shape[1] < written.shape[1]


def _text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def test_rows_are_added_as_the_mean_only_where_there_is_no_room(bases: Path) -> None:
    def built(name: str) -> Any:
        config = BuildConfig(base=str(bases / name), encoders=["siglip"], towers=_towers(bases, "siglip"))
        return assemble_on_base(config)

    roomy, full, untied = built("qwen2"), built("smollm2"), built("vicuna")
    assert len(roomy.model.get_input_embeddings().weight) == roomy.model.config.text.vocab_size == 448
    assert not any("grown" in note for note in roomy.notes)
    for result in (full, untied):
        name = "smollm2" if result is full else "vicuna"
        original = AutoModelForCausalLM.from_pretrained(bases / name)
        table, old = result.model.get_input_embeddings().weight, original.get_input_embeddings().weight
        assert len(table) % 64 == 0 and len(table) > len(old) == original.config.vocab_size
        assert torch.equal(table[: len(old)], old)
        image = result.processor.image_token_id
        torch.testing.assert_close(table[image], old.mean(0))
        head, old_head = result.model.lm_head.weight, original.lm_head.weight
        torch.testing.assert_close(head[image], old_head.mean(0))
        assert any("grown" in note for note in result.notes)
    assert untied.processor.tokenizer.pad_token == "<unk>"
    assert any("<unk> pads" in note for note in untied.notes)


def test_no_tensor_of_the_base_is_copied(bases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, int] = {}

    def remember(*arguments: Any, **settings: Any) -> Any:
        base = read_base(*arguments, **settings)
        seen.update({name: tensor.data_ptr() for name, tensor in base.weights.items()})
        assert base.tower
        clip = {f"model.vision_tower.towers.clip.{name}": t.data_ptr() for name, t in base.tower.weights.items()}
        seen.update({name: place for name, place in clip.items() if ".layers.2." not in name and "post_" not in name})
        for name, tensor in base.projector.items():
            seen[f"model.multi_modal_projector.aligners.clip.{name}"] = tensor.data_ptr()
        return base

    monkeypatch.setattr("encoders.assemble.read_base", remember)
    config = BuildConfig(base=str(bases / "llava"), encoders=["clip"], layer_norm=False)
    model = assemble_on_base(config).model
    places = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    assert places == seen


@pytest.mark.parametrize("fusion", [_slow(name) if name != "sequence" else name for name in sorted(FUSIONS)])
def test_every_fusion_builds_and_says_where_its_weights_are_from(
    bases: Path, tmp_path: Path, fusion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = BuildConfig(
        out=str(tmp_path / "out"), base=str(bases / "llava"), encoders=["clip", "siglip", "dinov2", "sam"],
        towers=_towers(bases, "siglip", "dinov2", "sam"), fusion=fusion, aligner="mlp3x_gelu",
        aligners={"clip": "mlp2x_gelu"}, conv_adapters=["sam"], resampler_tokens=5,
    )  # fmt: skip
    out = build_model(config)
    said = capsys.readouterr().out
    provenance = json.loads((out / "build.json").read_text())["provenance"]
    origins = {part["component"]: part["weights"] for part in provenance["parts"]}
    assert origins["vision_tower.clip"] == "llava vision tower" and origins["lm_head"] == "llava"
    assert origins["vision_tower.siglip"] == "siglip" and origins["vision_tower.sam"] == "sam"
    kept = fusion in ("sequence", "interleave", "add")
    assert origins["multi_modal_projector"] == "random, seed 0"
    assert origins.get("multi_modal_projector.clip") == ("llava projector" if kept else None)
    assert ("normed features" in said) == kept
    model, processor = load_model(out)
    assert provenance["visual_tokens"]["total"] == processor.num_image_tokens == model.config.num_image_tokens
    assert provenance["visual_tokens"]["sam"] == 16
    assert sum(part["parameters"] for part in provenance["parts"]) == model.num_parameters()
    assert torch.isfinite(model.get_image_features(_canvas(processor)).pooler_output[0]).all()


def test_a_build_is_repeated_bit_for_bit_and_its_seed_moves_only_what_is_new(
    bases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = BuildConfig(
        out=str(tmp_path / "out"),
        base=str(bases / "llava"),
        encoders=["clip", "siglip"],
        towers=_towers(bases, "siglip"),
    )
    model, _ = load_model(build_model(config))
    state = torch.get_rng_state()
    built = assemble_on_base(config)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in built.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    other = assemble_on_base(replace(config, seed=1)).model.state_dict()
    drawn = {name for name, tensor in other.items() if not torch.equal(tensor, model.state_dict()[name])}
    assert drawn and all("projector" in name for name in drawn)
    assert not any("projector.aligners.clip" in name for name in drawn)

    build_model(config)
    assert "already holds this build" in capsys.readouterr().out
    with pytest.raises(CheckpointError, match="something else"):
        build_model(replace(config, seed=1))


def test_a_base_that_has_changed_is_another_build(
    bases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("llava", "siglip"):
        shutil.copytree(bases / name, tmp_path / name)
    config = BuildConfig(
        out=str(tmp_path / "out"), base=str(tmp_path / "llava"), encoders=["clip", "siglip"],
        towers=_towers(tmp_path, "siglip"),
    )  # fmt: skip
    record = build_model(config) / "build.json"
    assert set(json.loads(record.read_text())["sources"]) == {config.base, str(tmp_path / "siglip")}
    for path in (tmp_path / "llava").iterdir():
        os.utime(path, (1, 1))
    build_model(config)
    assert "already holds this build" in capsys.readouterr().out
    shutil.move(tmp_path / "llava", tmp_path / "away")
    build_model(config)  # what is out of reach has not changed
    assert "already holds this build" in capsys.readouterr().out
    shutil.move(tmp_path / "away", tmp_path / "llava")

    weights = tmp_path / "siglip" / "model.safetensors"
    before = weights.read_bytes()
    save_file({name: 2 * tensor for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    assert len(weights.read_bytes()) == len(before)
    with pytest.raises(CheckpointError, match=r"built from another version of .*siglip .*choose another --out"):
        build_model(config)
    older = json.loads(record.read_text())
    del older["sources"]
    record.write_text(json.dumps(older))
    build_model(config)
    assert "already holds this build" in capsys.readouterr().out


def test_a_large_file_is_told_apart_by_a_sample_and_a_hub_id_by_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models--someone--clip" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    file = folder / "model.safetensors"
    file.write_bytes(bytes(range(256)) * 64)
    monkeypatch.setattr("encoders.fingerprint._WHOLE", 1000)
    first = fingerprint(folder)
    assert fingerprint(folder) == first
    with file.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"x")
    assert fingerprint(folder) != first

    (folder.parent.parent / "refs").mkdir()
    (folder.parent.parent / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fingerprint("someone/clip") == "abc"


def test_a_projector_is_taken_whole_or_not_at_all(bases: Path) -> None:
    def origins(**settings: Any) -> dict[str, str]:
        config = BuildConfig(base=str(bases / "llava"), encoders=["clip"], **settings)
        return assemble_on_base(config).origins

    key = "model.multi_modal_projector.aligners.clip."
    assert key in origins()
    assert key not in origins(aligner="mlp3x_gelu")
    assert key not in origins(fusion="channel")
    assert key in origins(towers={"clip": TowerSettings(weights=str(bases / "llava"), feature_layer=-2)})


def test_a_projector_does_not_go_before_another_tower_and_that_is_said(bases: Path) -> None:
    config = BuildConfig(base=str(bases / "llava"), encoders=["clip"], towers=_towers(bases, "clip"), layer_norm=False)
    built = assemble_on_base(config)
    assert built.origins["model.vision_tower.towers.clip."] == "clip"
    aligner = {name for name, _ in built.model.named_parameters() if "aligners.clip" in name}
    assert aligner and aligner <= built.drawn
    assert "the projector of the base is left out: it was trained on its own tower, not clip" in built.notes


@pytest.mark.parametrize("whole,text", [(False, True), (True, False)])
def test_the_head_is_the_one_that_the_base_computes_with(bases: Path, tmp_path: Path, whole: bool, text: bool) -> None:
    shutil.copytree(bases / "llava", tmp_path / "llava")
    content = json.loads((tmp_path / "llava" / "config.json").read_text())
    content["tie_word_embeddings"], content["text_config"]["tie_word_embeddings"] = whole, text
    (tmp_path / "llava" / "config.json").write_text(json.dumps(content))
    original = LlavaForConditionalGeneration.from_pretrained(tmp_path / "llava")
    model = assemble_on_base(BuildConfig(base=str(tmp_path / "llava"), encoders=["clip"])).model
    ids = torch.tensor([[5, 6, 7, 8]])
    torch.testing.assert_close(model(input_ids=ids).logits, original(input_ids=ids).logits)


def test_a_model_that_scores_text_unlike_its_base_is_refused(bases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*arguments: Any, **settings: Any) -> Any:
        base = read_base(*arguments, **settings)
        base.weights["model.language_model.norm.weight"] = torch.zeros(32)
        return base

    monkeypatch.setattr("encoders.assemble.read_base", damaged)
    with pytest.raises(ConfigError, match="the model on it scores text differently"):
        assemble_on_base(BuildConfig(base=str(bases / "llava"), encoders=["clip"]))


def test_only_sizes_are_read_when_weights_are_to_be_drawn(bases: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sizes"
    folder.mkdir()
    for name in ("vicuna", "siglip", "sam"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text((bases / name / "config.json").read_text())
    config = BuildConfig(
        out=str(tmp_path / "out"), base=str(folder / "vicuna"), encoders=["siglip", "sam"], random=True,
        towers=_towers(folder, "siglip", "sam"), dtype="bfloat16",
    )  # fmt: skip
    model, processor = load_model(build_model(config))
    assert model.dtype == torch.bfloat16 and model.config.text.hidden_size == 32
    assert {part["weights"] for part in _parts(tmp_path / "out")} == {"random, seed 0"}
    features = model.model.vision_tower(_canvas(processor))
    assert features["sam"].float().std() > 1e-3


@pytest.mark.parametrize(
    "name,tokens,parameters",
    [
        ("llava-1.5-7b", 576, 7.05e9),
        ("vsre-7b", 1817, 7.73e9),
        _slow("vsre-13b", 1817, 14.05e9),
        _slow("vsre-channel-7b", 576, 7.65e9),
        ("smollm2-siglip-dinov2", 729, 2.22e9),
    ],
)
def test_the_shipped_settings_describe_the_published_models(name: str, tokens: int, parameters: float) -> None:
    settings = parse("build-model", [f"configs/model/{name}.yaml"])
    config = plan(settings)
    with torch.device("meta"):
        model = VsreForConditionalGeneration(config)
    assert config.num_image_tokens == tokens
    assert model.num_parameters() == pytest.approx(parameters, rel=2e-3)
    aligners = {encoder: branch.aligner for encoder, branch in config.branches().items()}
    if name.startswith("vsre-7b"):
        assert aligners == {"clip": "mlp2x_gelu", "siglip": "mlp3x_gelu", "dinov2": "mlp3x_gelu", "sam": "linear"}


def test_weights_of_a_tower_can_be_named_on_the_command_line() -> None:
    settings = parse("build-model", ["configs/model/vsre-7b.yaml", "--towers.siglip.weights", "somewhere"])
    assert settings.towers["siglip"] == TowerSettings(weights="somewhere")
    assert settings.towers["clip"].feature_layer == -2
    with pytest.raises(ConfigError, match="wieghts"):
        parse("build-model", ["configs/model/vsre-7b.yaml", "--towers.siglip.wieghts", "somewhere"])


def _parts(out: Path) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = json.loads((out / "build.json").read_text())["provenance"]["parts"]
    return parts


def _not_a_base(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    return str(folder)


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"preset": "tiny", "base": "llava"}, "exclude each other"),
        ({"base": "llava", "encoders": ["clip", "siglip"]}, "towers.siglip.weights"),
        ({"base": "vicuna", "encoders": ["clip"]}, "towers.clip.weights"),
        ({"base": "vicuna", "encoders": ["clip"], "random": True}, "towers.clip.weights"),
        ({"base": "llava", "encoders": ["siglip"], "towers": {"siglip": "dinov2"}}, "'dinov2' tower, not 'siglip'"),
        ({"base": "vicuna", "encoders": ["siglip"], "towers": {"siglip": "dinov2"}, "random": True}, "not 'siglip'"),
        ({"base": "llava", "towers": {"siglp": "siglip"}}, "did you mean 'siglip'"),
        ({"base": "llava", "dtype": "bf16"}, "unknown dtype 'bf16'"),
        ({"base": "siglip"}, "neither a LLaVA nor a language model"),
        ({"base": "t5"}, "neither a LLaVA nor a language model"),
        ({"base": "nowhere"}, "does not exist"),
        ({"towers": {"clip": "clip"}}, "need a base"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(
    bases: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    _not_a_base(bases / "t5")
    settings = dict(settings, out=str(tmp_path / "out"))
    if settings.get("base"):
        settings["base"] = str(bases / settings["base"])
    towers = settings.get("towers", {})
    settings["towers"] = {name: TowerSettings(weights=str(bases / source)) for name, source in towers.items()}
    with pytest.raises((ConfigError, CheckpointError), match=message) as caught:
        build_model(BuildConfig(**settings))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_hub_id_out_of_reach_comes_with_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="'hf download nobody/nothing --local-dir DIR'") as caught:
        build_model(BuildConfig(out=str(tmp_path / "out"), base="nobody/nothing", encoders=["clip"]))
    assert "\n" not in str(caught.value)


def test_a_base_that_lacks_a_weight_is_refused(bases: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(bases / "vicuna", tmp_path / "vicuna")
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, the first is model\.layers\.1\.mlp\.up_proj\.weight"):
        build_model(
            BuildConfig(out=str(tmp_path / "out"), base=str(folder), encoders=["clip"], towers=_towers(bases, "clip"))
        )
