"""Take a named part off an object: the part as an object of its own, and what is left without it.

Only a part that comes off whole is taken: it is one piece, and what is left is one piece too and still stands.
A cup's handle is such a part; a chair's legs are four pieces, and a television without its stand would float.

Shapes: V vertices, F triangles, P pieces.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from datagen.assets.primitives import Mesh, Points

SLACK = 0.01
"""Pieces whose bounds come nearer than this share of the object's size are one piece."""

STANDING = 0.03
"""What is left still stands if it reaches down to this share of the height."""


def cut(mesh: Mesh, part: str) -> tuple[Mesh, Mesh]:
    """Return a part with vertices of its own, and the rest, which keeps all vertices and so the mesh's bounds."""
    taken = mesh.parts == part
    used, faces = np.unique(mesh.faces[taken], return_inverse=True)
    piece = Mesh(mesh.vertices[used], faces.reshape(-1, 3), mesh.slots[taken], mesh.parts[taken])
    rest = replace(mesh, faces=mesh.faces[~taken], slots=mesh.slots[~taken], parts=mesh.parts[~taken])
    return piece, rest


def comes_off(mesh: Mesh, part: str) -> bool:
    """Tell whether a part comes off as one piece and leaves one piece that still stands."""
    piece, rest = cut(mesh, part)
    if not len(piece.faces) or not len(rest.faces):
        return False
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    stands = rest.vertices[rest.faces][..., 2].min() <= low[2] + STANDING * (high[2] - low[2])
    return bool(stands) and all(_pieces(side, SLACK * (high - low)) == 1 for side in (piece, rest))


def _pieces(mesh: Mesh, slack: Points) -> int:
    """Count the groups of connected surfaces whose bounds meet."""
    bounds = [_grown(mesh.vertices[mesh.faces[shell]], slack) for shell in shells(mesh)]
    pieces: list[list[tuple[Points, Points]]] = []
    for low, high in bounds:
        met = [piece for piece in pieces if any((low <= top).all() and (high >= bottom).all() for bottom, top in piece)]
        pieces = [piece for piece in pieces if not any(piece is other for other in met)]
        pieces.append([(low, high), *(bound for piece in met for bound in piece)])
    return len(pieces)


def _grown(corners: Points, slack: Points) -> tuple[Points, Points]:
    flat = corners.reshape(-1, 3)
    return flat.min(0) - slack / 2, flat.max(0) + slack / 2


def shells(mesh: Mesh) -> list[NDArray[np.int64]]:
    """Return the face indices of every connected surface; points at the same place are one."""
    _, welded = np.unique(np.round(mesh.vertices, 6), axis=0, return_inverse=True)
    faces = welded.reshape(-1)[mesh.faces]
    label = np.arange(faces.max() + 1)
    while True:
        lowest = label[faces].min(1)
        spread = label.copy()
        np.minimum.at(spread, faces.reshape(-1), np.repeat(lowest, 3))
        if (spread == label).all():
            break
        label = spread
    owner = label[faces[:, 0]]
    return [np.flatnonzero(owner == shell) for shell in np.unique(owner)]
