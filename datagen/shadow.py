"""Shadows of the main light on the floor and on objects: a depth map seen from the light.

The map keeps, per texel, the surface nearest to the light *among faces turned away from it* (the far skins of closed
objects). A lit face is never compared with itself, so there is no speckle and the bias can stay at one texel.

Shapes: T triangles.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datagen.rasterise import fragments
from spatial.scene import Light, Vector

Floats = NDArray[np.float64]
Image = NDArray[np.float32]
RESOLUTION = 256


def unit(vector: Vector) -> Vector:
    """Return the vector at length 1."""
    length = math.sqrt(sum(v * v for v in vector)) or 1.0
    return (vector[0] / length, vector[1] / length, vector[2] / length)


@dataclass(frozen=True)
class ShadowMap:
    """Nearness to the light per texel, and the affine maps from world metres to it.

    Attributes:
        texels: (RESOLUTION ** 2,) nearness of the nearest far skin, -inf where there is none.
        across: (3,) factors and offset, world -> texel column.
        down: the same for the texel row.
        toward: the same for nearness, in metres.
        bias: metres by which a caster must be nearer, the width of a texel.
    """

    texels: Image
    across: tuple[float, float, float, float]
    down: tuple[float, float, float, float]
    toward: tuple[float, float, float, float]
    bias: float

    def lit(self, x: Image, y: Image, z: Image | float, softness: float = 0.0) -> Image:
        """Return 1 where world points (broadcastable metres) see the light, else 0.

        With ``softness`` the edge of a shadow is a ramp of that many metres to either side: the mean of five samples.
        """
        column, row = _affine(self.across, x, y, z), _affine(self.down, x, y, z)
        nearness = _affine(self.toward, x, y, z) + np.float32(self.bias)
        lit = self._lit(column, row, nearness)
        if softness <= 0:
            return lit
        spread = softness / self.bias
        nearness += np.float32(0.5 * softness)
        for across, down in ((1.0, 0.4), (-0.4, 1.0), (-1.0, -0.4), (0.4, -1.0)):
            lit += self._lit(column + np.float32(across * spread), row + np.float32(down * spread), nearness)
        lit *= np.float32(0.2)
        return lit

    def _lit(self, column: Image, row: Image, nearness: Image) -> Image:
        columns = np.clip(column, 0, RESOLUTION - 1).astype(np.int32)
        rows = np.clip(row, 0, RESOLUTION - 1).astype(np.int32)
        lit: Image = (self.texels[rows * RESOLUTION + columns] <= nearness).astype(np.float32)
        return lit


def shadow_map(corners: Floats, light: Light) -> ShadowMap:
    """Return the shadow map of triangles with world ``corners`` (3 corners, 3 axes, T) in metres."""
    toward = unit(light.direction)
    reference = (1.0, 0.0, 0.0) if abs(toward[0]) < 0.9 else (0.0, 1.0, 0.0)
    side = unit(_cross(reference, toward))
    rise = _cross(toward, side)
    x, y, z = corners[:, 0], corners[:, 1], corners[:, 2]
    u, v, w = (x * a[0] + y * a[1] + z * a[2] for a in (side, rise, toward))
    low_u, low_v, low_w = float(u.min()), float(v.min()), float(w.min())
    texel = max(float(u.max()) - low_u, float(v.max()) - low_v, 1e-3) / (RESOLUTION - 4)
    columns, rows, nearness = (u - low_u) / texel + 2, (v - low_v) / texel + 2, w - low_w + 1
    # Rows grow along ``rise``: the grid is the light's view turned over, and keeps the faces turned away from it.
    found = fragments(columns, rows, nearness, RESOLUTION, RESOLUTION)
    texels = np.full(RESOLUTION * RESOLUTION, -np.inf, np.float32)
    np.maximum.at(texels, found.cell, found.nearness)
    scaled_u, scaled_v = [s / texel for s in side], [r / texel for r in rise]
    return ShadowMap(
        texels,
        (scaled_u[0], scaled_u[1], scaled_u[2], 2 - low_u / texel),
        (scaled_v[0], scaled_v[1], scaled_v[2], 2 - low_v / texel),
        (*toward, 1 - low_w),
        1.0 * texel,
    )


def _affine(form: tuple[float, float, float, float], x: Image, y: Image, z: Image | float) -> Image:
    a, b, c, d = (np.float32(value) for value in form)
    return x * a + (y * b + (z * c + d))


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
