"""What floors, walls and things are made of: one function and one line per material.

Patterns are kept mild, so that the colour word of an object still names what is seen.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from datagen.tiles import SIDE, Image, Tile, cells, edges, grain, pyramid, rough, scattered
from spatial.errors import ConfigError, nearest


def _boards() -> Tile:
    _, row, _, inside_y = cells(1, 24)
    ends = (np.arange(SIDE)[None] + 0.5) * 3 / SIDE + 3 * scattered(row, 0, 1)
    piece = np.floor(ends).astype(np.int64)
    tone = 0.26 * scattered(row, piece % 3, 2) - 0.13
    groove = np.maximum(edges(inside_y, 0.045), (ends - piece < 0.012).astype(np.float32))
    return pyramid(tone + 0.09 * _along(row, 3) - 0.26 * groove)


def _along(row: np.ndarray, salt: int) -> Image:
    """Grain of wood along the columns, another in every row of boards."""
    fine, long = grain(10, 256, salt), grain(5, 96, salt + 1)
    shift = (scattered(row, 7, salt) * SIDE).astype(np.int64)
    column = (np.arange(SIDE)[None] + shift) % SIDE
    return np.take_along_axis(0.6 * fine + 0.6 * long, column, 1)


def _parquet() -> Tile:
    column, row, x, y = cells(16, 16)
    upright = (column + row) % 2 == 1
    across = np.where(upright, x, y)
    strip = np.floor(across * 4).astype(np.int64)
    tone = 0.24 * scattered(column * 64 + row, strip, 11) - 0.12
    wood = np.where(upright, grain(256, 12, 12), grain(12, 256, 12))
    return pyramid(tone + 0.08 * wood - 0.2 * edges(across * 4 - strip, 0.06) - 0.1 * edges(x, 0.02) * edges(y, 0.02))


def _slabs(across: int, down: int, shift: float, joint: float, spread: float, salt: int, roughness: float) -> Tile:
    """Slabs with joints of the second colour."""
    column, row, x, y = cells(across, down, shift)
    tone = spread * (2 * scattered(column, row, salt) - 1) + roughness * rough(
        salt + 1, (32, 0.5), (128, 0.5), (256, 0.5)
    )
    joints = np.maximum(edges(x, joint), edges(y, joint * down / across))
    return pyramid(tone * (1 - joints), joints)


def _checker() -> Tile:
    column, row, x, y = cells(10, 10)
    tone = (
        0.05 * (2 * scattered(column, row, 31) - 1)
        + 0.03 * rough(32, (64, 1.0))
        - 0.12 * np.maximum(edges(x, 0.015), edges(y, 0.015))
    )
    return pyramid(tone, (column + row) % 2 * 1.0)


def _carpet() -> Tile:
    return pyramid(0.07 * rough(41, (16, 0.6), (128, 0.5), (256, 0.9)), 0.35 * np.maximum(rough(45, (24, 1.0)), 0))


def _concrete() -> Tile:
    return pyramid(0.09 * rough(51, (6, 0.6), (24, 0.5), (96, 0.3), (256, 0.4)))


def _grass() -> Tile:
    blades = 0.6 * grain(256, 96, 61) + 0.6 * grain(170, 128, 62)
    patches = rough(63, (6, 0.7), (20, 0.5), (64, 0.3))
    return pyramid(0.22 * blades + 0.08 * patches, 0.4 + 0.55 * patches + 0.2 * blades)


def _sand() -> Tile:
    ripples = grain(12, 64, 71)
    return pyramid(0.06 * rough(72, (10, 0.7), (128, 0.6), (256, 0.8)) + 0.05 * ripples)


def _asphalt() -> Tile:
    speckle = rough(81, (128, 0.5), (256, 1.0))
    return pyramid(0.16 * speckle + 0.06 * rough(84, (5, 1.0)), np.maximum(speckle - 0.75, 0) * 1.5)


def _snow() -> Tile:
    return pyramid(0.025 * rough(91, (8, 0.6), (40, 0.5), (256, 0.4)), 0.5 + 0.7 * rough(94, (5, 0.7), (14, 0.5)))


def _gravel() -> Tile:
    """Pebbles: each texel belongs to the nearest of points jittered about a lattice."""
    count = 64
    column, row, x, y = cells(count, count)
    best, tone = np.full((SIDE, SIDE), 9.0, np.float32), np.zeros((SIDE, SIDE), np.float32)
    second = best.copy()
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            c, r = (column + dx) % count, (row + dy) % count
            away_x, away_y = dx + scattered(c, r, 101) - x, dy + scattered(c, r, 102) - y
            away = away_x * away_x + away_y * away_y
            nearer = away < best
            second = np.where(nearer, best, np.minimum(second, away))
            tone = np.where(nearer, scattered(c, r, 103), tone)
            best = np.where(nearer, away, best)
    gaps = (second - best < 0.12).astype(np.float32)
    return pyramid((0.36 * tone - 0.18) * (1 - gaps), gaps * 0.9)


def _soil() -> Tile:
    lumps = rough(111, (12, 0.4), (48, 0.5), (160, 0.6), (256, 0.5))
    return pyramid(0.16 * lumps, 0.4 + 0.6 * rough(116, (9, 0.8), (30, 0.5)))


def _paint() -> Tile:
    return pyramid(0.02 * rough(121, (4, 0.8), (64, 0.3), (256, 0.5)))


def _wallpaper() -> Tile:
    column, _, x, _ = cells(40, 40)
    stripes = (column % 2) * 0.55 + edges(x, 0.06) * 0.45
    return pyramid(0.015 * rough(131, (256, 1.0)), stripes)


def _dotted() -> Tile:
    _, _, x, y = cells(32, 32, 0.5)
    away_x, away_y = x - 0.5, y - 0.5
    # Four petals: where the product of the distances is small and the sum is not large.
    petals = (np.abs(away_x * away_y) < 0.012) & (away_x * away_x + away_y * away_y < 0.09)
    return pyramid(0.015 * rough(141, (256, 1.0)), petals * 0.75)


def _panels() -> Tile:
    column, _, x, _ = cells(26, 26)
    tone = 0.12 * scattered(column, 3, 151) - 0.06 + 0.06 * grain(256, 8, 152)
    return pyramid(tone - 0.2 * edges(x, 0.035))


def _stripes() -> Tile:
    _, row, _, _ = cells(44, 44)
    return pyramid((row % 2) * 0.24 - 0.14 + 0.02 * rough(161, (256, 1.0)))


def _speckle() -> Tile:
    return pyramid(0.03 * rough(171, (32, 1.0)) - 0.24 * (rough(172, (96, 0.8), (160, 0.6)) > 0.55))


def _weave() -> Tile:
    column, row, x, y = cells(64, 64)
    over = (column + row) % 2 == 0
    across, along = np.where(over, y, x), np.where(over, x, y)
    # A thread is brightest in its middle and dips under its neighbours at the ends.
    return pyramid(0.13 - 0.9 * (across - 0.5) * (across - 0.5) - 0.5 * (along - 0.5) * (along - 0.5))


def _wood() -> Tile:
    rings = grain(3, 30, 181) * 4 + grain(6, 60, 182)
    return pyramid(0.2 * np.abs(rings - np.round(rings)) * 2 - 0.12 + 0.06 * grain(10, 256, 183))


def _brushed() -> Tile:
    return pyramid(0.09 * (0.7 * grain(6, 256, 191) + 0.5 * grain(12, 128, 192)))


def _marble() -> Tile:
    veins = np.abs(rough(201, (10, 0.8), (24, 0.5), (60, 0.3)))
    return pyramid(0.08 * rough(206, (12, 1.0)) - 0.2 * np.maximum(0.12 - veins, 0) / 0.12)


def _clouds() -> Tile:
    return pyramid(rough(211, (4, 0.6), (9, 0.35), (22, 0.2), (50, 0.12), (110, 0.06)))


INDOORS: dict[str, Callable[[], Tile]] = {
    "boards": _boards,
    "parquet": _parquet,
    "tiles": lambda: _slabs(10, 10, 0.0, 0.018, 0.05, 21, 0.02),
    "checkered tiles": _checker,
    "carpet": _carpet,
    "concrete": _concrete,
}
"""Floors of rooms."""

OPEN: dict[str, Callable[[], Tile]] = {
    "grass": _grass,
    "sand": _sand,
    "asphalt": _asphalt,
    "pavement": lambda: _slabs(10, 14, 0.5, 0.015, 0.08, 25, 0.06),
    "snow": _snow,
    "gravel": _gravel,
    "soil": _soil,
}
"""Grounds in the open."""

GROUNDS: dict[str, Callable[[], Tile]] = {**INDOORS, **OPEN}

WALLS: dict[str, Callable[[], Tile]] = {
    "paint": _paint,
    "wallpaper": _wallpaper,
    "dotted wallpaper": _dotted,
    "wall tiles": lambda: _slabs(20, 20, 0.0, 0.03, 0.03, 27, 0.01),
    "bricks": lambda: _slabs(18, 48, 0.5, 0.025, 0.14, 29, 0.06),
    "panels": _panels,
}
"""Patterns of the walls of rooms."""

SURFACES: dict[str, Callable[[], Tile]] = {
    "stripes": _stripes,
    "speckle": _speckle,
    "weave": _weave,
    "wood": _wood,
    "brushed": _brushed,
    "marble": _marble,
}
"""Patterns of objects; only their tone is used."""

MATERIALS: dict[str, Callable[[], Tile]] = {**GROUNDS, **WALLS, **SURFACES, "clouds": _clouds}


@cache
def material(name: str) -> Tile:
    """Return the tile of a material.

    Raises:
        ConfigError: there is no such material.
    """
    if name not in MATERIALS:
        raise ConfigError(f"no material is called {name!r}{nearest(name, MATERIALS)}; known: {', '.join(MATERIALS)}")
    return MATERIALS[name]()
