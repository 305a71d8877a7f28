"""A user's mesh file becomes an object like those of the library, or one line says why not and what to do."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from datagen.assets import ASSETS, LIBRARY, unit_mesh
from datagen.assets.asset import Cavity
from datagen.assets.catalogue import asset, stocked
from datagen.assets.folder import COPY, assets_of, copy_in, digest_of, load_folder
from datagen.assets.imported import load_asset
from datagen.assets.palette import DARK, LIGHT, MAIN, OWN
from datagen.assets.primitives import Mesh, box, cylinder, join
from datagen.config import DatagenConfig
from datagen.layout import specify
from datagen.nouns import chosen_nouns
from datagen.render import Rendered, render
from datagen.run import generate
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError
from spatial.scene import Camera, Scene
from vsre.config import GalleryConfig
from vsre.gallery.run import write_gallery

trimesh = pytest.importorskip("trimesh")
ROOT = Path(__file__).parents[2]
CUP = LIBRARY["cup"]
HASH_PROGRAM = """
import hashlib, sys
from datagen.assets.folder import assets_of
from datagen.layout import specify
from datagen.render import render
from spatial.scene import Camera, Scene
with assets_of(sys.argv[1]):
    drawn = render(Scene((specify("mug", "red", 1.0),), Camera((0, 0, 0.15), 1.2, 30)))
print(hashlib.sha256(drawn.rgb.tobytes() + drawn.depth.tobytes()).hexdigest())
"""


def to_scene(mesh: Mesh, y_up: bool, normals: bool = True) -> Any:
    """Return our mesh as a trimesh scene: a node for each part and slot, a material for each slot."""
    scene = trimesh.Scene()
    x, y, z = mesh.vertices.T
    vertices = np.stack([x, z, -y] if y_up else [x, y, z], 1)
    for part, slot in sorted(set(zip(mesh.parts.tolist(), mesh.slots.tolist(), strict=True))):
        faces = mesh.faces[(mesh.parts == part) & (mesh.slots == slot)]
        piece = trimesh.Trimesh(vertices, faces, process=False)
        material = trimesh.visual.material.PBRMaterial(name=f"paint {slot}", baseColorFactor=[40 * slot, 128, 0, 255])
        piece.visual = trimesh.visual.TextureVisuals(material=material)
        scene.add_geometry(piece, node_name=f"{part or 'body'} {slot}", geom_name=f"{part or 'body'}_{slot}")
    return scene


def write(folder: Path, scene: Any, file: str, **declared: Any) -> Path:
    """Write a scene and its declaration; returns the path of the declaration."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = Path(file).suffix[1:]
    if kind == "obj":
        text, extra = scene.export(file_type="obj", return_texture=True)
        (folder / file).write_text(text)
        for name, data in extra.items():
            (folder / name).write_bytes(data)
    else:
        data = scene.to_mesh().export(file_type=kind) if kind == "ply" else scene.export(file_type=kind)
        (folder / file).write_bytes(data)
    path = folder / f"{Path(file).stem}.yaml"
    path.write_text(yaml.safe_dump({"file": file, **declared}))
    return path


def declared_cup(**changes: Any) -> dict[str, Any]:
    assert CUP.cavity
    cavity = {"low": list(CUP.cavity.low), "high": list(CUP.cavity.high), "opening": "top"}
    slots = {f"paint {MAIN}": "main", f"paint {LIGHT}": "light"}
    cup = {"name": "mug", "size": list(CUP.size), "cavity": cavity, "parts": {"handle *": "handle"}, "slots": slots}
    return cup | changes


@pytest.fixture
def mugs(tmp_path: Path) -> Path:
    """A folder with our cup as a GLB that stands y up, called "mug"."""
    return write(tmp_path / "own", to_scene(CUP.builder(), True), "mug.glb", **declared_cup()).parent


def picture(name: str, yaw: float = 40.0) -> Rendered:
    spec = replace(specify(name, "red", 1.0), yaw=yaw)
    return render(Scene((spec,), Camera((0.0, 0.0, 0.15), 1.2, 30)))


def same_picture(name: str) -> None:
    """The object looks as our cup does, up to rounding along silhouettes."""
    ours, theirs = picture("cup"), picture(name)
    assert np.count_nonzero(ours.ids != theirs.ids) <= 2
    both = (ours.ids == 0) & (theirs.ids == 0)
    assert np.abs(ours.depth[both] - theirs.depth[both]).max() < 1e-3
    assert np.abs(ours.rgb[both].astype(int) - theirs.rgb[both]).mean() < 0.5


