"""What verdicts are worth, from what the verifier did on renders with exact truth (``vsre calibrate``).

A calibration speaks of pictures that were judged as renders were: by the same models and thresholds, with every place
known. It says nothing of pictures painted from words alone, whose layout and depth are not checked, nor of photos.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from datagen.claim import CALIBRATION, REJECTED
from datagen.config import VerifySettings
from datagen.paint.yields import ALL, Yield
from datagen.verify.calibration import Calibration, calibration_file, label_precision, read_calibration
from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import ConfigError
from spatial.exposure import description_of
from spatial.files import atomic

UNREAD_CLAIM = "trust: unread"
"""The reason by which a run without a calibration refuses what needs poses."""


def keep_calibration(settings: VerifySettings, folder: Path) -> None:
    """Copy the calibration that a run trusts into its dataset folder, where yields are counted with it."""
    if settings.calibration:
        with atomic(folder / CALIBRATION) as temporary:
            temporary.write_bytes(calibration_file(settings.calibration).read_bytes())


def calibration_of(folder: Path, path: str = "") -> Calibration | None:
    """Return the calibration of the verifier that judged a dataset; ``None`` if there is none that speaks of it.

    Args:
        folder: of the dataset.
        path: of a calibration that was measured later; "" takes the one that the folder keeps.

    Raises:
        ConfigError: it is damaged, or of a verifier with other settings or weights.
        RecordError: a shard is damaged.
    """
    found = path or (str(folder / CALIBRATION) if (folder / CALIBRATION).is_file() else "")
    description = description_of(folder)
    if not found or description.get("paint", {}).get("over") == "photos":
        return None
    known = {setting.name for setting in fields(VerifySettings)}
    settings = VerifySettings(**{name: value for name, value in description.get("verify", {}).items() if name in known})
    calibration = read_calibration(replace(settings, calibration=found))
    for weights in _judges(folder):
        calibration.check_weights(weights)
    return calibration


def calibrations_of(folders: Mapping[str, Path], path: str = "") -> dict[str, Calibration]:
    """Return the calibration of each run that has one.

    Args:
        folders: by the name of the run, the one that is asked about first.
        path: see ``calibration_of``. A run that stands beside the first one and was judged otherwise has none.

    Raises:
        ConfigError: the one that is named, or that a folder keeps, is damaged or of another verifier than the first's.
        RecordError: a shard is damaged.
    """
    found: dict[str, Calibration] = {}
    for place, (run, folder) in enumerate(folders.items()):
        try:
            calibration = calibration_of(folder, path)
        except ConfigError as error:
            if not place or not path:
                raise
            print(f"{folder} was judged otherwise, so its share of right pictures stays unknown: {error}")
            continue
        if calibration:
            found[run] = calibration
    return found


def _judges(folder: Path) -> list[dict[str, Any]]:
    """Return the hashes of the weights of each verifier that judged pictures of a dataset; most have one."""
    found = set()
    for part in (folder, folder / REJECTED):
        for shard in finished_shards(part):
            for provenance in DatasetFolder(part).read_column(shard, "images", "provenance"):
                found.add(json.dumps(json.loads(provenance or "{}").get("verifier") or {}, sort_keys=True))
    return [json.loads(text) for text in sorted(found)]


def with_precision(lines: Sequence[Yield], calibrations: Mapping[str, Calibration]) -> list[Yield]:
    """Return the lines of a yield table with the share of right pictures among those that passed, where it is known.

    Not of pictures that were judged otherwise than the calibration's renders: without control, or with claims that need
    poses refused, as without a calibration. And not of all relations together, since their verifiers' errors differ.

    Args:
        lines: of the table.
        calibrations: by run.
    """
    found = []
    for line in lines:
        alike = line.control and line.relation != ALL and UNREAD_CLAIM not in line.reasons
        calibration = calibrations.get(line.run) if alike else None
        rates = calibration.relations.get(line.relation) if calibration else None
        precision = label_precision(line.judged_right, line.attempts, rates) if rates else None
        found.append(replace(line, precision=precision))
    return found
