"""The record of a run: enough to repeat it and to know what it ran on.

``config.yaml`` (resolved settings), ``environment.json`` (versions, commit, hardware, command line), ``log.txt``.
"""

import logging
import os
import platform
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

from encoders.launch import process_place
from spatial.errors import UserError
from spatial.files import write_json
from spatial.machine import usable_cores
from vsre import __version__
from vsre.roots import PACKAGES, ROOT
from vsre.settings import to_yaml

RECORDED_PACKAGES = (
    "torch",
    "transformers",
    "diffusers",
    "accelerate",
    "peft",
    "datasets",
    "numpy",
    "pillow",
    "pyarrow",
    "scipy",
)
RECORD_FILES = ("config.yaml", "environment.json", "log.txt")
GIB = 2**30


@contextmanager
def recorded(folder: Path, config: Any, fresh: bool = False) -> Iterator[None]:
    """Write the record of a run into ``folder`` and add its log lines to ``log.txt`` while the block runs.

    A run that is refused for a user's mistake before it made anything leaves the folder as it was.

    Args:
        folder: where the record goes.
        config: the settings of the run.
        fresh: the folder is for this run alone; if it is there already, a number is added to its name.
    """
    new_folders = [path for path in folder.parents if not path.exists()]
    if fresh:
        folder = _claimed(folder)
    if fresh or not folder.exists():
        new_folders.insert(0, folder)
    files = [folder / name for name in RECORD_FILES]
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    work = _work(folder)
    write_record(folder, config)
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk is told by what needs it
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except BaseException as error:
        if isinstance(error, UserError | SystemExit) and _work(folder) == work:
            _restore(before, new_folders)
            raise
        with suppress(OSError), (folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
        raise
    finally:
        root.removeHandler(handler)
        handler.close()


def _claimed(folder: Path) -> Path:
    """Create the folder, or the first of folder-2, folder-3, ... that is not there; jobs may start in one second."""
    for number in count(1):
        claimed = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            claimed.mkdir(parents=True)
        except FileExistsError:
            continue
        return claimed
    raise AssertionError


def _work(folder: Path) -> dict[Path, int]:
    """Return the files of a run apart from its record, with their times; not those that others are writing."""
    paths = (path for path in folder.rglob("[!.]*") if path.name not in RECORD_FILES)
    files = (path for path in paths if path.is_file())
    return {path: path.stat().st_mtime_ns for path in files}


def _restore(before: dict[Path, bytes | None], new_folders: list[Path]) -> None:
    for path, content in before.items():
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content)
    for folder in new_folders:
        if any(folder.iterdir()):
            return
        folder.rmdir()


def write_record(folder: Path, config: Any) -> None:
    """Write ``config.yaml`` and ``environment.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    write_json(folder / "environment.json", environment())


def show_log(quiet: bool = False) -> None:
    """Show our own log lines, and warnings of everybody, on standard error, without the libraries' chatter.

    Args:
        quiet: show errors alone; of processes beside the one that speaks.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    warnings.filterwarnings("ignore", message="Could not find a config file", module="peft")
    # DeepSpeed's exchange of shards, once a process.
    warnings.filterwarnings("ignore", message=".*all_gather_into_tensor.*deprecated", category=FutureWarning)
    # DeepSpeed's finding, at its import, that a machine without a GPU has none.
    logging.getLogger("DeepSpeed").addFilter(lambda line: "Setting accelerator to CPU" not in line.getMessage())
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.setLevel(logging.ERROR if quiet else logging.NOTSET)
    handler.addFilter(lambda line: line.levelno >= logging.WARNING or line.name.split(".")[0] in PACKAGES)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def is_main_process() -> bool:
    """Return False in all but the first process of a distributed launch."""
    return process_place()[0] == 0


def environment() -> dict[str, Any]:
    """Return what a number in a report depends on besides the settings."""
    return {
        "vsre": __version__,
        "commit": commit(),
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "versions": {name: installed_version(name) for name in RECORDED_PACKAGES},
        "hardware": hardware(),
    }


def installed_version(package: str) -> str:
    """Return the installed version of a package, or an empty string."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def commit() -> str:
    """Return the commit of the code with ``+changes`` if the tree is not clean; empty outside a git checkout."""
    # Left to itself, status locks the index to refresh it, and a kill at that moment leaves the lock behind for good.
    git = ("git", "--no-optional-locks", "-C", str(ROOT))
    head = _output(*git, "rev-parse", "HEAD")
    changed = head and _output(*git, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+changes" if changed else head


def hardware() -> dict[str, Any]:
    """Return processor, usable cores, memory in GiB and the names of NVIDIA GPUs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    gpus = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader") if shutil.which("nvidia-smi") else ""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": usable_cores(),
        "memory_gib": round(memory / GIB, 1),
        "gpus": gpus.splitlines(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