def test_our_cup_as_glb_is_our_cup(mugs: Path) -> None:
    with assets_of(str(mugs)):
        same_picture("mug")
        mug = asset("mug")
        assert mug.cavity == CUP.cavity and mug.parts == ("handle",) and mug.size == CUP.size
        assert set(mug.builder().parts) == {"", "handle"}
        assert "mug" in chosen_nouns(DatagenConfig())
    assert "mug" not in ASSETS and "mug" not in chosen_nouns(DatagenConfig())


@pytest.mark.parametrize("y_up", [True, False])
def test_our_cup_as_obj_is_our_cup_whatever_axis_is_up(tmp_path: Path, y_up: bool) -> None:
    axes = {"up": "y", "front": "z"} if y_up else {"up": "z", "front": "-y"}
    declared = declared_cup(parts={"handle_*": "handle"}, **axes)
    write(tmp_path, to_scene(CUP.builder(), y_up), "mug.obj", **declared)
    assert "vn " not in (tmp_path / "mug.obj").read_text()
    with assets_of(str(tmp_path)):
        same_picture("mug")
        assert {"handle"} < set(asset("mug").builder().parts)


def test_a_wrong_up_axis_is_noticed_by_the_proportions(tmp_path: Path) -> None:
    path = write(tmp_path, to_scene(CUP.builder(), True), "mug.glb", **declared_cup(up="z", front="-y"))
    with pytest.raises(ConfigError, match=r"not in the proportions of its size 0.118 x 0.088 x 0.1; .* 0.118 x 0.1 x"):
        load_asset(path)


def test_our_cup_as_ply_takes_its_word_everywhere(tmp_path: Path) -> None:
    declared = {"name": "mug", "size": list(CUP.size), "up": "z", "front": "-y"}
    it = load_asset(write(tmp_path, to_scene(CUP.builder(), False), "mug.ply", **declared))
    assert set(it.builder().slots.tolist()) == {MAIN}
    with stocked((it,)):
        ours, theirs = picture("cup"), picture("mug")
        assert np.count_nonzero(ours.ids != theirs.ids) <= 2


def test_what_takes_no_colour_word_keeps_its_own_colour(tmp_path: Path) -> None:
    """GLB's colours are linear: a factor of 128/255 is the sRGB value 188; MTL's are sRGB already."""
    scene = to_scene(join(box((1, 1, 1), (0, 0, 0.5)), box((0.5, 0.5, 0.5), (0, 0, 1.25), slot=2)), True)
    told = {"name": "chest", "size": [1, 1, 1.5], "slots": {"paint 0": "dark"}}
    glb = load_asset(write(tmp_path / "glb", scene, "chest.glb", **told)).builder()
    obj = load_asset(write(tmp_path / "obj", scene, "chest.obj", up="y", front="z", **told)).builder()
    assert set(glb.slots.tolist()) == {DARK, OWN + (152 << 16) + (188 << 8)}
    assert set(obj.slots.tolist()) == {DARK, OWN + (80 << 16) + (128 << 8)}
    with stocked(load_folder(tmp_path / "obj")):
        lid = picture("chest").rgb[picture("chest").ids == 0].astype(int)
        green = (lid[:, 1] > lid[:, 0] + 10) & (lid[:, 2] < 30)
        assert 0.05 < green.mean() < 0.5


def test_a_texture_colours_triangles_by_their_corners(tmp_path: Path) -> None:
    from PIL import Image

    cube = trimesh.creation.box((1, 1, 1))
    image = Image.new("RGB", (8, 8), (10, 200, 30))
    cube.visual = trimesh.visual.TextureVisuals(uv=np.full((len(cube.vertices), 2), 0.5), image=image)
    scene = trimesh.Scene()
    scene.add_geometry(cube, node_name="pattern")
    big = trimesh.creation.box((2, 2, 2))
    big.apply_translation((0, -1.5, 0))
    scene.add_geometry(big, node_name="body")
    told = {"name": "die", "size": [2, 2, 3], "slots": {"body": "main"}}
    mesh = load_asset(write(tmp_path, scene, "die.glb", **told)).builder()
    assert set(mesh.slots.tolist()) == {MAIN, OWN + (10 << 16) + (200 << 8) + 30}


