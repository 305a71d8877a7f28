"""``vsre cache-features``: compute the features of frozen encoders once and keep them on disk.

Work is split by ``image index % world == rank`` and done shard by shard; a finished shard is never computed again, so a
killed run goes on where it was. Every encoder has shards of its own, computed from the same canvases.
"""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from encoders.assemble import dtype_of
from encoders.cache import KEY_FILE, EncoderCache, FeatureCache
from encoders.cache_key import FeatureKey, feature_keys
from encoders.cache_shards import (
    SHARD_IMAGES,
    DamagedShardError,
    checksum,
    shard_images,
    shard_path,
    write_features,
)
from encoders.config import CacheFeaturesConfig
from encoders.device import usable_device
from encoders.launch import process_place
from encoders.load import load_model
from encoders.processing import VsreImageProcessor
from encoders.tower import FusedVisionModel
from spatial.dataset import DatasetFolder, PooledImages
from spatial.disk import free_bytes, size_text
from spatial.errors import CheckpointError, ConfigError, nearest
from spatial.files import read_mapping, write_json
from spatial.machine import usable_cores
from spatial.records import ImageRow, decode_image

Chunk = tuple[tuple[str, ...], list[str]]
"""Encoders, and the images that a shard of each of them will hold."""


@dataclass(frozen=True)
class Share:
    """Which images this process computes: those whose index is ``rank`` modulo ``world``."""

    rank: int = 0
    world: int = 1

    def of(self, images: Sequence[str]) -> list[str]:
        """Return this process's part of distinct images."""
        return list(images[self.rank :: self.world])


def cache_features(config: CacheFeaturesConfig) -> Path:
    """Compute the features that are not in the folder yet, after comparing those that are with their checksums.

    Returns:
        The folder.

    Raises:
        ConfigError: an unknown encoder or number format, no data, or a rank that does not fit.
        CheckpointError: the model cannot be loaded, or the disk is full or cannot be written.
        RecordError: the data, or an image of it, cannot be read.
    """
    _check(config)
    share = share_of_environment()
    images = PooledImages([DatasetFolder(path).images for path in config.data])
    model, processor = load_model(config.model, dtype_of(config.dtype))
    vision: FusedVisionModel = model.model.vision_tower
    keys = _chosen(feature_keys(vision, processor.image_processor), config.encoders)
    mend = build_command(config.model, config.data, config.out, config.dtype)
    cache = FeatureCache(config.out, keys, mend)
    if remove_damaged(cache, share.of(list(images))):
        cache = FeatureCache(config.out, keys, mend)
    vision.to(usable_device(config.device))
    build_features(cache, vision, processor.image_processor, images, list(images), share, config.batch_size)
    return Path(config.out)


def build_features(
    cache: FeatureCache,
    vision: FusedVisionModel,
    image_processor: VsreImageProcessor,
    source: Mapping[str, ImageRow],
    images: Sequence[str],
    share: Share,
    batch_size: int = 16,
) -> None:
    """Compute this process's missing features and write them as shards.

    Args:
        cache: as it is on disk.
        vision: the towers, on the device that computes.
        image_processor: of the same model.
        source: of the pictures.
        images: identifiers of all that are wanted, in an order that is the same for every process.
        share: which of them are this process's.
        batch_size: images in one forward pass.

    Raises:
        CheckpointError: the disk has not enough room, is full or cannot be written, or features are not finite.
        RecordError: an image cannot be decoded.
    """
    _check_room(cache, images, quiet=share.rank > 0)
    own = share.of(images)
    missing = cache.missing(own)
    for name in missing:  # a folder that cannot be written is refused before an hour of work is lost in it
        _claim(cache.encoders[name])
    chunks = plan_chunks(missing)
    left = sum(len(chunk) for _, chunk in chunks)

    def canvas(image: str) -> Tensor:
        picture = decode_image(source[image].image, image)
        canvases: Tensor = image_processor([picture], return_tensors="pt")["pixel_values"]
        return canvases[0]

    bar = tqdm(
        total=len(own), initial=len(own) - left, desc="features", unit="image", disable=not chunks or share.rank > 0
    )
    with bar, ThreadPoolExecutor(usable_cores()) as pool:
        for encoders, chunk in chunks:
            todo = {name: cache.encoders[name] for name in encoders}
            todo = {name: part for name, part in todo.items() if not shard_path(part.folder, chunk).exists()}
            if not todo:  # another process, started beside this one, was faster
                bar.update(len(chunk))
                continue
            parts: dict[str, list[Tensor]] = defaultdict(list)
            canvases = pool.map(canvas, chunk)
            while batch := list(islice(canvases, batch_size)):
                for name, features in _compute(vision, torch.stack(batch), list(todo)).items():
                    parts[name].append(features)
                bar.update(len(batch))
            for name, features_of in parts.items():
                _write(todo[name], chunk, torch.cat(features_of))


def plan_chunks(missing: Mapping[str, Sequence[str]]) -> list[Chunk]:
    """Group images that lack the same encoders into shards, so that each is decoded once, in the order of the data."""
    lacking: dict[str, list[str]] = defaultdict(list)
    for encoder, images in missing.items():
        for image in images:
            lacking[image].append(encoder)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for image, encoders in lacking.items():
        groups[tuple(encoders)].append(image)
    return [
        (encoders, group[start : start + SHARD_IMAGES])
        for encoders, group in groups.items()
        for start in range(0, len(group), SHARD_IMAGES)
    ]


