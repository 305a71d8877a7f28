"""Read GLB, OBJ and PLY files with trimesh, as pieces that keep their names and their own colours.

Only closed triangle meshes can be drawn: the renderer leaves out faces that look away, and shadows and cavities need
a solid. What is wrong with a file is therefore said, with what mends it, rather than drawn.

Shapes: V vertices, F triangles.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.assets.primitives import Points
from spatial.errors import ConfigError

MOST_TRIANGLES = 20_000
LARGEST_FILE = 64 * 2**20
MISSING = "reading meshes needs trimesh: .venv/bin/pip install -e '.[meshes]'"


@dataclass(frozen=True)
class Piece:
    """A part of a file with one material.

    Attributes:
        labels: names of its node, mesh and material.
        vertices: (V, 3) in the file's axes and units.
        faces: (F, 3) indices.
        colours: (F, 3) uint8 RGB of its own.
    """

    labels: tuple[str, ...]
    vertices: Points
    faces: NDArray[np.int64]
    colours: NDArray[np.uint8]


def read_pieces(path: Path, root: Path) -> tuple[Piece, ...]:
    """Read a mesh file; materials and textures that it names are read from under ``root`` alone.

    Raises:
        ConfigError: trimesh is not installed; the file is too large, cannot be read, holds no triangles or other
            things than triangles, or names a material file that is not there.
    """
    try:
        import trimesh
    except ImportError as error:
        raise ConfigError(f"{path}: {MISSING}") from error
    data, kind = _read(path), path.suffix.lower()[1:]
    options: dict[str, Any] = {}
    if kind == "obj":
        _check_obj(path, root, data)
        options = {"split_objects": True, "split_groups": True, "maintain_order": True}
    try:
        scene = trimesh.load_scene(
            io.BytesIO(data),
            file_type=kind,
            resolver=trimesh.resolvers.FilePathResolver(str(root)),
            process=False,
            **options,
        )
        nodes = sorted(scene.graph.nodes_geometry)
        placed = [(node, matrix, str(name)) for node in nodes for matrix, name in [scene.graph.get(node)]]
    except Exception as error:  # trimesh raises whatever its parsers do: IndexError, KeyError, NotImplementedError
        raise ConfigError(
            f"{path} is no {path.suffix[1:].upper()} that can be read: {error!r}; export it again"
        ) from error
    other = [name for name, geometry in scene.geometry.items() if not isinstance(geometry, trimesh.Trimesh)]
    if other:
        raise ConfigError(f"{path} holds points or lines ({', '.join(sorted(other))}); delete them and export again")
    total = sum(len(scene.geometry[name].faces) for _, _, name in placed)
    if not total:
        raise ConfigError(f"{path} holds no triangles; export the mesh itself, with modifiers applied")
    if total > MOST_TRIANGLES:
        raise ConfigError(
            f"{path} has {total:,} triangles, more than {MOST_TRIANGLES:,}; simplify it (Blender: Decimate modifier)"
        )
    return tuple(_piece(node, name, scene.geometry[name], matrix, kind == "glb") for node, matrix, name in placed)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ConfigError(f"{path} has more than {LARGEST_FILE // 2**20} MiB; simplify it and shrink its textures")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); check 'file' in its declaration") from error


def _check_obj(path: Path, root: Path, data: bytes) -> None:
    """Refuse what trimesh passes over in silence: a material file elsewhere, coordinates that are not numbers."""
    text = data.decode("utf-8", errors="replace")
    for name in re.findall(r"^mtllib[ \t]+(.+?)[ \t]*\r?$", text, flags=re.MULTILINE):
        found = (root / name).resolve()
        if not found.is_relative_to(root.resolve()) or not found.is_file():
            raise ConfigError(f"{path} names the material file {name!r}, which is not in {root}; copy it there")
    if re.search(r"^v[ \t].*(nan|inf)", text, flags=re.MULTILINE | re.IGNORECASE):
        raise ConfigError(f"{path} has coordinates that are not finite numbers; clean the mesh and export it again")


def _piece(node: str, name: str, geometry: Any, matrix: Points, linear: bool) -> Piece:
    material = getattr(getattr(geometry.visual, "material", None), "name", None) or ""
    labels = dict.fromkeys([node, name, name.removesuffix(f"_{material}"), material])
    x, y, z = np.asarray(geometry.vertices, float).T
    # Sums of products, one by one: a matrix product's last digits depend on the machine.
    moved = [row[0] * x + row[1] * y + row[2] * z + row[3] for row in np.asarray(matrix, float)[:3].tolist()]
    faces = np.asarray(geometry.faces, np.int64)
    if np.linalg.det(matrix[:3, :3]) < 0:
        faces = faces[:, ::-1]
    return Piece(tuple(filter(None, labels)), np.stack(moved, 1), faces, _colours(geometry, linear))


def _colours(geometry: Any, linear: bool) -> NDArray[np.uint8]:
    """Return the (F, 3) RGB of faces: their material's, their own, or the mean of what their corners have of a texture.

    A texture is in sRGB in every format; a colour is in GLB ``linear``.
    """
    visual, count = geometry.visual, len(geometry.faces)
    if visual.kind == "texture":
        image = getattr(visual.material, "image", None) or getattr(visual.material, "baseColorTexture", None)
        if image is not None and visual.uv is not None:
            return _mean(visual.to_color().vertex_colors, geometry.faces)
        found = np.tile(np.asarray(visual.material.main_color, np.uint8)[:3], (count, 1))
    elif visual.kind == "face":
        found = np.asarray(visual.face_colors, np.uint8)[:, :3]
    else:
        found = _mean(visual.vertex_colors, geometry.faces)
    return _encoded(found) if linear else found


def _mean(colours: Any, faces: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.round(np.asarray(colours, float)[:, :3][faces].mean(1)).astype(np.uint8)


def _encoded(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return sRGB of linear RGB: glTF's factors are linear (IEC 61966-2-1)."""
    share = colours / 255.0
    curved = np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055)
    return np.round(255 * curved).astype(np.uint8)


def labels_of(pieces: Iterable[Piece]) -> list[str]:
    """Return every name in a file, in its order."""
    return list(dict.fromkeys(label for piece in pieces for label in piece.labels))
