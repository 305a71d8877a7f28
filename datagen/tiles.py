"""Seamless squares of surface patterns, and how they are read at any distance without shimmer.

A tile is worked out once from hashed integers, with elementwise arithmetic alone, so that every machine has the same.
It is kept at full size and halved again and again (a mip pyramid): a sample that covers many texels reads their mean.

Shapes: S = ``SIDE`` texels a side; grids of samples broadcast.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Whole = NDArray[np.int64]
SIDE = 512
TEXELS_PER_METRE = np.float32(128)
LEVELS = 8
OFFSETS = np.cumsum([0, *((SIDE >> level) ** 2 for level in range(LEVELS - 1))]).astype(np.int32)
STEPS = np.array([1.4 * 2**level for level in range(LEVELS - 1)], np.float32)
"""A sample as wide as this many texels reads the next level."""


@dataclass(frozen=True)
class Tile:
    """A pattern.

    Attributes:
        tone: flat pyramid of brightness about 0; a colour is multiplied by 1 + tone.
        mix: flat pyramid of the share of the second colour, 0..1; ``None`` where the pattern has one colour.
    """

    tone: Image
    mix: Image | None

    def read(self, u: Image, v: Image, level: NDArray[np.int32] | int = 0) -> tuple[Image, Image | None]:
        """Return tone and mix at texel coordinates ``u`` (columns) and ``v`` (rows), repeated without end."""
        # The shift keeps coordinates positive, so that cutting off decimals rounds down.
        far = np.float32(SIDE * 64)
        column, row = (u + far).astype(np.int32) & (SIDE - 1), (v + far).astype(np.int32) & (SIDE - 1)
        if isinstance(level, int):
            place = int(OFFSETS[level]) + ((row >> level) * (SIDE >> level) + (column >> level))
        else:
            place = OFFSETS[level] + ((row >> level) * (SIDE >> level) + (column >> level))
        return self.tone[place], None if self.mix is None else self.mix[place]


def levels(texels: Image) -> NDArray[np.int32]:
    """Return the pyramid level for samples that are ``texels`` wide."""
    return np.searchsorted(STEPS, texels).astype(np.int32)


def pyramid(tone: NDArray[np.floating], mix: NDArray[np.floating] | None = None) -> Tile:
    """Return the tile of a pattern (S, S)."""
    return Tile(_halved(tone), None if mix is None else _halved(np.clip(mix, 0, 1)))


def _halved(image: NDArray[np.floating]) -> Image:
    level = image.astype(np.float32)
    parts = [level.reshape(-1)]
    for _ in range(LEVELS - 1):
        level = (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2]) * np.float32(0.25)
        parts.append(level.reshape(-1))
    return np.concatenate(parts)


def scattered(first: Whole, second: Whole | int, salt: int) -> Image:
    """Return numbers in 0..1 hashed from two whole numbers (any broadcastable shapes)."""
    mask = np.uint64(0xFFFFFFFF)
    one, two = (np.asarray(part, np.int64).astype(np.uint64) for part in (first, second))
    value = (
        one * np.uint64(0x9E3779B1) + two * np.uint64(0x85EBCA77) + np.uint64(salt * 0xC2B2AE35 + 0x27D4EB2F)
    ) & mask
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        value = ((value ^ (value >> np.uint64(shift))) * np.uint64(factor)) & mask
    value ^= value >> np.uint64(16)
    return (value.astype(np.float64) / 2**32).astype(np.float32)


def grain(across: int, down: int, salt: int) -> Image:
    """Return smooth noise (S, S) in -1..1 with ``across`` x ``down`` lumps in the tile."""
    lattice = 2 * scattered(np.arange(down)[:, None], np.arange(across)[None], salt) - 1
    return _stretch(_stretch(lattice, 0), 1)


def _stretch(lattice: Image, axis: int) -> Image:
    """Blend a lattice smoothly along one axis to S texels."""
    count = lattice.shape[axis]
    place = np.arange(SIDE) * count / SIDE
    low = place.astype(np.int64)
    share = (place - low).astype(np.float32)
    share = share * share * (3 - 2 * share)
    share = share[:, None] if axis == 0 else share[None]
    near, far = np.take(lattice, low, axis), np.take(lattice, (low + 1) % count, axis)
    blended: Image = near + (far - near) * share
    return blended


def rough(salt: int, *octaves: tuple[int, float]) -> Image:
    """Return the weighted sum (S, S) of noises with so many lumps a side."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for index, (lumps, weight) in enumerate(octaves):
        total += np.float32(weight) * grain(lumps, lumps, salt + index)
    return total


def cells(across: int, down: int, shift: float = 0.0) -> tuple[Whole, Whole, Image, Image]:
    """Cut the tile into cells: return column and row of each texel's cell, and where in it the texel lies (0..1).

    Args:
        across: cells beside each other.
        down: cells above each other; even if ``shift`` is not 0.
        shift: share of a cell by which every other row is moved.
    """
    y = (np.arange(SIDE)[:, None] + 0.5) * down / SIDE
    row = np.floor(y).astype(np.int64)
    x = (np.arange(SIDE)[None] + 0.5) * across / SIDE + shift * (row & 1)
    column = np.floor(x).astype(np.int64)
    inside_x, inside_y = (x - column).astype(np.float32), (y - row).astype(np.float32) + np.zeros((1, SIDE), np.float32)
    return column % across, row + np.zeros((1, SIDE), np.int64), inside_x, inside_y


def edges(inside: Image, width: float) -> Image:
    """Return 1 within ``width`` (a share of the cell) of either end of a cell, else 0."""
    return (np.minimum(inside, 1 - inside) < width).astype(np.float32)
