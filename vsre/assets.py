"""The names of the models that are shipped with the code: ``model: tiny-base`` names ``vsre/assets/tiny-base``."""

import re
from pathlib import Path

from spatial.errors import CheckpointError, nearest
from spatial.shipped import ASSETS, check_intact


def asset_names() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(path.name for path in ASSETS.iterdir() if path.is_dir()) if ASSETS.is_dir() else []


def resolve_model(name: str) -> str:
    """Return the directory of a shipped model for its name; paths and hub identifiers come back unchanged.

    Raises:
        CheckpointError: a plain name that is neither a directory here nor shipped, or a shipped model with a file that
            is missing or damaged.
    """
    if not re.fullmatch(r"[\w.-]+", name) or Path(name).exists():
        return name
    if name in asset_names():
        check_intact(ASSETS / name)
        return str(ASSETS / name)
    raise CheckpointError(
        f"model {name!r} is neither a directory in {Path.cwd()} nor shipped with vsre{nearest(name, asset_names())}"
    )
