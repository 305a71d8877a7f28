"""Passes agree with each other and with the scene, control images can be read again, and the command resumes."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datagen.assets import ASSETS, toy_size
from datagen.assets.catalogue import mesh_of
from datagen.config import DatagenConfig, PassesConfig
from datagen.control import CONTROLS, camera_normals, inverse_depth, labels, metric_depth, voc_palette
from datagen.control_run import write_passes
from datagen.looks import varied_dress, varied_stage
from datagen.passes import Passes, edges, render_passes
from datagen.render import render, silhouette
from datagen.run import generate
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import ConfigError, RecordError
from spatial.scene import Camera, ObjectSpec, Scene, Vector

SPOTS: tuple[Vector, ...] = ((-0.5, -0.3, 0.0), (0.5, -0.1, 0.0), (0.1, 0.7, 0.0), (-0.2, 0.1, 0.5))


def spec(name: str, position: Vector, yaw: float = 0.0) -> ObjectSpec:
    return ObjectSpec(name, "blue", position, toy_size(name), yaw)


def scene_of(key: int, side: int = 96) -> Scene:
    """Four objects, some behind others, in a varied place; every fourth scene in a plain one."""
    rng = np.random.Generator(np.random.Philox(key=key))
    names = rng.permutation(sorted(ASSETS))[:4]
    objects = [spec(str(name), spot, float(rng.uniform(0, 360))) for name, spot in zip(names, SPOTS, strict=True)]
    scene = replace(varied_stage(rng, DatagenConfig(image_size=side)), objects=tuple(objects))
    return scene if key % 4 == 0 else varied_dress(rng, (scene, scene))[0]


@pytest.fixture(scope="module", params=range(8))
def drawn(request: pytest.FixtureRequest) -> tuple[Scene, Passes]:
    scene = scene_of(request.param)
    return scene, render_passes(scene)


def rays_of(scene: Scene) -> NDArray[np.float64]:
    """Directions (H, W, 3) in world axes from the camera through the upper left of 2 x 2 samples of each pixel."""
    scale = 0.5 * scene.height / math.tan(math.radians(scene.camera.fov) / 2)
    column, row = np.meshgrid(np.arange(scene.width) + 0.25, np.arange(scene.height) + 0.25)
    across, rise = (column - scene.width / 2) / scale, (scene.height / 2 - row) / scale
    cos, sin = (f(math.radians(scene.camera.elevation)) for f in (math.cos, math.sin))
    return np.stack([across, cos + rise * sin, rise * cos - sin], axis=-1)


def bordering(ids: NDArray[np.int16]) -> NDArray[np.bool_]:
    """True where one of the eight neighbours shows something else."""
    padded = np.pad(ids, 1, mode="edge")
    height, width = ids.shape
    found: NDArray[np.bool_] = np.any(
        [padded[r : r + height, c : c + width] != ids for r in range(3) for c in range(3)], axis=0
    )
    return found


def test_shapes_and_types_are_as_documented(drawn: tuple[Scene, Passes]) -> None:
    scene, passes = drawn
    size, count = (scene.height, scene.width), len(scene.objects)
    assert passes.rgb.shape == (*size, 3) and passes.rgb.dtype == np.uint8
    assert passes.normals.shape == (*size, 3) and passes.normals.dtype == passes.depth.dtype == np.float32
    assert passes.depth.shape == passes.ids.shape == passes.parts.shape == passes.edges.shape == size
    assert passes.ids.dtype == passes.parts.dtype == np.int16
    assert passes.amodal.shape == (count, *size) and passes.amodal.dtype == passes.edges.dtype == np.bool_


def test_the_picture_is_the_one_of_the_dataset(drawn: tuple[Scene, Passes]) -> None:
    scene, passes = drawn
    plain = render(scene)
    for name in ("rgb", "depth", "ids"):
        assert np.array_equal(getattr(passes, name), getattr(plain, name))


def test_depth_agrees_with_ids_and_the_floor(drawn: tuple[Scene, Passes]) -> None:
    scene, passes = drawn
    shown = passes.ids >= 0
    assert np.isfinite(passes.depth[shown]).all()
    points = (
        np.array(scene.camera.origin) + rays_of(scene) * np.where(np.isfinite(passes.depth), passes.depth, 0)[..., None]
    )
    for index, item in enumerate(scene.objects):
        mine = points[passes.ids == index]
        centre = np.array(item.position) + np.array([0, 0, item.size[2] / 2])
        assert (np.abs(mine - centre) <= math.hypot(*item.size) / 2 + 1e-3).all()
    floor = np.isfinite(passes.depth) & ~shown & (passes.normals[..., 2] == 1)
    near = floor & (passes.depth < 20)
    assert near.any() and np.abs(points[near][:, 2]).max() < 1e-3


def test_normals_have_length_one_and_face_the_camera(drawn: tuple[Scene, Passes]) -> None:
    scene, passes = drawn
    known = np.isfinite(passes.depth)
    length = np.sqrt((passes.normals**2).sum(-1))
    assert np.allclose(length[known], 1, atol=1e-4) and (length[~known] == 0).all()
    assert ((passes.normals * rays_of(scene)).sum(-1)[known] < 0).all()


def test_normals_are_those_of_the_surface() -> None:
    """On flat faces the normal is square to the differences between the points that depth gives."""
    scene = Scene((spec("suitcase", (0, 0, 0), 30),), Camera(distance=1.6), width=96, height=96)
    passes = render_passes(scene)
    points = (
        np.array(scene.camera.origin) + rays_of(scene) * np.where(np.isfinite(passes.depth), passes.depth, 0)[..., None]
    )
    across, down = points[:-1, 1:] - points[:-1, :-1], points[1:, :-1] - points[:-1, :-1]
    square = np.cross(down, across)
    square /= np.maximum(np.linalg.norm(square, axis=-1, keepdims=True), 1e-12)
    inside = (passes.ids == 0) & ~bordering(passes.ids)
    agreement = np.abs((square * passes.normals[:-1, :-1]).sum(-1))[inside[:-1, :-1]]
    assert np.median(agreement) > 0.995


def test_an_amodal_mask_contains_what_is_visible_and_all_of_what_is_in_front(drawn: tuple[Scene, Passes]) -> None:
    scene, passes = drawn
    for index in range(len(scene.objects)):
        visible = passes.ids == index
        assert (passes.amodal[index] | ~visible).all()
        alone = render(replace(scene, objects=(scene.objects[index],))).ids == 0
        assert np.array_equal(alone, passes.amodal[index])
        nearest = passes.amodal[index] & (passes.amodal.sum(0) == 1)
        assert visible[nearest].all(), "where no other object could be, it is seen"


def test_amodal_masks_show_what_is_hidden() -> None:
    near, far = spec("couch", (0, -0.5, 0)), spec("cup", (0, 0.6, 0))
    passes = render_passes(Scene((near, far), Camera((0, 0, 0.3), 3.5, 5)))
    assert not (passes.ids == 1).any() and passes.amodal[1].sum() > 50
    assert np.array_equal(passes.amodal[1], silhouette(Scene((near, far), Camera((0, 0, 0.3), 3.5, 5)), 1, 2))


def test_parts_lie_in_their_objects(drawn: tuple[Scene, Passes]) -> None:
    scene, passes = drawn
    assert np.array_equal(passes.parts >= 0, passes.ids >= 0)
    owners = np.array([owner for owner, _ in passes.part_names])
    shown = passes.ids >= 0
    assert np.array_equal(owners[passes.parts[shown]], passes.ids[shown])
    for owner, part in passes.part_names:
        assert part in set(mesh_of(scene.objects[owner]).parts.tolist())


def test_the_handle_of_a_cup_is_on_its_own_side() -> None:
    passes = render_passes(Scene((spec("cup", (0, 0, 0)),), Camera(distance=1.2)))
    handle, body = (np.flatnonzero([part == name for _, part in passes.part_names])[0] for name in ("handle", ""))
    columns = [np.argwhere(passes.parts == number)[:, 1].mean() for number in (handle, body)]
    vertices = mesh_of(spec("cup", (0, 0, 0)))
    side = vertices.corners[0][:, vertices.parts == "handle"].mean()
    assert (columns[0] > columns[1]) == (side > 0)


def test_every_boundary_between_objects_has_a_line(drawn: tuple[Scene, Passes]) -> None:
    _, passes = drawn
    for ids, lines in ((passes.ids, passes.edges), (passes.ids.T, passes.edges.T)):
        differ = ids[:, 1:] != ids[:, :-1]
        assert (lines[:, 1:] | lines[:, :-1])[differ].all()


def test_lines_are_few_and_lie_at_outlines_creases_and_steps(drawn: tuple[Scene, Passes]) -> None:
    _, passes = drawn
    assert 0.005 < passes.edges.mean() < 0.25
    flat = np.zeros(passes.ids.shape, bool)
    smooth = np.ones(passes.ids.shape, bool)
    for axis in (0, 1):
        for step in (-1, 1):
            other = np.roll(passes.normals, step, axis)
            smooth &= (passes.normals * other).sum(-1) > 0.999
            smooth &= np.roll(passes.ids, step, axis) == passes.ids
    flat[2:-2, 2:-2] = smooth[2:-2, 2:-2]
    # Two parallel faces at different depths can still have a step between them.
    assert passes.edges[flat].mean() < 0.02


def test_a_box_has_lines_at_its_creases_and_none_on_its_faces() -> None:
    """Two walls that meet: a line where they do, and none elsewhere, however slanted they are."""
    column = np.arange(40)
    near = np.where(column < 20, 0.2 + 0.004 * column, 0.28 - 0.004 * (column - 20)).astype(np.float32)
    depth = np.broadcast_to(1 / near, (30, 40)).astype(np.float32)
    normals = np.zeros((30, 40, 3), np.float32)
    normals[:, :20, 0], normals[:, :20, 1] = -0.8, -0.6
    normals[:, 20:, 0], normals[:, 20:, 1] = 0.8, -0.6
    found = edges(depth, normals, np.zeros((30, 40), np.int16))
    assert np.flatnonzero(found.any(0)).tolist() in ([19], [20]) and found.any(1).all()
    stepped = np.where(column < 20, depth, depth * 1.3).astype(np.float32)
    flat = np.broadcast_to(np.array([0, -1, 0], np.float32), normals.shape)
    assert np.flatnonzero(edges(stepped, flat, np.zeros((30, 40), np.int16)).any(0)).tolist() == [19]
    assert not edges(
        np.full((9, 9), np.inf, np.float32), np.zeros((9, 9, 3), np.float32), np.full((9, 9), -1, np.int16)
    ).any()


def test_a_scene_without_objects_has_all_passes() -> None:
    passes = render_passes(Scene((), width=32, height=24))
    assert passes.amodal.shape == (0, 24, 32) and (passes.parts == -1).all() and passes.part_names == ()
    assert np.flatnonzero(passes.edges.any(1)).size <= 2, "the foot of the wall"


def test_depth_images_can_be_read_again(drawn: tuple[Scene, Passes], tmp_path: Path) -> None:
    _, passes = drawn
    metric_depth(passes.depth).save(tmp_path / "depth.png")
    units = np.asarray(Image.open(tmp_path / "depth.png"))
    assert units.dtype == np.uint16
    known = np.isfinite(passes.depth)
    assert (units[~known] == 0).all() and (units[known] > 0).all()
    close = known & (passes.depth < 60)
    assert np.abs(units[close] / 1000 - passes.depth[close]).max() < 6e-4
    (shades,), near, far = inverse_depth([passes.depth])
    grey = np.asarray(shades).astype(int)
    assert grey[known].max() == 255 and (grey[~known] == 0).all()
    assert near == pytest.approx(passes.depth.min()) and far == pytest.approx(passes.depth[known].max(), rel=1e-5)
    order = np.argsort(passes.depth[known])
    assert (np.diff(grey[known][order]) <= 0).all()


def test_label_images_hold_the_numbers_and_their_own_colours(drawn: tuple[Scene, Passes]) -> None:
    _, passes = drawn
    image = labels(passes.ids)
    assert image.mode == "P" and np.array_equal(np.asarray(image).astype(int) - 1, passes.ids)
    assert len(set(voc_palette())) == 256 and voc_palette()[:3] == [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    shown = np.asarray(image.convert("RGB"))
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == len(np.unique(passes.ids))


def test_normal_images_are_in_the_axes_of_the_camera(drawn: tuple[Scene, Passes]) -> None:
    scene, passes = drawn
    shown = np.asarray(camera_normals(passes)).astype(float) / 127.5 - 1
    known = np.isfinite(passes.depth)
    origin = np.array(scene.camera.origin)
    rows, columns = np.nonzero(known)
    for row, column in list(zip(rows.tolist(), columns.tolist(), strict=True))[:: len(rows) // 40]:
        x, y, z = (origin + passes.normals[row, column]).tolist()
        right, up, forward = scene.camera.to_view((x, y, z))
        assert np.allclose(shown[row, column], (right, up, -forward), atol=0.01)
    assert np.allclose(shown[~known], (0, 0, 1), atol=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small images of the varied look."""
    path = tmp_path_factory.mktemp("data") / "scenes"
    relations = ["left of", "right of"]
    return generate(DatagenConfig(str(path), groups=2, image_size=48, workers=1, relations=relations))


