"""Files and folders that appear whole or not at all: written beside their place, then renamed.

A reader never meets half a file, and a killed writer leaves what was there before. The temporary name of a file is
random, so that processes of several machines, whose numbers may be equal, can write the same file; the last one wins.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spatial.errors import ConfigError


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
        ConfigError: another process is writing it, or ``path`` is there and not empty; nothing is left of the new one.
        OSError: it cannot be written; likewise.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.partial")
    held = _hold(temporary, path)
    try:
        _empty(temporary)
        yield temporary
        if path.exists():
            _give_way(path)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(held)


def _hold(folder: Path, path: Path) -> int:
    """Create a folder and lock it; the lock ends with the process, and moves along where the folder is renamed.

    Raises:
        ConfigError: another process holds it; ``path`` is what both would write.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(held)
            raise ConfigError(
                f"{path} is being written by another process; wait for it or end it, or choose another 'out'"
            ) from error
        except OSError:  # a file system without locks
            return held
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(held), folder.stat()):
                return held
        os.close(held)  # whoever held it has renamed or removed it meanwhile


def _give_way(path: Path) -> None:
    """Remove an empty folder; ConfigError if it is not empty."""
    try:
        path.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise ConfigError(
            f"{path} has been written by another process meanwhile; choose another 'out', or delete it"
        ) from error


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


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
