"""Every fusion mode with every subset of VSRE's encoders: what a model must do whatever it is made of.

Small models, so that all 75 combinations are tried. What costs more (generation, adapters, padding) is tried on the
full set and two pairs. Files are slow: the fast tier saves some combinations (here and in ``test_modeling``), not all.
"""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import infer_auto_device_map
from peft import PeftModel, get_peft_model
from PIL import Image
from torch import Tensor
from transformers import AutoModelForImageTextToText

import vsre.hf  # noqa: F401
from encoders import FUSIONS, VSRE_ENCODERS
from encoders.adapters import lora_config
from encoders.configuration import VsreConfig
from encoders.load import load_model
from encoders.modeling import VsreForConditionalGeneration

Prompt = Callable[..., dict[str, Tensor]]

SUBSETS = [subset for size in range(1, 5) for subset in combinations(VSRE_ENCODERS, size)]
CHOSEN = [tuple(VSRE_ENCODERS), ("clip", "siglip"), ("sam", "dinov2")]
QUESTIONS = ["where is the red cup?", "is the book left of the cup?", "the cup"]

every_mode = pytest.mark.parametrize("fusion", list(FUSIONS))
chosen = pytest.mark.parametrize("encoders", CHOSEN, ids="+".join)
one_fast = pytest.mark.parametrize(
    "encoders",
    [CHOSEN[0], *(pytest.param(encoders, marks=pytest.mark.slow) for encoders in CHOSEN[1:])],
    ids=["+".join(encoders) for encoders in CHOSEN],
)


@every_mode
def test_every_subset_computes_a_loss(build: Any, picture: Image.Image, prompt: Prompt, fusion: str) -> None:
    assert len(SUBSETS) == 15
    for encoders in SUBSETS:
        model, processor = build(encoders, fusion)
        inputs = prompt(processor, picture, "the red cup")
        output = model(**inputs, labels=inputs["input_ids"])
        assert torch.isfinite(output.loss) and torch.isfinite(output.logits).all()


@pytest.mark.slow
@every_mode
def test_every_subset_is_the_same_after_saving(
    build: Any, picture: Image.Image, prompt: Prompt, tmp_path: Path, fusion: str
) -> None:
    for number, encoders in enumerate(SUBSETS):
        model, processor = build(encoders, fusion)
        inputs = prompt(processor, picture, "the red cup")
        expected = model(**inputs, labels=inputs["input_ids"])
        model.save_pretrained(tmp_path / str(number))
        loaded: Any = AutoModelForImageTextToText.from_pretrained(tmp_path / str(number))
        again = loaded(**inputs, labels=inputs["input_ids"])
        assert torch.equal(again.logits, expected.logits) and torch.equal(again.loss, expected.loss)


@chosen
@every_mode
def test_batches_beams_and_cached_features(
    build: Any, picture: Image.Image, prompt: Prompt, encoders: tuple[str, ...], fusion: str
) -> None:
    model, processor = build(encoders, fusion)
    inputs = prompt(processor, picture, *QUESTIONS)
    logits = model(**inputs).logits
    settings: Any = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    greedy = model.generate(**inputs, **settings)
    for row, question in enumerate(QUESTIONS):
        single = prompt(processor, picture, question)
        alone = model(**single).logits[0]
        torch.testing.assert_close(logits[row, -len(alone) :], alone, atol=1e-5, rtol=1e-5)
        assert torch.equal(model.generate(**single, **settings)[0, -4:], greedy[row, -4:])

    cached = {name: value for name, value in inputs.items() if name != "pixel_values"}
    cached["encoder_features"] = model.model.vision_tower(inputs["pixel_values"])
    assert torch.equal(model(**cached).logits, logits)
    assert torch.equal(model.generate(**cached, **settings), greedy)

    beams = model.generate(**inputs, **settings, num_beams=3)
    assert torch.equal(model.generate(**cached, **settings, num_beams=3), beams)
    for row in range(len(QUESTIONS)):
        ours = beams[row]
        by_hand = beam_search(model, {name: value[row : row + 1] for name, value in inputs.items()}, beams=3, tokens=4)
        assert torch.equal(ours, by_hand)


