"""``vsre eval`` on models of other families: whole runs, what pictures become, adapters and hub ids, prompts."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from torch import Tensor

from encoders.chat import answer_gap
from encoders.family_load import load_family
from encoders.model_hash import model_hash
from eval.config import EvalConfig
from eval.families import FAMILIES
from eval.families.family import Family
from eval.families.opening import open_model
from eval.images import ImageFeatures
from eval.predictions import Prediction, read_predictions
from eval.run import evaluate
from spatial.dataset import DatasetFolder
from spatial.errors import CheckpointError
from spatial.records import ImageRow, decode_image, encode_png
from spatial.templates import TEMPLATES, render
from tests.eval.hub_cache import in_cache

CPU = torch.device("cpu")

Written = Callable[[str], Path]


def rows_of(out: Path) -> dict[tuple[str, str], Prediction]:
    return {(row.record_id, row.decoder): row for row in read_predictions(out / "predictions.parquet")}


DECODERS = ["greedy", "scale(alpha=0.5)", "adaptvis(a1=0.5,a2=1.5,beta=0.3)", "blind(alpha=1,beta=0.1)"]


@pytest.mark.parametrize("name", ["llava", "llava_next", "qwen2_vl", "qwen2_5_vl", "blip"])
def test_a_run_answers_every_record_as_the_model_itself(
    name: str, written: Written, family_run: EvalConfig, dataset: Path
) -> None:
    decoders = DECODERS if name != "blip" else ["greedy", "vcd(alpha=1,beta=0.1)"]
    run = replace(family_run, model=str(written(name)), decoders=decoders, image_modes=["image", "image_blind"])
    out = evaluate(run)
    results = json.loads((out / "results.json").read_text())
    assert (results["model_type"], results["canvas"]) == (name, "processor")
    assert results["model_hash"] == model_hash(written(name))
    by_run = {(score["decoder"], score["image_mode"]): score for score in results["scores"]}
    assert {decoder for decoder, _ in by_run} >= set(decoders)
    assert all(score["n"] == 48 and not score["failed"] for score in by_run.values())
    assert by_run["greedy", "image_blind"]["accuracy"] == 0.5
    assert results["scores"][0]["canvas"] == "processor"
    if name != "blip":
        rows = read_predictions(out / "predictions.parquet")
        row = next(row for row in rows if (row.decoder, row.image_mode) == ("greedy", "image"))
        assert row.option_logprobs == pytest.approx(plain_row(written(name), dataset, row), abs=1e-5)
    parts = len(list((out / "predictions").glob("*.parquet")))
    evaluate(run)
    assert len(list((out / "predictions").glob("*.parquet"))) == parts, "a second run computes nothing"


def test_an_added_family_answers_as_the_model_itself(
    written: Written, family_run: EvalConfig, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = replace(family_run, model=str(written("llava_onevision")))
    with pytest.raises(CheckpointError, match=r"'llava_onevision', which evaluation does not know.*docs/extending.md"):
        evaluate(run)
    monkeypatch.setitem(FAMILIES, "llava_onevision", Family())  # as docs/extending.md adds it
    rows = [row for row in read_predictions(evaluate(run) / "predictions.parquet") if row.task == "statement"]
    for row in rows[:2]:
        assert row.option_logprobs == pytest.approx(plain_row(written("llava_onevision"), dataset, row), abs=1e-5)


def plain_row(folder: Path, dataset: Path, row: Prediction) -> list[float]:
    """Log-probabilities of a greedy row's options by the processor and forward pass of the model."""
    model, processor = load_family(folder)
    records = DatasetFolder(dataset).record_set()
    record = next(record for record in records.records if record.record_id == row.record_id)
    chat = render(record, TEMPLATES[row.template], 0).messages
    text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    picture = decode_image(records.images[row.image_id].image, "")
    prompt = len(processor(images=[picture], text=[text], return_tensors="pt")["input_ids"][0])
    sums = []
    for option in row.options:
        inputs = processor(images=[picture], text=[text + answer_gap(text) + option], return_tensors="pt")
        ids = inputs["input_ids"][0]
        with torch.no_grad():
            logprobs = model(**inputs).logits[0].log_softmax(-1)
        sums.append(sum(float(logprobs[at - 1, ids[at]]) for at in range(prompt, len(ids))))
    return sums


# What becomes of a picture


def seen(folder: Path, kind: str, canvas: str, picture: Image.Image) -> Tensor:
    """What the language model sees of one picture."""
    model, processor, see, used = open_model(folder, kind, canvas, CPU)
    assert used == canvas
    row = ImageRow("one", encode_png(np.asarray(picture)), *picture.size, "test")
    found = ImageFeatures(model, processor, {"one": row}, see).get(["one"])["one"]
    assert isinstance(found, Tensor)
    return found


