"""What of a benchmark a dataset holds, and so what a checkpoint has seen: which of its scores mean something.

Photos are safe to be evaluated on where the data was imported under a target that covers them (``spatial.leakage``).
Synthetic images hold no photo; they are looked through for the pixels of held-out photos and for held-out nouns.
Training writes the sum of its data and of the model it starts from into ``training.json``, where evaluation reads it.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spatial.dataset import DatasetFolder
from spatial.errors import RecordError
from spatial.files import read_mapping
from spatial.leakage import HELD_OUT_PARTS, TARGETS, packaged, photo_key, short_hash
from spatial.records import json_ready
from spatial.vsr_photos import SOURCE

DESCRIPTION = "dataset.json"
"""What a dataset folder says about how it was made."""

TRAINING = "training.json"
"""What ``vsre train`` leaves in a checkpoint."""

SPLITS = TARGETS["both"]

COCO_NAME = re.compile(r"(?:^|[/\\])(?:COCO_(?:train|val|test)\d{4}_)?\d{12}\.jpg$", re.IGNORECASE)
"""A photo's path under one of COCO's namings."""


@dataclass(frozen=True)
class Exposure:
    """What was seen.

    Attributes:
        photos: whether there are photos of VSR among the images, or behind them.
        targets: names that the guard of every such photo covered: "zeroshot", "random", "sha256:..." of own files.
        pixels: splits whose held-out photos are among the synthetic images.
        concepts: split to the nouns it holds out that synthetic images show.
        unknown: whether there were pictures of which nobody knows whether they are photos of VSR.
    """

    photos: bool = False
    targets: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    concepts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: bool = False

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
            self.unknown or other.unknown,
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
        if self.unknown:
            return "it saw pictures that nobody compared with VSR's photos"
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
    return Exposure(bool(content.get("photos")), targets, pixels, concepts, bool(content.get("unknown")))


def exposure_of_names(names: Collection[str]) -> tuple[Exposure, dict[str, int]]:
    """Return what pictures that are known by their file names alone would expose a model to.

    A photo under one of COCO's names is told apart from VSR's held-out ones. Other names tell nothing: Visual Genome,
    for one, numbers the same photos in its own way.

    Returns:
        Also how many distinct names are those of photos that a split holds out, and how many are not COCO's, "unknown".
    """
    keys = {photo_key(name) if COCO_NAME.search(name) else "" for name in names}
    unknown = sum(not COCO_NAME.search(name) for name in set(names)) if "" in keys else 0
    hashes = {short_hash(key) for key in keys}
    counts = {split: len(hashes & packaged(split).photos) for split in SPLITS}
    covered = tuple(sorted(split for split, count in counts.items() if not count))
    seen = Exposure(bool(keys - {""}), covered if keys - {""} else (), unknown=unknown > 0)
    return seen, counts | {"unknown": unknown}


def exposure_in(model: Path) -> dict[str, Any] | None:
    """Return what a checkpoint directory says of what it has seen, as ``exposure_from_json`` takes it, if it does."""
    found: dict[str, Any] | None = (read_mapping(model / TRAINING) or {}).get("exposure")
    return found


def description_of(folder: Path) -> dict[str, Any]:
    """Return what a dataset folder says about how it was made; empty where it says nothing.

    Raises:
        RecordError: its file is damaged: what the data hold and what was kept out of them is then not known.
    """
    path = folder / DESCRIPTION
    held = read_mapping(path)
    if held is None and path.exists():
        raise RecordError(f"{path} is damaged or no JSON object; copy it again, or delete it if nobody has it")
    return held or {}


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
