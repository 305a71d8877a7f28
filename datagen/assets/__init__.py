"""Parametric objects: sixteen COCO nouns as triangle meshes built from code, nothing to download."""

from datagen.assets.catalogue import ASSETS, Asset, asset, toy_size, unit_mesh
from datagen.assets.palette import COLOURS

__all__ = ["ASSETS", "COLOURS", "Asset", "asset", "toy_size", "unit_mesh"]
