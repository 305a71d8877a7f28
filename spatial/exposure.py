"""What of a benchmark a dataset holds, and so what a checkpoint has seen: which of its scores mean something.

Photos are safe to be evaluated on where the data was imported under a target that covers them (``spatial.leakage``).
Synthetic images hold no photo; they are looked through for the pixels of held-out photos and for held-out nouns.
Training writes the sum of its data and of the model it starts from into ``training.json``, where evaluation reads it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spatial.dataset import DatasetFolder
from spatial.leakage import HELD_OUT_PARTS, TARGETS, packaged
from spatial.records import json_ready
from spatial.vsr_photos import SOURCE

DESCRIPTION = "dataset.json"
"""What a dataset folder says about how it was made."""

SPLITS = TARGETS["both"]


@dataclass(frozen=True)
class Exposure:
    """What was seen.

    Attributes:
        photos: whether there are photos of VSR among the images, or behind them.
        targets: names that the guard of every such photo covered: "zeroshot", "random", "sha256:..." of own files.
        pixels: splits whose held-out photos are among the synthetic images.
        concepts: split to the nouns it holds out that synthetic images show.
    """

    photos: bool = False
    targets: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    concepts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __or__(self, other: "Exposure") -> "Exposure":
        """Return what was seen in both together."""
        guarded = [set(item.targets) for item in (self, other) if item.photos]
        nouns = {
            split: tuple(sorted({*self.concepts.get(split, ()), *other.concepts.get(split, ())}))
            for split in sorted({*self.concepts, *other.concepts})
        }
        return Exposure(
            self.photos or other.photos,
            tuple(sorted(set.intersection(*guarded))) if guarded else (),
            tuple(sorted({*self.pixels, *other.pixels})),
            nouns,
        )

    def objection(self, name: str, part: str) -> str:
        """Return why a score on a part of a benchmark would not mean what it says, or "" if it does.

        Args:
            name: "zeroshot", "random", or "sha256:..." of an annotation file of one's own.
            part: "train", "dev" or "test".
        """
        if self.photos and name not in self.targets:
            covered = ", ".join(self.targets) or "nothing"
            return f"it saw photos of VSR that were guarded for {covered}, not for {name}"
        if part not in HELD_OUT_PARTS:
            return f"it saw photos of VSR, of which a guard leaves those of the {part} part in" if self.photos else ""
        if name in self.pixels:
            return f"it saw synthetic images with the pixels of photos that {name} holds out"
        if nouns := self.concepts.get(name, ()):
            return (
                f"it saw synthetic images of {len(nouns)} nouns that {name} holds out, such as {', '.join(nouns[:3])}"
            )
        return ""

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written to ``training.json``."""
        plain: dict[str, Any] = json_ready(asdict(self))
        return plain


def exposure_from_json(content: Mapping[str, Any]) -> Exposure:
    """Return what ``Exposure.as_json`` wrote."""
    concepts = {split: tuple(nouns) for split, nouns in content.get("concepts", {}).items()}
    targets, pixels = (tuple(content.get(name, ())) for name in ("targets", "pixels"))
    return Exposure(bool(content.get("photos")), targets, pixels, concepts)


def description_of(folder: Path) -> dict[str, Any]:
    """Return what a dataset folder says about how it was made; empty where it says nothing."""
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def exposure_of(folder: DatasetFolder) -> Exposure:
    """Return what a dataset folder would expose a model to.

    Photos without a word about their guard count as guarded for nothing. A folder that tells of a guard has photos
    behind it, also where it shows only what was painted after them.
    """
    sources = folder.sources()
    guard = description_of(folder.path).get("guard")
    covers = tuple(guard["covers"]) if guard else ()
    if sources == {SOURCE}:
        return Exposure(True, covers)
    images = folder.object_names(without=SOURCE)
    nouns = {name for names in images.values() for name in names}
    shown = {split: tuple(sorted(packaged(split).concepts & nouns)) for split in SPLITS}
    pixels = [split for split in SPLITS if any(packaged(split).shows(image_id, ()) for image_id in images)]
    concepts = {split: found for split, found in shown.items() if found}
    return Exposure(SOURCE in sources or bool(guard), covers, tuple(pixels), concepts)
