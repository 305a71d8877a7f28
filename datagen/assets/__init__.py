"""Parametric objects: COCO nouns as triangle meshes built from code, nothing to download; and meshes of users."""

from datagen.assets.asset import Asset, Cavity
from datagen.assets.catalogue import ASSETS, CORE, LIBRARY, asset, mesh_of, part_box, part_keys, toy_size, unit_mesh
from datagen.assets.palette import COLOURS

__all__ = [
    "ASSETS",
    "COLOURS",
    "CORE",
    "LIBRARY",
    "Asset",
    "Cavity",
    "asset",
    "mesh_of",
    "part_box",
    "part_keys",
    "toy_size",
    "unit_mesh",
]
