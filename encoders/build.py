"""Build a model with random weights once, on one process; everything else loads it from disk.

Building inside a training job would give each process its own weights, and sharded optimisers cannot initialise all
encoders at all.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from encoders.config import BuildConfig
from encoders.configuration import VsreConfig
from encoders.modeling import VsreForConditionalGeneration
from encoders.parameters import parameter_counts, parameter_table
from encoders.presets import PRESETS
from encoders.processing import VsreImageProcessor, VsreProcessor
from encoders.register import register
from encoders.tokenizer import build_tokenizer
from spatial.errors import CheckpointError, ConfigError, nearest

BUILD_FILE = "build.json"
"""What a directory was built from, so that building again can tell whether there is anything to do."""


def build_model(config: BuildConfig) -> Path:
    """Build a preset with random weights, print its parameters by component, and save it.

    Returns:
        The checkpoint directory. If it already holds exactly this build, it is left as it is.

    Raises:
        ConfigError: unknown preset, encoder or fusion.
        CheckpointError: the directory holds something else.
    """
    from spatial.vocabulary import words

    if config.preset not in PRESETS:
        hint = nearest(config.preset, PRESETS)
        raise ConfigError(f"unknown preset {config.preset!r}, choose from {', '.join(PRESETS)}{hint}")
    vocabulary = sorted(words())
    out = Path(config.out)
    recipe = _recipe(config, vocabulary)
    if _already_built(out, recipe):
        print(f"{out} already holds this build")
        return out
    model, processor = assemble(PRESETS[config.preset], config.encoders, config.fusion, vocabulary, config.seed)
    Console().print(parameter_table(parameter_counts(model)))
    _save(model, processor, recipe, out)
    return out


def assemble(
    preset: dict[str, Any], encoders: Sequence[str], fusion: str, words: Sequence[str], seed: int
) -> tuple[VsreForConditionalGeneration, VsreProcessor]:
    """Make a model with seeded random weights, and the processor that fits it.

    Args:
        preset: an entry of ``PRESETS``.
        encoders: names in fusion order.
        fusion: name from ``FUSIONS``.
        words: vocabulary of the tokenizer.
        seed: seed of the weights; the global random state is left as it was.
    """
    register()
    tokenizer = build_tokenizer(words, preset["text"]["max_position_embeddings"])
    specials = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    config = VsreConfig(
        vision_config={
            "encoders": list(encoders),
            "towers": {name: {"config": sizes} for name, sizes in preset["towers"].items() if name in encoders},
            "canvas_size": preset["canvas_size"],
        },
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), **specials, **preset["text"]},
        fusion=fusion,
        **preset.get("projector", {}),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VsreForConditionalGeneration(config)
    for key, value in specials.items():
        setattr(model.generation_config, key, value)
    side = config.vision.canvas_size
    image_processor = VsreImageProcessor(size={"height": side, "width": side})
    return model.eval(), VsreProcessor(image_processor, tokenizer, num_image_tokens=config.num_image_tokens)


def _recipe(config: BuildConfig, vocabulary: list[str]) -> dict[str, Any]:
    recipe = {key: value for key, value in asdict(config).items() if key != "out"}
    recipe["sizes"] = PRESETS[config.preset]
    recipe["vocabulary"] = hashlib.sha256("\n".join(vocabulary).encode()).hexdigest()
    return recipe


def _already_built(out: Path, recipe: dict[str, Any]) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    built = out / BUILD_FILE
    if built.is_file() and json.loads(built.read_text()) == recipe:
        return True
    raise CheckpointError(f"{out} already holds something else; choose another --out or remove it")


def _save(model: VsreForConditionalGeneration, processor: VsreProcessor, recipe: dict[str, Any], out: Path) -> None:
    """Write everything beside ``out`` and rename, so that ``out`` is complete whenever it exists."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial-{os.getpid()}"
    try:
        model.save_pretrained(partial)
        processor.save_pretrained(partial)
        (partial / BUILD_FILE).write_text(json.dumps(recipe, indent=2, sort_keys=True) + "\n")
        if out.exists():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
