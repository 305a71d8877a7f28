"""Whether a picture shows what is said of it: every object large enough, and not hidden by the others.

Shapes: H, W picture.
"""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from datagen.assets import asset, toy_size
from datagen.assets.catalogue import remembered
from datagen.rasterise import fragments, nearest
from datagen.rays import Rays
from datagen.render import sight, silhouette
from datagen.staging import stage
from spatial.boxes import meet
from spatial.observation import observe, pose_of
from spatial.scene import ObjectSpec, Scene

MIN_PIXELS = 0.008
"""Every object covers at least this share of the image (CLEVR's ``min_pixels_per_object`` at our size)."""

MIN_CORD_PIXELS = 0.004
"""A cable, rope or strap is thin and covers at least this share."""

MIN_VISIBLE = 0.35
"""Every object that is not named shows at least this share of what it would show alone."""

END_WINDOW = 0.03
"""The end of a connector is seen if some of it shows this near, in widths of the picture."""


BREADTH_GRID = 48
"""Cells per side of the grid on which ``breadth`` counts."""


def outlines(scene: Scene) -> NDArray[np.int16]:
    """Return which object every pixel shows (H, W), -1 for none: ``render(scene, 1).ids`` without its colours."""
    staged, rays = stage(scene), Rays(scene.camera, scene.width, scene.height)
    seen = sight(staged, rays)
    ids = np.full(rays.width * rays.height, -1, np.int16)
    ids[seen.cell] = staged.owner[seen.triangle]
    return ids.reshape(rays.height, rays.width)


@remembered
def breadth(noun: str) -> float:
    """Return the share of the square of its diagonal that an object's outline covers, from 30 degrees up.

    It is the mean of four sides: 0.06 for a baseball bat, 0.1 for a bicycle, 0.3 for a cup, 0.44 for a microwave.
    """
    mesh, size = asset(noun).builder(), np.array(toy_size(noun))
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    unit = ((mesh.vertices - low) / (high - low) - 0.5) * size / math.hypot(*size)
    x, y, z = unit[mesh.faces].T
    covered, side = 0, BREADTH_GRID
    for yaw in (20, 65, 110, 155):
        cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
        across, away = x * cos - y * sin, x * sin + y * cos
        rise, near = away * 0.5 + z * 0.866, z * 0.5 - away * 0.866
        column, row = (across + 0.5) * side, (0.5 - rise) * side
        covered += len(nearest(fragments(column, row, near + 1.0, side, side), side**2).cell)
    return covered / 4 / side**2


def shows(scene: Scene, spec: ObjectSpec) -> bool:
    """Tell whether an object that nothing hides would be large enough in a scene's picture."""
    return bool((outlines(replace(scene, objects=(spec,))) == 0).mean() >= MIN_PIXELS)


def clearly_seen(scene: Scene, ids: NDArray[np.int16], shown: float) -> bool:
    """Tell whether every object can be seen well enough.

    Args:
        scene: what was rendered.
        ids: (H, W) index of the object seen.
        shown: share of what each of the first two objects would show alone that must be visible.
    """
    boxes = [seen.box for seen in observe(scene).objects]
    counts = np.bincount(ids[ids >= 0], minlength=len(boxes))
    least = [MIN_CORD_PIXELS if spec.path else MIN_PIXELS for spec in scene.objects]
    if (counts < np.array(least) * ids.size).any():
        return False
    overlapped = {
        i for pair in combinations(range(len(boxes)), 2) if meet(boxes[pair[0]], boxes[pair[1]]) for i in pair
    }
    for i in overlapped:
        if counts[i] < (shown if i < 2 else MIN_VISIBLE) * np.count_nonzero(silhouette(scene, i)):
            return False
    return all(_ends_show(scene, ids == i, spec) for i, spec in enumerate(scene.objects) if spec.path)


def _ends_show(scene: Scene, mask: NDArray[np.bool_], cord: ObjectSpec) -> bool:
    """Tell whether a connector shows where it meets what it joins: next to the last points of its path."""
    reach = max(2, round(END_WINDOW * scene.width))
    for point in (cord.path[1], cord.path[-2]):
        column, row, _ = scene.camera.project(pose_of(cord).world(*point), scene.width, scene.height)
        top, left = max(0, int(row) - reach), max(0, int(column) - reach)
        if not mask[top : int(row) + reach + 1, left : int(column) + reach + 1].any():
            return False
    return True
