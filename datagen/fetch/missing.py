"""What could not be had: a list in the folder, and one line with the command that continues."""

import shlex
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from datagen.fetch.batch import Missing
from datagen.fetch.config import FetchConfig
from spatial.errors import RecordError
from spatial.files import atomic

MISSING_LIST = "missing.txt"

NAMED = 3
"""Files that the line names; the list has all of them."""


def list_missing(folder: Path, missing: Sequence[Missing]) -> None:
    """Write ``missing.txt``, a file and its reason on each line, or remove it if nothing is missing."""
    path = folder / MISSING_LIST
    if not missing:
        path.unlink(missing_ok=True)
        return
    with atomic(path) as temporary:
        temporary.write_text("".join(f"{item.file}\t{item.reason}\n" for item in missing), encoding="utf-8")


def missing_error(config: FetchConfig, missing: Sequence[Missing], total: int) -> RecordError:
    """Return the error that ends a download of ``total`` files of which some could not be had."""
    named = ", ".join(f"{item.file} ({item.reason})" for item in missing[:NAMED])
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return RecordError(
        f"{len(missing)} of {total} files could not be had: {named}{more}; all are in "
        f"{Path(config.out) / MISSING_LIST}; continue with: {command_line(config)}"
    )


def command_line(config: FetchConfig) -> str:
    """Return the command that has these settings."""
    words = ["vsre", "fetch", config.dataset]
    for entry in fields(config):
        default = entry.default if entry.default_factory is MISSING else entry.default_factory()
        value = getattr(config, entry.name)
        if entry.name != "dataset" and value != default:
            words += [f"--{entry.name}", shlex.quote(_text(value))]
    return " ".join(words)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
