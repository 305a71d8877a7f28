"""Fetch Visual Spatial Reasoning (arXiv 2205.00363): annotation files, and only the photos their rows are about."""

import shlex
from pathlib import Path

from datagen.fetch.batch import Batch, Missing, claimed
from datagen.fetch.config import FetchConfig
from datagen.fetch.manifest import Entry
from datagen.fetch.missing import list_missing, missing_error
from datagen.fetch.outline import outline
from datagen.fetch.plan import check, parts_there, wanted_annotations, wanted_photos


def fetch_vsr(config: FetchConfig) -> Path | None:
    """Fetch what is not there yet of the chosen parts.

    Returns:
        The folder; nothing for a dry run.

    Raises:
        ConfigError: a setting cannot be used, or another process is fetching into the folder.
        RecordError: files could not be had; the message names the command that continues.
    """
    check(config)
    if config.dry_run:
        print(outline(config))
        return None
    folder = Path(config.out)
    with claimed(folder):
        batch = Batch(config)
        had, missing = _bring_all(config, batch)
        if not missing:
            batch.forget_partials()
        list_missing(folder, missing)
    if missing:
        raise missing_error(config, missing, len(had) + len(missing))
    size = sum(entry.bytes for entry in had) / 1e6
    print(f"VSR {config.split} {', '.join(config.parts)}: {len(had)} files, {size:.1f} MB")
    if config.photos:
        print(f"evaluate with: {_evaluation(config)}")
    return folder


def _bring_all(config: FetchConfig, batch: Batch) -> tuple[list[Entry], list[Missing]]:
    had, missing = batch.bring(wanted_annotations(config), "annotations")
    if not config.photos:
        return had, missing
    wanted, odd = wanted_photos(config, parts_there(config))
    photos, lost = batch.bring(wanted, "photos")
    return [*had, *photos], [*missing, *odd, *lost]


def _evaluation(config: FetchConfig) -> str:
    """Return the command that evaluates the shipped model on what was fetched."""
    words = ["vsre", "eval", "configs/eval/vsr-zeroshot.yaml", "--data.images", shlex.quote(config.out)]
    if config.split != "zeroshot":
        words += ["--data.variant", config.split]
    if "test" not in config.parts:
        words += ["--data.split", config.parts[0]]
    return " ".join(words)
