"""The models that are shipped with the code: ``model: tiny-base`` names ``vsre/assets/tiny-base``.

Each asset folder holds a ``SHA256SUMS`` file as ``sha256sum`` writes it, so that ``vsre doctor`` can tell a
damaged download from a broken program.
"""

import hashlib
import re
from pathlib import Path

from spatial.errors import CheckpointError, nearest
from spatial.shipped import ASSETS

CHECKSUMS = "SHA256SUMS"


def asset_names() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(path.name for path in ASSETS.iterdir() if path.is_dir()) if ASSETS.is_dir() else []


def resolve_model(name: str) -> str:
    """Return the directory of a shipped model for its name; paths and hub identifiers come back unchanged.

    Raises:
        CheckpointError: a plain name that is neither a directory here nor shipped.
    """
    if not re.fullmatch(r"[\w.-]+", name) or Path(name).exists():
        return name
    if name in asset_names():
        return str(ASSETS / name)
    raise CheckpointError(
        f"model {name!r} is neither a directory in {Path.cwd()} nor shipped with vsre{nearest(name, asset_names())}"
    )


def damaged_files(folder: Path) -> list[str]:
    """Return one line for each file of an asset folder that is missing or differs from ``SHA256SUMS``."""
    listing = folder / CHECKSUMS
    if not listing.is_file():
        return [f"{listing} is missing; restore it with 'git checkout -- {folder}'"]
    lines = []
    for entry in listing.read_text(encoding="utf-8").splitlines():
        expected, name = entry.split(maxsplit=1)
        path = folder / name.lstrip("*")
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            lines.append(f"{path} is missing or damaged; restore it with 'git checkout -- {path}'")
    return lines
