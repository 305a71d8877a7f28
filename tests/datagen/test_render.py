"""A picture agrees with the scene's camera, hides what is hidden, casts shadows, and is the same bytes every time."""

import hashlib
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datagen.assets import ASSETS, COLOURS, toy_size
from datagen.render import Rendered, observe_rendered, render
from datagen.staging import stage
from spatial.scene import Backdrop, Camera, Light, ObjectSpec, Scene, Vector, mirror

ROOT = Path(__file__).parents[2]
TABLE = toy_size("dining table")
HASH_PROGRAM = """
import hashlib, sys
from datagen.render import render
from spatial.scene import Scene
passes = render(Scene.from_json(sys.argv[1]))
print(hashlib.sha256(passes.rgb.tobytes() + passes.depth.tobytes() + passes.ids.tobytes()).hexdigest())
"""


def visible(rendered: Rendered, objects: int) -> list[int]:
    """Return how many pixels show each of the scene's ``objects``, by index."""
    counts: list[int] = np.bincount(rendered.ids.reshape(-1) + 1, minlength=objects + 1)[1:].tolist()
    return counts


def _spec(name: str, colour: str, position: Vector, yaw: float = 0.0) -> ObjectSpec:
    size = toy_size(name)
    return ObjectSpec(name, colour, position, size, yaw, under=ASSETS[name].under * size[2])


def _table_scene(**changes: object) -> Scene:
    objects = (
        _spec("dining table", "green", (0.0, 0.2, 0.0), 12),
        _spec("cup", "red", (-0.2, 0.2, TABLE[2]), 30),
        _spec("car", "blue", (-0.9, -0.1, 0.0), 130),
        _spec("dog", "yellow", (0.3, -0.6, 0.0), 250),
    )
    scene = Scene(objects, Camera((0.0, 0.0, 0.35), 3.4, 28), backdrop=Backdrop(texture="planks"), seed=11)
    return replace(scene, **changes)  # type: ignore[arg-type]


def _hash(rendered: Rendered) -> str:
    passes = (rendered.rgb, rendered.depth, rendered.ids)
    return hashlib.sha256(b"".join(image.tobytes() for image in passes)).hexdigest()


def _near_edge(ids: NDArray[np.int16]) -> NDArray[np.bool_]:
    """True where a pixel or one of its eight neighbours borders another id."""
    padded = np.pad(ids, 1, mode="edge")
    height, width = ids.shape
    shifts = [padded[r : r + height, c : c + width] for r in range(3) for c in range(3)]
    found: NDArray[np.bool_] = np.any([shift != ids for shift in shifts], axis=0)
    return found


def test_passes_have_the_documented_shapes_and_types() -> None:
    rendered = render(_table_scene(width=96, height=64))
    assert rendered.rgb.shape == (64, 96, 3) and rendered.rgb.dtype == np.uint8
    assert rendered.depth.shape == (64, 96) and rendered.depth.dtype == np.float32
    assert rendered.ids.shape == (64, 96) and rendered.ids.dtype == np.int16
    assert set(np.unique(rendered.ids)) == {-1, 0, 1, 2, 3}
    assert np.isinf(rendered.depth[0]).all() and np.isfinite(rendered.depth[-1]).all()


def test_two_runs_give_the_same_bytes() -> None:
    assert _hash(render(_table_scene())) == _hash(render(_table_scene()))
    assert _hash(render(_table_scene(seed=12))) != _hash(render(_table_scene()))


@pytest.mark.parametrize("kernel", ["Nehalem", "Haswell"])
def test_bytes_do_not_depend_on_the_blas_kernel_or_the_process(kernel: str) -> None:
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-c", HASH_PROGRAM, _table_scene().canonical_json()]
    printed = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == _hash(render(_table_scene()))


def _plane_depth(scene: Scene, height: float, row: int, column: int) -> float:
    """Forward depth in metres at which the upper left of the 2 x 2 samples of a pixel meets the plane z = height."""
    elevation = math.radians(scene.camera.elevation)
    scale = 0.5 * scene.height / math.tan(math.radians(scene.camera.fov) / 2)
    up = (scene.height / 2 - (row + 0.25)) / scale
    return (height - scene.camera.origin[2]) / (up * math.cos(elevation) - math.sin(elevation))


def test_depth_of_floor_and_table_top_is_exact() -> None:
    scene = _table_scene()
    rendered = render(scene)
    column, row, _ = scene.camera.project((0.25, 0.25, TABLE[2]), scene.width, scene.height)
    on_table = (int(row), int(column))
    assert rendered.ids[on_table] == 0
    assert rendered.depth[on_table] == pytest.approx(_plane_depth(scene, TABLE[2], *on_table), abs=1e-3)
    assert rendered.ids[120, 64] == -1
    assert rendered.depth[120, 64] == pytest.approx(_plane_depth(scene, 0.0, 120, 64), abs=1e-3)


@pytest.mark.parametrize("name", ASSETS)
def test_the_visible_box_agrees_with_the_camera(name: str) -> None:
    scene = Scene((_spec(name, "red", (0.3, 0.2, 0.1), 35),), Camera((0.2, 0.0, 0.3), 2.6, 33, 45))
    points = stage(scene).corners.transpose(0, 2, 1).reshape(-1, 3).tolist()
    columns, rows, _ = zip(*(scene.camera.project((x, y, z), 128, 128) for x, y, z in points), strict=True)
    box = observe_rendered(scene, render(scene)).objects[0].box
    np.testing.assert_allclose(box, (min(columns), min(rows), max(columns), max(rows)), atol=2)


