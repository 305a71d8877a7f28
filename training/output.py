"""What a run leaves on disk, and how it is found again.

    out/config.json or adapter_config.json, weights, processor    the result
    out/training.json                                             written last: the run is finished
    out/log.jsonl                                                 losses
    out/checkpoints/                                              while unfinished: what to resume from, with job.json

A file gets its final name only when it is complete. Of Trainer's checkpoints, those that are not whole
(``training.intact``) are passed over and removed.
"""

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from importlib.metadata import version
from operator import or_
from pathlib import Path
from typing import Any

from spatial.errors import CheckpointError, ConfigError
from spatial.exposure import TRAINING, Exposure, exposure_from_json, exposure_in, exposure_of
from spatial.files import read_mapping, write_json
from spatial.mappings import merged
from training.arguments import new_names
from training.config import AUTO, TRAINER_WITHOUT_EFFECT, WITHOUT_EFFECT, TrainConfig
from training.conversation_file import ConversationFile
from training.intact import STATE, damage
from training.sources import Source
from training.zero import deepspeed_settings

FINISHED, JOB, CHECKPOINTS, LOG = TRAINING, "job.json", "checkpoints", "log.jsonl"

_SAMPLE = 1 << 20

INDEXES = ("config.json", "adapter_config.json", "model_index.json")
"""By one of these a loader knows a model."""

_log = logging.getLogger(__name__)


