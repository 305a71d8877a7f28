"""``vsre export`` and ``vsre import``: a dataset folder into a format, and back.

A folder appears whole or not at all, and holds ``vsre.json``: the format, its settings, the content hash and the counts
of what was exported. The same command on a finished folder does nothing. An import checks each identifier against the
pixels and the fields that it names.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from datagen.card import CARD, Layout, card, flags, only_split, write_card
from datagen.card_checks import read_checks
from datagen.claim import IMPORTED, SHARDS
from datagen.complete import say_incomplete
from datagen.config import ExportConfig, ImportConfig
from datagen.export.formats import FORMATS
from datagen.export.hub import hub_name, push
from datagen.export.rows import MANIFEST
from datagen.export.vsr import file_split
from datagen.tally import Tally
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import ConfigError, RecordError, nearest
from spatial.exposure import DESCRIPTION, description_of
from spatial.files import atomic_folder, read_mapping, write_json
from spatial.records import decode_image, image_id_of
from spatial.stream import Sample, Samples

NEEDED = {"format", "content_hash", "images", "records", "other_identifiers", "dataset"}


def run(config: ExportConfig) -> Path | None:
    """Export, or with ``dry_run`` tell what that would take.

    Raises:
        UserError: as ``export`` does, but the hub is not asked.
    """
    if not config.dry_run:
        return export(config)
    from datagen.export.estimate import describe, estimate

    manifest = _prepare(config)
    if _is_finished(Path(config.out), manifest):
        print(f"dry run of {config.out}: it is there already, nothing to write")
        print(_summary(read_mapping(Path(config.out) / MANIFEST) or {}))
    else:
        read_checks(DatasetFolder(config.dataset), manifest["content_hash"])  # refuses a damaged audit
        print(describe(estimate(config), config))
    return None


def export(config: ExportConfig) -> Path:
    """Write a dataset folder in a format of ``FORMATS``, and push it if asked to.

    Returns:
        The folder.

    Raises:
        ConfigError: a setting is wrong, or the folder holds something else.
        RecordError: the dataset folder is damaged.
        UserError: the hub cannot be reached or refuses.
    """
    manifest, out = _prepare(config), Path(config.out)
    if not _is_finished(out, manifest):
        _write(config, out, manifest)
    print(_summary(read_mapping(out / MANIFEST) or {}))
    if config.push_to:
        print(f"pushed to {push(out, config.push_to, config.private)}")
    return out


def import_folder(config: ImportConfig) -> Path:
    """Write the dataset folder that an exported folder was made from.

    Returns:
        The dataset folder.

    Raises:
        ConfigError: a setting is wrong, or the folder holds something else.
        RecordError: the exported folder is damaged, or was changed so that identifiers no longer fit.
    """
    source, out = Path(config.source), Path(config.out)
    if config.images_per_shard < 1:
        raise ConfigError(f"images_per_shard must be at least 1, not {config.images_per_shard}")
    manifest = read_mapping(source / MANIFEST) or {}
    if manifest.get("format") not in FORMATS or not manifest.keys() >= NEEDED:
        raise ConfigError(f"{source} has no {MANIFEST} of 'vsre export'; name a folder that it wrote")
    _check_places(source, out)
    if not _is_free(out):
        raise ConfigError(f"{out} is there already; choose another --out or delete it")
    samples = tqdm(FORMATS[manifest["format"]].read(source), "import", manifest["images"], unit="image")
    with atomic_folder(out) as partial:
        shards, records = _write_shards(
            partial, _checked(samples, manifest["other_identifiers"]), config.images_per_shard
        )
        if manifest["records"] and not records:
            raise RecordError(
                f"{source} has none of its {manifest['records']} records any more; copy or export it again"
            )
        told = {IMPORTED: manifest["format"], SHARDS: shards}
        write_json(partial / DESCRIPTION, manifest["dataset"] | told, sort_keys=True)
        write_card(partial)
    found = DatasetFolder(out).content_hash()
    print(f"content hash {found}")
    if found != manifest["content_hash"]:
        logging.getLogger(__name__).warning("%s is not what was exported: rows were removed or added", source)
    return out


def _prepare(config: ExportConfig) -> dict[str, Any]:
    """Check the settings and return what the manifest of their export says of it beforehand."""
    _check(config)
    return {
        "format": config.to,
        "settings": {name: getattr(config, name) for name in FORMATS[config.to].settings},
        "content_hash": DatasetFolder(config.dataset).content_hash(),
    }


def _summary(held: Mapping[str, Any]) -> str:
    """Return the counts of a manifest in words."""
    names = ["images", "records", *(name for name in ("conversations", "repeats") if held.get(name))]
    return f"{held['format']}: {', '.join(f'{held[name]:,} {name}' for name in names)}"


def _check(config: ExportConfig) -> None:
    if config.to not in FORMATS:
        raise ConfigError(f"unknown format {config.to!r}; known: {', '.join(FORMATS)}{nearest(config.to, FORMATS)}")
    chosen = FORMATS[config.to]
    for entry in fields(config):
        users = [name for name, other in FORMATS.items() if entry.name in (*other.settings, *other.places)]
        default = entry.default_factory() if callable(entry.default_factory) else entry.default
        if users and config.to not in users and getattr(config, entry.name) != default:
            raise ConfigError(f"{entry.name} is a setting of {', '.join(users)}, not of {config.to}; leave it away")
    chosen.check(config)
    _check_places(Path(config.dataset), Path(config.out))
    say_incomplete(Path(config.dataset))


def _check_places(source: Path, out: Path) -> None:
    """Refuse to write one folder into the other."""
    places = (source.resolve(), out.resolve())
    if places[0] in (places[1], *places[1].parents) or places[1] in places[0].parents:
        raise ConfigError(f"{out} and {source} lie in one another; choose another --out")


def _is_free(folder: Path) -> bool:
    """Return whether nothing is there, or an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _is_finished(folder: Path, wanted: Mapping[str, Any]) -> bool:
    """Return whether a folder is an export with these settings; False if nothing is there.

    Raises:
        ConfigError: it holds something else.
    """
    if _is_free(folder):
        return False
    held = read_mapping(folder / MANIFEST) or {}
    if any(held.get(name) != value for name, value in wanted.items()):
        raise ConfigError(f"{folder} holds something else; choose another --out or delete it")
    return True