@torch.no_grad()
def beam_search(model: Any, inputs: dict[str, Tensor], beams: int, tokens: int) -> Tensor:
    """Search without a key-value cache, with every input of one row repeated for each beam by hand."""
    expanded = {name: value.repeat_interleave(beams, 0) for name, value in inputs.items()}
    ids, mask = expanded["input_ids"], expanded["attention_mask"]
    end = model.generation_config.eos_token_id
    scores = torch.tensor([0.0] + [float("-inf")] * (beams - 1))
    for _ in range(tokens):
        next_logits = model(input_ids=ids, attention_mask=mask, pixel_values=expanded["pixel_values"]).logits[:, -1]
        logprobs = next_logits.float().log_softmax(-1)
        logprobs[:, end] = float("-inf")  # min_new_tokens
        scores, flat = (scores[:, None] + logprobs).flatten().topk(beams)
        beam, token = flat // logprobs.shape[1], flat % logprobs.shape[1]
        ids = torch.cat([ids[beam], token[:, None]], dim=1)
        mask = torch.cat([mask, torch.ones_like(token)[:, None]], dim=1)
    return ids[0]


@one_fast
@every_mode
def test_an_adapter_is_saved_loaded_and_merged(
    build: Any, picture: Image.Image, prompt: Prompt, tmp_path: Path, encoders: tuple[str, ...], fusion: str
) -> None:
    model, processor = build(encoders, fusion)
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    inputs = prompt(processor, picture, *QUESTIONS)
    model, _ = load_model(tmp_path / "base")
    before = model(**inputs).logits
    tuned = get_peft_model(model, lora_config(model, r=2, alpha=4))
    assert torch.equal(tuned.eval()(**inputs).logits, before), "an untrained adapter changes nothing"
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    expected = tuned(**inputs).logits
    assert not torch.allclose(expected, before, atol=1e-4)
    tuned.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    loaded = PeftModel.from_pretrained(load_model(tmp_path / "base")[0], tmp_path / "adapter")
    assert torch.equal(loaded(**inputs).logits, expected)
    merged, _ = load_model(tmp_path / "adapter")
    torch.testing.assert_close(merged(**inputs).logits, expected, atol=1e-5, rtol=1e-5)


@every_mode
def test_the_order_of_the_encoders_is_the_order_of_the_model(build: Any, fusion: str) -> None:
    canvas = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    one, _ = build(("clip", "siglip"), fusion)
    other, _ = build(("siglip", "clip"), fusion)
    assert [list(model.model.vision_tower(canvas)) for model in (one, other)] == [
        ["clip", "siglip"],
        ["siglip", "clip"],
    ]
    if fusion == "channel":  # the order is that of the aligner's input channels
        weight = one.model.multi_modal_projector.aligner[0].weight
        state = one.state_dict()
        state["model.multi_modal_projector.aligner.0.weight"] = torch.cat(weight.chunk(2, dim=1)[::-1], dim=1)
    else:
        state = one.state_dict()
    other.load_state_dict(state)
    first, second = (model.get_image_features(canvas).pooler_output[0] for model in (one, other))
    if fusion == "sequence":
        second = torch.cat(second.chunk(2)[::-1])
    elif fusion == "interleave":
        second = second.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    torch.testing.assert_close(second, first, atol=1e-6, rtol=1e-5)
    assert (fusion in ("sequence", "interleave")) != torch.allclose(
        other.get_image_features(canvas).pooler_output[0], first, atol=1e-5
    )


@every_mode
def test_checkpointing_changes_neither_loss_nor_gradients(
    build: Any, picture: Image.Image, prompt: Prompt, fusion: str
) -> None:
    model, processor = build(tuple(VSRE_ENCODERS), fusion)
    inputs = prompt(processor, picture, *QUESTIONS)
    for towers in (False, True):
        model.train_towers(towers)
        model.train()
        losses, gradients = [], []
        for checkpointing in (False, True):
            if checkpointing:
                model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
            else:
                model.activation_checkpointing_disable()
            model.zero_grad()
            loss = model(**inputs, labels=inputs["input_ids"], use_cache=False).loss
            loss.backward()
            losses.append(loss.detach())
            gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        assert torch.equal(*losses)
        assert gradients[0].keys() == gradients[1].keys()
        assert any("vision_tower" in name for name in gradients[0]) == towers
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5)


@every_mode
def test_sdpa_and_eager_agree(build: Any, picture: Image.Image, prompt: Prompt, tmp_path: Path, fusion: str) -> None:
    model, processor = build(tuple(VSRE_ENCODERS), fusion)
    inputs = prompt(processor, picture, *QUESTIONS)
    model.save_pretrained(tmp_path)
    eager = VsreForConditionalGeneration.from_pretrained(tmp_path, attn_implementation="eager")
    for part in (
        eager,
        eager.model.vision_tower,
        *eager.model.vision_tower.towers.values(),
        eager.model.language_model,
    ):
        assert part.config._attn_implementation == "eager"
    seen = inputs["attention_mask"].bool()  # what padding computes is nobody's concern
    torch.testing.assert_close(eager(**inputs).logits[seen], model(**inputs).logits[seen], atol=1e-5, rtol=1e-5)


