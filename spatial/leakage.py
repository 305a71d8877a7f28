"""Keep what a benchmark tests out of what a model is trained on.

A target names the splits of VSR whose dev and test parts must stay unseen. VSR's two splits divide the same rows: 68 %
of the zero-shot test rows stand word for word in the random split's training file, and 86 % share a photo with it.
So training rows are dropped whose photo, or photo and caption, is in a part of the target. Captions alone are counted:
VSR says each caption of two photos, once truly and once falsely, and a renderer says them of its own scenes.

The rows are not shipped, their hashes are: ``scripts/hash_vsr.py`` makes them of VSR's annotation files.
"""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from spatial.errors import ConfigError, nearest
from spatial.vsr import Row, read_rows

HASHES = Path(__file__).parent / "assets" / "vsr-held-out.json"
"""Hashes of the dev and test parts of both splits."""

HASH_LENGTH = 8
"""Characters of a hash: 48 bits, so that among some ten thousand hashes a false match has odds of one in 10^10."""

TARGETS: dict[str, tuple[str, ...]] = {
    "zeroshot": ("zeroshot",),
    "random": ("random",),
    "both": ("random", "zeroshot"),
    "files": (),
}
"""The splits of each target; those of "files" are the files that are named with it."""

HELD_OUT_PARTS = ("dev", "test")

KINDS = ("photos", "captions", "pairs", "pixels")


@dataclass(frozen=True)
class HeldOut:
    """What a target keeps for evaluation, as hashes.

    Attributes:
        photos: of photos' names.
        captions: of captions.
        pairs: of photo and caption together.
        pixels: of the photos' ``image_id``; empty where the hashes were made without the photos.
        concepts: nouns, in plain words, of the target's dev and test rows that its training rows do not have.
    """

    photos: frozenset[str] = frozenset()
    captions: frozenset[str] = frozenset()
    pairs: frozenset[str] = frozenset()
    pixels: frozenset[str] = frozenset()
    concepts: frozenset[str] = frozenset()

    def rule(self, photo: str, caption: str) -> str:
        """Return what a real row shares: "image and caption", "image", "caption" (another photo's), or ""."""
        if pair_hash(photo, caption) in self.pairs:
            return "image and caption"
        if short_hash(photo_key(photo)) in self.photos:
            return "image"
        return "caption" if short_hash(caption_key(caption)) in self.captions else ""

    def drops(self, photo: str, caption: str, strict: bool = False) -> bool:
        """Tell whether a real row must go; ``strict`` drops it for its caption alone too."""
        rule = self.rule(photo, caption)
        return rule not in ("", "caption") or (strict and rule == "caption")

    def shows(self, image_id: str, nouns: Iterable[str]) -> str:
        """Return what a synthetic image shares: "pixels", "concept", or ""; its captions are never asked."""
        if self.pixels and short_hash(image_id) in self.pixels:
            return "pixels"
        return "concept" if not self.concepts.isdisjoint(nouns) else ""

    def __or__(self, other: "HeldOut") -> "HeldOut":
        """Return what either keeps."""
        return HeldOut(*(getattr(self, name) | getattr(other, name) for name in (*KINDS, "concepts")))


def held_out(target: str, files: Sequence[str | Path] = ()) -> HeldOut:
    """Return what a target keeps for evaluation.

    Args:
        target: a name of ``TARGETS``.
        files: annotation files all of whose rows are kept, for target "files".

    Raises:
        ConfigError: the target is unknown, or files are named without it or missing with it.
        RecordError: a file cannot be read.
    """
    check_target(target, files)
    found = HeldOut()
    for split in TARGETS[target]:
        found |= packaged(split)
    for file in files:
        found |= hashes_of(read_rows(Path(file), Path(file).name, ""))
    return found


def check_target(target: str, files: Sequence[str | Path] = ()) -> None:
    """Check a target without reading anything.

    Raises:
        ConfigError: as ``held_out`` does.
    """
    if target not in TARGETS:
        raise ConfigError(f"unknown leakage.target {target!r}; known: {', '.join(TARGETS)}{nearest(target, TARGETS)}")
    if (target == "files") != bool(files):
        raise ConfigError("leakage.files and leakage.target 'files' go together; give both or neither")
    for file in files:
        if not Path(file).is_file():
            raise ConfigError(f"leakage.files names {file}, which is no file; correct the path")


def target_names(target: str, files: Sequence[str | Path] = ()) -> tuple[str, ...]:
    """Return what a target covers by name: splits of VSR, and own annotation files by their content."""
    return (*TARGETS[target], *(file_name(Path(file)) for file in files))


def file_name(path: Path) -> str:
    """Return the name of an annotation file of one's own: a hash of its content."""
    return f"sha256:{sha256(path.read_bytes()).hexdigest()[:16]}"


@cache
def packaged(split: str) -> HeldOut:
    """Return what a split of VSR keeps in its dev and test parts."""
    content: dict[str, Any] = json.loads(HASHES.read_text(encoding="utf-8"))
    parts = [content["parts"][f"{split}/{part}"] for part in HELD_OUT_PARTS]
    photos, captions, pairs, pixels = (
        frozenset[str]().union(*(_cut(part.get(kind, "")) for part in parts)) for kind in KINDS
    )
    return HeldOut(photos, captions, pairs, pixels, frozenset(content["concepts"].get(split, ())))


def hashes_of(rows: Iterable[Row]) -> HeldOut:
    """Return the hashes of annotation rows."""
    rows = list(rows)
    return HeldOut(
        photos=frozenset(short_hash(photo_key(row.photo)) for row in rows),
        captions=frozenset(short_hash(caption_key(row.caption)) for row in rows),
        pairs=frozenset(pair_hash(row.photo, row.caption) for row in rows),
    )


def joined(hashes: Iterable[str]) -> str:
    """Return hashes as one string, sorted; ``packaged`` cuts it again."""
    return "".join(sorted(hashes))


def short_hash(text: str) -> str:
    """Return the 8 characters that stand for a text."""
    return urlsafe_b64encode(blake2b(text.encode(), digest_size=6).digest()).decode()


def pair_hash(photo: str, caption: str) -> str:
    """Return the hash of a photo with a caption."""
    return short_hash(f"{photo_key(photo)}\n{caption_key(caption)}")


def photo_key(name: str) -> str:
    """Return what makes a photo the same under COCO's namings: "COCO_train2014_000000296471.jpg" is "000000296471"."""
    stem = Path(name.replace("\\", "/")).stem.lower()
    number = re.search(r"\d{12}$", stem)
    return number[0] if number else stem


def caption_key(caption: str) -> str:
    """Return what makes a caption the same: not capitals, spaces or a full stop."""
    return " ".join(caption.lower().split()).removesuffix(".").rstrip()


def _cut(hashes: str) -> frozenset[str]:
    return frozenset(hashes[start : start + HASH_LENGTH] for start in range(0, len(hashes), HASH_LENGTH))
