"""Several images, none, or the wrong number of them: right results in a batch, or an error that names the row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

IMAGES = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40 + 9 * seed, 3), dtype=np.uint8))
    for seed in range(6)
]
TEXTS = [
    "user: <image>where is the red cup? assistant:",
    "user: is the red cup left of the blue book? assistant:",
    "user: <image><image>where is the book? assistant:",
    "user: <image>the cup <image>is left of the book <image>where? assistant:",
]
COUNTS = [1, 0, 2, 3]
ROWS = [IMAGES[:1], [], IMAGES[1:3], IMAGES[3:6]]

Rows = Sequence[Any]


def inputs_of(processor: Any, texts: Any, images: Any, **options: Any) -> dict[str, torch.Tensor]:
    return dict(processor(text=texts, images=images, padding=True, return_tensors="pt", **options))


@pytest.mark.parametrize("fusion", ["sequence", "resampler"])
@pytest.mark.parametrize("nested", [True, False])
def test_rows_with_different_numbers_of_images_equal_single_rows(build: Any, fusion: str, nested: bool) -> None:
    model, processor = build(("clip", "sam"), fusion)
    inputs = inputs_of(processor, TEXTS, ROWS if nested else IMAGES)
    assert inputs["pixel_values"].shape[0] == 6
    counted = (inputs["input_ids"] == processor.image_token_id).sum(1)
    assert counted.tolist() == [count * processor.num_image_tokens for count in COUNTS]
    assert inputs["attention_mask"][1, 0] == 0 and inputs["attention_mask"][:, -1].all(), "padded on the left"
    batch = model(**inputs).logits
    answers = model.generate(**inputs, max_new_tokens=3, min_new_tokens=3, do_sample=False)
    for row, (text, images) in enumerate(zip(TEXTS, ROWS, strict=True)):
        single = inputs_of(processor, text, images or None)
        logits = model(**single).logits[0]
        torch.testing.assert_close(batch[row, -len(logits) :], logits, atol=1e-5, rtol=1e-5)
        alone = model.generate(**single, max_new_tokens=3, min_new_tokens=3, do_sample=False)
        assert torch.equal(answers[row, -3:], alone[0, -3:])


def test_the_order_of_images_in_a_prompt_matters(build: Any) -> None:
    model, processor = build()
    two = model(**inputs_of(processor, TEXTS[2], IMAGES[1:3])).logits
    turned = model(**inputs_of(processor, TEXTS[2], IMAGES[2:0:-1])).logits
    assert not torch.allclose(two, turned, atol=1e-4)


def test_a_batch_of_texts_alone_needs_no_image(build: Any) -> None:
    model, processor = build()
    texts = [TEXTS[1], "user: where is the cup? assistant:"]
    nothing: list[Any] = [None, [], [[], []]]
    for images in nothing:
        inputs = inputs_of(processor, texts, images)
        assert "pixel_values" not in inputs
    batch = model(**inputs).logits
    single = model(**inputs_of(processor, texts[1], None)).logits[0]
    torch.testing.assert_close(batch[1, -len(single) :], single, atol=1e-5, rtol=1e-5)


def test_cached_features_of_several_images_give_the_same_answers(build: Any) -> None:
    model, processor = build(("clip", "dinov2"))
    inputs = inputs_of(processor, TEXTS, ROWS)
    cached = {name: value for name, value in inputs.items() if name != "pixel_values"}
    cached["encoder_features"] = model.model.vision_tower(inputs["pixel_values"])
    assert torch.equal(model(**cached).logits, model(**inputs).logits)
    settings: Any = {"max_new_tokens": 3, "do_sample": False}
    for beams in (1, 2):
        expected = model.generate(**inputs, **settings, num_beams=beams)
        assert torch.equal(model.generate(**cached, **settings, num_beams=beams), expected)


@pytest.mark.parametrize(
    ("texts", "images", "message"),
    [
        (TEXTS[0], IMAGES[:2], "row 0 has 1 <image> in its text but 2 images"),
        (TEXTS[2], IMAGES[:1], "row 0 has 2 <image> in its text but 1 images"),
        (TEXTS[0], None, "row 0 has 1 <image> in its text but 0 images"),
        (TEXTS[0], [], "row 0 has 1 <image> in its text but 0 images"),
        (TEXTS[:2], [IMAGES[:1], IMAGES[:1]], "row 1 has 0 <image> in its text but 1 images"),
        (TEXTS, [*ROWS[:2], IMAGES[:3], IMAGES[3:5]], "row 2 has 2 <image> in its text but 3 images"),
        (TEXTS, IMAGES[:2], "row 2 has 2 <image> in its text but 1 images"),
        (TEXTS, [*IMAGES, IMAGES[0]], "row 3 has 3 <image> in its text but 4 images"),
        (TEXTS[:2], [IMAGES[:1]], "1 rows of images are given for 2 texts"),
    ],
)
def test_a_wrong_number_of_images_names_the_row(build: Any, texts: Any, images: Rows | None, message: str) -> None:
    _, processor = build()
    with pytest.raises(ValueError, match=message):
        inputs_of(processor, texts, images)


def test_truncation_never_cuts_an_image(build: Any) -> None:
    _, processor = build()
    short = processor.num_image_tokens // 2
    with pytest.raises(ValueError, match=r"truncation leaves \[\d+, 0\] of \[32, 0\] image tokens") as caught:
        inputs_of(processor, TEXTS[:2], ROWS[:2], truncation=True, max_length=short)
    assert "\n" not in str(caught.value)
    long = inputs_of(processor, TEXTS[:2], ROWS[:2], truncation=True, max_length=200)
    assert torch.equal(long["input_ids"], inputs_of(processor, TEXTS[:2], ROWS[:2])["input_ids"])


@pytest.mark.parametrize("change", [-1, 1])
def test_hand_made_tokens_of_a_wrong_number_say_how_many_are_needed(build: Any, change: int) -> None:
    model, processor = build(("clip",))
    inputs = inputs_of(processor, TEXTS[2], IMAGES[:2])
    ids = inputs["input_ids"][0].tolist()
    ids = ids[:2] + ids[3:] if change < 0 else [*ids[:2], processor.image_token_id, *ids[2:]]
    with pytest.raises(ValueError, match=rf"2 images of 16 tokens need 32 image tokens.*, not {32 + change}; "):
        model(input_ids=torch.tensor([ids]), pixel_values=inputs["pixel_values"])
