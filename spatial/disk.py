"""Disks in words: whether there is room for what a run would write, and what it means that a disk refuses a file."""

import errno
import shutil
from pathlib import Path

from spatial.errors import first_line

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)

_OF_WRITERS = ("PytorchStreamWriter", "inline_container", "iostream error")
"""Words by which torch's error of a file that cannot be written is known; it carries no number."""


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


def refusal(error: Exception, place: Path | None = None, again: str = "then give the same command again") -> str | None:
    """Return in one line what an error says of a disk that is full or refuses a file, and the mend.

    Args:
        error: of the file system, of safetensors or of torch; some carry the system's number only in their words.
        place: what was to be written, where the error does not say.
        again: what to do after the mend.

    Returns:
        ``None`` for every other error.
    """
    text = first_line(error)
    number = error.errno if isinstance(error, OSError) else None
    full = number in _FULL or any(f"(os error {code})" in text for code in _FULL)
    named = getattr(error, "filename", None) or place or "a file"
    said = f"{' '.join(str(named).split())} cannot be written ({text})"
    if full or (isinstance(error, RuntimeError) and any(word in text for word in _OF_WRITERS)):
        return f"{said}; free space on its disk, {again}"
    if number in _REFUSED:
        return f"{said}; choose another 'out' or mend its permissions, {again}"
    return None


def _existing(path: Path) -> Path:
    """Return the path or the nearest of its parents that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