def test_mirrored_and_moved_nodes_face_outwards(tmp_path: Path) -> None:
    half = trimesh.creation.cylinder(0.3, 1.0, sections=12)
    scene = trimesh.Scene()
    for node, side in (("left", -1.0), ("right", 1.0)):
        matrix = np.diag([side, 1.0, 1.0, 1.0])
        matrix[0, 3] = side
        scene.add_geometry(half, node_name=node, geom_name="half", transform=matrix)
    it = load_asset(write(tmp_path, scene, "pair.glb", name="pair", size=[2.6, 1.0, 0.6], long_axis=0))
    mesh = it.builder()
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(2 * 0.27 / 2.6**3, rel=0.01)


def test_the_pixels_do_not_depend_on_the_process(mugs: Path) -> None:
    def run(seed: str) -> str:
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", HASH_PROGRAM, str(mugs)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    assert run("1") == run("2")


def test_a_dataset_of_own_objects_is_whole_and_is_drawn_again_anywhere(mugs: Path, tmp_path: Path) -> None:
    config = DatagenConfig(
        str(tmp_path / "one"),
        groups=4,
        relations=["left of", "right of"],
        image_size=64,
        supersample=1,
        assets=str(mugs),
        groups_per_shard=2,
        workers=1,
        seed=0,
    )
    one = DatasetFolder(generate(config))
    two = DatasetFolder(generate(replace(config, out=str(tmp_path / "two"), workers=2)))
    assert one.content_hash() == two.content_hash()
    assert "mug" in {item.name for row in one.images.values() for item in row.objects}
    assert json.loads((one.path / "dataset.json").read_text())["assets_digest"] == digest_of(str(mugs))
    assert "mug" not in ASSETS
    for row in one.images.values():
        assert row.licence.startswith("CC0" if all(item.name != "mug" for item in row.objects) else "as its meshes")

    for path in mugs.iterdir():
        path.unlink()
    with assets_of(copy_in(one.path)):
        row = next(row for row in one.images.values() if any(item.name == "mug" for item in row.objects))
        assert (render(Scene.from_json(row.scene), 1).ids >= 0).any()
    page = write_gallery(GalleryConfig(str(one.path), per_relation=0)).read_text()
    assert "cannot be drawn again" not in page and "differs from the stored image" not in page


def test_other_meshes_do_not_join_a_dataset(mugs: Path, tmp_path: Path) -> None:
    config = DatagenConfig(str(tmp_path / "one"), groups=1, image_size=64, assets=str(mugs), workers=1)
    generate(config)
    generate(config)
    moved = mugs.rename(tmp_path / "elsewhere")
    generate(replace(config, assets=str(moved)))
    for other in (replace(config, assets=""), replace(config, assets=str(moved))):
        (moved / "mug.yaml").write_text((moved / "mug.yaml").read_text() + "toy_boost: 1.2\n")
        with pytest.raises(ConfigError, match="made with other assets_digest"):
            generate(other)
    assert (tmp_path / "one" / COPY / "mug.yaml").read_text().count("toy_boost") == 0


def test_an_own_object_takes_the_place_of_the_librarys(mugs: Path) -> None:
    declared = mugs / "mug.yaml"
    declared.write_text(declared.read_text().replace("name: mug", "name: cup"))
    before = unit_mesh("cup")
    with assets_of(str(mugs)):
        assert unit_mesh("cup") is not before
    assert np.array_equal(unit_mesh("cup").corners, before.corners)


