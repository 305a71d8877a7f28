"""Whether a score on VSR means what it says: what the checkpoint has seen, against what it is asked about."""

import logging
from pathlib import Path
from typing import Any

from eval.benchmarks import annotations_of
from eval.config import DataConfig
from spatial.exposure import description_of, exposure_from_json, exposure_in
from spatial.leakage import file_name
from spatial.vsr import RELEASED, annotation_file

_log = logging.getLogger(__name__)


def check_leakage(model: str, data: DataConfig) -> dict[str, Any] | None:
    """Warn where the model has seen what it is asked about, and return what the results say of it.

    Returns:
        ``None`` unless the data is of VSR. ``parts``: of which of its parts. ``inside``: whether these are inside what
        the checkpoint's training left unseen; ``None`` where the checkpoint does not say. ``why``: if not inside.
    """
    asked = _asked_about(data)
    if not asked:
        return None
    parts = [f"{name}/{part}" for name, part in asked]
    exposure = exposure_in(Path(model))
    if exposure is None:
        return {"parts": parts, "inside": None, "why": "the checkpoint does not say what it has seen of VSR"}
    objections = [exposure_from_json(exposure).objection(name, part) for name, part in asked]
    why = "; ".join(dict.fromkeys(filter(None, objections)))
    if why:
        _log.warning("%s is evaluated on %s, but %s; see docs/leakage.md", model, ", ".join(parts), why)
    return {"parts": parts, "inside": not why, "why": why}


def _asked_about(data: DataConfig) -> list[tuple[str, str]]:
    """Return the names ("zeroshot", or the hash of a file of one's own) and parts of VSR that are asked about."""
    if data.kind == "folder":
        held = description_of(Path(data.path)).get("vsr")
        return [(name, held["part"]) for name in held["names"]] if held else []
    if data.kind != "vsr":
        return []
    part = data.split or "test"
    if (data.variant, part) in RELEASED:
        return [(data.variant, part)]
    return [(file_name(annotation_file(annotations_of(data, part), data.variant, part)), part)]
