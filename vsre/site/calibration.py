"""What a report says of the verifier of painted pictures: how it judged renders whose truth is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.verify.calibration import FILE, calibration_file
from datagen.verify.show import fault_table, relation_table
from spatial.files import read_mapping
from vsre.compare_tables import Cells
from vsre.mediation_tables import cells_of


@dataclass(frozen=True)
class Calibrated:
    """Which calibration a painted dataset relies on, and its tables about faults and about relations."""

    name: str
    faults: Cells
    relations: Cells


def read_calibrated(painted: Path) -> Calibrated | None:
    """Return the calibration of the verifier that judged a painted dataset; ``None`` where it had none."""
    settings: Mapping[str, Any] = read_mapping(painted / "dataset.json") or {}
    kept = painted / FILE
    named = settings.get("calibration_name") or settings.get("verify", {}).get("calibration", "")
    path = kept if kept.is_file() else calibration_file(named) if named else None
    content = read_mapping(path) if path else None
    if content is None:
        return None
    return Calibrated(
        str(named or path), cells_of(fault_table(content)), cells_of(relation_table(content["relations"]))
    )
