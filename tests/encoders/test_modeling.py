"""Properties of the whole model: saving, loading, generating, freezing, dropping, packing."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

import vsre.hf  # noqa: F401
from encoders import FUSIONS, VSRE_ENCODERS
from encoders.configuration import FusedVisionConfig, VsreConfig
from encoders.modeling import VsreForConditionalGeneration
from encoders.processing import VsreProcessor

Prompt = Callable[..., dict[str, Tensor]]

ALL_SUBSETS = [subset for size in range(1, 5) for subset in combinations(VSRE_ENCODERS, size)]
SUBSETS = [("siglip",), ("sam", "clip"), ("dinov2", "siglip", "sam"), tuple(VSRE_ENCODERS)]


@pytest.mark.parametrize("fusion", list(FUSIONS))
@pytest.mark.parametrize("encoders", SUBSETS)
def test_a_saved_model_is_the_same_model(
    build: Any, picture: Image.Image, prompt: Prompt, tmp_path: Path, encoders: tuple[str, ...], fusion: str
) -> None:
    model, processor = build(encoders, fusion)
    inputs = prompt(processor, picture, "where is the red cup?")
    expected = model(**inputs, labels=inputs["input_ids"])
    assert torch.isfinite(expected.loss)

    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded: Any = AutoModelForImageTextToText.from_pretrained(tmp_path)
    loaded_processor = AutoProcessor.from_pretrained(tmp_path)

    assert type(loaded) is VsreForConditionalGeneration and type(loaded_processor) is VsreProcessor
    assert tuple(loaded.config.vision.plans()) == encoders
    again = prompt(loaded_processor, picture, "where is the red cup?")
    assert torch.equal(again["input_ids"], inputs["input_ids"])
    assert torch.equal(loaded(**again).logits, expected.logits)
    for beams in (1, 2):
        settings: Any = {"max_new_tokens": 3, "min_new_tokens": 3, "num_beams": beams, "do_sample": False}
        answer: Any = loaded.generate(**again, **settings)
        assert answer.shape == (1, inputs["input_ids"].shape[1] + 3)


@pytest.mark.parametrize("fusion", list(FUSIONS))
@pytest.mark.parametrize(
    "encoders", [*combinations(VSRE_ENCODERS, 1), *combinations(VSRE_ENCODERS, 2), tuple(VSRE_ENCODERS)]
)
def test_there_are_as_many_placeholders_as_visual_tokens(build: Any, encoders: tuple[str, ...], fusion: str) -> None:
    model, processor = build(encoders, fusion)
    tokens = model.get_image_features(processor.blank_canvas(2)).pooler_output
    assert [len(image) for image in tokens] == [processor.num_image_tokens] * 2
    assert (
        processor.num_image_tokens
        == model.config.image_seq_length
        == {"sequence": 16 * len(encoders), "interleave": 16 * len(encoders), "resampler": 64}.get(fusion, 16)
    )


def test_every_parameter_is_initialised_and_used(build: Any, picture: Image.Image, prompt: Prompt) -> None:
    for fusion in FUSIONS:
        model, processor = build(tuple(VSRE_ENCODERS), fusion)
        model.train_towers(True)
        model.train()
        inputs = prompt(processor, picture, "the cup")
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
        assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
        assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_towers_stay_frozen_and_in_evaluation_mode(build: Any, tmp_path: Path) -> None:
    model, _ = build(tuple(VSRE_ENCODERS))
    model.save_pretrained(tmp_path)
    loaded = VsreForConditionalGeneration.from_pretrained(tmp_path)
    for candidate in (model, loaded):
        candidate.train()
        tower = candidate.model.vision_tower
        assert not any(parameter.requires_grad for parameter in tower.parameters())
        assert not any(module.training for module in tower.modules())
        assert all(parameter.requires_grad for parameter in candidate.model.multi_modal_projector.parameters())
        candidate.train_towers(True)
        assert all(parameter.requires_grad for parameter in tower.parameters())
        assert all(module.training for module in tower.modules())
        candidate.train_towers(False)
        assert not tower.training and candidate.training


def test_encoder_dropout_skips_encoders_but_never_all(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = build(tuple(VSRE_ENCODERS))
    tower = model.model.vision_tower
    computed: list[str] = []
    for name, encoder in tower.towers.items():
        encoder.register_forward_hook(lambda *_, name=name: computed.append(name))
    canvas = processor.blank_canvas(1)
    model.config.encoder_dropout = 0.6
    model.get_image_features(canvas)
    assert computed == list(VSRE_ENCODERS), "nothing is dropped in evaluation mode"

    model.train()
    torch.manual_seed(0)
    draws = []
    for _ in range(60):
        computed.clear()
        tokens = model.get_image_features(canvas).pooler_output[0]
        blank = [name for index, name in enumerate(VSRE_ENCODERS) if _constant(tokens[16 * index : 16 * index + 16])]
        assert sorted(blank + computed) == sorted(VSRE_ENCODERS)
        draws.append(len(computed))
    assert min(draws) == 1 and 0.3 < sum(draws) / len(draws) / len(VSRE_ENCODERS) < 0.55


def _constant(tokens: Tensor) -> bool:
    return bool((tokens == tokens[0]).all())


def test_a_dropped_encoder_still_has_gradients_for_distributed_training(build: Any) -> None:
    model, processor = build(tuple(VSRE_ENCODERS))
    model.train_towers(True)
    model.train()
    features = model.model.vision_tower(processor.blank_canvas(1), encoders=["clip"])
    sum(feature.sum() for feature in features.values()).backward()
    for name, parameter in model.model.vision_tower.named_parameters():
        assert parameter.grad is not None, name
        assert "clip" in name or not parameter.grad.any()


@pytest.mark.parametrize("trainable", [True, False])
def test_a_dropped_encoder_that_zero3_splits_takes_part_all_the_same(build: Any, trainable: bool) -> None:
    """Its parameters are empty until a forward gathers them, and other processes may have drawn it."""
    model, processor = build(tuple(VSRE_ENCODERS))
    model.train_towers(trainable)
    model.train()
    tower = model.model.vision_tower.towers["sam"]

    def gather(*_: Any) -> None:
        for parameter in tower.parameters():
            parameter.data = parameter.whole

    for number, parameter in enumerate(tower.parameters()):
        parameter.ds_id, parameter.whole = number, parameter.data
        parameter.data = torch.empty(0)
    tower.register_forward_pre_hook(gather)
    features = model.model.vision_tower(processor.blank_canvas(1), encoders=["clip"])
    assert features["sam"].shape == (1, 16, 24) and not features["sam"].any() and not features["dinov2"].any()
    assert all(parameter.numel() for parameter in tower.parameters()), "it was gathered"
    if trainable:
        sum(feature.sum() for feature in features.values()).backward()
        assert all(parameter.grad is not None and not parameter.grad.any() for parameter in tower.parameters())


@pytest.mark.parametrize("fusion", list(FUSIONS))
def test_cached_features_give_the_same_logits_and_answers(
    build: Any, picture: Image.Image, prompt: Prompt, fusion: str
) -> None:
    model, processor = build(("siglip", "dinov2"), fusion)
    inputs = prompt(processor, picture, "where is the red cup?", "is the book left of the cup?")
    cached = {name: value for name, value in inputs.items() if name != "pixel_values"}
    cached["encoder_features"] = model.model.vision_tower(inputs["pixel_values"])
    assert torch.equal(model(**cached).logits, model(**inputs).logits)
    for beams in (1, 3):
        settings: Any = {"max_new_tokens": 4, "num_beams": beams, "do_sample": False}
        assert torch.equal(model.generate(**cached, **settings), model.generate(**inputs, **settings))
    with pytest.raises(ValueError, match="either"):
        model(**cached, pixel_values=inputs["pixel_values"])


def test_a_left_padded_batch_equals_single_rows(build: Any, picture: Image.Image, prompt: Prompt) -> None:
    model, processor = build()
    questions = ["where is the red cup?", "the cup"]
    batch = model(**prompt(processor, picture, *questions)).logits
    for row, question in enumerate(questions):
        single = model(**prompt(processor, picture, question)).logits[0]
        torch.testing.assert_close(batch[row, -len(single) :], single, atol=1e-5, rtol=1e-5)


def test_statements_packed_on_one_image_equal_separate_rows(build: Any, picture: Image.Image, prompt: Prompt) -> None:
    model, processor = build()
    rows = [
        prompt(processor, picture, text) for text in ("where is the red cup?", "the book", "is the cup left of it?")
    ]
    prefix = 1 + 1 + processor.num_image_tokens  # user : <image> ...
    suffixes = [row["input_ids"][0, prefix:] for row in rows]
    ids = torch.cat([rows[0]["input_ids"][0, :prefix], *suffixes])
    owner = torch.cat([torch.full((prefix,), -1), *(torch.full((len(s),), k) for k, s in enumerate(suffixes))])
    position_ids = torch.cat([torch.arange(prefix), *(torch.arange(prefix, prefix + len(s)) for s in suffixes)])
    causal = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    mask = causal & ((owner[None] == -1) | (owner[:, None] == owner[None]))

    assert model.config._attn_implementation == "sdpa"
    packed = model(
        input_ids=ids[None],
        attention_mask=mask[None, None],
        position_ids=position_ids[None],
        pixel_values=rows[0]["pixel_values"],
    ).logits[0]
    for index, row in enumerate(rows):
        separate = model(**row).logits[0, prefix:]
        torch.testing.assert_close(packed[owner == index], separate, atol=1e-5, rtol=1e-5)


def test_text_attention_can_be_changed_without_touching_the_towers(
    build: Any, picture: Image.Image, prompt: Prompt
) -> None:
    model, processor = build()
    inputs = prompt(processor, picture, "the cup")
    expected = model(**inputs).logits
    model.set_attn_implementation({"text_config": "eager"})
    assert model.model.vision_tower.config._attn_implementation == "sdpa"
    torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=1e-5)


def test_configurations_are_default_constructible(tmp_path: Path) -> None:
    assert FusedVisionConfig().encoders == list(VSRE_ENCODERS)
    config = VsreConfig()
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is VsreConfig and loaded.to_dict() | {"_name_or_path": ""} == config.to_dict()
    assert config.vision.canvas_size == 1024
