"""Run ``python -m vsre ...`` in a process that can be killed, without paying for its imports each time.

Starting Python and importing torch and Transformers takes seconds, a fault only moments. So this process imports all of
it once, computes nothing, and forks a child for each command line, which then runs ``vsre.__main__`` with a working
directory, an environment and limits of its own, and writes into files of its own, as a shell would have started it.
"""

import contextlib
import importlib
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PACKAGES = ("spatial", "encoders", "datagen", "training", "eval", "vsre")

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONPATH": str(ROOT),
    "MPLBACKEND": "agg",
}

LIMIT = 240.0
"""Seconds after which a command is said to hang."""


@dataclass
class Ended:
    """A command that has ended: its exit code (negative: the signal), and all that it printed."""

    code: int
    text: str
    seconds: float

    @property
    def traced(self) -> bool:
        """Whether a stack trace was shown."""
        return "Traceback (most recent call last)" in self.text


@dataclass
class Running:
    """A command that may still be running."""

    pid: int
    log: Path
    started: float = field(default_factory=time.monotonic)
    code: int | None = None
    writer: "subprocess.Popen[bytes] | None" = None

    def poll(self) -> bool:
        """Tell whether it has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def kill(self) -> None:
        """End it with signal 9, and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self, limit: float = LIMIT, until: Callable[[], bool] | None = None) -> bool:
        """Wait until it ends, or until something is so; return whether it has ended. A hanging one is killed."""
        end = time.monotonic() + limit
        while not self.poll():
            if until is not None and until():
                return False
            if time.monotonic() > end:
                if until is not None:
                    return False
                self.kill()
                os.waitpid(self.pid, 0)
                self.code = -signal.SIGALRM
                break
            time.sleep(0.002)
        return True

    def result(self, limit: float = LIMIT) -> Ended:
        """Wait until it ends and return what came of it."""
        self.wait(limit)
        self.kill()  # what it may have left behind
        if self.writer is not None:
            self.writer.wait()
        assert self.code is not None
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return Ended(self.code, text, time.monotonic() - self.started)


def preload() -> None:
    """Import all rooms, as far as their packages are installed, so that children need not."""
    os.environ.update(ENVIRONMENT)
    sys.path.insert(0, str(ROOT))
    for package in PACKAGES:
        for module in _modules(package):
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
    for module in ("transformers", "peft", "diffusers", "datasets", "matplotlib.pyplot", "pandas"):
        importlib.import_module(module)


def _modules(package: str) -> Iterator[str]:
    yield package
    paths = importlib.import_module(package).__path__
    for found in pkgutil.walk_packages(paths, f"{package}."):
        if not found.name.endswith("__main__") and "assets" not in found.name:
            yield found.name


def start(
    arguments: Sequence[str],
    folder: Path,
    log: Path,
    environment: Mapping[str, str | None] | None = None,
    prepare: Callable[[], None] | None = None,
    piped: bool = False,
) -> Running:
    """Start a command line of ``vsre`` in ``folder``.

    Args:
        arguments: of ``python -m vsre``.
        folder: working directory.
        log: file for standard output and standard error together.
        environment: variables to set; ``None`` unsets one.
        prepare: called in the child before the command: limits, users, hooks.
        piped: have another process write the log, which limits of this one then do not meet.
    """
    return fork(lambda: _command([str(part) for part in arguments], folder, environment or {}, prepare), log, piped)


def fork(work: Callable[[], int], log: Path, piped: bool = False) -> Running:
    """Do something in a process of its own, whose exit code it returns; an exception is traced, with exit code 1.

    Args:
        work: what is done.
        log: file for standard output and standard error together.
        piped: as for ``start``.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    writer = None
    if piped:
        with log.open("wb") as file:
            writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # the child has done so itself
            os.setpgid(pid, pid)
        if writer is not None and writer.stdin is not None:
            writer.stdin.close()
        return Running(pid, log, writer=writer)
    code = 70
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        shown = writer.stdin.fileno() if writer is not None and writer.stdin is not None else os.open(log, flags, 0o644)
        code = _child(work, shown)
    finally:
        os._exit(code)


def _child(work: Callable[[], int], shown: int) -> int:
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, source in ((0, nothing), (1, shown), (2, shown)):
        os.dup2(source, number)
    sys.stdout, sys.stderr = (  # as Python opens them
        open(number, "w", closefd=False, errors=errors)  # noqa: SIM115
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code


def _command(
    arguments: list[str],
    folder: Path,
    environment: Mapping[str, str | None],
    prepare: Callable[[], None] | None,
) -> int:
    for name, value in environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    os.chdir(folder)
    sys.argv = ["vsre", *arguments]
    try:
        if prepare is not None:
            prepare()
        runpy.run_module("vsre", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