@every_mode
def test_bfloat16_computes_and_stays_near(build: Any, picture: Image.Image, prompt: Prompt, fusion: str) -> None:
    model, processor = build(tuple(VSRE_ENCODERS), fusion)
    inputs = prompt(processor, picture, "the red cup")
    expected = model(**inputs).logits
    low = model.to(torch.bfloat16)(**inputs, labels=inputs["input_ids"])
    assert low.logits.dtype == torch.bfloat16 and torch.isfinite(low.loss)
    assert (low.logits.float() - expected).abs().max() < 0.1 * expected.abs().max()


@every_mode
def test_a_model_that_is_first_built_without_memory_gets_every_value(
    build: Any, picture: Image.Image, prompt: Prompt, tmp_path: Path, fusion: str
) -> None:
    """Loading builds on the meta device; weights that a file lacks, gates and queries too, are then initialised."""
    model, processor = build(tuple(VSRE_ENCODERS), fusion)
    config = VsreConfig(**{**model.config.to_dict(), "gates": list(VSRE_ENCODERS)})
    with torch.device("meta"):
        empty = VsreForConditionalGeneration(config)
    assert {parameter.device.type for parameter in empty.parameters()} == {"meta"}
    config.save_pretrained(tmp_path)
    lacking = {
        name: value for name, value in model.state_dict().items() if not name.endswith((".queries", ".norm.bias"))
    }
    loaded, info = VsreForConditionalGeneration.from_pretrained(
        None, config=config, state_dict=lacking, output_loading_info=True
    )
    gates = {f"model.multi_modal_projector.gates.{name}" for name in VSRE_ENCODERS}
    assert gates <= set(info["missing_keys"])
    values = dict(loaded.named_parameters())
    assert values.keys() == dict(empty.named_parameters()).keys()
    assert all(value.device.type == "cpu" and torch.isfinite(value).all() for value in values.values())
    assert all(not values[name].any() for name in gates), "a gate starts closed"
    if fusion == "resampler":
        queries = values["model.multi_modal_projector.queries"]
        assert 0.01 < float(queries.std()) < 0.03
    loss = loaded(
        **prompt(processor, picture, "the cup"), labels=prompt(processor, picture, "the cup")["input_ids"]
    ).loss
    assert torch.isfinite(loss)


def test_the_default_configuration_builds_without_memory() -> None:
    with torch.device("meta"):
        model = VsreForConditionalGeneration(VsreConfig())
    assert list(model.model.vision_tower.towers) == list(VSRE_ENCODERS)


def test_layers_are_never_split_between_devices() -> None:
    config = VsreConfig()
    config.text_config.num_hidden_layers = 4
    with torch.device("meta"):
        model = VsreForConditionalGeneration(config)
    wanted = {"LlamaDecoderLayer", "CLIPEncoderLayer", "SiglipEncoderLayer", "Dinov2Layer", "SamVisionLayer"}
    assert wanted | {fusion.__name__ for fusion in FUSIONS.values()} <= set(model._no_split_modules)
    wanted |= {type(model.model.multi_modal_projector).__name__}
    layers = {name for name, module in model.named_modules() if type(module).__name__ in wanted}
    for megabytes in (500, 900, 2000):
        memory = {0: megabytes * 2**20, 1: megabytes * 2**20, "cpu": 2**40}
        places = infer_auto_device_map(model, max_memory=memory, no_split_module_classes=model._no_split_modules)
        assert len(set(places.values())) > 1
        assert not [place for place in places if any(place.startswith(f"{layer}.") for layer in layers)]


def test_nothing_about_a_picture_is_left_out_of_a_mode(build: Any) -> None:
    """Every mode answers differently to different pictures, whichever encoder is looked through."""
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8))
    for fusion in FUSIONS:
        model, _ = build(tuple(VSRE_ENCODERS), fusion)
        features = model.model.vision_tower(pictures)
        whole = model.model.multi_modal_projector(features)
        for name in VSRE_ENCODERS:
            swapped = {**features, name: features[name].flip(0)}
            assert not torch.allclose(model.model.multi_modal_projector(swapped), whole, atol=1e-5), (fusion, name)
