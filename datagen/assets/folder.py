"""Objects of users: a folder of mesh files, each with a YAML declaration, as assets like those of the library.

A dataset keeps a copy of the folder, so that its scenes can be drawn again wherever it is taken.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from datagen.assets.asset import Asset
from datagen.assets.catalogue import stock, stocked
from datagen.assets.declaration import KINDS
from datagen.assets.imported import inside, load_asset
from spatial.errors import ConfigError
from spatial.files import atomic

DECLARATIONS = (".yaml", ".yml")
KEPT = (*DECLARATIONS, *KINDS, ".mtl", ".png", ".jpg", ".jpeg")
"""Files that a dataset keeps."""

COPY = "assets"
"""Folder in a dataset for the objects that its scenes hold beside those of the library."""


@contextmanager
def assets_of(folder: str) -> Iterator[None]:
    """Add the objects of a folder to those that scenes are drawn of, until the block ends; "" adds none.

    Raises:
        ConfigError: a file of the folder cannot be used.
    """
    with stocked(load_folder(Path(folder))) if folder else nullcontext():
        yield


def add_assets_of(folder: str) -> None:
    """Do the same for good: for a process that works for one dataset only."""
    if folder:
        stock(load_folder(Path(folder)))


def load_folder(folder: Path) -> tuple[Asset, ...]:
    """Return the objects that a folder declares, by file name.

    Raises:
        ConfigError: there is no declaration, two have one name, or a file cannot be used.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}; pass the folder of your meshes and declarations")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in DECLARATIONS)
    if not paths:
        raise ConfigError(f"{folder} holds no declaration; write a .yaml beside each mesh, as docs/extending.md shows")
    found: dict[str, Path] = {}
    assets = []
    for path in paths:
        it = load_asset(path)
        if it.name in found:
            raise ConfigError(f"{path} and {found[it.name]} both declare {it.name!r}; rename one")
        found[it.name] = path
        assets.append(it)
    return tuple(assets)


def digest_of(folder: str) -> str:
    """Return the hash of the names and bytes of a folder's files, "" for no folder.

    Raises:
        ConfigError: a file lies outside of the folder.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, data in _files(folder):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest() if folder else ""


def keep_copy(folder: str, dataset: Path) -> None:
    """Copy a folder's files into a dataset."""
    for name, data in _files(folder):
        with atomic(dataset / COPY / name) as temporary:
            temporary.write_bytes(data)


def _files(folder: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(Path(folder).rglob("*")) if folder else []:
        if path.suffix.lower() in KEPT and path.is_file():
            name = path.relative_to(folder).as_posix()
            yield name, inside(Path(folder), name).read_bytes()


def copy_in(dataset: Path) -> str:
    """Return the folder of a dataset's own objects, or "" where it has none."""
    folder = dataset / COPY
    return str(folder) if folder.is_dir() else ""
