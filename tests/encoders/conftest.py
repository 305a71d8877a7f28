"""Models of a few thousand parameters: the real classes, four grids of 4 x 4 tokens (SAM can be given another)."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.build import assemble
from encoders.modeling import VsreForConditionalGeneration
from encoders.processing import VsreProcessor
from tests.encoders.tiny_towers import TINY

WORDS = ["the", "red", "cup", "is", "left", "right", "of", "blue", "book", "yes", "no", "where", "x0", "x1", "y0", "y1"]

Pair = tuple[VsreForConditionalGeneration, VsreProcessor]
Build = Callable[..., Pair]

MINI: dict[str, Any] = {
    "towers": {
        "clip": TINY["clip"],
        "siglip": {**TINY["siglip"], "image_size": 32},
        "dinov2": TINY["dinov2"],
        "sam": {**TINY["sam"], "window_size": 2, "initializer_range": 0.02},
    },
    "text": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    },
    "projector": {"conv_adapters": []},
    "canvas_size": 64,
}


@pytest.fixture
def build() -> Build:
    """Return a function (encoders, fusion, sam_patch=16) -> (model, processor)."""

    def make(encoders: Sequence[str] = ("clip", "sam"), fusion: str = "sequence", sam_patch: int = 16) -> Pair:
        sizes = deepcopy(MINI)
        sizes["towers"]["sam"]["patch_size"] = sam_patch
        return assemble(sizes, encoders, fusion, WORDS, seed=0)

    return make


@pytest.fixture
def picture() -> Image.Image:
    """Return a wide noise picture."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))


@pytest.fixture
def prompt() -> Callable[..., dict[str, torch.Tensor]]:
    """Return a function (processor, image, *questions) -> model inputs, one row per question, left padded."""

    def make(processor: VsreProcessor, image: Image.Image, *questions: str) -> dict[str, torch.Tensor]:
        texts = []
        for question in questions:
            content = [{"type": "image"}, {"type": "text", "text": question}]
            texts.append(
                processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            )
        inputs = processor(images=[[image]] * len(texts), text=texts, padding=True, return_tensors="pt")
        return dict(inputs)

    return make