def test_the_nearer_object_hides_the_farther_one() -> None:
    near, far = _spec("couch", "red", (0, -0.5, 0)), _spec("cup", "blue", (0, 0.6, 0))
    for objects, front in (((near, far), 0), ((far, near), 1)):
        scene = Scene(objects, Camera((0, 0, 0.3), 3.5, 5))
        rendered = render(scene)
        counts = visible(rendered, 2)
        assert counts[front] > 500 and counts[1 - front] == 0
        hidden = observe_rendered(scene, rendered).objects[1 - front]
        assert hidden.mask is not None and not hidden.mask.any()


def test_a_lifted_object_casts_a_shadow_on_the_one_beneath() -> None:
    table = _spec("dining table", "white", (0, 0, 0))
    cup = _spec("cup", "red", (0, 0, TABLE[2] + 0.1))
    camera = Camera((0, 0, 0.5), 3.2, 45)
    alone, both = render(Scene((table,), camera)), render(Scene((table, cup), camera))
    same = (alone.ids == 0) & (both.ids == 0)
    darker = alone.rgb.astype(int).sum(2) - both.rgb.astype(int).sum(2)
    shadow = same & (darker > 100)
    assert 30 < shadow.sum() < 0.3 * same.sum()
    # The light comes from the viewer's left and front, so the shadow lies to the right of the point under the cup.
    assert np.argwhere(shadow)[:, 1].mean() > camera.project((0, 0, TABLE[2]), 128, 128)[0]
    lit_floor = same | (both.ids == -1)
    assert (np.abs(darker[lit_floor & ~shadow]) < 100).mean() > 0.97


def test_an_object_shades_the_floor_and_no_light_means_no_shadow() -> None:
    scene = Scene((_spec("bench", "white", (0, 0, 0)),), Camera(distance=3.2))
    dark = replace(scene, lights=())
    empty = render(replace(scene, objects=())).rgb[..., 0].astype(int)
    rendered = render(scene)
    floor = np.isfinite(rendered.depth) & (rendered.ids == -1)
    assert (empty - rendered.rgb[..., 0] > 30)[floor].sum() > 100
    no_shadow = render(replace(dark, objects=())).rgb[..., 0].astype(int) - render(dark).rgb[..., 0]
    # Bars thinner than a sample can colour a pixel without owning its id.
    assert (no_shadow[floor & ~_near_edge(rendered.ids)] == 0).mean() > 0.995


def test_mirroring_the_scene_flips_the_ids() -> None:
    names = ("dining table", "car", "dog", "chair")
    spots = ((-0.5, 0.5, 0.0), (0.6, -0.3, 0.0), (-0.6, -0.5, 0.0), (0.6, 0.7, 0.0))
    objects = tuple(_spec(n, "red", spot, 40.0 * k) for k, (n, spot) in enumerate(zip(names, spots, strict=True)))
    scene = Scene(objects, Camera((0.1, 0, 0.3), 3.6))
    ids, flipped = render(scene).ids, render(mirror(scene)).ids[:, ::-1]
    different = ids != flipped
    assert different.mean() < 0.03
    assert (~different | _near_edge(ids)).all()


@pytest.mark.parametrize("supersample", [1, 3])
def test_supersampling_changes_ids_at_edges_only(supersample: int) -> None:
    two, other = render(_table_scene(), 2), render(_table_scene(), supersample)
    different = two.ids != other.ids
    assert different.mean() < 0.03
    assert (~different | _near_edge(two.ids)).all()
    assert np.abs(two.rgb.astype(int) - other.rgb).mean() < 4


def test_the_observation_holds_what_is_visible() -> None:
    scene = _table_scene()
    rendered = render(scene)
    observation = observe_rendered(scene, rendered)
    for index, (seen, count) in enumerate(zip(observation.objects, visible(rendered, 4), strict=True)):
        assert seen.mask is not None and seen.depth is not None and seen.pose is not None
        assert seen.mask.sum() == count == (rendered.ids == index).sum()
        x0, y0, x1, y1 = (int(edge) for edge in seen.box)
        assert seen.mask[y0:y1, x0:x1].sum() == count
        nearest, median, farthest = seen.depth
        assert nearest <= median <= farthest
        assert abs(median - scene.camera.to_view(seen.pose.position)[2]) < 1.0


@pytest.mark.parametrize("colour", COLOURS)
def test_an_object_mostly_shows_its_colour_word(colour: str) -> None:
    rendered = render(Scene((_spec("suitcase", colour, (0, 0, 0), 20),), Camera(distance=2.5)))
    shown = np.median(rendered.rgb[rendered.ids == 0], axis=0)
    match = min(
        COLOURS,
        key=lambda word: min(
            float(np.abs(shown / 255 - shade * np.array(COLOURS[word])).sum()) for shade in (0.6, 0.75, 0.9, 1.0)
        ),
    )
    assert match == colour


@pytest.mark.parametrize("texture", ["plain", "checker", "noise", "planks"])
def test_floor_textures_are_seeded_and_mild(texture: str) -> None:
    scene = Scene((), backdrop=Backdrop(texture=texture))
    floor = np.isfinite(render(scene).depth)
    one, two = render(scene).rgb[floor], render(replace(scene, seed=5)).rgb[floor]
    assert np.array_equal(one, two) == (texture == "plain")
    assert one.astype(int).std() < 40


def test_an_unknown_texture_is_refused() -> None:
    with pytest.raises(ValueError, match="use plain, checker, noise or planks"):
        render(Scene((), backdrop=Backdrop(texture="carpet")))


def test_lights_beyond_the_first_brighten_without_shadows() -> None:
    scene = _table_scene()
    brighter = replace(scene, lights=(*scene.lights, Light((0.5, -0.5, 0.5), 0.2)))
    assert (render(brighter).rgb.astype(int) - render(scene).rgb >= 0).mean() > 0.999
