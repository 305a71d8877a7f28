"""Disk space in words: what a run would write, and whether there is room for it."""

import shutil
from pathlib import Path


def disk_line(to_write: float, place: Path) -> str:
    """Say how many bytes would be written, and whether the disk of ``place``, which need not be there, has room."""
    free = free_bytes(place)
    verdict = "not enough" if to_write > free else "enough"
    return f"about {size_text(to_write)} to write, {size_text(free)} free, which is {verdict}"


def free_bytes(place: Path) -> int:
    """Return the free bytes of the disk of ``place``, which need not be there."""
    return shutil.disk_usage(_existing(place)).free


def size_text(count: float) -> str:
    """Return a number of bytes in MiB or GiB."""
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"


def _existing(path: Path) -> Path:
    """Return the path or the nearest of its parents that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
