"""Build a model once, on one process; everything else loads it from disk.

Building inside a training job would give each process its own weights, and sharded optimisers cannot initialise all
encoders at all.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from encoders.assemble import Assembled, assemble_on_base, check_towers, dtype_of, plan, projector_settings
from encoders.canvas import check_mode
from encoders.config import BuildConfig
from encoders.configuration import VsreConfig
from encoders.fingerprint import fingerprints
from encoders.load import read_config
from encoders.modeling import VsreForConditionalGeneration
from encoders.presets import PRESETS
from encoders.processing import VsreImageProcessor, VsreProcessor
from encoders.provenance import Part, parts_of, parts_table, provenance
from encoders.register import register
from encoders.source_files import read_description
from encoders.subset import assemble_subset, check_subset, is_ours, subset_config
from encoders.tokenizer import build_tokenizer
from spatial.disk import free_bytes, size_text
from spatial.errors import CheckpointError, ConfigError, check_known
from spatial.exposure import TRAINING, exposure_in
from spatial.files import atomic_folder, write_json

BUILD_FILE = "build.json"
"""What a directory was built from, so that building again can tell whether there is anything to do."""

PROVENANCE = "provenance"
"""Key of that file: what came of it, part by part."""

SOURCES = "sources"
"""Key of that file: which version of the base and the towers it was, see ``encoders.fingerprint``."""

SHARD_SIZE = "4GB"


def build_model(config: BuildConfig) -> Path:
    """Build a preset or a model on a base, print what it consists of, and save it.

    Returns:
        The checkpoint directory. If it already holds exactly this build, it is left as it is.

    Raises:
        ConfigError: settings that are unknown or do not fit each other, or no room on the disk.
        CheckpointError: the directory holds something else, or weights cannot be read.
    """
    _check(config)
    out = Path(config.out)
    recipe = _recipe(config)
    if _already_built(out, recipe, config):
        print(f"{out} already holds this build")
        return out
    sources = fingerprints(config)  # before they are read: a change while building must show afterwards
    built = _assemble(config)
    parts = parts_of(built.model, built.origins, built.drawn if config.base else None, config.seed)
    console = Console()
    console.print(parts_table(parts, built.model.config))
    for note in built.notes:
        console.print(f"- {note}", markup=False, highlight=False, soft_wrap=True)
    _check_room(out, parts)
    with atomic_folder(out) as partial:
        built.model.save_pretrained(partial, max_shard_size=SHARD_SIZE)
        built.processor.save_pretrained(partial)
        content = recipe | {PROVENANCE: provenance(parts, built.model.config, built.notes)}
        if sources:
            content[SOURCES] = sources
        if is_ours(config.base) and (exposure := exposure_in(Path(config.base))):
            write_json(partial / TRAINING, {"exposure": exposure})
        (partial / BUILD_FILE).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return out


def planned_config(config: BuildConfig) -> VsreConfig:
    """Return the configuration of the model that the settings describe; no weights are read.

    Raises:
        CheckpointError, ConfigError: as ``build_model``, as far as it needs no weights to tell.
    """
    _check(config)
    if is_ours(config.base):
        check_subset(config)
        return subset_config(read_config(config.base), config.encoders)
    if config.base:
        return plan(config)
    register()
    preset = _preset(config)
    return _preset_config(preset, config.encoders, config.fusion, _preset_tokenizer(preset, _vocabulary()))


def _check(config: BuildConfig) -> None:
    """Refuse what would fail only after minutes of loading."""
    if config.base and config.preset:
        raise ConfigError(f"preset {config.preset!r} and base {config.base!r} exclude each other; leave one out")
    if config.preset:
        check_known("preset", config.preset, PRESETS)
    if config.towers and not config.base:
        raise ConfigError("towers need a base; a preset has random towers of its own sizes")
    check_towers(config)
    dtype_of(config.dtype)
    check_mode(config.canvas_mode)


def _assemble(config: BuildConfig) -> Assembled:
    if is_ours(config.base):
        return assemble_subset(config)
    return assemble_on_base(config) if config.base else _assemble_preset(config)


def _assemble_preset(config: BuildConfig) -> Assembled:
    model, processor = assemble(_preset(config), config.encoders, config.fusion, _vocabulary(), config.seed)
    processor.image_processor.mode = config.canvas_mode
    return Assembled(model.to(dtype_of(config.dtype)), processor)


def _preset(config: BuildConfig) -> dict[str, Any]:
    """Return the sizes of the preset, with what the settings say otherwise."""
    preset = dict(PRESETS[config.preset or "tiny"])
    asked = projector_settings(config)
    if config.conv_adapters is None:
        del asked["conv_adapters"]
    preset["projector"] = preset.get("projector", {}) | {key: asked[key] for key in asked if key != "fusion"}
    preset["canvas_size"] = config.canvas_size or preset["canvas_size"]
    return preset


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
    tokenizer = _preset_tokenizer(preset, words)
    config = _preset_config(preset, encoders, fusion, tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VsreForConditionalGeneration(config)
    for key, value in _specials(tokenizer).items():
        setattr(model.generation_config, key, value)
    side = config.vision.canvas_size
    image_processor = VsreImageProcessor(size={"height": side, "width": side})
    return model.eval(), VsreProcessor(image_processor, tokenizer, num_image_tokens=config.num_image_tokens)


def _preset_tokenizer(preset: dict[str, Any], words: Sequence[str]) -> Any:
    return build_tokenizer(words, preset["text"]["max_position_embeddings"])


def _specials(tokenizer: Any) -> dict[str, int | None]:
    return {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}


def _preset_config(preset: dict[str, Any], encoders: Sequence[str], fusion: str, tokenizer: Any) -> VsreConfig:
    return VsreConfig(
        vision_config={
            "encoders": list(encoders),
            "towers": {name: {"config": sizes} for name, sizes in preset["towers"].items() if name in encoders},
            "canvas_size": preset["canvas_size"],
        },
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), **_specials(tokenizer), **preset["text"]},
        fusion=fusion,
        **preset.get("projector", {}),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )


def _vocabulary() -> list[str]:
    from spatial.vocabulary import words

    return sorted(words())


def _recipe(config: BuildConfig) -> dict[str, Any]:
    recipe = {key: value for key, value in asdict(config).items() if key != "out"}
    if not config.base:
        recipe["preset"] = config.preset or "tiny"
        recipe["sizes"] = PRESETS[recipe["preset"]]
        recipe["vocabulary"] = hashlib.sha256("\n".join(_vocabulary()).encode()).hexdigest()
    return recipe


def _already_built(out: Path, recipe: dict[str, Any], config: BuildConfig) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    content = read_description(out / BUILD_FILE, f"remove {out} or choose another --out")
    content.pop(PROVENANCE, None)
    known = content.pop(SOURCES, {})  # older ones have none, and say less
    if not content or asdict(BuildConfig()) | content != recipe | {"out": BuildConfig.out}:
        raise CheckpointError(f"{out} already holds something else; choose another --out or remove it")
    changed = _changed(known, config)
    if changed:
        raise CheckpointError(
            f"{out} was built from another version of {changed[0]} (see {SOURCES} in {BUILD_FILE}); "
            "choose another --out or remove it"
        )
    return True


def _changed(known: dict[str, str], config: BuildConfig) -> list[str]:
    """Return the sources that are another version than the one that was built from."""
    try:
        now = fingerprints(config) if known else {}
    except CheckpointError:  # what is out of reach does not make a build another one
        return []
    return [source for source, found in now.items() if known.get(source, found) != found]


def _check_room(out: Path, parts: list[Part]) -> None:
    """Refuse to start writing what will not fit."""
    needed, free = sum(part.bytes for part in parts), free_bytes(out)
    if needed > free:
        raise ConfigError(
            f"{out} needs {size_text(needed)}, but its disk has {size_text(free)} free; choose another out"
        )