def _write(config: ExportConfig, out: Path, manifest: dict[str, Any]) -> None:
    chosen, tally = FORMATS[config.to], Tally()
    samples = Samples(config.dataset)
    checks = read_checks(DatasetFolder(config.dataset), manifest["content_hash"])
    held = description_of(Path(config.dataset))
    settings = {name: value for name, value in held.items() if name not in (IMPORTED, SHARDS)}
    with atomic_folder(out) as partial:
        bar = tqdm(samples, f"export {config.to}", unit="image")
        counted = chosen.write(tally.watch(bar), partial, config) or {}
        command = f"vsre export DATASET --to {config.to} --out EXPORT {flags(manifest['settings'])}".rstrip()
        layout = Layout(_tables(partial, chosen.rows, tally), [command])
        text = card(tally, manifest["content_hash"], settings, layout, checks)
        (partial / CARD).write_text(text, encoding="utf-8")
        counts = {"images": tally.images, "records": tally.records, "other_identifiers": tally.foreign > 0}
        write_json(partial / MANIFEST, manifest | counts | counted | {"dataset": settings})


def _tables(folder: Path, rows: str, tally: Tally) -> dict[str, dict[str, str]]:
    """Return the table that the hub shows of a folder: the pattern of its files by split."""
    if not rows:
        return {}
    if "{split}" not in rows:
        return {"default": {only_split(tally.splits): rows}}
    names = sorted({name for split in tally.splits for name in (file_split(split), hub_name(split))})
    files = {hub_name(name): rows.format(split=name) for name in names if any(folder.glob(rows.format(split=name)))}
    return {"default": files} if files else {}


def _write_shards(folder: Path, samples: Iterator[Sample], images_per_shard: int) -> tuple[int, int]:
    """Return how many shards there are, and how many records."""
    index, count = 0, 0
    while shard := list(islice(samples, images_per_shard)):
        records = [record for sample in shard for record in sample.records]
        write_shard(folder, index, [sample.image for sample in shard], records)
        index, count = index + 1, count + len(records)
    if not index:
        write_shard(folder, 0, [], [])
    return max(1, index), count


def _checked(samples: Iterable[Sample], other_identifiers: bool) -> Iterator[Sample]:
    """Yield samples whose identifiers fit.

    Args:
        samples: as they were read.
        other_identifiers: some records had identifiers of their own, so that nothing can be said of them.
    """
    for sample in samples:
        image_id = sample.image.image_id
        if image_id_of(np.asarray(decode_image(sample.image.image, image_id))) != image_id:
            raise RecordError(f"picture {image_id} was changed since it was exported; export the dataset again")
        for record in sample.records:
            changed = not other_identifiers and replace(record, record_id="").record_id != record.record_id
            if changed or record.image_id != image_id:
                raise RecordError(
                    f"record {record.record_id} about image {image_id} was changed since it was exported;"
                    " remove its record_id to import it as a new record, or export the dataset again"
                )
        yield sample
