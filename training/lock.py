"""One run at a time in an ``out`` folder: two would write into each other's checkpoints.

The lock is the operating system's (``fcntl.lockf``), on the file ``.lock`` in the folder, which also says who holds it.
It ends with the process, however that ends, so that a killed run leaves no lock behind; loader workers do not inherit
it; and network file systems that have locks keep other machines out too.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoders.launch import process_place
from spatial.errors import ConfigError

LOCK = ".lock"

_TAKEN = (errno.EACCES, errno.EAGAIN)


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Hold ``out`` for this run; of several ranks, the first holds it for all.

    Raises:
        ConfigError: another process holds it; names the process and its machine.
        OSError: the folder cannot be written.
    """
    if process_place()[0]:
        yield
        return
    new = not out.exists()
    path = out / LOCK
    file = _hold(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: who opened it meanwhile sees that it is gone
        os.close(file)
        if new:
            with contextlib.suppress(OSError):
                out.rmdir()  # of a run that was refused before it made anything


def check_free(out: Path) -> None:
    """Refuse a folder that a run holds, before processes are started that would be refused it.

    Raises:
        ConfigError: as ``only_run``.
    """
    with contextlib.suppress(FileNotFoundError), (out / LOCK).open("r+") as file:
        _lock(file.fileno(), out / LOCK)


def _hold(path: Path) -> int:
    """Return the descriptor of the lock file, locked and still the one under its name."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(file, path)
            if _is_still(file, path):
                os.ftruncate(file, 0)
                os.write(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            raise ConfigError(
                f"{path.parent} is being written by another run ({_holder(file)});"
                " wait for it or end it, or choose another 'out'"
            ) from error
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):  # a file system without locks
            raise


def _is_still(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _holder(file: int) -> str:
    try:
        known = json.loads(os.pread(file, 4096, 0))
        return f"process {known['pid']} on {known['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "of which nothing is known"
