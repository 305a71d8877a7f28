"""``vsre merge``: an adapter and its base become one whole checkpoint, with or without the code that runs it."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from encoders.bundle import write_bundle
from encoders.config import MergeConfig
from encoders.load import lineage, load_model, read_config
from encoders.model_hash import model_hash
from spatial.errors import ConfigError, nearest
from spatial.files import atomic_folder, write_json

TRAINING = "training.json"
"""What ``vsre train`` leaves in a checkpoint: settings, data, and what was seen of VSR."""

DTYPES = ("float32", "bfloat16", "float16")


def merge(config: MergeConfig) -> Path:
    """Write the merged checkpoint and return its directory; one that is there already is left alone.

    Raises:
        CheckpointError: the adapter or its base cannot be used.
        ConfigError: there is nothing to merge, an unknown number format, or ``out`` holds something else.
    """
    source = Path(config.adapter)
    out = Path(config.out or f"{str(source).rstrip('/')}-merged")
    chain = lineage(source)
    if config.dtype and config.dtype not in DTYPES:
        hint = nearest(config.dtype, DTYPES)
        raise ConfigError(f"unknown dtype {config.dtype!r}; known: {', '.join(DTYPES)}{hint}")
    if len(chain) == 1 and not config.with_code:
        raise ConfigError(f"{source} is no adapter, so there is nothing to merge; add --with_code to write its code")
    dtype = config.dtype or str(read_config(source).dtype or "float32").removeprefix("torch.")
    facts = {"of": model_hash(source), "adapters": len(chain) - 1, "dtype": dtype, "code": config.with_code}
    if _is_done(out, facts):
        print(f"{out} is already merged")
        return out
    # Sums are rounded once, at the end: an adapter on an adapter is added up in float32.
    model, processor = load_model(source, torch.float32 if len(chain) > 2 or dtype == "float32" else None)
    model.to(getattr(torch, dtype))
    with atomic_folder(out) as folder:
        sharding = {"max_shard_size": config.max_shard_size} if config.max_shard_size else {}
        model.save_pretrained(folder, **sharding)
        processor.save_pretrained(folder)
        if config.with_code:
            write_bundle(folder, f"vsre {_version()}".rstrip())
        write_json(folder / TRAINING, _trained(source) | {"merged": facts}, sort_keys=True)
    return out


def _is_done(out: Path, facts: dict[str, Any]) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if _trained(out).get("merged") == facts:
        return True
    raise ConfigError(f"{out} is there and holds something else; choose another --out, or delete it")


def _trained(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _version() -> str:
    try:
        return version("vsre")
    except PackageNotFoundError:
        return ""
