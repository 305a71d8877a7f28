"""A user's mesh as an asset: turned upright, named parts and slots as its declaration says, and checked.

What is loaded is held to the same checks as the library (``datagen.assets.checks``).

Shapes: V vertices, F triangles.
"""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datagen.assets.asset import Asset
from datagen.assets.checks import fault_of_skin, open_edges, problems, volume
from datagen.assets.cut import shells
from datagen.assets.declaration import SLOTS, Declaration, read_declaration
from datagen.assets.meshfile import Piece, labels_of, read_pieces
from datagen.assets.palette import OWN, own_slots
from datagen.assets.primitives import Mesh
from spatial.errors import ConfigError, nearest

STRETCH = 0.05
"""The declared size may differ by this much from the proportions of the mesh, which is stretched to it."""

LEAST_MAIN = 0.4
"""Share of the surface that takes the colour word, below which "the red lamp" would not be true."""

MENDS = {
    "is not closed": "fill its holes and recalculate its normals (Blender: Mesh > Clean Up > Fill Holes, then Mesh > "
    "Normals > Recalculate Outside; Solidify gives a sheet a thickness)",
    "has coordinates": "clean the mesh and export it again",
    "is flat": "give it a thickness (Blender: the Solidify modifier)",
}


def load_asset(path: Path) -> Asset:
    """Return the object of a declaration.

    Raises:
        ConfigError: the declaration or its mesh cannot be used, or they do not agree.
    """
    declared = read_declaration(path)
    file = inside(path.parent, declared.file)
    mesh = _mesh(declared, file, path)
    it = Asset(
        name=declared.name,
        builder=lambda: mesh,
        size=declared.size,
        has_front=declared.has_front,
        long_axis=declared.long_axis,
        top=declared.top,
        surface=declared.surface,
        under=declared.under,
        cavity=declared.cavity,
        parts=tuple(dict.fromkeys(declared.parts.values())),
        toy_boost=declared.toy_boost,
    )
    for problem in problems(it, STRETCH):
        raise ConfigError(f"{path}: the mesh {problem}")
    return it


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder.

    Raises:
        ConfigError: it lies elsewhere, be it by a link.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ConfigError(f"{name!r} lies outside of {folder}, where its declaration is; copy it into that folder")
    return folder / name


def _mesh(declared: Declaration, file: Path, path: Path) -> Mesh:
    pieces = read_pieces(file, path.parent)
    parts = _told(declared.parts, pieces, "", f"{path}: parts")
    slots = _told(declared.slots, pieces, "own", f"{path}: slots")
    offsets = np.cumsum([0, *(len(piece.vertices) for piece in pieces)])
    faces = np.concatenate([piece.faces + start for piece, start in zip(pieces, offsets, strict=False)])
    used, faces = np.unique(faces, return_inverse=True)
    mesh = Mesh(
        _turned(np.concatenate([piece.vertices for piece in pieces])[used], declared),
        faces.reshape(-1, 3),
        np.concatenate([_painted(piece, slot) for piece, slot in zip(pieces, slots, strict=True)]),
        np.concatenate([np.full(len(piece.faces), part) for piece, part in zip(pieces, parts, strict=True)]),
    )
    mesh = _facing_out(mesh)
    fault = fault_of_skin(mesh)
    if fault:
        mend = next((mend for start, mend in MENDS.items() if fault.startswith(start)), "export it again")
        raise ConfigError(f"{file} {fault}; {mend}")
    return _with_colour(_without_slivers(mesh), path)


def _told(patterns: dict[str, str], pieces: tuple[Piece, ...], otherwise: str, where: str) -> list[str]:
    """Return what the first fitting pattern says of each piece."""
    labels = labels_of(pieces)
    for pattern in patterns:
        if not any(fnmatchcase(label, pattern) for label in labels):
            raise ConfigError(
                f"{where}: nothing in the mesh is called {pattern!r}{nearest(pattern, labels)}; there are "
                f"{', '.join(labels)}"
            )
    return [
        next((told for p, told in patterns.items() if any(fnmatchcase(label, p) for label in piece.labels)), otherwise)
        for piece in pieces
    ]


def _painted(piece: Piece, slot: str) -> NDArray[np.int64]:
    return own_slots(piece.colours) if slot == "own" else np.full(len(piece.faces), SLOTS[slot])


def _turned(vertices: NDArray[np.float64], declared: Declaration) -> NDArray[np.float64]:
    """Return vertices with the front towards -y and z up, the largest extent as unit."""
    front, up = _axis(declared.front), _axis(declared.up)
    axes = (np.cross(-front, up), -front, up)
    turned = np.stack([vertices[:, int(np.abs(axis).argmax())] * axis.sum() for axis in axes], 1)
    extent = float(np.ptp(turned, axis=0).max()) if np.isfinite(turned).all() else 0.0
    # Rounding takes away what the file's single precision and the machine's arithmetic leave between equal points.
    return np.round((turned - turned.min(0)) / extent, 7) if extent > 0 else turned


def _axis(name: str) -> NDArray[np.int64]:
    return np.array([name[-1] == axis for axis in "xyz"], np.int64) * (-1 if name[0] == "-" else 1)


def _facing_out(mesh: Mesh) -> Mesh:
    """Turn closed surfaces that are inside out; nothing else can be told outside from inside."""
    if not len(mesh.faces) or not np.isfinite(mesh.vertices).all() or len(open_edges(mesh)):
        return mesh
    faces = mesh.faces.copy()
    for shell in shells(mesh):
        if volume(mesh, shell) < 0:
            faces[shell] = faces[shell, ::-1]
    return replace(mesh, faces=faces)


def _without_slivers(mesh: Mesh) -> Mesh:
    """Leave out triangles of no area, which have no normal."""
    kept = _areas(mesh) > 1e-12
    return replace(mesh, faces=mesh.faces[kept], slots=mesh.slots[kept], parts=mesh.parts[kept])


def _areas(mesh: Mesh) -> NDArray[np.float64]:
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    areas: NDArray[np.float64] = np.sqrt((np.cross(b - a, c - a) ** 2).sum(1)) / 2
    return areas


def _with_colour(mesh: Mesh, path: Path) -> Mesh:
    areas = _areas(mesh)
    share = float(areas[mesh.slots < OWN].sum() / areas.sum())
    if share < LEAST_MAIN:
        raise ConfigError(
            f"{path}: slots give the colour word {share:.0%} of the surface, less than {LEAST_MAIN:.0%}; name more of "
            "the mesh in slots, or leave slots out"
        )
    return mesh
