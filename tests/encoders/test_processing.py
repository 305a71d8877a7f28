"""Properties of pictures, prompts and words on their way into the model."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from encoders.canvas import letterbox, letterbox_box
from encoders.tokenizer import build_tokenizer
from spatial.errors import ConfigError
from spatial.pictures import MEAN_COLOUR

PROMPT = "user: <image>is the red cup left of the blue book? assistant:"


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(8, 512))
def test_a_letterboxed_picture_is_whole_centred_and_undistorted(width: int, height: int, side: int) -> None:
    left, top, inner_width, inner_height = letterbox_box(width, height, side)
    assert max(inner_width, inner_height) == side and min(inner_width, inner_height) >= 1
    assert abs(side - inner_width - 2 * left) <= 1 and abs(side - inner_height - 2 * top) <= 1
    scale = side / max(width, height)
    assert abs(inner_width - width * scale) <= 1 and abs(inner_height - height * scale) <= 1


def test_padding_has_the_mean_colour_and_the_picture_keeps_its_pixels() -> None:
    image = Image.new("RGB", (64, 32), (10, 200, 30))
    canvas = np.asarray(letterbox(image, 64))
    assert (canvas[:16] == MEAN_COLOUR).all() and (canvas[48:] == MEAN_COLOUR).all()
    assert (canvas[16:48] == (10, 200, 30)).all()


def test_every_kind_of_picture_becomes_the_same_canvas(build: Any, picture: Image.Image) -> None:
    _, processor = build()
    array = np.asarray(picture)
    kinds = [picture, array, torch.from_numpy(array.copy()).permute(2, 0, 1), picture.convert("RGBA")]
    canvases = processor.image_processor(kinds, return_tensors="pt")["pixel_values"]
    assert canvases.dtype == torch.uint8 and canvases.shape == (4, 3, 64, 64)
    assert all(torch.equal(canvas, canvases[0]) for canvas in canvases)
    grey = processor.image_processor(picture.convert("L"), return_tensors="pt")["pixel_values"]
    assert grey.shape == (1, 3, 64, 64)
    with pytest.raises(ValueError, match="uint8"):
        processor.image_processor(array / 255.0)


def test_the_blank_canvas_is_a_picture_of_the_mean_colour(build: Any) -> None:
    _, processor = build()
    plain = processor.image_processor(Image.new("RGB", (40, 70), MEAN_COLOUR), return_tensors="pt")["pixel_values"]
    assert torch.equal(plain, processor.blank_canvas(1))


def test_the_prompt_is_the_one_that_all_rooms_expect(build: Any) -> None:
    _, processor = build()
    content = [{"type": "image"}, {"type": "text", "text": "is the red cup left of the blue book?"}]
    question = {"role": "user", "content": content}
    answer = {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}
    assert processor.apply_chat_template([question], add_generation_prompt=True) == PROMPT
    assert processor.apply_chat_template([question, answer]) == f"{PROMPT} yes<eos>"


def test_other_roles_are_refused(build: Any) -> None:
    _, processor = build()
    with pytest.raises(Exception, match="roles are user and assistant, not system"):
        processor.apply_chat_template([{"role": "system", "content": "the red cup"}])


@pytest.mark.parametrize("size", [{"height": 32, "width": 48}, {"shortest_edge": 64}])
def test_a_canvas_that_is_no_square_is_refused(build: Any, picture: Image.Image, size: dict[str, int]) -> None:
    _, processor = build()
    with pytest.raises(ConfigError, match="equal height and width"):
        processor.image_processor(picture, size=size)


def test_the_answer_is_marked_as_generated(build: Any, picture: Image.Image) -> None:
    _, processor = build()
    messages = [
        {"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "the cup?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
    ]
    inputs = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, return_tensors="pt"
    )
    marked = inputs["input_ids"][inputs["assistant_masks"].bool()]
    assert processor.tokenizer.convert_ids_to_tokens(marked) == ["yes", "<eos>"]


def test_placeholders_are_counted_for_serving_tools(build: Any) -> None:
    _, processor = build(("clip", "siglip", "sam"))
    assert processor._get_num_multimodal_tokens(image_sizes=[[30, 50], [9, 9]]).num_image_tokens == [48, 48]


def test_words_are_tokens_and_come_back_as_text() -> None:
    tokenizer = build_tokenizer(["the", "red", "cup", "at", "x3", "y5", "hot dog", "t-shirt", "blue", "is"])
    assert tokenizer.tokenize("The red CUP is at x3 y5.") == ["the", "red", "cup", "is", "at", "x3", "y5", "."]
    ids = tokenizer("x3 y5 red cup, blue hot dog")["input_ids"]
    assert tokenizer.decode(ids) == "x3 y5 red cup, blue hot dog"
    assert tokenizer.decode(tokenizer(PROMPT.replace("left of", ""))["input_ids"]).startswith("user: <image>")
    assert tokenizer.unk_token_id in tokenizer("a zebra")["input_ids"]
    assert tokenizer.unk_token_id not in tokenizer("red t-shirt")["input_ids"]
    assert set(tokenizer("the cup")) == {"input_ids", "attention_mask"}


def test_token_ids_depend_on_the_set_of_words_only() -> None:
    assert build_tokenizer(["b", "a", "a"]).get_vocab() == build_tokenizer(["a", "b"]).get_vocab()
    assert build_tokenizer(["zebra"]).convert_tokens_to_ids(["<pad>", "<unk>", "<eos>", "<image>"]) == [0, 1, 2, 3]


def test_importing_the_room_is_free() -> None:
    code = "import sys, encoders, encoders.config; encoders.ENCODERS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
