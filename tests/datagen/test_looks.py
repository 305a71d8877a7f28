"""Looks: varied to the eye, the same for both scenes of a group, legible, and the same bytes whenever drawn again."""

import hashlib
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datagen import tiles
from datagen.assets import ASSETS, COLOURS, toy_size
from datagen.config import DatagenConfig
from datagen.finish import finish
from datagen.groups import draw_group
from datagen.looks import LOOKS, shadow_outside, varied_dress, varied_stage
from datagen.materials import MATERIALS, SURFACES, material
from datagen.recipe import RECIPES
from datagen.render import render
from datagen.run import generate
from datagen.shadow import shadow_map
from datagen.staging import stage
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError
from spatial.observation import pose_of
from spatial.place import Backdrop, Outdoors, Panel, Room
from spatial.records import image_id_of
from spatial.scene import Camera, Light, ObjectSpec, Scene, Vector, mirror

ROOT = Path(__file__).parents[2]
HASH_PROGRAM = """
import sys
from datagen.render import render
from spatial.records import image_id_of
from spatial.scene import Scene
print(image_id_of(render(Scene.from_json(sys.argv[1])).rgb))
"""
SPOTS = ((-0.6, -0.3, 0.0), (0.6, -0.2, 0.0), (0.1, 0.8, 0.4))
ROOM = Backdrop(
    (0.66, 0.51, 0.36),
    (0.78, 0.82, 0.86),
    "boards",
    room=Room(
        2.0,
        "wallpaper",
        (0.7, 0.75, 0.8),
        0.1,
        corner=-1.9,
        panels=(Panel("window", (0.0, 0.6, 0.8, 1.4), (0.9, 0.9, 0.9), (0.6, 0.7, 0.9)),),
    ),
)
MEADOW = Backdrop(
    (0.4, 0.45, 0.25),
    (0.8, 0.87, 0.93),
    "grass",
    (0.5, 0.5, 0.3),
    outdoors=Outdoors((0.4, 0.6, 0.85), 0.5, "trees", (0.3, 0.4, 0.25), 0.5, "sand", (0.8, 0.7, 0.6), 1.2, 0.1),
)


