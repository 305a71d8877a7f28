"""Run one command's function, with or without keeping the record of the run."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from datagen.complete import say_incomplete
from vsre.assets import resolve_model
from vsre.commands import find_command
from vsre.rundir import is_main_process, recorded, show_log


def execute(name: str, config: Any) -> Path | None:
    """Run command ``name`` with its settings and return what it made; names of shipped models become paths."""
    for folder in _datasets(config):
        say_incomplete(folder)
    return find_command(name).load_action()(_with_model_path(config))


def execute_recorded(name: str, config: Any) -> Path | None:
    """Run command ``name`` and keep its record where the table of commands says; a dry run leaves none."""
    show_log()
    ready = _with_model_path(config)
    if name == "train":
        from training.launch import relaunch_if_needed

        relaunch_if_needed(ready, sys.argv[1:])
    place = "" if getattr(config, "dry_run", False) else find_command(name).record
    if not place or not is_main_process():
        return execute(name, ready)
    folder = Path(config.out) if place == "out" else Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    with recorded(folder, config, fresh=place == "runs"):
        return execute(name, ready)


def _datasets(config: Any) -> Iterator[Path]:
    """Yield the dataset folders that settings name to be read; what is none says nothing."""
    for setting in ("dataset", "data", "beside"):
        value = getattr(config, setting, None)
        value = getattr(value, "path", value)  # an evaluation has more settings about its data
        names = value if isinstance(value, list) else [value]
        yield from (Path(name) for name in names if name and isinstance(name, str))


def _with_model_path(config: Any) -> Any:
    return replace(config, model=resolve_model(config.model)) if hasattr(config, "model") else config