BAD_VALUES: Mapping[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"sise": 1}, "unknown key 'sise'; did you mean 'size'"),
    "no noun": ({"name": "Mug No. 1"}, "name must be a noun in lower-case letters"),
    "a tool's name": ({"name": "hoop"}, "name must be another noun"),
    "other format": ({"file": "mug.fbx"}, "file must be the name of a .glb, .obj or .ply file"),
    "no size": ({"size": [1, 2]}, "size must be 3 numbers from 0.001 to 1000, such as .*, not "),
    "size not finite": ({"size": [1, 2, float("nan")]}, "size must be 3 numbers"),
    "flag": ({"has_front": "yes please"}, "has_front must be true or false"),
    "axis": ({"up": "w"}, "up must be one of x, -x"),
    "axes alike": ({"up": "y", "front": "-y"}, "up is y and front is -y; they must be different"),
    "long axis": ({"long_axis": 2}, "long_axis must be 0"),
    "top": ({"top": 2}, "top must be a height from 0 to 1"),
    "surface": ({"surface": [0.3, 0, 0.2, 0.1]}, "surface must be x0, y0, x1, y1 with x0 < x1"),
    "cavity": ({"cavity": {"low": [0, 0, 0]}}, "cavity must be {low"),
    "cavity upside down": ({"cavity": {"low": [0, 0, 0.5], "high": [0.1, 0.1, 0.2]}}, "cavity must be a box whose low"),
    "slots": ({"slots": {"paint 0": "mian"}}, "slots must be patterns of names and main, dark or light"),
    "part not there": (
        {"parts": {"handel *": "handle"}},
        "nothing in the mesh is called 'handel [*]'; did you mean 'handle",
    ),
    "outside": ({"file": "../mug.glb"}, "'../mug.glb' lies outside of"),
    "absolute": ({"file": "/etc/mug.glb"}, "'/etc/mug.glb' lies outside of"),
    "no file": ({"file": "cup.glb"}, "cannot be read .*check 'file'"),
    "little colour": ({"slots": {f"paint {LIGHT}": "main"}}, "slots give the colour word .* less than 40%"),
    "solid cavity": ({"cavity": {"low": [-0.1, -0.1, 0.0], "high": [0.1, 0.1, 1.0]}}, "triangles in its cavity"),
    "cavity in the air": ({"cavity": {"low": [0.3, -0.1, 0.5], "high": [0.35, 0.1, 1.0]}}, "cavity"),
    "no surface": ({"top": 0.9}, "carries at 0.9 of its height under .* alone"),
    "not long": ({"long_axis": 1}, "has no long axis 1: its footprint is 0.118 x 0.088"),
    "room below": ({"under": 0.5}, "has something below 0.5 of its height"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_a_declaration_that_cannot_be_kept_is_refused(mugs: Path, case: str) -> None:
    changes, words = BAD_VALUES[case]
    (mugs / "mug.yaml").write_text(yaml.safe_dump({"file": "mug.glb", **declared_cup(), **changes}))
    with pytest.raises(ConfigError, match=words) as caught:
        load_folder(mugs)
    assert "\n" not in str(caught.value)


def _cut_open(scene: Any) -> Any:
    geometry = next(iter(scene.geometry.values()))
    geometry.update_faces(np.arange(len(geometry.faces)) != 5)
    return scene


def _one_face_turned(scene: Any) -> Any:
    geometry = next(iter(scene.geometry.values()))
    geometry.faces[5] = geometry.faces[5][::-1]
    return scene


def _not_finite(scene: Any) -> Any:
    geometry = next(iter(scene.geometry.values()))
    geometry.vertices[geometry.faces[0, 0]] = np.nan
    return scene


def _fine(_: Any) -> Any:
    return trimesh.Scene(trimesh.creation.icosphere(5).apply_scale(0.1))


def _flat(_: Any) -> Any:
    sheet = trimesh.Trimesh([(0, 0, 0), (1, 0, 0), (1, 1, 0)], [(0, 1, 2), (0, 2, 1)], process=False)
    return trimesh.Scene(sheet)


def _points(_: Any) -> Any:
    return trimesh.Scene(trimesh.PointCloud([(0, 0, 0), (1, 1, 1)]))


BAD_MESHES: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "open": (_cut_open, "mug.glb is not closed: 3 edges .*Fill Holes"),
    "wound both ways": (_one_face_turned, "mug.glb is not closed: .*Recalculate Outside"),
    "not a number": (_not_finite, "finite numbers; clean the mesh"),
    "too fine": (_fine, "has 20,480 triangles, more than 20,000; simplify it"),
    "flat": (_flat, "mug.glb is flat: .*Solidify"),
    "points": (_points, "holds points or lines|holds no triangles"),
}


@pytest.mark.parametrize("case", BAD_MESHES)
def test_a_mesh_that_cannot_be_drawn_is_refused_with_the_mend(tmp_path: Path, case: str) -> None:
    spoil, words = BAD_MESHES[case]
    scene = spoil(to_scene(box((0.1, 0.1, 0.1), (0, 0, 0.05)), True))
    path = write(tmp_path, scene, "mug.glb", name="mug", size=[0.1, 0.1, 0.1])
    with pytest.raises(ConfigError, match=words) as caught:
        load_asset(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["glb", "obj", "ply"])
