"""Read cached features of frozen encoders: what a model's forward takes instead of pixels.

    out/clip-3f2a.../key.json             what these features are of
    out/clip-3f2a.../*.safetensors        shards (``encoders.cache_shards``)
    out/siglip-.../                       every encoder, revision, geometry and number format has a folder of its own

Shards are memory-mapped, and every row is compared with its checksum when a process reads it first.

Shapes: I images, N_i tokens and C_i channels of encoder i.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from encoders.cache_key import FeatureKey, difference
from encoders.cache_shards import Row, checksum, read_index
from spatial.errors import CheckpointError
from spatial.files import read_mapping

KEY_FILE = "key.json"

_OPEN_SHARDS = 128


class EncoderCache:
    """The features of one encoder under one key.

    Args:
        out: folder of the cache.
        key: of the encoder.
        mend: command that computes what is missing or damaged.
    """

    def __init__(self, out: Path, key: FeatureKey, mend: str) -> None:
        self.out, self.key, self.mend = out, key, mend
        self.folder = out / key.folder
        index = read_index(self.folder, key)
        self.rows, self.damaged = index.rows, index.damaged
        self._verified: set[Row] = set()
        self._open: OrderedDict[Path, Any] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is open: a loader worker that is not forked opens its own."""
        return self.__dict__ | {"_open": OrderedDict()}

    def missing(self, images: Iterable[str]) -> list[str]:
        """Return the images without features."""
        return [image for image in images if image not in self.rows]

    def require(self, images: Collection[str]) -> None:
        """Check that every image has features, without reading them.

        Raises:
            CheckpointError: some have none; says why, and how to compute them.
        """
        missing = self.missing(images)
        if missing:
            raise CheckpointError(f"{self._lack(missing, len(images))}; run '{self.mend}'")

    def read(self, image: str) -> Tensor:
        """Return the features [N, C] of an image.

        Raises:
            CheckpointError: it has none, or they are damaged.
        """
        self.require([image])
        path, row = self.rows[image]
        try:
            shard = self._shard(path)
            features: Tensor = shard.get_slice("features")[row : row + 1][0]
            expected = None if (path, row) in self._verified else int(shard.get_slice("crc32")[row : row + 1][0])
        except (OSError, SafetensorError) as error:
            gone = "is damaged" if path.exists() else "is missing"
            raise CheckpointError(f"{path} {gone}; run '{self.mend}'") from error
        if expected is not None and checksum(image, features) != expected:
            raise CheckpointError(f"{path}: the features of image {image} are damaged; run '{self.mend}'")
        self._verified.add((path, row))
        return features

    def _shard(self, path: Path) -> Any:
        """Return an open shard; those used last stay open."""
        if path not in self._open:
            if len(self._open) >= _OPEN_SHARDS:
                self._open.popitem(last=False)
            self._open[path] = safe_open(path, framework="pt")
        self._open.move_to_end(path)
        return self._open[path]

    def _lack(self, missing: Sequence[str], asked: int) -> str:
        name = self.key.encoder
        if self.damaged:
            return f"{self.damaged[0]} is truncated or damaged, and features of {len(missing)} images are missing"
        if self.rows:
            return f"{self.out} lacks features of '{name}' for {len(missing)} of {asked} images, first {missing[0]}"
        reasons = [reason for held in _keys_of(self.out, name) if (reason := difference(held, self.key))]
        if reasons:
            return f"{self.out} has features of '{name}' only with {reasons[0]}"
        return f"{self.out} has no features of '{name}'"


class FeatureCache:
    """The features of several encoders, for ``VsreForConditionalGeneration.forward(encoder_features=...)``.

    Args:
        out: folder of the cache.
        keys: of the encoders (see ``feature_keys``).
        mend: command that computes what is missing or damaged, named in errors.
    """

    def __init__(self, out: str | Path, keys: Mapping[str, FeatureKey], mend: str = "vsre cache-features") -> None:
        self.out = Path(out)
        self.encoders = {name: EncoderCache(self.out, key, mend) for name, key in keys.items()}

    def missing(self, images: Iterable[str]) -> dict[str, list[str]]:
        """Return the images without features by encoder, encoders that have all left out."""
        asked = list(images)
        lacking = {name: cache.missing(asked) for name, cache in self.encoders.items()}
        return {name: missing for name, missing in lacking.items() if missing}

    def missing_bytes(self, images: Iterable[str]) -> int:
        """Return how many bytes the missing features would take."""
        return sum(len(missing) * self.encoders[name].key.image_bytes for name, missing in self.missing(images).items())

    def require(self, images: Collection[str]) -> None:
        """Check that every image has features of every encoder; raises as ``EncoderCache.require`` does."""
        for cache in self.encoders.values():
            cache.require(images)

    def read(self, images: Sequence[str]) -> dict[str, Tensor]:
        """Return the features [I, N_i, C_i] of images by encoder.

        Raises:
            CheckpointError: some are missing or damaged; the one line names the shard and what mends it.
        """
        return {name: torch.stack([cache.read(image) for image in images]) for name, cache in self.encoders.items()}


def _keys_of(out: Path, encoder: str) -> list[dict[str, Any]]:
    """Return the readable keys of an encoder in a cache folder."""
    keys = map(read_mapping, sorted(out.glob(f"{encoder}-*/{KEY_FILE}")))
    return [held for held in keys if held and held.get("encoder") == encoder]
