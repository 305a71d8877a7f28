"""Take pictures and texts out of an archive: those of one folder in it, under plain names, and nothing else.

Links, devices, and names that lead elsewhere are not taken, whatever the archive says.
"""

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from datagen.fetch.download import FetchError, inside
from spatial.benchmarks import PLAIN_NAME
from spatial.errors import RecordError
from spatial.files import atomic

MAX_BYTES = 64 * 2**20
"""No file of an archive is larger; one that says it is ends the unpacking."""

DEEPEST = 2
"""A taken file has at most so many names under the folder: "images/1.jpg"."""

Opener = Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: str, out: Path, kept: frozenset[str] | None = None) -> int:
    """Write the files of a folder of an archive to ``out / folder``; those that are there already stay.

    Args:
        archive: a .zip or .tar.gz file.
        folder: a name in the archive's paths; what stands before it is left away.
        out: nothing is written outside it.
        kept: names (without their endings) of the files to take; all if ``None``.

    Returns:
        How many files of the folder are there now.

    Raises:
        RecordError: the archive is damaged, holds too large a file, or nothing of that folder.
    """
    count = 0
    try:
        for place, size, opened in _members(archive, folder):
            if kept is not None and not {place.name, place.stem} & kept:
                continue
            if size > MAX_BYTES:
                raise RecordError(
                    f"{archive}: {place} has {size:,} bytes, more than {MAX_BYTES:,}; fetch the archive again"
                )
            _write(inside(out, f"{folder}/{place}"), opened)
            count += 1
    except FetchError as error:
        raise RecordError(f"{archive} is not unpacked: {error}") from error
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError) as error:
        raise RecordError(f"{archive} cannot be unpacked ({error}); delete it and fetch it again") from error
    if not count:
        raise RecordError(f"{archive} holds no files of a folder {folder!r}; delete it and fetch it again")
    return count


def _members(archive: Path, folder: str) -> Iterator[tuple[PurePosixPath, int, Opener]]:
    """Yield the files under the folder: their places in it, their sizes, and how to read them."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                if not info.is_dir() and (place := _place(info.filename, folder)):
                    yield place, info.file_size, lambda info=info: zipped.open(info)  # type: ignore[misc]
        return
    with tarfile.open(archive) as tarred:
        for member in tarred:
            if member.isfile() and (place := _place(member.name, folder)):
                yield place, member.size, lambda member=member: tarred.extractfile(member)  # type: ignore[misc]


def _place(name: str, folder: str) -> PurePosixPath | None:
    """Return where a member is under the folder, if it is there and all its names are plain."""
    parts = PurePosixPath(name).parts
    if folder not in parts:
        return None
    rest = parts[parts.index(folder) + 1 :]
    plain = 0 < len(rest) <= DEEPEST and all(PLAIN_NAME.fullmatch(part) for part in rest)
    return PurePosixPath(*rest) if plain else None


def _write(path: Path, opened: Opener) -> None:
    if path.exists():
        return
    with atomic(path) as temporary, temporary.open("wb") as written:
        stream = opened()
        # A member may hold more than it says.
        data = stream.read(MAX_BYTES + 1) if stream else b""
        if len(data) > MAX_BYTES:
            raise RecordError(f"{path.name} has more than {MAX_BYTES:,} bytes; fetch the archive again")
        written.write(data)
