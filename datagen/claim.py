"""A dataset folder says what it holds, and never holds the data of two configurations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spatial.errors import ConfigError
from spatial.exposure import DESCRIPTION, description_of
from spatial.files import write_json

IMPORTED = "imported_from"
"""What a folder that ``vsre import`` wrote says beside the settings of the data; no other command goes on with it."""


OWN_MESHES = "assets_digest"
"""Hash of the files of the user's own meshes that the data show, where there are some."""

CALIBRATION = "calibration.json"
"""Where a dataset folder keeps the file that tells which relations its verifier was trusted with."""

CALIBRATED = "calibration_digest"
"""Hash of that file, where there is one."""

WEIGHTS = "model_weights"
"""Hashes of the weights of the engines that painted the data and of the models that judged them."""

REJECTED = "rejected"
"""Folder in a dataset folder, a dataset folder itself, of the pictures that were not accepted."""

SHARDS = "shards"
"""How many shards the data have, where the settings do not tell."""

CALIBRATION_NAME = "calibration_name"
"""What the user called the calibration, where that means something elsewhere: a shipped verifier, a relative path."""

NOT_COMPARED = {SHARDS, CALIBRATION_NAME}
"""What a folder says of itself that does not make it another one, and that older folders do not say."""

PAINTED = "engine"
"""Settings of the engine that painted the data, where one did."""


def check_claim(folder: Path, content: Mapping[str, Any]) -> None:
    """Refuse a folder that holds something else than ``content`` says; nothing is written.

    Raises:
        ConfigError: it does.
    """
    if not (folder / DESCRIPTION).exists():
        return
    held = description_of(folder)
    compared = {*content, *({OWN_MESHES, CALIBRATED, PAINTED} & set(held))} - NOT_COMPARED
    different = sorted(name for name in compared if held.get(name) != content.get(name))
    if different or IMPORTED in held:
        told = [_told(name, held.get(name), content.get(name)) for name in different]
        how = "imported data" if IMPORTED in held else f"data made with other {', '.join(told)}"
        raise ConfigError(f"{folder} holds {how}; choose another --out or delete it")


def _told(name: str, held: Any, wanted: Any) -> str:
    """Return what a difference is called; of weights, whose they are."""
    if name != WEIGHTS or not isinstance(held, Mapping) or not isinstance(wanted, Mapping):
        return name
    return f"{name} of {', '.join(sorted(it for it in {*held, *wanted} if held.get(it) != wanted.get(it)))}"


def claim(folder: Path, content: Mapping[str, Any]) -> None:
    """Write what a dataset folder holds into it.

    Raises:
        ConfigError: it holds something else.
    """
    check_claim(folder, content)
    if not (folder / DESCRIPTION).exists():
        try:
            write_json(folder / DESCRIPTION, content, sort_keys=True)
        except OSError as error:
            raise ConfigError(f"{folder} cannot be written: {error.strerror}; choose another --out") from error