def expand2square(picture: Image.Image, mean: list[float]) -> Image.Image:
    """What the authors of LLaVA do before their processor."""
    colour, (width, height) = tuple(int(255 * channel) for channel in mean), picture.size
    square = Image.new("RGB", (max(width, height),) * 2, colour)
    square.paste(picture, (0, (width - height) // 2) if width > height else ((height - width) // 2, 0))
    return square


def test_llava_loses_the_sides_of_a_picture_unless_it_is_padded(written: Written) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    other = pixels.copy()
    other[:, :40], other[:, -40:] = 0, 255
    one, two = Image.fromarray(pixels), Image.fromarray(other)
    folder = written("llava")
    assert torch.equal(seen(folder, "llava", "processor", one), seen(folder, "llava", "processor", two))
    padded = seen(folder, "llava", "pad", one)
    assert not torch.allclose(padded, seen(folder, "llava", "pad", two), atol=1e-3)
    model, processor = load_family(folder)
    mean = processor.image_processor.image_mean
    plain = processor.image_processor(images=[expand2square(one, mean)], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        assert torch.equal(padded, model.get_image_features(pixel_values=plain).pooler_output[0])


def test_answers_of_two_canvases_share_a_run_directory(written: Written, family_run: EvalConfig) -> None:
    run = replace(family_run, model=str(written("llava")), max_new_tokens=0)
    found = {}
    for canvas in ("processor", "pad"):
        out = evaluate(replace(run, canvas=canvas))
        found[canvas] = rows_of(out)
        assert {row.canvas for row in found[canvas].values()} == {canvas}
        assert json.loads((out / "results.json").read_text())["canvas"] == canvas
    assert found["processor"].keys() == found["pad"].keys()
    assert all(found["processor"][key].option_logprobs != found["pad"][key].option_logprobs for key in found["pad"])


# Adapters and hub ids


def make_adapter(base: Path, named: str, folder: Path) -> Any:
    """Write an adapter with a trained projector, as training leaves it, and return it as PEFT has it."""
    model, _ = load_family(base, torch.float32)
    targets = r".*language_model\..*\.(q_proj|v_proj)"
    adapted = get_peft_model(
        model, LoraConfig(r=2, target_modules=targets, modules_to_save=["multi_modal_projector"])
    ).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    adapted.peft_config["default"].base_model_name_or_path = named
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return adapted


def test_a_hub_id_is_evaluated_from_the_cache_as_its_directory(
    written: Written, family_run: EvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache(written("qwen2_vl"), "someone/qwen", tmp_path / "cache", monkeypatch)
    from_hub = rows_of(evaluate(replace(family_run, model="someone/qwen", out=str(tmp_path / "hub"))))
    assert from_hub == rows_of(evaluate(replace(family_run, model=str(written("qwen2_vl")))))


def test_an_adapter_is_merged_into_the_base_that_it_names(
    written: Written, family_run: EvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, adapter = written("llava"), tmp_path / "adapter"
    adapted = make_adapter(base, "someone/llava", adapter)
    with pytest.raises(CheckpointError, match=r"base 'someone/llava' of adapter .* run 'hf download someone/llava'"):
        evaluate(replace(family_run, model=str(adapter)))
    in_cache(base, "someone/llava", tmp_path / "cache", monkeypatch)
    model, processor, _, _ = open_model(adapter, "llava", "", CPU)
    inputs = processor(images=[Image.new("RGB", (40, 30), "red")], text=["USER: <image>\nOn?"], return_tensors="pt")
    with torch.no_grad():
        tuned, before = adapted(**inputs).logits, load_family(base)[0](**inputs).logits
        assert torch.allclose(model(**inputs).logits, tuned, atol=1e-5)
        assert not torch.allclose(before, tuned, atol=1e-2)
    results = json.loads((evaluate(replace(family_run, model=str(adapter))) / "results.json").read_text())
    assert results["scores"][0]["n"] == 48
    assert results["model_hash"] == model_hash(adapter) != model_hash(base)


# How questions are written for want of a chat template


@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "qwen2_5_vl"])
def test_without_a_chat_template_the_published_form_is_written(name: str, written: Written, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(written(name), tmp_path / "copy"))
    own = load_family(folder)[1]
    (folder / "chat_template.jinja").unlink()
    _, processor, _, _ = open_model(folder, name, "", CPU)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it red?"}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    if name == "llava":
        assert text == "USER: <image>\nIs it red? ASSISTANT:"
    else:
        assert text == own.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        assert text.endswith("<|vision_end|>Is it red?<|im_end|>\n<|im_start|>assistant\n")


def test_mistrals_form_is_that_of_the_published_template(written: Written) -> None:
    processor = load_family(written("llava_next"))[1]
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it red?"}]}]
    template = FAMILIES["llava_next"].templates["mistral"]
    text = processor.apply_chat_template(chat, chat_template=template, add_generation_prompt=True, tokenize=False)
    assert text == "[INST] <image>\nIs it red? [/INST]"
