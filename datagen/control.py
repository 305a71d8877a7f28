"""Passes as images that image generators take for control, and that any program can read again.

``CONTROLS`` has one line per kind of image: its name and a function from the passes of a picture.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datagen.passes import Passes

Picture = Image.Image
Palette = Sequence[tuple[int, int, int]]

UNITS_PER_METRE = 1000
"""16-bit depth counts millimetres; 0 where there is no depth."""

UNKNOWN_NORMAL = (128, 128, 255)
"""What has no surface (the sky) is painted as if it faced the camera, as depth and normal estimators do."""


def voc_palette(count: int = 256) -> list[tuple[int, int, int]]:
    """Return the colours of Pascal VOC's label images: label 0 is black, and the bits of a label are spread out."""
    colours = []
    for label in range(count):
        channels = [0, 0, 0]
        for bit in range(8):
            channels = [value | ((label >> (3 * bit + k) & 1) << (7 - bit)) for k, value in enumerate(channels)]
        colours.append((channels[0], channels[1], channels[2]))
    return colours


def metric_depth(depth: NDArray[np.float32]) -> Picture:
    """Return depth (H, W) in metres as 16-bit millimetres; 0 stands for none, 65535 for all that is farther."""
    units = np.where(np.isfinite(depth), np.clip(np.round(depth * UNITS_PER_METRE), 1, 65535), 0)
    return Image.fromarray(units.astype(np.uint16))


def inverse_depth(depths: Sequence[NDArray[np.float32]]) -> tuple[list[Picture], float, float]:
    """Return depths (H, W) as 8-bit shades of inverse depth to one scale, and the depths of white and of black.

    White is the nearest; black the farthest, or where there is none the sky.
    """
    near = [np.where(np.isfinite(depth), 1 / depth, 0) for depth in depths]
    finite = np.concatenate([depth[np.isfinite(depth)] for depth in depths])
    low, high = (1 / float(finite.max()), 1 / float(finite.min())) if finite.size else (0.0, 1.0)
    shades = [np.clip((image - low) / max(high - low, 1e-12), 0, 1) for image in near]
    pictures = [Image.fromarray(np.round(255 * shade).astype(np.uint8)) for shade in shades]
    return pictures, 1 / high, 1 / low if low else float("inf")


def labels(numbers: NDArray[np.integer], palette: Palette | None = None) -> Picture:
    """Return numbers (H, W) from -1 up as an image with a palette, in which pixel values are the numbers plus 1.

    Args:
        numbers: -1 is background.
        palette: the background's colour, and then those of the numbers, again from the first where they run out.
    """
    colours = palette or voc_palette()
    spread = [colours[0], *(colours[1 + k % (len(colours) - 1)] for k in range(255))]
    image = Image.fromarray((numbers + 1).astype(np.uint8))
    image.putpalette([channel for colour in spread for channel in colour])
    return image


def camera_normals(passes: Passes) -> Picture:
    """Return normals as colours in the camera's axes: red to the right, green up, blue towards the camera."""
    elevation = math.radians(passes.camera.elevation)
    cos, sin = np.float32(math.cos(elevation)), np.float32(math.sin(elevation))
    x, y, z = (passes.normals[..., axis] for axis in range(3))
    up, toward = y * sin + z * cos, z * sin - y * cos
    colour = np.round((np.stack([x, up, toward], axis=-1) + 1) * np.float32(127.5)).astype(np.uint8)
    colour[~np.isfinite(passes.depth)] = UNKNOWN_NORMAL
    return Image.fromarray(colour)


def lines(edges: NDArray[np.bool_]) -> Picture:
    """Return edges (H, W) white on black, 8 bits."""
    return Image.fromarray(edges.astype(np.uint8) * 255)


CONTROLS: dict[str, Callable[[Passes], list[Picture]]] = {
    "rgb": lambda passes: [Image.fromarray(passes.rgb)],
    "depth": lambda passes: [metric_depth(passes.depth)],
    "inverse_depth": lambda passes: inverse_depth([passes.depth])[0],
    "ids": lambda passes: [labels(passes.ids)],
    "parts": lambda passes: [labels(passes.parts)],
    "normals": lambda passes: [camera_normals(passes)],
    "edges": lambda passes: [lines(passes.edges)],
    "amodal": lambda passes: [lines(mask) for mask in passes.amodal],
}
"""Control images of one picture by name: one each, but of "amodal" one per object."""
