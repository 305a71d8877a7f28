"""The viewing rays of a picture, and what lies behind its objects.

The camera never turns sideways, so a whole row of the picture sees the floor, or a wall across the view, at one depth:
rows carry the depth and the world y, columns carry x.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatial.scene import Camera

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
NOTHING, FLOOR, BACK_WALL, LEFT_WALL, RIGHT_WALL = range(5)
NORMALS = ((0, 0, 0), (0, 0, 1), (0, -1, 0), (1, 0, 0), (-1, 0, 0))
"""World normals of the planes of a backdrop, by their number."""


@dataclass(frozen=True)
class Background:
    """A picture without its objects, but with their shadows.

    Attributes:
        rgb: (3, cells) in 0..1.
        depth: (cells,) metres along the viewing axis; inf where nothing is.
        plane: (cells,) which plane is seen: ``NOTHING``, ``FLOOR``, ``BACK_WALL``, ``LEFT_WALL`` or ``RIGHT_WALL``.
    """

    rgb: Image
    depth: Image
    plane: NDArray[np.int8]


class Rays:
    """The viewing rays of a ``width`` x ``height`` grid of samples; the same pinhole as ``Camera.project``."""

    def __init__(self, camera: Camera, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.origin = camera.origin
        self.cos, self.sin = math.cos(math.radians(camera.elevation)), math.sin(math.radians(camera.elevation))
        self.scale = 0.5 * height / math.tan(math.radians(camera.fov) / 2)
        rise = (height / 2 - 0.5 - np.arange(height)) / self.scale
        self.side = ((np.arange(width) + 0.5 - width / 2) / self.scale).astype(np.float32)
        self.away = (rise * self.sin + self.cos).astype(np.float32)
        self.climb = (rise * self.cos - self.sin).astype(np.float32)
        self.wall = camera.target[1] + 0.75 * camera.distance

    def to_view(self, corners: Floats) -> tuple[Floats, Floats, Floats]:
        """Return (right, up, forward), each (3, T), of world corners (3 corners, 3 axes, T)."""
        x, y, z = (corners[:, axis] - self.origin[axis] for axis in range(3))
        return x, y * self.sin + z * self.cos, y * self.cos - z * self.sin

    def points(self, column: NDArray[np.int64], row: NDArray[np.int64], distance: Image) -> tuple[Image, Image, Image]:
        """Return world x, y, z of samples at forward ``distance`` metres."""
        ox, oy, oz = (np.float32(value) for value in self.origin)
        return ox + distance * self.side[column], oy + distance * self.away[row], oz + distance * self.climb[row]

    def floor_reach(self) -> Image:
        """Return per row (H,) the forward metres to the floor, very many for rows that look up."""
        return np.divide(self.origin[2], np.maximum(-self.climb, np.float32(1e-6)), dtype=np.float32)

    def floor_points(self, first: int) -> tuple[Image, Image, Image]:
        """Return world x (rows, W), y (rows, 1) and forward metres (rows, 1) of the floor, from row ``first`` on."""
        distance = self.floor_reach()[first:, None]
        x = distance * self.side + np.float32(self.origin[0])
        y = distance * self.away[first:, None] + np.float32(self.origin[1])
        return x, y, distance
