"""What accepted labels are worth, from what the verifier did on renders with exact truth (``vsre calibrate``)."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from datagen.claim import CALIBRATION
from datagen.config import VerifySettings
from datagen.paint.yields import ALL, Yield
from datagen.verify.calibration import Calibration, label_precision, read_calibration
from spatial.exposure import description_of
from spatial.files import atomic


def keep_calibration(settings: VerifySettings, folder: Path) -> None:
    """Copy the calibration that a run trusts into its dataset folder, where yields are counted with it."""
    if settings.calibration:
        with atomic(folder / CALIBRATION) as temporary:
            temporary.write_bytes(Path(settings.calibration).read_bytes())


def calibration_of(folder: Path, path: str = "") -> Calibration | None:
    """Return the calibration of the verifier that judged a dataset; ``None`` if there is none.

    Args:
        folder: of the dataset.
        path: of a calibration that was measured later; "" takes the one that the folder keeps.

    Raises:
        ConfigError: it is damaged, or of a verifier with other settings.
    """
    found = path or (str(folder / CALIBRATION) if (folder / CALIBRATION).is_file() else "")
    if not found:
        return None
    known = {setting.name for setting in fields(VerifySettings)}
    stored = description_of(folder).get("verify", {})
    settings = VerifySettings(**{name: value for name, value in stored.items() if name in known})
    return read_calibration(replace(settings, calibration=found))


def with_precision(lines: Sequence[Yield], calibration: Calibration | None) -> list[Yield]:
    """Return the lines of a yield table with the share of right labels that the calibration lets expect.

    It is of the pictures that passed, by relation; what all relations together are worth is not said, since their
    verifiers' errors differ.
    """
    if calibration is None:
        return list(lines)
    found = []
    for line in lines:
        rates = None if line.relation == ALL else calibration.relations.get(line.relation)
        precision = label_precision(line.passed.count, line.attempts, rates) if rates else None
        found.append(replace(line, precision=precision))
    return found
