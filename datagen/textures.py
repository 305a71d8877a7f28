"""Value noise and floor patterns, as numbers near 1 that multiply a colour.

One tile of smooth noise is hashed from integer lattice points once; a scene's seed decides where on the tile it reads,
so no random generator is involved and a seed always gives the same picture.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
TILE = 256
TEXELS_PER_METRE = np.float32(56)
CHECKS = np.float32(2.2)
PLANKS = np.float32(4.5)


def hashed(seed: int, salt: int) -> int:
    """Return 32 well-mixed bits of two integers."""
    value = (seed * 0x9E3779B1 + salt * 0x85EBCA77 + 0x27D4EB2F) & 0xFFFFFFFF
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        value = ((value ^ (value >> shift)) * factor) & 0xFFFFFFFF
    return value


@lru_cache(maxsize=1)
def noise_tile() -> Image:
    """Return the flat (TILE * TILE,) tile of value noise in -1..1, seamless in both directions."""
    total = np.zeros((TILE, TILE), np.float32)
    for salt, (cells, weight) in enumerate(((16, 0.5), (64, 0.35), (256, 0.15))):
        lattice = [hashed(k, salt) / 2**31 - 1.0 for k in range(cells * cells)]
        grid: Image = np.array(lattice, np.float32).reshape(cells, cells)
        step = TILE // cells
        blend: Image = np.tile(np.arange(step, dtype=np.float32) / np.float32(step), cells)
        for _ in range(2):  # interpolate along one axis, transpose, interpolate along the other
            near = np.repeat(grid, step, axis=0)
            far = np.repeat(np.roll(grid, -1, axis=0), step, axis=0)
            grid = (near + (far - near) * blend[:, None]).T
        total += weight * grid
    return np.ascontiguousarray(total.reshape(-1))


def noise(u: Image, v: Image, seed: int) -> Image:
    """Return value noise in -1..1 at texel coordinates ``u``, ``v`` (any broadcastable shapes)."""
    column = (u + (2 * TILE * 64 + hashed(seed, 1) % TILE)).astype(np.int32) & (TILE - 1)
    row = (v + (2 * TILE * 64 + hashed(seed, 2) % TILE)).astype(np.int32) & (TILE - 1)
    found: Image = noise_tile()[row * TILE + column]
    return found


def floor_pattern(texture: str, x: Image, y: Image, seed: int) -> Image:
    """Return the brightness factor of the floor at world ``x`` (H, W) and ``y`` (H, 1) metres, broadcastable to (H, W).

    Raises:
        ValueError: the texture is unknown.
    """
    one, shift = np.float32(1), np.float32(hashed(seed, 3) % 1000 / 1000)
    factor: Image
    if texture == "plain":
        factor = np.ones((1, 1), np.float32)
    elif texture == "noise":
        factor = one + np.float32(0.16) * noise(x * TEXELS_PER_METRE, y * TEXELS_PER_METRE, seed)
    elif texture == "checker":
        columns, rows = np.floor(x * CHECKS + shift).astype(np.int32), np.floor(y * CHECKS + shift).astype(np.int32)
        factor = np.float32(0.9) + np.float32(0.16) * ((columns + rows) & 1).astype(np.float32)
    elif texture == "planks":
        across = y * PLANKS + shift
        plank = np.floor(across)
        tone = np.float32(0.10) * noise(plank * np.float32(37), plank * np.float32(91), seed)
        groove = np.float32(0.22) * (across - plank < np.float32(0.07)).astype(np.float32)
        grain = noise(x * np.float32(12) + plank * np.float32(51), y * np.float32(140), seed)
        factor = (one + tone - groove) + np.float32(0.07) * grain
    else:
        raise ValueError(f"unknown floor texture {texture!r}; use plain, checker, noise or planks")
    return factor