def describe_job(config: TrainConfig, folders: Sequence[Source]) -> dict[str, Any]:
    """Return what decides a run's result: settings, the content of its data, and the model it starts from.

    Beside it stands what the result will have seen of VSR, by which ``vsre eval`` tells which scores mean something.
    """
    return {
        "config": _deciding(config),
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


def check_begun(out: Path, config: TrainConfig) -> None:
    """Refuse settings that differ from those of a run in ``out``, before anything is loaded.

    What it trains on and starts from is compared when its turn comes (``is_finished``): an earlier stage makes it.

    Raises:
        ConfigError: ``out`` holds a run with other settings, finished or with checkpoints to resume from.
    """
    checkpoints = out / CHECKPOINTS
    begun = read_mapping(out / FINISHED)
    if begun is None and last_checkpoint(checkpoints) is not None:
        begun = read_mapping(checkpoints / JOB)
    if begun is not None:
        _refuse_difference(out, begun, {"config": _deciding(config)})


def check_processes(out: Path, processes: int) -> None:
    """Make sure that a run goes on with as many processes as it began with.

    Another number would draw other random numbers, and make another global batch: no resumption, but another run.

    Raises:
        ConfigError: there are checkpoints of a run with another number.
    """
    began = (read_mapping(out / CHECKPOINTS / JOB) or {}).get("processes", processes)
    if began != processes and last_checkpoint(out / CHECKPOINTS) is not None:
        raise ConfigError(
            f"{out} holds a run of {began} process(es), and this one has {processes}; go on with {began},"
            f" choose another 'out', or delete {out}"
        )


def start_job(out: Path, job: dict[str, Any], processes: int = 1) -> None:
    """Note which job the checkpoints belong to, and remove those that a kill cut short."""
    checkpoints = out / CHECKPOINTS
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_json(checkpoints / JOB, job | {"processes": processes}, sort_keys=True)
    for path in checkpoints.glob("checkpoint-*"):
        if wrong := damage(path):
            if (path / STATE).exists():
                _log.warning("%s is passed over and removed: %s", path, wrong)
            shutil.rmtree(path)


def last_checkpoint(checkpoints: str | Path) -> Path | None:
    """Return the complete Trainer checkpoint of the most steps, if there is one."""
    found = Path(checkpoints).glob("checkpoint-*")
    latest_first = sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((path for path in latest_first if not damage(path)), None)


def seconds_spent(checkpoint: Path | None) -> float:
    """Return the training time that a checkpoint has cost (see ``training.callbacks.TimeLimit``)."""
    state = read_mapping(checkpoint / STATE) if checkpoint else None
    stored = (state or {}).get("stateful_callbacks", {}).get("TimeLimit", {})
    return float(stored.get("attributes", {}).get("seconds", 0.0))


def relocate_best(checkpoint: Path, score: str = "") -> None:
    """Let a checkpoint name the best one beside it, wherever ``out`` was when it was saved; Trainer would forget it.

    Args:
        checkpoint: what is resumed from; those that are not whole have been removed.
        score: name in the log of what the best is chosen by. If the best is gone, the best that is left takes its
            place; Trainer would take the last weights, and hold later scores against one that has no weights.
    """
    path = checkpoint / STATE
    state = read_mapping(path) or {}
    best = Path(state.get("best_model_checkpoint") or "")
    here = checkpoint.parent / best.name
    if best.name and here.is_dir():
        if best != here:
            write_json(path, state | {"best_model_checkpoint": str(here)})
        return
    scored = {entry["step"]: entry[score] for entry in state.get("log_history", []) if score and score in entry}
    kept = {step: value for step, value in scored.items() if (checkpoint.parent / f"checkpoint-{step}").is_dir()}
    if not best.name or not score:
        return
    step = max(kept, key=lambda step: (kept[step], -step), default=None)
    found = None if step is None else str(checkpoint.parent / f"checkpoint-{step}")
    _log.warning("the best checkpoint, %s, is gone; the best that is left: %s", best.name, found or "none")
    of_best = {"best_model_checkpoint": found, "best_global_step": step, "best_metric": kept.get(step)}
    write_json(path, state | of_best)


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
    drop_checkpoints(out)


def drop_checkpoints(out: Path) -> None:
    """Remove what a finished run no longer resumes from."""
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


def _exposure(model: Path | None, folders: Sequence[Source]) -> Exposure:
    """Return what the data and the model that is started from have seen; a model without a record has seen nothing."""
    started = exposure_in(model) if model else None
    seen = [exposure_from_json(started)] if started else []
    for folder in folders:
        if isinstance(folder, ConversationFile):
            seen.append(folder.exposure())
            continue
        seen.append(exposure_of(folder))
        if seen[-1].photos and not seen[-1].targets:
            _log.warning("%s holds photos of VSR that no guard has filtered; see docs/leakage.md", folder.path)
    return reduce(or_, seen, Exposure())


def _refuse_difference(out: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    # A setting that came after the run was begun had its default then.
    before = merged(_settings(TrainConfig(model="", data=[], out="")), old.get("config") or {})
    before["trainer"] = _telling(before["trainer"])
    old = old | {"config": {key: value for key, value in before.items() if key in new["config"]}}
    for part in ("config", "data", "model"):
        if part not in new or old.get(part) == new[part]:
            continue
        keys = [] if part == "model" else _different(old.get(part) or {}, new[part])
        what = f"{part} ({', '.join(keys)})" if keys else part
        chained = any(out.glob(f"*/{FINISHED}"))  # the results of earlier stages lie in folders of it
        mend = f"remove {FINISHED} and {CHECKPOINTS} in it" if chained else f"delete {out}"
        raise ConfigError(f"{out} holds a run with another {what}; choose another 'out' or {mend}")


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the keys of which values differ, those of groups with a dot, as a command line sets them."""
    found: list[str] = []
    for key in sorted(set(old) | set(new)):
        before, now = old.get(key), new.get(key)
        if before != now and isinstance(before, Mapping) and isinstance(now, Mapping):
            found += [f"{key}.{below}" for below in _different(before, now)]
        elif before != now:
            found.append(key)
    return found


def _deciding(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that decide the result."""
    settings = {key: value for key, value in _settings(config).items() if key not in WITHOUT_EFFECT}
    if sharding := deepspeed_settings(config.trainer):
        settings["trainer"]["deepspeed"] = sharding  # the content decides, wherever it lies
    if config.features and any(config.trainer.get(name) for name in ("bf16", "fp16")):
        # Under autocast, towers round in other places than when the cache is made; in float32 both come to the same.
        settings["features"] = config.features if config.features == AUTO else "cached"
    return settings


def _settings(config: TrainConfig) -> dict[str, Any]:
    """Return settings as they come back from a JSON file."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    settings["trainer"] = _telling(settings["trainer"])
    if isinstance(config.data, dict):
        settings["data"] = [list(pair) for pair in settings["data"].items()]  # their order decides draws
    return settings


def _telling(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a ``trainer:`` mapping decides the result, under today's names."""
    return {key: value for key, value in new_names(trainer).items() if key not in TRAINER_WITHOUT_EFFECT}


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
