"""The eight colour words, and the paint slots that a mesh face can use.

A face names a slot, not a colour: ``MAIN`` and its two shades take the object's colour word, all other slots are
fixed and muted, so that the word describes the largest part of what is seen and nothing else competes with it.
A mesh from a file may have colours of its own; such a slot is the colour itself.

Shapes: F faces.
"""

import numpy as np
from numpy.typing import NDArray

from spatial.errors import ConfigError, nearest
from spatial.scene import Colour

COLOURS: dict[str, Colour] = {
    "red": (0.80, 0.08, 0.10),
    "green": (0.13, 0.58, 0.20),
    "blue": (0.12, 0.28, 0.85),
    "yellow": (0.98, 0.88, 0.12),
    "orange": (0.98, 0.47, 0.04),
    "purple": (0.52, 0.16, 0.68),
    "white": (0.95, 0.95, 0.95),
    "black": (0.10, 0.10, 0.11),
}

MAIN, DARK, LIGHT = 0, 1, 2
"""The object's own colour, the same darker, and the same paler."""

FIXED: tuple[Colour, ...] = (
    (0.14, 0.14, 0.15),
    (0.42, 0.43, 0.45),
    (0.68, 0.69, 0.70),
    (0.27, 0.34, 0.40),
    (0.90, 0.87, 0.80),
    (0.50, 0.36, 0.24),
    (0.33, 0.45, 0.27),
    (0.24, 0.18, 0.14),
    (0.98, 0.96, 0.82),
    (0.42, 0.10, 0.10),
    (0.60, 0.74, 0.80),
    (0.78, 0.60, 0.58),
)
COAL, GREY, STEEL, GLASS, PAPER, WOOD, LEAF, SOIL, LAMP, TAIL_LAMP, SCREEN, SKIN = range(3, 3 + len(FIXED))


OWN = 1 << 24
"""A slot from here on is a colour of its own: ``OWN`` + 65536 red + 256 green + blue, each in 0..255."""


def own_slots(colours: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the slots of (F, 3) RGB colours."""
    red, green, blue = colours.astype(np.int64).T
    return OWN + (red << 16) + (green << 8) + blue


def paint(word: str, slots: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (F, 3) RGB in 0..1 of faces with these slots on an object of this colour.

    Raises:
        ConfigError: the colour word is unknown.
    """
    own = slots >= OWN
    painted = slot_colours(word)[np.where(own, 0, slots)]
    if own.any():
        painted[own] = np.stack([slots[own] >> shift & 255 for shift in (16, 8, 0)], 1) / np.float32(255)
    return painted


def slot_colours(word: str) -> NDArray[np.float32]:
    """Return (slots, 3) RGB in 0..1 of every paint slot for an object of this colour.

    Raises:
        ConfigError: the colour word is unknown.
    """
    if word not in COLOURS:
        raise ConfigError(f"unknown colour {word!r}{nearest(word, COLOURS)}; known: {', '.join(COLOURS)}")
    main = np.array(COLOURS[word])
    return np.array([main, main * 0.7, main * 0.7 + 0.3 * 0.92, *FIXED], np.float32)
