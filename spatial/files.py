"""Files and folders that appear whole or not at all: written beside their place, then renamed.

A reader never meets half a file, and a killed writer leaves what was there before. The temporary name of a file is
random, so that processes of several machines, whose numbers may be equal, can write the same file; the last one wins.
"""

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give the block a temporary path to write to, which becomes ``path`` if the block ends well.

    Creates the folder. The temporary name begins with a dot, so that a listing by extension does not meet it.

    Raises:
        OSError: the file cannot be written; nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give the block an empty folder beside ``path``, which becomes ``path`` if the block ends well.

    What a killed process left beside ``path`` is removed first; one process at a time may write a folder.

    Raises:
        OSError: ``path`` is there and not empty, or cannot be written; nothing is left of the new folder.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read_mapping(path: Path) -> dict[str, Any] | None:
    """Return the mapping in a JSON file; ``None`` if there is no such file, or it is cut short or no mapping."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: Path, content: Any, sort_keys: bool = False) -> None:
    """Write JSON for people and programs, NaN and infinity refused.

    Raises:
        OSError: the file cannot be written; nothing is left of it.
        ValueError: a number is not finite.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=sort_keys, allow_nan=False)
    with atomic(path) as temporary:
        # A path that is no UTF-8 holds half surrogates; escaped, they are JSON and give that path again.
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
