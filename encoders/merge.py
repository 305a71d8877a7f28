"""``vsre merge``: an adapter and its base become one whole checkpoint, with or without the code that runs it."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from encoders.assemble import dtype_of
from encoders.bundle import write_bundle
from encoders.config import MergeConfig
from encoders.load import lineage, load_model, read_config
from encoders.model_hash import model_hash
from encoders.source_files import missing_model
from spatial.errors import ConfigError
from spatial.exposure import TRAINING
from spatial.files import atomic_folder, read_mapping, write_json


def merge(config: MergeConfig) -> Path:
    """Write the merged checkpoint and return its directory; one that is there already is left alone.

    Raises:
        CheckpointError: the adapter or its base cannot be used.
        ConfigError: there is nothing to merge, an unknown number format, or ``out`` holds something else.
    """
    source = Path(config.adapter)
    out = Path(config.out or f"{str(source).rstrip('/')}-merged")
    if not source.is_dir():
        raise missing_model(source)
    chain = lineage(source)
    model, asked = read_config(source), dtype_of(config.dtype or "auto")
    if len(chain) == 1 and not config.with_code:
        raise ConfigError(f"{source} is no adapter, so there is nothing to merge; add --with_code to write its code")
    dtype = str(asked or model.dtype or "float32").removeprefix("torch.")
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
        write_json(folder / TRAINING, (read_mapping(source / TRAINING) or {}) | {"merged": facts}, sort_keys=True)
    return out


def _is_done(out: Path, facts: dict[str, Any]) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if (read_mapping(out / TRAINING) or {}).get("merged") == facts:
        return True
    raise ConfigError(f"{out} is there and holds something else; choose another --out, or delete it")


def _version() -> str:
    try:
        return version("vsre")
    except PackageNotFoundError:
        return ""
