"""Run one command's function, with or without keeping the record of the run."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from datagen.complete import say_incomplete
from spatial.dataset import DatasetFolder
from vsre.assets import asset_names, resolve_model
from vsre.commands import find_command
from vsre.rundir import is_main_process, recorded, show_log

log = logging.getLogger(__name__)


def execute(name: str, config: Any) -> Path | None:
    """Run command ``name`` with its settings and return what it made; names of shipped models become paths."""
    for folder in _datasets(config):
        say_incomplete(folder)
    if name == "train" and config.dry_run:
        from encoders.launch import check_launcher
        from training.dry_run import dry_run
        from vsre.doctor_model import model_config

        check_launcher(config.nproc, {})
        dry_run(_with_model_path(config), model_config, make_evaluator=_make_evaluator)
        return None
    return find_command(name).load_action()(_with_model_path(config))


def execute_recorded(name: str, config: Any) -> Path | None:
    """Run command ``name`` and keep its record where the table of commands says; a dry run leaves none."""
    show_log(quiet=name == "eval" and not is_main_process())
    ready = _with_model_path(config)
    if "WORLD_SIZE" not in os.environ:  # workers of a launcher would say it all together
        _check_at_once(name, ready)
        _say_loading(config)
    if _done_elsewhere(name, ready):
        return None
    place = "" if getattr(config, "dry_run", False) else find_command(name).record
    # Jobs that share an output folder keep one record there: that of the first.
    if not place or not is_main_process() or (place == "out" and getattr(config, "rank", 0) > 0):
        return execute(name, ready)
    folder = Path(config.out) if place == "out" else Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    with recorded(folder, config, fresh=place == "runs"):
        return execute(name, ready)


def _check_at_once(name: str, config: Any) -> None:
    """Refuse common slips before torch is loaded, which takes seconds: decoders, what is asked, folders of data."""
    from eval.decoders import parse_decoder

    for text in getattr(config, "decoders", ()):
        parse_decoder(text)
    if name == "ask":
        from eval.ask.wording import answers_to, open_picture

        open_picture(config.image)
        answers_to(config.question, config.options)
    if name == "train" and not config.stages and not config.dry_run:  # a stage may have data of its own
        from training.sources import open_sources

        open_sources(config)
    reads_data = name in ("eval", "attend") or (name == "interpret" and not config.csv.path)
    if reads_data and config.data.kind == "folder":
        DatasetFolder(config.data.path)


def _say_loading(config: Any) -> None:
    """Say what the seconds before the first line of a command go to."""
    model = getattr(config, "model", "")
    if model:
        log.info("loading %s", model)


def _done_elsewhere(name: str, config: Any) -> bool:
    """Start the command again in several processes where it needs them, and tell whether they have done it."""
    from encoders.launch import without_local_rank

    argv = without_local_rank(sys.argv[1:])
    if name == "train" and not config.dry_run:
        from training.launch import relaunch_if_needed

        return relaunch_if_needed(config, argv, _make_evaluator)
    if name == "eval":
        from eval.launch import run_in_processes

        return run_in_processes(config, argv)
    return False


def _make_evaluator(config: Any) -> Any:
    from vsre.train import make_evaluator  # with it come the rooms that score

    return make_evaluator(config)


def _datasets(config: Any) -> Iterator[Path]:
    """Yield the dataset folders that settings name to be read; what is none says nothing."""
    for stage in getattr(config, "stages", ()):  # of a training run: each may have data of its own
        yield from _named(stage.get("data")) if isinstance(stage, dict) else ()
    for setting in ("dataset", "data", "beside"):
        value = getattr(config, setting, None)
        yield from _named(getattr(value, "path", value))  # an evaluation has more settings about its data


def _named(value: Any) -> Iterator[Path]:
    """Yield the folders that one setting names: one, a list, or a mapping that weighs them."""
    names = list(value) if isinstance(value, list | dict) else [value]
    yield from (Path(name) for name in names if name and isinstance(name, str))


def _with_model_path(config: Any) -> Any:
    if hasattr(config, "model"):
        return replace(config, model=resolve_model(config.model))
    if getattr(config, "base", "") in asset_names():  # any other base is for 'vsre build-model' to find
        return replace(config, base=resolve_model(config.base))
    return config
