"""What a run leaves on disk, and how it is found again.

    out/config.json or adapter_config.json, weights, processor    the result
    out/training.json                                             written last: the run is finished
    out/log.jsonl                                                 losses
    out/checkpoints/                                              while unfinished: what to resume from, with job.json

A file gets its final name only when it is complete. Trainer writes ``trainer_state.json`` last into a checkpoint, so
one without it was cut short by a kill and is passed over.
"""

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import reduce
from importlib.metadata import version
from operator import or_
from pathlib import Path
from typing import Any

from spatial.dataset import DatasetFolder
from spatial.errors import CheckpointError, ConfigError
from spatial.exposure import Exposure, exposure_from_json, exposure_of
from spatial.files import write_json
from training.config import AUTO, TrainConfig

FINISHED, JOB, CHECKPOINTS, LOG = "training.json", "job.json", "checkpoints", "log.jsonl"

_SAMPLE = 1 << 20

INDEXES = ("config.json", "adapter_config.json", "model_index.json")
"""By one of these a loader knows a model."""

_log = logging.getLogger(__name__)


def describe_job(config: TrainConfig, folders: Sequence[DatasetFolder]) -> dict[str, Any]:
    """Return what decides a run's result: settings, the content of its data, and the model it starts from.

    Beside it stands what the result will have seen of VSR, by which ``vsre eval`` tells which scores mean something.
    """
    settings = {key: value for key, value in asdict(config).items() if key not in ("out", "features")}
    if config.features and any(config.trainer.get(name) for name in ("bf16", "fp16")):
        # Under autocast, towers round in other places than when the cache is made; in float32 both come to the same.
        settings["features"] = config.features if config.features == AUTO else "cached"
    return {
        "config": json.loads(json.dumps(settings)),
        "data": {str(folder.path): folder.content_hash() for folder in folders},
        "model": fingerprint(Path(config.model)) if config.model else "",
        "exposure": _exposure(Path(config.model) if config.model else None, folders).as_json(),
    }


def is_finished(out: Path, job: dict[str, Any]) -> bool:
    """Return whether ``out`` holds this very job, done.

    Raises:
        ConfigError: it holds another job, finished or with checkpoints to resume from.
    """
    finished = read_mapping(out / FINISHED)
    if finished is not None:
        _refuse_difference(out, {key: finished.get(key) for key in job}, job)
        return True
    started = read_mapping(out / CHECKPOINTS / JOB)
    if started is not None and last_checkpoint(out / CHECKPOINTS) is not None:
        _refuse_difference(out, started, job)
    return False


def start_job(out: Path, job: dict[str, Any]) -> None:
    """Note which job the checkpoints belong to, and remove those that a kill cut short."""
    checkpoints = out / CHECKPOINTS
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_json(checkpoints / JOB, job, sort_keys=True)
    for path in checkpoints.glob("checkpoint-*"):
        if read_mapping(path / "trainer_state.json") is None:
            shutil.rmtree(path)


def last_checkpoint(checkpoints: str | Path) -> Path | None:
    """Return the complete Trainer checkpoint of the most steps, if there is one."""
    found = Path(checkpoints).glob("checkpoint-*")
    complete = [path for path in found if read_mapping(path / "trainer_state.json") is not None]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def seconds_spent(checkpoint: Path | None) -> float:
    """Return the training time that a checkpoint has cost (see ``training.callbacks.TimeLimit``)."""
    state = read_mapping(checkpoint / "trainer_state.json") if checkpoint else None
    stored = (state or {}).get("stateful_callbacks", {}).get("TimeLimit", {})
    return float(stored.get("attributes", {}).get("seconds", 0.0))


def publish(partial: Path, out: Path, facts: dict[str, Any]) -> None:
    """Move a saved model into ``out``, mark the run finished, and drop its checkpoints.

    Args:
        partial: folder inside ``out`` where the model was saved.
        facts: what ``training.json`` says beside versions.
    """
    for unwanted in ("training_args.bin", "README.md"):  # a pickle and PEFT's empty card, with this machine's paths
        (partial / unwanted).unlink(missing_ok=True)
    _make_base_relative(partial / "adapter_config.json", out)
    # A loader looks for the configuration first: with that moved last, a half-moved model is not taken for one.
    for path in sorted(partial.iterdir(), key=lambda path: path.name in INDEXES):
        if path.is_dir() and (out / path.name).is_dir():
            shutil.rmtree(out / path.name)
        os.replace(path, out / path.name)
    partial.rmdir()
    write_json(out / FINISHED, facts | {"versions": _versions()}, sort_keys=True)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def fingerprint(model: Path) -> str:
    """Return a hash of a checkpoint's settings, and of the sizes, beginnings and ends of its weight files.

    Raises:
        CheckpointError: the directory does not exist.
    """
    if not model.is_dir():
        raise CheckpointError(f"model directory {model} does not exist; run 'vsre build-model' or correct 'model'")
    digest = hashlib.blake2b(digest_size=16)
    parts = [*model.glob("*.safetensors"), *model.glob("*config.json")]
    if (model / "model_index.json").exists():  # a pipeline keeps its models in folders
        parts = [model / "model_index.json", *model.glob("*/*.safetensors"), *model.glob("*/*config.json")]
    for path in sorted(parts):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}:".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read())
    return digest.hexdigest()


def _exposure(model: Path | None, folders: Sequence[DatasetFolder]) -> Exposure:
    """Return what the data and the model that is started from have seen; a model without a record has seen nothing."""
    started = (read_mapping(model / FINISHED) or {}).get("exposure") if model else None
    seen = [exposure_from_json(started)] if started else []
    for folder in folders:
        seen.append(exposure_of(folder))
        if seen[-1].photos and not seen[-1].targets:
            _log.warning("%s holds photos of VSR that no guard has filtered; see docs/leakage.md", folder.path)
    return reduce(or_, seen, Exposure())


def _refuse_difference(out: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    for part in ("config", "data", "model"):
        if old.get(part) == new[part]:
            continue
        keys = [] if part == "model" else sorted(k for k in new[part] if (old.get(part) or {}).get(k) != new[part][k])
        what = f"{part} ({', '.join(keys)})" if keys else part
        raise ConfigError(f"{out} holds a run with another {what}; choose another 'out' or delete {out}")


def _make_base_relative(adapter_config: Path, out: Path) -> None:
    """Name the base relative to the adapter, so that both can be moved together."""
    settings = read_mapping(adapter_config)
    if settings is not None:
        base = Path(settings["base_model_name_or_path"]).resolve()
        relative = {"base_model_name_or_path": os.path.relpath(base, out.resolve())}
        write_json(adapter_config, settings | relative, sort_keys=True)


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "peft", "accelerate")
    return {"python": sys.version.split()[0]} | {name: version(name) for name in names}


def read_mapping(path: Path) -> dict[str, Any] | None:
    """Return the mapping in a JSON file, or ``None`` if there is no such file or it is cut short."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
