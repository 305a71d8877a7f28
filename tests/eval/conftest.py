"""A tiny LLaVA of the public classes, with grouped-query attention; tiny models and a dataset on disk."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from encoders.build import assemble
from encoders.presets import PRESETS
from eval.config import DataConfig, EvalConfig
from spatial.dataset import write_shard
from spatial.records import ImageRow, Record, encode_png, image_id_of
from spatial.vocabulary import words

torch.set_num_threads(1)

COLOURS = ("red", "blue", "green", "yellow", "white", "black", "orange", "purple")

WORDS = (
    "user : assistant the red blue cup book is left right of on under in front behind does this hold ? yes no "
    "true false . where relative to"
)


@dataclass
class PlainProcessor:
    """What the room needs of a processor."""

    tokenizer: Any
    image_processor: Any


@pytest.fixture(scope="session")
def processor() -> PlainProcessor:
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", "<image>", *dict.fromkeys(WORDS.split())])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return PlainProcessor(tokenizer, image_processor)


@pytest.fixture(scope="session")
def llava(processor: PlainProcessor) -> LlavaForConditionalGeneration:
    """Two key-value heads under four query heads; weights large enough that attention matters."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    text = LlamaConfig(
        vocab_size=len(processor.tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        initializer_range=0.3,
        attn_implementation="sdpa",
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        initializer_range=0.3,
    )
    return LlavaForConditionalGeneration(config).eval()


@pytest.fixture(scope="session")
def images() -> dict[str, ImageRow]:
    """Four random pictures by identifier."""
    pixels = [np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8) for seed in range(4)]
    return {image_id_of(p): ImageRow(image_id_of(p), encode_png(p), 32, 32, "test") for p in pixels}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model of the project's own class, small, with weights large enough that images matter."""
    preset = deepcopy(PRESETS["tiny"])
    preset["canvas_size"] = 48
    preset["towers"]["clip"] |= {"image_size": 48, "hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 48}
    preset["text"] |= {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48, "num_key_value_heads": 2}
    preset["text"]["initializer_range"] = 0.3
    model, processor = assemble(preset, ["clip"], "sequence", words(), seed=0)
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight balanced groups of two images: both captions on both images, and a choice for each image."""
    rng = np.random.default_rng(1)
    images, records = [], []
    for group in range(8):
        first, second = ("left of", "right of") if group % 2 else ("on", "under")
        pixels = [rng.integers(0, 255, (40, 56, 3), dtype=np.uint8) for _ in range(2)]
        pair = [ImageRow(image_id_of(p), encode_png(p), 56, 40, "test") for p in pixels]
        images += pair
        for row, true in zip(pair, (first, second), strict=True):
            about = {"image_id": row.image_id, "group_id": f"group {group}", "role_in_group": true, "topic": "relation"}
            for relation in (first, second):
                caption = f"The {COLOURS[group]} cup is {relation} the book."
                answer = "true" if relation == true else "false"
                records.append(
                    Record(**about, task="statement", caption=caption, answer=answer, relation=relation, split="test")
                )
            caption = f"The {COLOURS[group]} cup is {true} the book."
            options = tuple(sorted((first, second)))
            records.append(
                Record(
                    **about, task="choice", caption=caption, answer=true, relation=true, options=options, split="test"
                )
            )
    folder = tmp_path_factory.mktemp("data")
    write_shard(folder, 0, images, records)
    return folder


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that returns a tiny checkpoint of a family, written once."""
    from tests.eval.tiny_blip import write_blip
    from tests.training.tiny_families import write_family

    found: dict[str, Path] = {}

    def path(name: str) -> Path:
        if name not in found:
            folder = tmp_path_factory.mktemp(name)
            found[name] = write_blip(folder) if name == "blip" else write_family(name, folder)
        return found[name]

    return path


@pytest.fixture
def family_run(dataset: Path, tmp_path: Path) -> EvalConfig:
    """A run without a model: statements and choices, greedy, with three tokens of words."""
    return EvalConfig(
        data=DataConfig(path=str(dataset)),
        out=str(tmp_path / "run"),
        templates=["question", "where"],
        max_new_tokens=3,
        batch_size=7,
        bootstrap=20,
    )
