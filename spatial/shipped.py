"""The models that come with the code, in ``vsre/assets``: where they lie, and whether they are whole. Any room may ask.

Each folder holds a ``SHA256SUMS`` file as ``sha256sum`` writes it. A model that is asked for by name is compared with
it once per process, so that a damaged download is told from a broken program before any number comes of it.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

from spatial.errors import CheckpointError

ASSETS = Path(__file__).parents[1] / "vsre" / "assets"

CHECKSUMS = "SHA256SUMS"


def shipped_folder(path_or_name: str) -> Path:
    """Return the folder of a shipped model for its name; a path, or a folder that is here, comes back unchanged.

    Raises:
        CheckpointError: a file of the shipped model is missing or damaged.
    """
    here = Path(path_or_name)
    if here.is_dir() or not re.fullmatch(r"[\w.-]+", path_or_name) or not (ASSETS / path_or_name).is_dir():
        return here
    check_intact(ASSETS / path_or_name)
    return ASSETS / path_or_name


@cache
def check_intact(folder: Path) -> None:
    """Compare the files of a shipped model with their checksums.

    Raises:
        CheckpointError: one is missing or damaged.
    """
    if damaged := damaged_files(folder):
        raise CheckpointError(damaged[0])


def damaged_files(folder: Path) -> list[str]:
    """Return one line for each file of a shipped model that is missing or differs from ``SHA256SUMS``."""
    listing = folder / CHECKSUMS
    if not listing.is_file():
        return [f"{listing} is missing; restore it with 'git checkout -- {folder}'"]
    lines = []
    for entry in listing.read_text(encoding="utf-8").splitlines():
        expected, name = entry.split(maxsplit=1)
        path = folder / name.lstrip("*")
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            what = "differs from its checksum" if path.is_file() else "is missing"
            lines.append(f"{path} {what}; restore it with 'git checkout -- {path}'")
    return lines
