"""What the card tells of checks: what is shared with a benchmark, and what ``vsre audit`` found.

The rows that leakage rules left were written into the folder's settings by what took them from a benchmark, the figures
of an audit into ``audit`` by ``vsre audit DIR --out DIR/audit``. Synthetic images are looked through for pixels and
nouns that a benchmark holds out (``spatial.exposure``); their captions are a renderer's own and are not asked.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.markdown import Cells, table
from datagen.paint.yield_run import corrected_yields
from datagen.paint.yields import Yield
from spatial.dataset import DatasetFolder
from spatial.errors import RecordError
from spatial.exposure import SPLITS, Exposure, exposure_of
from spatial.leakage import packaged
from spatial.vsr_photos import SOURCE

AUDIT = Path("audit") / "audit.json"
"""Where a dataset folder has the figures of its audit."""


@dataclass(frozen=True)
class Checks:
    """What checks found in a dataset.

    Attributes:
        audit: figures of 'vsre audit'; empty if there are none.
        seen: what of a benchmark is in it.
        yields: what of the pictures that were painted was right; empty where none was painted.
    """

    audit: Mapping[str, Any]
    seen: Exposure
    yields: Sequence[Yield] = ()


def read_checks(data: DatasetFolder, content_hash: str) -> Checks:
    """Look for held-out nouns and pixels, count yields, and read the figures of the audit.

    Raises:
        RecordError: the audit's file or a shard is damaged.
    """
    return Checks(read_audit(data.path, content_hash), exposure_of(data), corrected_yields({"": data.path}))


def read_audit(folder: Path, content_hash: str) -> dict[str, Any]:
    """Return the figures of the audit in a dataset folder; none where it has none, or other data's.

    Raises:
        RecordError: the file is damaged.
    """
    path = folder / AUDIT
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["data"]["content_hash"] == content_hash:
            probes(found)
            return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path} is no audit of a dataset ({error!r}); run 'vsre audit {folder} --out {path.parent}' again"
        ) from error
    logging.getLogger(__name__).warning("%s is about other data, so the card leaves it out; audit again", path)
    return {}


def probes(audit: Mapping[str, Any]) -> list[str]:
    """Return the lines about the audit; none if there is none."""
    if not audit:
        return []
    rows: list[Cells] = [
        (
            name,
            f"{found['n']:,}",
            f"{found['answered']:,}",
            f"{found['accuracy']:.1%}",
            " to ".join(f"{bound:.1%}" for bound in found["ci95"]),
            found["verdict"],
        )
        for name, found in audit["probes"].items()
    ]
    rules: list[Cells] = [
        (rule["rule"], f"{rule['checked']:,}", f"{len(rule['violations']):,}") for rule in audit["balances"]
    ]
    return [
        "Answering statements without looking, on groups that the probe has not learned from; a coin is right in 50 %.",
        f"`vsre audit` says: **{audit['verdict']}**.",
        "",
        *table(("probe", "statements", "answered", "accuracy", "95 % interval", "verdict"), rows),
        "",
        *table(("exact balance", "checked", "broken"), rules),
    ]


def leakage(settings: Mapping[str, Any], sources: Sequence[str], seen: Exposure) -> list[str]:
    """Return the lines about what must stay unseen.

    Args:
        settings: of the dataset; see ``_guarded`` for what ``guard`` may have.
        sources: where the images come from.
        seen: what of a benchmark is in them.
    """
    photos = _guarded(settings.get("guard") or {}) if seen.photos else []
    synthetic = _synthetic(settings, sources, seen) if set(sources) - {SOURCE} else []
    return [*photos, *([""] if photos and synthetic else []), *synthetic]


def _guarded(guard: Mapping[str, Any]) -> list[str]:
    """Return the lines about photos.

    Args:
        guard: ``covers``, the targets that the photos are guarded for; ``rule``, what was left out, in words;
            ``shared``, how many distinct rows share "image and caption", "image" or only "caption" with them; ``left``,
            the rows that each rule would leave (rule, by_split, distinct, photos). All but the first may be missing.
    """
    covers = ", ".join(f"`{name}`" for name in guard.get("covers", ()))
    if not covers:
        return ["Not guarded: no row was left out. Do not train on it and test on the benchmark that it is from."]
    rule = (
        f", {guard['rule']}" if "rule" in guard else ": rows that share what a rule names with these parts are left out"
    )
    lines = [f"Guarded for {covers}{rule}."]
    if shared := guard.get("shared"):
        both, photo, caption = (f"{shared[name]:,}" for name in ("image and caption", "image", "caption"))
        lines.append(
            "Distinct rows as released that share something with a held-out row: "
            f"photo and caption {both}, only the photo {photo}, only the caption {caption}."
        )
    left = guard.get("left", ())
    return [*lines, "", *rows_left(left)] if left else lines


def rows_left(left: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of the rows that each leakage rule leaves."""
    splits = list(left[0]["by_split"])
    rows: list[Cells] = [
        (
            row["rule"],
            *(f"{row['by_split'][split]:,}" for split in splits),
            f"{row['distinct']:,}",
            f"{row['photos']:,}",
        )
        for row in left
    ]
    return table(("rows left by rule", *splits, "together, each once", "photos"), rows)


def _synthetic(settings: Mapping[str, Any], sources: Sequence[str], seen: Exposure) -> list[str]:
    """Return the lines about what synthetic images share with VSR's dev and test parts."""
    lines = []
    if list(sources) == ["render"]:
        lines.append(
            "- Every image is rendered: none is a photo of a benchmark, and no leakage rule had a row to drop."
        )
    if "groups" in settings:
        lines.append(
            "- Nouns that meet as subject and object here never meet so in the other split (`train` or `test`)."
        )
    for split in (split for split in SPLITS if packaged(split).concepts):
        nouns = seen.concepts.get(split, ())
        shown = f"{len(nouns)} ({', '.join(nouns)})" if nouns else "none"
        lines.append(f"- Of the nouns that VSR's {split} split keeps for its dev and test parts it shows {shown}.")
    if seen.pixels:
        lines.append(f"- Holds photos of VSR's dev and test parts, pixel for pixel: {', '.join(seen.pixels)}.")
    elif any(packaged(split).pixels for split in SPLITS):
        lines.append("- Has the pixels of no photo of VSR's dev and test parts.")
    else:
        lines.append("- Pixels were not compared with VSR's photos, whose hashes are not packaged (docs/leakage.md).")
    return lines