def rng_of(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def spec(name: str, colour: str, position: Vector, yaw: float = 0.0) -> ObjectSpec:
    return ObjectSpec(name, colour, position, toy_size(name), yaw)


def pair(key: int) -> tuple[Scene, Scene]:
    """Two scenes of three objects in other places, undressed, seen by a camera of the varied look."""
    rng = rng_of(key)
    names, colours = rng.permutation(sorted(ASSETS)), rng.permutation(sorted(COLOURS))
    objects = [spec(str(names[k]), str(colours[k]), SPOTS[k], float(rng.uniform(0, 360))) for k in range(3)]
    empty = varied_stage(rng, DatagenConfig(image_size=64))
    moved = [replace(o, position=SPOTS[(k + 1) % 3]) for k, o in enumerate(objects)]
    return replace(empty, objects=tuple(objects)), replace(empty, objects=tuple(moved))


def dressed(key: int) -> tuple[Scene, Scene]:
    return varied_dress(rng_of(key), pair(key))


def look_of(scene: Scene) -> object:
    """All that a look decides: what is left when places and headings are taken away."""
    bare = sorted((o.name, o.colour, o.material, o.gloss) for o in scene.objects)
    return replace(scene, objects=()), bare


def test_plain_looks_draw_what_they_always_drew() -> None:
    """The shipped models saw plain scenes: same random draws, same JSON, and on the usual processors same pixels."""
    empty = LOOKS["plain"].stage(rng_of(5), DatagenConfig())
    scene = replace(empty, objects=(spec("couch", "black", (-0.4, 0.3, 0.0), 20), spec("cup", "red", (0.5, 0.0, 0.0))))
    assert LOOKS["plain"].dress(rng_of(5), (scene, scene)) == (scene, scene)
    assert empty.scene_id == "a726d5b86e1a15d7fbb1d588602717aa"
    if platform.machine() == "x86_64":
        assert image_id_of(render(scene).rgb) == "3faec3752f290897515cd4184b542e55"


def test_fields_of_looks_are_left_out_of_the_json_of_plain_scenes() -> None:
    text = Scene((spec("cup", "red", (0, 0, 0)),)).canonical_json()
    assert not [
        name for name in ("material", "gloss", "softness", "accent", "room", "outdoors", "blur", "jpeg") if name in text
    ]


@pytest.mark.parametrize("key", range(12))
def test_a_dressed_scene_survives_json_and_two_mirrors(key: int) -> None:
    for scene in dressed(key):
        again = Scene.from_json(scene.canonical_json())
        assert again == scene and again.scene_id == scene.scene_id
        assert mirror(mirror(scene)).backdrop == scene.backdrop


@pytest.mark.parametrize("key", range(40))
def test_a_look_cannot_tell_the_two_scenes_of_a_group_apart(key: int) -> None:
    """Both get the same, and had they been named the other way round, it would have been the same still."""
    first, second = dressed(key)
    assert look_of(first) == look_of(second)
    one, other = pair(key)
    assert look_of(varied_dress(rng_of(key), (other, one))[0]) == look_of(first)


def test_groups_of_every_seed_show_one_look_and_looks_differ_between_groups() -> None:
    config = DatagenConfig(image_size=48, supersample=1, seed=3)
    groups = [draw_group(config, RECIPES[0], index) for index in range(6)]
    looks = [[look_of(view.scene) for view in group.views] for group in groups]
    assert all(one == two for one, two in looks)
    backdrops = {group.views[0].scene.backdrop for group in groups}
    lights = {group.views[0].scene.lights for group in groups}
    assert len(backdrops) == len(lights) == 6


def test_looks_cover_what_they_promise() -> None:
    scenes = [dressed(key)[0] for key in range(150)]
    rooms = [scene.backdrop.room for scene in scenes if scene.backdrop.room]
    grounds = [scene.backdrop.outdoors for scene in scenes if scene.backdrop.outdoors]
    assert len(rooms) > 50 and len(grounds) > 40
    assert {len(scene.lights) for scene in scenes} == {2, 3}
    elevations, fovs = ([getattr(scene.camera, name) for scene in scenes] for name in ("elevation", "fov"))
    assert 10 <= min(elevations) < 13 and 48 < max(elevations) <= 55
    assert 35 <= min(fovs) < 37 and 58 < max(fovs) <= 60
    assert {o.material for scene in scenes for o in scene.objects} == {"", *SURFACES}
    assert len({scene.backdrop.texture for scene in scenes}) > 10
    assert any(room.corner for room in rooms) and any(room.panels for room in rooms)
    assert 0.1 < np.mean([scene.blur > 0 for scene in scenes]) < 0.5 and not any(scene.jpeg for scene in scenes)
    assert any(LOOKS["varied-jpeg"].dress(rng_of(key), pair(key))[0].jpeg for key in range(8))


@pytest.mark.parametrize("key", [key for key in range(40) if dressed(key)[0].backdrop.room])
def test_walls_stand_clear_of_the_objects_of_both_scenes(key: int) -> None:
    scenes = dressed(key)
    room = scenes[0].backdrop.room
    assert room is not None
    corners = np.concatenate([pose_of(o).corners() for scene in scenes for o in scene.objects])
    assert corners[:, 1].max() < room.depth
    if room.corner:
        assert (corners[:, 0] * np.sign(room.corner)).max() < abs(room.corner)


@pytest.mark.parametrize("backdrop", [ROOM, MEADOW], ids=["room", "meadow"])
@pytest.mark.parametrize("kernel", ["Nehalem", "Haswell"])
def test_bytes_do_not_depend_on_the_blas_kernel_or_the_process(backdrop: Backdrop, kernel: str) -> None:
    objects = (replace(spec("dog", "green", (0, 0, 0), 40), material="weave", gloss=0.8),)
    lights = (Light(softness=0.02), Light((0.5, 0.5, 0.7), 0.2))
    scene = Scene(objects, Camera(elevation=12), lights, backdrop, blur=0.5)
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-c", HASH_PROGRAM, scene.canonical_json()]
    printed = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == image_id_of(render(scene).rgb)


def test_stored_scenes_give_the_stored_pixels_back(tmp_path: Path) -> None:
    config = DatagenConfig(
        str(tmp_path), groups=10, image_size=48, workers=1, looks="varied-jpeg", relations=["left of", "right of"]
    )
    images = DatasetFolder(generate(config)).images
    scenes = {image_id: Scene.from_json(row.scene) for image_id, row in images.items()}
    assert any(scene.blur for scene in scenes.values()) and any(scene.jpeg for scene in scenes.values())
    for image_id, scene in scenes.items():
        assert image_id_of(render(scene).rgb) == image_id


@pytest.mark.parametrize("surface", ["", *SURFACES])
@pytest.mark.parametrize("colour", COLOURS)
def test_patterns_and_gloss_leave_the_colour_word_recognisable(surface: str, colour: str) -> None:
    shiny = replace(spec("suitcase", colour, (0, 0, 0), 20), material=surface, gloss=1.0)
    rendered = render(Scene((shiny,), Camera(distance=2.5), backdrop=ROOM, width=64, height=64))
    shown = np.median(rendered.rgb[rendered.ids == 0], axis=0)

    def distance(word: str) -> float:
        shades = (0.6, 0.75, 0.9, 1.0)
        return min(float(np.abs(shown / 255 - shade * np.array(COLOURS[word])).sum()) for shade in shades)

    assert min(COLOURS, key=distance) == colour


def test_patterns_differ_and_change_nothing_but_tone() -> None:
    scenes = {
        name: Scene(
            (replace(spec("suitcase", "orange", (0, 0, 0)), material=name),), Camera(distance=2.0), backdrop=ROOM
        )
        for name in ("", *SURFACES)
    }
    shown = {name: render(scene, 1) for name, scene in scenes.items()}
    assert len({image.rgb.tobytes() for image in shown.values()}) == len(shown)
    for image in shown.values():
        assert np.array_equal(image.ids, shown[""].ids) and np.array_equal(image.depth, shown[""].depth)
        assert (image.rgb[image.ids < 0] == shown[""].rgb[image.ids < 0]).all()


def test_places_and_gloss_show_the_form_of_black_things() -> None:
    def shades(gloss: float, backdrop: Backdrop) -> NDArray[np.float64]:
        thing = replace(spec("teddy bear", "black", (0, 0, 0)), gloss=gloss)
        image = render(Scene((thing,), Camera(distance=1.6), backdrop=backdrop))
        return np.percentile(image.rgb[image.ids == 0].mean(1), (5, 25, 50))

    plain, matt, polished = shades(0.0, Backdrop()), shades(0.0, ROOM), shades(0.8, ROOM)
    assert (matt > plain).all() and (polished > matt).all()
    assert np.ptp(polished) > np.ptp(matt) > 0.9 * np.ptp(plain)
    assert polished[0] > 1.5 * plain[0] and polished[2] < 64, "lighter, but black"


def test_what_floats_shades_the_floor_below_it() -> None:
    lights: tuple[Light, ...] = ()
    empty = Scene((), Camera((0, 0, 0.4), 3.5, 35), lights, replace(ROOM, room=replace(ROOM.room, panels=())))  # type: ignore[type-var]
    floating = replace(empty, objects=(spec("couch", "red", (0, 0, 0.7)),))
    column, row, _ = empty.camera.project((0, 0, 0), 128, 128)
    below = (int(row), int(column))
    assert render(floating).ids[below] == -1
    assert render(floating).rgb[below].sum() < 0.9 * render(empty).rgb[below].sum()
    covered = replace(floating, objects=(*floating.objects, spec("dining table", "blue", (0, 0, 0))))
    side = tuple(int(v) for v in empty.camera.project((0.75, 0, 0), 128, 128)[1::-1])
    assert (render(covered).rgb[side] >= render(floating).rgb[side]).all()


def test_shadows_rarely_leave_the_picture() -> None:
    """The part of the floor's shadows that lies outside is small, whatever the light could have been."""
    reach = [max(shadow_outside(scene, scene.lights[0].direction) for scene in dressed(key)) for key in range(40)]
    plain = [max(shadow_outside(scene, (0.8, 0.0, 0.6)) for scene in pair(key)) for key in range(40)]
    assert np.mean(reach) < 0.5 * np.mean(plain)


def test_soft_shadows_have_a_ramp_where_hard_ones_have_a_step() -> None:
    scene = Scene((spec("suitcase", "red", (0, 0, 0)),))
    shadows = shadow_map(stage(scene).corners, scene.lights[0])
    x = np.linspace(-2, 2, 4001, dtype=np.float32)
    hard, soft = (shadows.lit(x, np.full_like(x, 0.1), 0.0, softness) for softness in (0.0, 0.05))
    assert set(np.unique(hard)) == {0.0, 1.0}
    assert len(np.unique(soft)) > 3 and abs(soft.mean() - hard.mean()) < 0.02
    assert soft.min() == 0 and soft.max() == 1


@pytest.mark.parametrize("name", MATERIALS)
def test_tiles_are_seamless_mild_and_halve_to_their_mean(name: str) -> None:
    tile = material(name)
    side = tiles.SIDE
    whole = tile.tone[: side * side].reshape(side, side)
    assert abs(float(whole.mean())) < 0.1 and float(whole.std()) < 0.31
    u, v = (part.astype(np.float32) for part in np.meshgrid(np.arange(64) * 8, np.arange(64) * 8))
    for level in (0, 2, 5):
        tone, mix = tile.read(u, v, level)
        block = 2**level
        means = whole.reshape(side // block, block, side // block, block).mean((1, 3))
        rows, columns = (v.astype(int) >> level), (u.astype(int) >> level)
        np.testing.assert_allclose(tone, means[rows, columns], atol=1e-5)
        np.testing.assert_array_equal(tone, tile.read(u - 3 * side, v + side, level)[0])
        assert mix is None or (mix.min() >= 0 and mix.max() <= 1)
    inner, seam = np.abs(np.diff(whole, axis=1)).max(), np.abs(whole[:, 0] - whole[:, -1]).max()
    assert seam <= inner + 0.02


def test_an_unknown_material_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'parquet'"):
        render(Scene((), backdrop=replace(ROOM, texture="parkett")))
    with pytest.raises(ConfigError, match="did you mean 'trees'"):
        around = replace(MEADOW.outdoors, skyline="tree")  # type: ignore[type-var]
        render(Scene((), Camera(elevation=5), backdrop=replace(MEADOW, outdoors=around)))


def test_a_blur_keeps_brightness_and_borders_and_spreads_a_point() -> None:
    image = np.zeros((3, 21, 31), np.float32)
    image[:, 10, 15] = 200
    scene = Scene((), blur=0.8)
    blurred = finish(scene, image).astype(int)
    assert abs(blurred[..., 0].sum() - 200) < 12 and blurred[10, 15, 0] < 60
    assert np.array_equal(blurred, blurred[::-1]) and np.array_equal(blurred, blurred[:, ::-1])
    assert (finish(scene, np.full((3, 9, 9), 77, np.float32)) == 77).all()
    assert (finish(replace(scene, blur=0.0), image)[10, 15] == 200).all()


def test_blur_and_jpeg_change_pixels_and_nothing_else() -> None:
    scene = Scene((spec("cup", "red", (0, 0, 0)),), backdrop=ROOM)
    sharp = render(scene)
    for changed in (replace(scene, blur=0.6), replace(scene, jpeg=60)):
        other = render(changed)
        assert np.array_equal(other.ids, sharp.ids) and np.array_equal(other.depth, sharp.depth)
        difference = np.abs(other.rgb.astype(int) - sharp.rgb)
        assert 0.2 < difference.mean() < 8


def _rows_of_sky(rgb: NDArray[np.uint8], depth: NDArray[np.float32]) -> int:
    return int(np.isinf(depth).all(1).sum())


def test_sky_and_ground_meet_at_the_horizon_and_walls_have_depth() -> None:
    scene = Scene((), Camera(elevation=10, fov=50), backdrop=MEADOW)
    outside = render(scene)
    rows = _rows_of_sky(outside.rgb, outside.depth)
    # The horizon is 10 degrees above the middle of a picture 50 degrees high.
    assert rows == pytest.approx(64 * (1 - np.tan(np.radians(10)) / np.tan(np.radians(25))), abs=2)
    assert np.isfinite(outside.depth[rows:]).all()
    inside = render(replace(scene, backdrop=ROOM))
    assert np.isfinite(inside.depth).all()
    assert hashlib.sha256(inside.rgb.tobytes()).digest() != hashlib.sha256(outside.rgb.tobytes()).digest()


@pytest.mark.parametrize("backdrop", [ROOM, MEADOW], ids=["room", "meadow"])
def test_mirroring_a_place_mirrors_its_walls_and_ground(backdrop: Backdrop) -> None:
    scene = Scene((), Camera(elevation=12, fov=55), backdrop=backdrop)
    one, other = render(scene, 1), render(mirror(scene), 1)
    np.testing.assert_allclose(one.depth, other.depth[:, ::-1], rtol=1e-5)
    # Tiles themselves are not mirrored: broad areas are compared, not grains.
    blocks = [image.astype(float).reshape(8, 16, 8, 16, 3).mean((1, 3)) for image in (one.rgb, other.rgb[:, ::-1])]
    assert np.abs(blocks[0] - blocks[1])[4:].mean() < 6
