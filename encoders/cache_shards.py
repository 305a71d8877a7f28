"""Shards of features: one safetensors file holds "features" [n, tokens, channels] and "crc32" [n] of n images.

The header names the images and the key that they were computed under, so the files are their own index: none can be
lost or go out of date. A shard is written beside its place and renamed, and named after its images: two processes that
write the same one leave one file, and it is whole.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from encoders.cache_key import FeatureKey
from spatial.files import atomic
from spatial.scene import digest

SHARD_IMAGES = 64
"""Images in one shard; what a killed process has to compute again at most."""

Row = tuple[Path, int]
"""Shard and row of an image."""


class DamagedShardError(Exception):
    """A file that is no complete shard of its folder's key; the text says why."""


@dataclass(frozen=True)
class Index:
    """Where the features of each image are, and the files that cannot be used."""

    rows: dict[str, Row]
    damaged: list[Path]


def shard_path(folder: Path, images: Sequence[str]) -> Path:
    """Return the file for the features of these images."""
    return folder / f"{digest(chr(10).join(images))}.safetensors"


def write_features(folder: Path, key: FeatureKey, images: Sequence[str], features: Tensor) -> Path:
    """Write one shard atomically and return its path.

    Args:
        folder: of the key.
        key: what the features were computed under.
        images: n identifiers.
        features: [n, tokens, channels] of the key.

    Raises:
        OSError: it cannot be written; nothing is left of it.
        ValueError: the features have another shape or dtype than the key says.
    """
    expected = (len(images), key.tokens, key.channels)
    if features.shape != expected or features.dtype != key.torch_dtype:
        raise ValueError(f"features must be {expected} {key.dtype}, not {tuple(features.shape)} {features.dtype}")
    features = features.contiguous().cpu()
    sums = [checksum(image, row) for image, row in zip(images, features, strict=True)]
    metadata = {"key": key.digest, "images": json.dumps(list(images))}
    content = save({"features": features, "crc32": torch.tensor(sums)}, metadata)
    path = shard_path(folder, images)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return path


def checksum(image: str, features: Tensor) -> int:
    """Return the CRC-32 of an image's name and features, so that swapped rows are found too."""
    values = features.contiguous().flatten().view(torch.uint8).numpy()
    return zlib.crc32(values.data, zlib.crc32(image.encode()))


def read_index(folder: Path, key: FeatureKey) -> Index:
    """Return what a folder holds; only headers are read. Without the folder, nothing."""
    rows: dict[str, Row] = {}
    damaged = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            for row, image in enumerate(shard_images(path, key)):
                rows.setdefault(image, (path, row))
        except FileNotFoundError:
            continue  # another process has just removed a damaged one
        except (DamagedShardError, OSError):
            damaged.append(path)
    return Index(rows, damaged)


def shard_images(path: Path, key: FeatureKey) -> list[str]:
    """Return the images of a shard, after comparing its header with the key and the file's length.

    Raises:
        DamagedShardError: the file is truncated, no shard, or of another key.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size:
            raise DamagedShardError("is truncated")
        text = file.read(length)
    try:
        header: dict[str, Any] = json.loads(text)
        images: list[str] = json.loads(header["__metadata__"]["images"])
        features, held = header["features"], header["__metadata__"]["key"]
        end = 8 + length + max(header[name]["data_offsets"][1] for name in ("features", "crc32"))
        shape = features["shape"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedShardError("has no header") from error
    if end != size:
        raise DamagedShardError("is truncated")
    if held != key.digest or shape != [len(images), key.tokens, key.channels]:
        raise DamagedShardError("is of another key")
    return images
