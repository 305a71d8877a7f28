"""Fetch a benchmark but VSR: its questions, checked as far as anything is known of them, and the pictures they need.

Archives are kept beside what is taken out of them, so that the next run has nothing to fetch. Of COCO and Visual Genome
only the photos that the questions are about are asked for.
"""

import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datagen.fetch.batch import Batch, Missing, claimed
from datagen.fetch.benchmark_sources import LARGE, PHOTO_SOURCES, PIECES, Piece
from datagen.fetch.config import FetchConfig
from datagen.fetch.download import Wanted
from datagen.fetch.manifest import Entry
from datagen.fetch.missing import list_missing, missing_error
from datagen.fetch.plan import check_transfer, photo_flaw
from datagen.fetch.sources import Source, addresses
from datagen.fetch.unpack import unpack
from spatial.benchmarks import RELEASED, SEED_SPATIAL_RELATION, hash_flaw, numbered_picture
from spatial.errors import RecordError
from spatial.json_files import read_items

ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b")
"""What a .zip and a .tar.gz file begin with."""

PARQUET = b"PAR1"
"""What a Parquet file begins with."""


def fetch_benchmark(config: FetchConfig) -> Path | None:
    """Fetch what is not there yet of a benchmark.

    Returns:
        The folder; nothing for a dry run.

    Raises:
        ConfigError: a setting cannot be used, or another process is fetching into the folder.
        RecordError: files could not be had or used; the message names the command that continues.
    """
    check_transfer(config)
    wanted = wanted_files(config)
    if config.dry_run:
        print(_outline(config, wanted))
        return None
    folder = Path(config.out)
    with claimed(folder):
        batch = Batch(config)
        had, missing = batch.bring(wanted, config.dataset)
        if not missing and config.photos:
            photos, lost = _bring_photos(config, batch)
            had, missing = [*had, *photos], [*missing, *lost]
        if not missing:
            batch.forget_partials()
        list_missing(folder, missing)
    if missing:
        error = missing_error(config, missing, len(had) + len(missing))
        raise RecordError(f"{error}{_by_hand(config, missing)}")
    print(f"{config.dataset}: {len(had)} files, {sum(entry.bytes for entry in had) / 1e6:.1f} MB")
    print(f"evaluate with: {_evaluation(config)}")
    return folder


def wanted_files(config: FetchConfig) -> list[Wanted]:
    """Return the files of a benchmark that are had at once: questions, and archives of pictures if these are wanted."""
    return [_wanted(config, piece) for piece in _pieces(config)]


def wanted_photos(config: FetchConfig) -> tuple[list[Wanted], list[Missing]]:
    """Return the numbered photos that a fetched file of questions is about, each once, and the rows that name none."""
    released = RELEASED[config.dataset]
    folder = released.pictures
    found: dict[str, Wanted] = {}
    odd = []
    for number, row in enumerate(read_items(Path(config.out) / released.file), 1):
        try:
            name = numbered_picture(config.dataset, row[0] if isinstance(row, list) and row else row)
        except RecordError as error:
            odd.append(Missing(f"{released.file}:{number}", str(error)))
            continue
        urls = addresses(PHOTO_SOURCES[folder], config.photos_url, folder=folder, name=name)
        found[name] = Wanted(f"{folder}/{name}", urls, flaw=photo_flaw)
    return list(found.values()), odd


def _bring_photos(config: FetchConfig, batch: Batch) -> tuple[list[Entry], list[Missing]]:
    for piece in _pieces(config):
        if piece.unpack:
            count = unpack(Path(config.out) / piece.file, piece.unpack, Path(config.out), _kept(config))
            print(f"{piece.file}: {count} files in {Path(config.out) / piece.unpack}")
    if RELEASED[config.dataset].pictures not in PHOTO_SOURCES:
        return [], []
    wanted, odd = wanted_photos(config)
    had, missing = batch.bring(wanted, "photos")
    return had, [*odd, *missing]


def _pieces(config: FetchConfig) -> list[Piece]:
    # MME's questions lie among its photos, in the archive.
    alone = config.dataset == "mme-position"
    return [piece for piece in PIECES[config.dataset] if config.photos or alone or not piece.unpack]


def _wanted(config: FetchConfig, piece: Piece) -> Wanted:
    source = Source(piece.addresses, "/{file}", "annotations_url")
    urls = addresses(source, config.annotations_url, file=piece.file)
    flaw = partial(_flaw, config.dataset, piece)
    digest = piece.hash.removeprefix("sha256:") if piece.hash.startswith("sha256:") else ""
    return Wanted(piece.file, urls, digest, flaw, LARGE)


def _flaw(kind: str, piece: Piece, path: Path) -> str:
    """Return what is wrong with a file: a server may have sent a page in its place, or another version."""
    with path.open("rb") as file:
        start = file.read(4)
    if piece.unpack and not start.startswith(ARCHIVES):
        return "it is no archive"
    if piece.file.endswith(".parquet") and start != PARQUET:
        return "it is no Parquet file"
    if piece.file.endswith(".json"):
        return _rows_flaw(path, RELEASED[kind].rows)
    return hash_flaw(path, piece.hash if piece.hash.startswith("md5:") else "")


def _rows_flaw(path: Path, rows: int) -> str:
    """Return what is wrong with a JSON list of so many rows; without a number, with an object that has "questions"."""
    try:
        count = sum(1 for _ in read_items(path, "" if rows else "questions"))
    except RecordError:
        return "it is no JSON list of questions"
    return "" if count == rows or not rows else f"it has {count} rows, not {rows}"


def _kept(config: FetchConfig) -> frozenset[str] | None:
    """Return which pictures of an archive are needed: of SEED-Bench's 14,000 those of one dimension."""
    if config.dataset != "seed-spatial":
        return None
    items = read_items(Path(config.out) / RELEASED[config.dataset].file, "questions")
    rows = (item for item in items if isinstance(item, dict))
    return frozenset(str(row.get("data_id")) for row in rows if row.get("question_type_id") == SEED_SPATIAL_RELATION)


def _by_hand(config: FetchConfig, missing: list[Missing]) -> str:
    """Return what a person can do where Google Drive answers with a page."""
    names = {item.file for item in missing}
    pieces = [piece for piece in PIECES[config.dataset] if piece.drive and piece.file in names]
    commands = [f"gdown {piece.drive} -O {shlex.quote(f'{config.out}/{piece.file}')}" for piece in pieces]
    return f"; or by hand first: {' && '.join(commands)}" if commands else ""


def _outline(config: FetchConfig, wanted: list[Wanted]) -> str:
    return "\n".join([f"{config.dataset} into {config.out} (dry run, nothing is fetched)", *_lines(config, wanted)])


def _lines(config: FetchConfig, wanted: list[Wanted]) -> Iterator[str]:
    for item in wanted:
        state = "there" if (Path(config.out) / item.file).is_file() else "to fetch"
        yield f"  {item.file}: {state}, {item.urls[0]}"
    if config.photos and RELEASED[config.dataset].pictures in PHOTO_SOURCES:
        yield f"  {RELEASED[config.dataset].pictures}: the photos that the questions are about"


def _evaluation(config: FetchConfig) -> str:
    """Return the command that evaluates the shipped model on what was fetched."""
    numbered = config.dataset.startswith(("whatsup", "coco", "vg"))
    templates = "[adaptvis]" if numbered else "[given-letters]"
    place = ["--data.kind", config.dataset, "--data.path", shlex.quote(config.out)]
    return " ".join(["vsre", "eval", *place, "--templates", f"'{templates}'"])