def remove_damaged(cache: FeatureCache, images: Sequence[str]) -> int:
    """Remove shards that are cut short, or of which an image's checksum fails, and return how many.

    Only shards that hold some of ``images`` are read. What was in them is computed again; nothing else is lost.
    """
    removed = 0
    for encoder in cache.encoders.values():
        bad = set(encoder.damaged)
        held = {path for image in images if image in encoder.rows for path in [encoder.rows[image][0]]}
        for path in tqdm(sorted(held), desc=f"verify {encoder.key.encoder}", unit="shard", disable=not held):
            if not is_whole(path, encoder.key):
                bad.add(path)
        for path in sorted(bad):
            if path.exists() and not is_whole(path, encoder.key):  # another process may have just replaced it
                _remove(path)
                removed += 1
    return removed


def is_whole(path: Path, key: FeatureKey) -> bool:
    """Tell whether a shard is complete and every image in it has the features that were written."""
    try:
        images = shard_images(path, key)
        with safe_open(path, framework="pt") as shard:
            features, sums = shard.get_tensor("features"), shard.get_tensor("crc32").tolist()
    except (OSError, SafetensorError, DamagedShardError):
        return False
    return all(checksum(image, row) == expected for image, row, expected in zip(images, features, sums, strict=True))


def share_of_environment() -> Share:
    """Return the share of this process, as launchers say it (``RANK`` and ``WORLD_SIZE``).

    Raises:
        ConfigError: the rank is not below the number of processes.
    """
    try:
        rank, world = process_place()
    except ValueError as error:
        raise ConfigError(f"RANK and WORLD_SIZE must be numbers ({error}); correct the environment") from error
    if not 0 <= rank < world:
        raise ConfigError(f"RANK must be below WORLD_SIZE, which is {world}, not {rank}; correct the environment")
    return Share(rank, world)


def build_command(model: str | Path, data: Sequence[str], out: str | Path, dtype: str) -> str:
    """Return the command that computes what is missing."""
    folders = f"[{', '.join(data)}]"
    return shlex.join(
        ["vsre", "cache-features", "--model", str(model), "--data", folders, "--out", str(out), "--dtype", dtype]
    )


def _check(config: CacheFeaturesConfig) -> None:
    if not config.data:
        raise ConfigError("no data; name at least one dataset folder: 'vsre cache-features --data [FOLDER] --out DIR'")
    dtype_of(config.dtype)
    if config.batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, not {config.batch_size}")


def _chosen(keys: dict[str, FeatureKey], names: Sequence[str]) -> dict[str, FeatureKey]:
    for name in names:
        if name not in keys:
            raise ConfigError(f"the model has no encoder {name!r}{nearest(name, keys)}; it has {', '.join(keys)}")
    return {name: key for name, key in keys.items() if not names or name in names}


def _check_room(cache: FeatureCache, images: Sequence[str], quiet: bool) -> None:
    """Say where the features go and how large they are.

    Raises:
        CheckpointError: the disk has not that much free.
    """
    each = sum(encoder.key.image_bytes for encoder in cache.encoders.values())
    to_write, free = cache.missing_bytes(images), free_bytes(cache.out)
    if not quiet:
        print(
            f"features: {cache.out} ({', '.join(cache.encoders)}), {each:,} bytes x {len(images):,} images ="
            f" {size_text(each * len(images))}; {size_text(to_write)} to write, {size_text(free)} free",
            flush=True,
        )
    if to_write > free:
        raise CheckpointError(
            f"{cache.out} needs {size_text(to_write)} more, but its disk has {size_text(free)} free;"
            " choose another folder, dtype bfloat16, or fewer encoders"
        )


def _compute(vision: FusedVisionModel, canvases: Tensor, encoders: Sequence[str]) -> dict[str, Tensor]:
    """Return features [B, N_i, C_i] on the CPU.

    Raises:
        CheckpointError: some are not finite.
    """
    with torch.no_grad():
        found = vision(canvases.to(vision.device), encoders=encoders)
    for name in encoders:
        if not torch.isfinite(found[name]).all():
            raise CheckpointError(f"features of '{name}' are not finite in {vision.dtype}; use --dtype bfloat16")
    return {name: found[name].cpu() for name in encoders}


def _claim(encoder: EncoderCache) -> None:
    """Write into the folder of an encoder what it is of."""
    with _in_one_line(encoder.folder):
        if read_mapping(encoder.folder / KEY_FILE) is None:  # missing, or damaged
            write_json(encoder.folder / KEY_FILE, asdict(encoder.key))


def _write(encoder: EncoderCache, images: Sequence[str], features: Tensor) -> None:
    with _in_one_line(encoder.folder):
        write_features(encoder.folder, encoder.key, images, features)


@contextmanager
def _in_one_line(folder: Path) -> Iterator[None]:
    """Turn what keeps the block from writing into a line that says so.

    Raises:
        CheckpointError: the folder cannot be written or the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be written ({error.strerror}); free space or choose another folder, and run the command"
            " again: finished shards are kept"
        ) from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"{path} is damaged and cannot be removed ({error.strerror}); remove it") from error
