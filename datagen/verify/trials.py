"""Trials of the verifier: a picture, what it was held against, and what the verifier said.

They are kept in small files, each written whole, so that a run that is stopped goes on where it was.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.verify.base import Verdict
from datagen.verify.verdicts import accepted, from_json, to_json, why_refused
from spatial.errors import ConfigError
from spatial.files import write_json

RIGHT, WRONG = "right", "wrong"
"""Kinds of trials of a relation: of a picture that shows it, and of one that was meant to but shows its counterpart.
All other kinds are faults."""


@dataclass(frozen=True)
class Trial:
    """One verdict.

    Attributes:
        kind: ``RIGHT``, ``WRONG`` or a name of ``datagen.verify.faults.FAULTS``.
        image: identifier of the render; of a faulty picture, of the one it was made from.
        relation: that was claimed.
        verdicts: of the verifier, on all that was claimed of the picture.
        reading: what the relation check alone said of the one claim about ``relation``.
    """

    kind: str
    image: str
    relation: str
    verdicts: tuple[Verdict, ...]
    reading: str

    @property
    def accepted(self) -> bool:
        """Whether the picture was accepted."""
        return accepted(self.verdicts)

    @property
    def refused(self) -> str:
        """Why it was refused, "layout: moved"; "" where it was not."""
        return why_refused(self.verdicts)


class Store:
    """The trials of one run on disk.

    Args:
        folder: is made if it is not there.
        settings: what decides the verdicts.

    Raises:
        ConfigError: the folder holds trials of other settings, or cannot be written.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        claim = folder / "settings.json"
        plain = json.loads(json.dumps(settings))
        try:
            if not claim.exists():
                write_json(claim, plain, sort_keys=True)
            held = json.loads(claim.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{claim} cannot be used ({error}); choose another --out or delete {folder}") from error
        different = sorted(key for key in plain if held.get(key) != plain[key])
        if different:
            raise ConfigError(
                f"{folder} holds trials with other {', '.join(different)}; choose another --out or delete it"
            )

    def read(self, name: str) -> tuple[list[Trial], int] | None:
        """Return the trials of a file and the number that it was written with; ``None`` if it is not there."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rows = [Trial(**{**row, "verdicts": from_json(row["verdicts"])}) for row in content["trials"]]
            return rows, int(content["next"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is damaged ({error}); delete it and run the command again") from error

    def write(self, name: str, trials: list[Trial], following: int = 0) -> None:
        """Write a file of trials, and a number to go on from."""
        rows = [vars(trial) | {"verdicts": to_json(trial.verdicts)} for trial in trials]
        write_json(self._path(name), {"trials": rows, "next": following})

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"
