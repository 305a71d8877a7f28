"""Finished runs of ``vsre interpret`` that another run is seen beside: of another model, or on other data."""

import json
from collections.abc import Sequence
from pathlib import Path

from eval.interpret.effects import Effect
from eval.interpret.table import read_rows
from spatial.errors import ConfigError


def effects_of_run(folder: str, setting: str) -> list[Effect]:
    """Return the effects of a finished run.

    Args:
        folder: its output folder.
        setting: what names it, for the message.

    Raises:
        ConfigError: there are none.
    """
    path = Path(folder) / "effects.parquet"
    if not path.is_file():
        raise ConfigError(f"{setting}: {path} is missing; name the folder of a finished 'vsre interpret'")
    return read_rows(path, Effect)


def sets_of_data(out: str, beside: Sequence[str]) -> dict[str, str]:
    """Return the output folders of the runs on several sets of data by short names; this run's own comes first.

    Raises:
        ConfigError: a folder is named twice, or is this run's own.
    """
    folders = [out, *beside]
    paths = [Path(folder).resolve() for folder in folders]
    for place, path in enumerate(paths):
        if path in paths[:place]:
            raise ConfigError(f"beside: {folders[place]} is there twice; name other runs, each once")
    names = [path.name for path in paths]
    unique = len(set(names)) == len(names)
    return dict(zip(names if unique else folders, folders, strict=True))


def check_beside(folders: Sequence[str], role: str, direction: str) -> None:
    """Check that runs have patched single heads as this one will.

    Args:
        folders: of the runs.
        role: at which heads are selected.
        direction: in which they are.

    Raises:
        ConfigError: a run is missing, or has patched no single heads that way.
    """
    for folder in folders:
        rows = effects_of_run(folder, "beside")
        if not any(row.head >= 0 and (row.role, row.direction) == (role, direction) for row in rows):
            raise ConfigError(
                f"beside: {folder} has no single heads at role '{role}' in direction '{direction}'; run it again with "
                f"--head_roles '[{role}]' --directions '[{direction}]'"
            )


def check_same_model(folders: Sequence[str], model: str) -> None:
    """Check that runs are of the model of this hash.

    Raises:
        ConfigError: one is of another.
    """
    for folder in folders:
        if json.loads((Path(folder) / "results.json").read_text(encoding="utf-8"))["model_hash"] != model:
            raise ConfigError(
                f"beside: {folder} is of another model; name runs of one model on other data (against compares models)"
            )
