"""Is it a picture at all, and one that is not there already?

Pictures are compared by a hash of their pixels and by a perceptual hash: the signs of the lowest frequencies of a
discrete cosine transform of the grey picture (Zauner 2010), 16 by 16 of them, because 8 by 8 do not tell two pictures
of one group apart, in which only one small object moved.

Shapes: H, W picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from PIL import Image
from scipy.fft import dctn

from datagen.verify.base import Pixels, Verdict
from datagen.verify.verdicts import accepted, failed, in_order, passed, skipped
from spatial.boxes import Bounds
from spatial.records import image_id_of

LEAST_CONTRAST = 4.0
"""Standard deviation of the grey levels, of 255, below which a picture is blank."""

MOST_CLIPPED = 0.6
"""Share of the pixels whose colour is pushed to the end of its range from which a picture is over-saturated."""

HASH_SIDE, HASH_IMAGE = 16, 64
"""Frequencies per axis in the perceptual hash, and the side of the picture that it is made of."""

NEAR_BITS = 8
"""Perceptual hashes that differ in at most this many of 256 bits are of one look.

A JPEG copy of a render differs in up to 6, the two pictures of one group in at least 16, others in at least 68."""

BLANK, SATURATED, SIZE = "blank", "over-saturated", "size"
SAME_PIXELS, LOOKS_THE_SAME = "same pixels", "looks the same"


@dataclass(frozen=True)
class Print:
    """Fingerprint of a picture: hash of its pixels, and perceptual hash as 64 hex digits."""

    pixels: str
    look: str

    def distance(self, other: "Print") -> int:
        """Return in how many of the 256 bits the perceptual hashes differ."""
        return (int(self.look, 16) ^ int(other.look, 16)).bit_count()


def quality(pixels: Pixels, width: int, height: int) -> Verdict:
    """Check that a picture has the intended size, is not blank, and that its colours are not pushed to the extreme."""
    check = "quality"
    if pixels.shape != (height, width, 3):
        return failed(check, SIZE, f"{pixels.shape[1]}x{pixels.shape[0]} instead of {width}x{height}")
    contrast = float(_grey(pixels).std())
    if contrast < LEAST_CONTRAST:
        return failed(check, BLANK, f"grey levels vary by {contrast:.1f}", contrast)
    clipped = _clipped(pixels)
    if clipped > MOST_CLIPPED:
        return failed(check, SATURATED, f"{100 * clipped:.0f} % of the pixels", clipped)
    return passed(check, score=contrast)


def fingerprint(pixels: Pixels) -> Print:
    """Return the fingerprint of a picture (H, W, 3)."""
    small = Image.fromarray(pixels).convert("L").resize((HASH_IMAGE, HASH_IMAGE), Image.Resampling.LANCZOS)
    waves = dctn(np.asarray(small, dtype=np.float64), norm="ortho")[:HASH_SIDE, :HASH_SIDE].ravel()
    # The first is the mean brightness, which says nothing of the picture's look.
    bits = waves > np.median(waves[1:])
    return Print(image_id_of(pixels), f"{int(''.join('1' if bit else '0' for bit in bits), 2):064x}")


@dataclass(frozen=True)
class Entry:
    """A picture among those that are compared.

    Attributes:
        pixels: (H, W, 3).
        verdicts: of the other checks.
        group: that lives only if all of its pictures are right; its pictures stand together.
        region: the part of it that was painted; ``None`` for all of it.
    """

    pixels: Pixels
    verdicts: tuple[Verdict, ...]
    group: int
    region: Bounds | None = None


def mark_duplicates(entries: Sequence[Entry], near: int = NEAR_BITS) -> list[tuple[Verdict, ...]]:
    """Return the verdicts of pictures with one more: whether a picture that is kept before it is the same, or looks so.

    Kept are the pictures of groups that are right as a whole; what is left out anyhow keeps no other one out. The first
    of several is kept, so hand them over in an order that does not depend on who made them: by group.

    Args:
        entries: all that are compared with each other, such as those of a shard.
        near: bits in which two perceptual hashes of one look may differ; -1 compares pixels alone.
    """
    kept: list[_Known] = []
    marked: list[tuple[Verdict, ...]] = []
    for _, numbered in groupby(enumerate(entries), key=lambda item: item[1].group):
        members = list(numbered)
        if not all(accepted(entry.verdicts) for _, entry in members):
            marked += [
                in_order([*it.verdicts, skipped("duplicate", "its group is refused already")]) for _, it in members
            ]
            continue
        own: list[_Known] = []
        verdicts = []
        for index, entry in members:
            mine = _Known(index, entry, fingerprint(entry.pixels))
            verdicts.append(_compared(mine, [*kept, *own], near))
            own.append(mine)
        if all(verdict.status == "passed" for verdict in verdicts):
            kept += own
        marked += [in_order([*it.verdicts, verdict]) for (_, it), verdict in zip(members, verdicts, strict=True)]
    return marked


@dataclass(frozen=True)
class _Known:
    index: int
    entry: Entry
    print: Print


def _compared(mine: _Known, kept: Sequence[_Known], near: int) -> Verdict:
    for other in kept:
        if mine.print.pixels == other.print.pixels:
            return failed("duplicate", SAME_PIXELS, f"as picture {other.index}")
        bits = mine.print.distance(other.print)
        if bits <= near and _alike_where_painted(mine.entry, other.entry, near):
            return failed("duplicate", LOOKS_THE_SAME, f"as picture {other.index}", bits)
    return passed("duplicate")


def _alike_where_painted(one: Entry, other: Entry, near: int) -> bool:
    """Tell whether two pictures of one look also look the same where either was painted, if that is known of it.

    A photo of which only a small part is repainted looks the same whatever is painted there.
    """
    if one.pixels.shape != other.pixels.shape:
        return True
    for left, top, right, bottom in {it.region for it in (one, other) if it.region is not None}:
        parts = [np.ascontiguousarray(it.pixels[top:bottom, left:right]) for it in (one, other)]
        if fingerprint(parts[0]).distance(fingerprint(parts[1])) > near:
            return False
    return True


def _grey(pixels: Pixels) -> np.ndarray:
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def _clipped(pixels: Pixels) -> float:
    """Return the share of the pixels with one channel at its end and another at the other end, or all at one end."""
    low, high = pixels.min(-1), pixels.max(-1)
    return float(((high >= 254) & (low <= 1) | (low >= 254) | (high <= 1)).mean())
