"""Objects are closed, exactly as large as declared, told apart from front and back, and fit on and under furniture."""

import itertools
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from datagen.assets import ASSETS, COLOURS, LIBRARY, primitives, toy_size, unit_mesh
from datagen.assets.primitives import Mesh
from datagen.backdrop import Rays
from datagen.rasterise import fragments, nearest
from datagen.render import render
from datagen.staging import stage
from spatial.errors import ConfigError
from spatial.scene import Camera, ObjectSpec, Scene

Floats = NDArray[np.float64]
PRIMITIVES = {
    "box": (primitives.box((1, 2, 3)), 6.0),
    "bevelled box": (primitives.rounded_box((1, 1, 1), radius=0.1, steps=1), 0.95),
    "cylinder": (primitives.cylinder(1, 1, 32), 3.12),
    "cone": (primitives.cone(1, 1, 32), 1.04),
    "sphere": (primitives.sphere(1.0, segments=32, rings=16), 4.1),
    "capsule": (primitives.capsule((0, 0, 0), (0, 0, 1), 0.3), 0.36),
    "torus": (primitives.torus(1, 0.2, 32, 16), 0.77),
    "arc": (primitives.torus(1, 0.2, 16, 16, arc=180), 0.38),
    "concave outline": (primitives.extrude([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)], 1.0), 3.0),
}


def _open_edges(mesh: Mesh) -> int:
    """Count directed edges without a partner; points at the same place count as one."""
    _, welded = np.unique(np.round(mesh.vertices, 7), axis=0, return_inverse=True)
    faces = welded.reshape(-1)[mesh.faces]
    edges = Counter(map(tuple, np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()))
    return sum(edges[(b, a)] != count for (a, b), count in edges.items())


def _nearness(x: Floats, y: Floats, nearness: Floats, side: int) -> Floats:
    """Return the (side * side,) nearness of the nearest surface per cell, 0 where there is none."""
    seen = nearest(fragments(x, y, nearness, side, side), side * side)
    grid = np.zeros(side * side)
    grid[seen.cell] = seen.nearness
    return grid


def _spec(name: str, yaw: float = 0.0, colour: str = "red") -> ObjectSpec:
    return ObjectSpec(name, colour, (0.0, 0.0, 0.0), toy_size(name), yaw)


def _portrait(name: str, yaw: float) -> Scene:
    size = toy_size(name)
    return Scene((_spec(name, yaw),), Camera((0, 0, size[2] / 2), 2.6 * max(size), 25))


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives_are_closed_with_outward_faces(name: str) -> None:
    mesh, volume = PRIMITIVES[name]
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(volume, rel=0.05)
    assert _open_edges(mesh) == 0


def test_objects_have_about_three_hundred_triangles_or_more() -> None:
    """As many as ``benchmarks/rendering.py`` promises to draw."""
    for objects in (ASSETS, LIBRARY):
        assert np.median([len(unit_mesh(name).slots) for name in objects]) >= 300


@pytest.mark.parametrize("name", LIBRARY)
def test_mesh_bounds_are_the_declared_size(name: str) -> None:
    size = (0.7, 1.3, 0.4)
    corners = stage(Scene((ObjectSpec(name, "red", (2.0, -1.0, 0.5), size),))).corners
    low, high = corners.min((0, 2)), corners.max((0, 2))
    np.testing.assert_allclose(high - low, size, atol=1e-6)
    np.testing.assert_allclose(low, (2.0 - 0.35, -1.0 - 0.65, 0.5), atol=1e-6)


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("yaw", [0, 115, 230])
def test_no_face_is_seen_from_behind(name: str, yaw: float) -> None:
    """From outside a closed object the nearest face always looks at the viewer, so culling the others loses nothing."""
    scene = _portrait(name, yaw)
    rays = Rays(scene.camera, 128, 128)
    right, up, forward = rays.to_view(stage(scene).corners)
    x, y, near = 64 + rays.scale * right / forward, 64 - rays.scale * up / forward, 1 / forward
    front, back = _nearness(x, y, near, 128), _nearness(x[::-1], y[::-1], near[::-1], 128)
    assert (back > front * 1.0001).sum() <= 0.004 * (front > 0).sum()


@pytest.mark.parametrize("name", LIBRARY)
def test_normals_point_with_their_faces(name: str) -> None:
    mesh, size = unit_mesh(name), np.array(LIBRARY[name].size)
    a, b, c = (mesh.corners[:, corner].T * size for corner in range(3))
    flat = np.cross(b - a, c - a)
    for corner in range(3):
        assert ((mesh.normals[:, corner].T / size * flat).sum(1) > 0).all()


@pytest.mark.parametrize("name", [name for name, asset in LIBRARY.items() if asset.has_front])
def test_front_and_back_look_different(name: str) -> None:
    front, back = render(_portrait(name, 0)), render(_portrait(name, 180))
    both = (front.ids == 0) & (back.ids == 0)
    difference = np.abs(front.rgb[both].astype(int) - back.rgb[both].astype(int)).mean()
    assert difference > 8 or both.sum() < 0.8 * (front.ids == 0).sum()


def test_toy_sizes_keep_proportions_and_fit_one_picture() -> None:
    for name, asset in LIBRARY.items():
        ratio = np.array(toy_size(name)) / np.array(asset.size)
        assert ratio.max() == pytest.approx(ratio.min())
    assert 0.3 <= max(toy_size("cup")) <= 0.4
    assert 0.85 <= max(toy_size("bus")) <= 1.0


@pytest.mark.parametrize("small", ["cup", "book", "cat"])
def test_small_things_fit_on_and_under_furniture(small: str) -> None:
    width, depth, height = toy_size(small)
    table = toy_size("dining table")
    assert height < LIBRARY["dining table"].under * table[2]
    for support in ("dining table", "bench", "chair", "couch"):
        assert width < toy_size(support)[0] and depth < toy_size(support)[1]


def test_colours_are_told_apart() -> None:
    assert len(COLOURS) == 8
    for one, two in itertools.combinations(COLOURS.values(), 2):
        assert sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) ** 0.5 > 0.3


def test_unknown_names_are_mended() -> None:
    with pytest.raises(ConfigError, match="did you mean 'bottle'"):
        toy_size("botle")
    with pytest.raises(ConfigError, match="did you mean 'purple'"):
        render(Scene((_spec("cup", colour="purpel"),)))
