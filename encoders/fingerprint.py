"""Tell whether the checkpoints that a model was built from are still the same, without reading them whole.

The snapshot of a hub id is named by its commit. Local files are told apart by name, size and content; of large ones
only the beginning, where safetensors has its header, and blocks spread over the rest are read: training moves every
weight, so a look here and there sees it. Times are left out: copying a directory does not change what it holds.
"""

import hashlib
from pathlib import Path

from encoders.config import BuildConfig
from encoders.source_files import locate
from encoders.source_originals import split_architecture

_READ = (".json", ".safetensors", ".bin", ".pt", ".pth", ".jinja", ".model", ".txt")
"""Endings of the files that decide what a checkpoint is."""

_WHOLE = 1 << 26
_BLOCK, _BLOCKS = 1 << 14, 256


def fingerprints(config: BuildConfig) -> dict[str, str]:
    """Return the fingerprint of each source that the settings name, by source; nothing for those that are not there.

    Published sizes need no source, so with ``random`` only local ones count.

    Raises:
        ConfigError: an architecture that OpenCLIP has not.
    """
    if not config.base:
        return {}
    named = [config.towers[name].weights for name in config.encoders if name in config.towers]
    found = {}
    for source in (config.base, *filter(None, named)):
        _, rest = split_architecture(source)
        if Path(rest).exists() or not config.random:
            found[source] = fingerprint(rest)
    return found


def fingerprint(source: str | Path) -> str:
    """Return the commit of a hub id's snapshot, or a digest of a local directory's or file's content.

    Raises:
        CheckpointError: it is neither here nor on the hub.
    """
    place = locate(source)
    if place.hub_id:
        return place.path.name
    files = [place.path]
    if place.path.is_dir():
        files = sorted(path for path in place.path.iterdir() if path.suffix in _READ and path.is_file())
    hasher = hashlib.blake2b(digest_size=16)
    for path in files:
        hasher.update(f"{path.name} {path.stat().st_size}\n".encode())
        hasher.update(_sample(path))
    return hasher.hexdigest()


def _sample(path: Path) -> bytes:
    """Return the digest of a file, or of the beginning of a large one and blocks that are spread over it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE:
            return hashlib.file_digest(file, "blake2b").digest()
        hasher = hashlib.blake2b(file.read(1 << 20))
        for block in range(_BLOCKS):
            file.seek((size - _BLOCK) * block // (_BLOCKS - 1))
            hasher.update(file.read(_BLOCK))
        return hasher.digest()