@pytest.mark.parametrize("data", [b"", b"glTF\0\0\0\0", b"\x00\xff" * 40, b"v 0 0 0\nv 1 0 0\nf 1 2 9\n"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, kind: str, data: bytes) -> None:
    (tmp_path / f"mug.{kind}").write_bytes(data)
    told = {"name": "mug", "file": f"mug.{kind}", "size": [1, 1, 1], "up": "z", "front": "-y"}
    (tmp_path / "mug.yaml").write_text(yaml.safe_dump(told))
    with pytest.raises(ConfigError, match=f"mug.{kind}") as caught:
        load_asset(tmp_path / "mug.yaml")
    assert "\n" not in str(caught.value)


def test_nothing_is_read_from_outside_of_the_folder(tmp_path: Path) -> None:
    own = tmp_path / "own"
    path = write(own, to_scene(CUP.builder(), False), "mug.obj", **declared_cup(up="z", front="-y", parts={}))
    text = (own / "mug.obj").read_text()
    (own / "material.mtl").rename(tmp_path / "material.mtl")
    (own / "mug.obj").write_text(text.replace("mtllib material.mtl", "mtllib ../material.mtl"))
    with pytest.raises(ConfigError, match=r"names the material file '../material.mtl', which is not in"):
        load_asset(path)
    (own / "material.mtl").symlink_to(tmp_path / "material.mtl")
    (own / "mug.obj").write_text(text)
    with pytest.raises(ConfigError, match=r"names the material file 'material.mtl', which is not in"):
        load_asset(path)


def test_a_link_out_of_the_folder_is_not_followed(mugs: Path, tmp_path: Path) -> None:
    (mugs / "mug.glb").rename(tmp_path / "mug.glb")
    (mugs / "mug.glb").symlink_to(tmp_path / "mug.glb")
    with pytest.raises(ConfigError, match=r"'mug.glb' lies outside of"):
        load_folder(mugs)


def test_yaml_makes_no_objects(mugs: Path) -> None:
    (mugs / "mug.yaml").write_text("name: !!python/object/apply:os.getcwd []\nfile: mug.glb\nsize: [1, 1, 1]\n")
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_folder(mugs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must hold 'key: value' lines"),
        ("- 1", "must hold"),
        ("name: mug", "file and size is missing"),
        ("a: [", "YAML"),
    ],
)
def test_a_declaration_that_is_none_is_refused(mugs: Path, text: str, words: str) -> None:
    (mugs / "mug.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_folder(mugs)


def test_folders_without_declarations_and_two_of_a_name_are_refused(mugs: Path, tmp_path: Path) -> None:
    (mugs / "copy.yaml").write_text((mugs / "mug.yaml").read_text())
    with pytest.raises(ConfigError, match=r"mug.yaml and .*copy.yaml both declare 'mug'; rename one"):
        load_folder(mugs)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds no declaration; write a .yaml beside each mesh"):
        load_folder(tmp_path / "empty")
    with pytest.raises(ConfigError, match="there is no folder"):
        load_folder(tmp_path / "nowhere")


def test_obj_and_ply_must_say_their_axes(tmp_path: Path) -> None:
    path = write(tmp_path, to_scene(CUP.builder(), False), "mug.obj", name="mug", size=list(CUP.size), up="z")
    with pytest.raises(ConfigError, match="front is missing; OBJ and PLY do not say it"):
        load_asset(path)


def test_without_trimesh_the_mend_is_named(mugs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[meshes\]'"):
        load_folder(mugs)


def test_a_stand_under_a_lamp_is_no_hole(tmp_path: Path) -> None:
    """Parts that overlap or touch are as good as one skin, in a file as in the library."""
    flat = [-0.35, -0.35, 0.35, 0.35]
    lamp = join(cylinder(0.1, 0.02, 16), cylinder(0.015, 0.4, 8), cylinder(0.1, 0.15, 16).moved(z=0.4))
    it = load_asset(
        write(tmp_path, to_scene(lamp, True), "lamp.glb", name="lamp", size=[0.2, 0.2, 0.55], top=1.0, surface=flat)
    )
    assert it.top == 1.0 and it.cavity is None and isinstance(CUP.cavity, Cavity)
