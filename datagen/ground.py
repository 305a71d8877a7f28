"""The light on the floor: from every light of the scene, dimmed by shadows and close to what stands on it."""

import math

import numpy as np
from numpy.typing import NDArray

from datagen.assets.catalogue import mesh_of
from datagen.shadow import ShadowMap, unit
from spatial.observation import pose_of
from spatial.scene import ObjectSpec, Scene

Image = NDArray[np.float32]
CONTACT_REACH = 0.09
CONTACT_STRENGTH = 0.40
CONTACT_HEIGHT = 0.15

FLOAT_STRENGTH = 0.30
"""Below what floats, the floor is dimmed by this much just above ``CONTACT_HEIGHT``, and by less the higher it is."""

FLOAT_REACH = 0.22
"""Metres by which that dimming spreads per metre of height."""


def ground_light(scene: Scene, shadows: ShadowMap | None, x: Image, y: Image) -> Image:
    """Return the light (rows, W) on floor points at world ``x`` (rows, W) and ``y`` (rows, 1) metres."""
    strengths = [light.strength * max(unit(light.direction)[2], 0.0) for light in scene.lights]
    light: Image = np.full(x.shape, scene.ambient + sum(strengths[1:]), np.float32)
    if strengths:
        softness = scene.lights[0].softness
        light += np.float32(strengths[0]) * (shadows.lit(x, y, 0.0, softness) if shadows else np.float32(1))
    for spec in scene.objects:
        strength, reach = _contact(spec, scene)
        if strength > 0:
            _darken(light, x, y, spec, strength, reach)
    return light


def _contact(spec: ObjectSpec, scene: Scene) -> tuple[float, float]:
    """Return by how much an object dims the floor below it, and how far around its base in metres."""
    if spec.under > 0 or spec.path or spec.opening in ("through", "ring"):
        return 0.0, 0.0
    height = spec.position[2]
    standing = CONTACT_STRENGTH * (1 - height / CONTACT_HEIGHT)
    if not scene.backdrop.is_place or height < 0.02 or _is_over_another(spec, scene):
        return standing, CONTACT_REACH
    return max(standing, FLOAT_STRENGTH / (1 + height)), CONTACT_REACH + FLOAT_REACH * height


def _is_over_another(spec: ObjectSpec, scene: Scene) -> bool:
    """Tell whether the middle of an object is above another one, on which its shade falls instead of on the floor."""
    for other in scene.objects:
        if other is spec or other.position[2] >= spec.position[2]:
            continue
        dx, dy = spec.position[0] - other.position[0], spec.position[1] - other.position[1]
        (sx, sy), (hx, hy) = pose_of(other).side, pose_of(other).heading
        if abs(dx * sx + dy * sy) < other.size[0] / 2 and abs(dx * hx + dy * hy) < other.size[1] / 2:
            return True
    return False


def _darken(light: Image, x: Image, y: Image, spec: ObjectSpec, strength: float, reach: float) -> None:
    """Dim the floor softly around the base of an object, in place."""
    base = mesh_of(spec).base
    half = (base[0] * spec.size[0], base[1] * spec.size[1])
    spread = math.sqrt(half[0] ** 2 + half[1] ** 2) + reach
    rows = np.flatnonzero(np.abs(y[:, 0] - np.float32(spec.position[1])) < spread)
    if not len(rows):
        return
    band = slice(int(rows[0]), int(rows[-1]) + 1)
    columns = np.flatnonzero((np.abs(x[band] - np.float32(spec.position[0])) < spread).any(0))
    if not len(columns):
        return
    window = (band, slice(int(columns[0]), int(columns[-1]) + 1))
    dx, dy = x[window] - np.float32(spec.position[0]), y[band] - np.float32(spec.position[1])
    pose = pose_of(spec)
    (sx, sy), (hx, hy) = pose.side, pose.heading
    # Distance outside the base, taken as a rectangle with round ends: a circle for a cup, a bar for a bus.
    radius = min(half)
    out_x = np.maximum(np.abs(dx * np.float32(sx) + dy * np.float32(sy)) - np.float32(half[0] - radius), 0)
    out_y = np.maximum(np.abs(dx * np.float32(hx) + dy * np.float32(hy)) - np.float32(half[1] - radius), 0)
    outside = np.maximum(np.sqrt(out_x * out_x + out_y * out_y) - np.float32(radius), 0)
    fade = np.maximum(1 - outside * np.float32(1 / reach), 0)
    light[window] *= 1 - np.float32(strength) * fade * fade