def test_the_command_writes_every_pass_of_every_image(folder: Path, tmp_path: Path) -> None:
    out = write_passes(PassesConfig(str(folder), str(tmp_path), workers=1))
    images = DatasetFolder(folder).images
    for image_id, row in images.items():
        scene = Scene.from_json(row.scene)
        for name in CONTROLS:
            files = [
                out / name / f"{image_id}{end}.png"
                for end in ([f"-{k}" for k in range(len(scene.objects))] if name == "amodal" else [""])
            ]
            assert all(Image.open(path).size == (48, 48) for path in files)
        with Image.open(out / "rgb" / f"{image_id}.png") as shown:
            assert np.array_equal(np.asarray(shown), render(scene).rgb)
        index = json.loads((out / "index" / f"{image_id}.json").read_text())
        assert index["passes"] == list(CONTROLS) and index["scene_id"] == row.scene_id
        numbers = set(np.unique(np.asarray(Image.open(out / "ids" / f"{image_id}.png"))).tolist()) - {0}
        assert numbers == {item["label"] for item in index["objects"]}
        assert {part["object"] for part in index["parts"]} == numbers
    assert not [path for path in out.rglob(".*") if path.is_file()]


def test_a_killed_run_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    config = PassesConfig(str(folder), str(tmp_path), "depth, edges", limit=3, workers=1)
    write_passes(config)
    indices = sorted((tmp_path / "index").iterdir())
    assert len(indices) == 3
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    indices[0].unlink()
    (tmp_path / "depth" / f"{indices[0].stem}.png").write_bytes(b"half a file")
    write_passes(config)
    assert Image.open(tmp_path / "depth" / f"{indices[0].stem}.png").size == (48, 48)
    changed = {path for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert {path.stem for path in changed} == {indices[0].stem}


def test_further_passes_and_images_join_those_that_are_there(folder: Path, tmp_path: Path) -> None:
    write_passes(PassesConfig(str(folder), str(tmp_path), ["depth"], limit=1, workers=1))
    write_passes(PassesConfig(str(folder), str(tmp_path), ["normals"], workers=2))
    held = [json.loads(path.read_text())["passes"] for path in sorted((tmp_path / "index").iterdir())]
    assert held == [["depth", "normals"], ["normals"], ["normals"], ["normals"]]
    assert len(list((tmp_path / "depth").iterdir())) == 1


def test_larger_control_images_show_the_same_scene(folder: Path, tmp_path: Path) -> None:
    write_passes(PassesConfig(str(folder), str(tmp_path), ["ids"], limit=1, scale=3, workers=1))
    (path,) = (tmp_path / "ids").iterdir()
    large = np.asarray(Image.open(path))
    scene = Scene.from_json(DatasetFolder(folder).images[path.stem].scene)
    small = render(scene).ids + 1
    assert large.shape == (144, 144)
    assert (large[1::3, 1::3] == small).mean() > 0.95
    with pytest.raises(ConfigError, match="holds control images at scale 3, not 1; choose another --out"):
        write_passes(PassesConfig(str(folder), str(tmp_path), ["ids"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": ""}, "vsre passes DIR --out OUT"),
        ({"out": ""}, "vsre passes DIR --out OUT"),
        ({"passes": "depht"}, "did you mean 'depth'"),
        ({"passes": []}, "passes is empty"),
        ({"scale": 0}, "scale must be at least 1"),
        ({"limit": -1}, "limit must be at least 0"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(folder: Path, tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write_passes(replace(PassesConfig(str(folder), str(tmp_path / "new")), **change))
    assert not (tmp_path / "new").exists()


def test_a_folder_of_other_files_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="holds other files"):
        write_passes(PassesConfig(str(folder), str(tmp_path)))


def test_photos_have_no_passes_and_broken_scenes_are_named(folder: Path, tmp_path: Path) -> None:
    rows = list(DatasetFolder(folder).images.values())
    write_shard(tmp_path / "photos", 0, [replace(rows[0], scene="")], [])
    with pytest.raises(RecordError, match=r"no image of .* has a scene"):
        write_passes(PassesConfig(str(tmp_path / "photos"), str(tmp_path / "out")))
    write_shard(tmp_path / "broken", 0, [replace(rows[0], scene="{}")], [])
    with pytest.raises(RecordError, match=f"scene of image {rows[0].image_id} cannot be drawn again"):
        write_passes(PassesConfig(str(tmp_path / "broken"), str(tmp_path / "out"), workers=1))


def test_a_painted_picture_is_no_render_that_differs(
    painted: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_passes(PassesConfig(str(painted), str(tmp_path / "painted"), ["ids"], limit=2, workers=1))
    assert "differ from the stored image" not in capsys.readouterr().out
    row = next(iter(DatasetFolder(folder).images.values()))
    write_shard(tmp_path / "other", 0, [replace(row, image_id="0" * 32)], [])
    write_passes(PassesConfig(str(tmp_path / "other"), str(tmp_path / "passes"), ["ids"], workers=1))
    assert "1 scenes drawn again differ from the stored image" in capsys.readouterr().out


def test_a_damaged_note_of_the_scale_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "passes.json").write_text("{")
    with pytest.raises(ConfigError, match="choose another --out or delete it"):
        write_passes(PassesConfig(str(folder), str(tmp_path)))


def test_only_the_cores_that_may_be_used_draw(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.control_run.usable_cores", lambda: 1)
    monkeypatch.setattr("datagen.control_run.drawing_pool", lambda *_: pytest.fail("processes beyond the one core"))
    write_passes(PassesConfig(str(folder), str(tmp_path), ["ids"]))
    assert len(list((tmp_path / "index").iterdir())) == len(DatasetFolder(folder).images)
