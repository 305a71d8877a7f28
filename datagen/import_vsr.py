"""``vsre import-vsr``: rows of VSR and their photos as a dataset folder, which training reads like renders.

Photos go in as the bytes of their files. A shard holds a fixed range of photo names with all statements about them, so
a killed import goes on where it stopped; a shard is written again when a photo of it that was missing is there.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from datagen.card import write_card
from datagen.card_checks import rows_left
from datagen.claim import SHARDS, claim
from datagen.complete import TABLES, is_whole
from datagen.config import ImportVsrConfig
from datagen.vsr_rows import RULES, Selection, SourceRow, select_rows
from spatial.coco import AnnotatedPhoto, instances_files, read_instances
from spatial.dataset import DatasetFolder, FailedRow, shard_path, write_shard
from spatial.errors import RecordError
from spatial.files import atomic
from spatial.leakage import HELD_OUT_PARTS, photo_key, target_names
from spatial.records import ImageRow, Record
from spatial.sentences import split_caption
from spatial.vsr import Row, find_photo, pair_groups, photo_of, photos_hint, statement, why_missing
from spatial.vsr_photos import Photo, index_photos, photo_row

FAILED = "failed.txt"


@dataclass(frozen=True)
class Job:
    """Everything that the shards are made of.

    Attributes:
        statements: rows with their groups, by photo name.
        paths: where each photo lies, ``None`` if it is missing.
        annotated: objects by ``photo_key``.
    """

    config: ImportVsrConfig
    statements: Mapping[str, Sequence[tuple[SourceRow, str]]]
    paths: Mapping[str, Path | None]
    annotated: Mapping[str, AnnotatedPhoto]

    @property
    def names(self) -> list[str]:
        """The photos, in the order of the shards."""
        return sorted(self.statements)

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-len(self.statements) // self.config.photos_per_shard)

    def shard(self, index: int) -> list[str]:
        """Return the photos of a shard."""
        size = self.config.photos_per_shard
        return self.names[index * size : (index + 1) * size]


def import_vsr(config: ImportVsrConfig) -> Path:
    """Write the dataset folder.

    Returns:
        The folder, with ``README.md``, and ``failed.txt`` where rows could not be used.

    Raises:
        ConfigError: a setting that cannot be used, or the folder holds other data.
        RecordError: annotations or instances cannot be read, no row is left, or none of the photos is there.
    """
    selection = select_rows(config)
    print("\n".join(rows_left([asdict(row) for row in selection.left])), flush=True)
    job = _prepare(config, selection)
    folder = Path(config.out)
    described = {**describe_source(config, selection), "photos_per_shard": config.photos_per_shard}
    claim(folder, described | {SHARDS: job.shards})
    failed = [*selection.failed, *_write(folder, job)]
    _list_failed(folder / FAILED, failed)
    write_card(folder)
    data = DatasetFolder(folder)
    unusable = f", {len(failed)} rows could not be used, see {folder / FAILED}" if failed else ""
    print(f"dataset: {folder} ({len(data.images)} photos, {len(data.records)} statements{unusable})")
    return folder


def _list_failed(path: Path, failed: Sequence[FailedRow]) -> None:
    """Write a line for each row that could not be used, or remove the list if there is none."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    with atomic(path) as temporary:
        temporary.write_text("".join(f"{row.name}: {row.reason}\n" for row in failed), encoding="utf-8")


def _prepare(config: ImportVsrConfig, selection: Selection) -> Job:
    images = Path(config.images)
    groups = pair_groups([source.row for source in selection.rows], f"vsr/{config.part}")
    statements: dict[str, list[tuple[SourceRow, str]]] = defaultdict(list)
    paths: dict[str, Path | None] = {}
    for source, group_id in zip(selection.rows, groups, strict=True):
        name = source.row.photo
        statements[name].append((source, group_id))
        paths[name] = paths.get(name) or find_photo(images, source.row, source.split, config.part)
    if not any(paths.values()):
        raise RecordError(
            f"none of the {len(paths)} photos is in --images {images}; "
            + photos_hint(config.splits, config.part, images)
        )
    annotated = read_instances(config.instances, paths) if config.instances else {}
    return Job(config, statements, paths, annotated)


def describe_source(config: ImportVsrConfig, selection: Selection) -> dict[str, object]:
    """Return what a folder says of rows of VSR: settings and the content of what was read, but no places."""
    guarded = config.part not in HELD_OUT_PARTS
    leakage = config.leakage
    return {
        "annotations": selection.files,
        "instances": {
            file.name: file.stat().st_size for path in config.instances for file in instances_files(Path(path))
        },
        "leakage": {**asdict(leakage), "files": [Path(name).name for name in leakage.files]} if guarded else None,
        "guard": _guard(config, selection) if guarded else {"covers": []},
        "vsr": {"names": selection.names, "part": config.part},
    }


def _guard(config: ImportVsrConfig, selection: Selection) -> dict[str, object]:
    """Return what the guard of a training part covers and left."""
    leakage = config.leakage
    return {
        "covers": list(target_names(leakage.target, leakage.files)),
        "rule": RULES["strict" if leakage.strict else "image"],
        "shared": selection.shared,
        "left": [asdict(row) for row in selection.left],
    }


def _write(folder: Path, job: Job) -> list[FailedRow]:
    """Write the shards that are not there yet and return the rows without a usable photo."""
    failed: list[FailedRow] = []
    with tqdm(total=len(job.names), desc="import", unit="photo") as bar:
        for index in range(job.shards):
            names = job.shard(index)
            if _is_current(folder, index, {name for name in names if job.paths[name]}):
                failed += _missing(job, names)
            else:
                images, records, unusable = _shard_rows(job, names)
                write_shard(folder, index, images, records)
                failed += unusable
            bar.update(len(names))
    return failed


def _is_current(folder: Path, index: int, names: set[str]) -> bool:
    """Tell whether a shard is finished and holds the photos that are there now."""
    if not all(is_whole(shard_path(folder, part, index)) for part in TABLES):
        return False
    held = DatasetFolder(folder).read_column(index, "images", "provenance")
    return {str(json.loads(text)["file"]) for text in held} == names


def _missing(job: Job, names: Sequence[str]) -> Iterator[FailedRow]:
    for name in names:
        for source, _ in job.statements[name] if job.paths[name] is None else ():
            yield FailedRow(source.name, why_missing(source.row, Path(job.config.images)))


def _shard_rows(job: Job, names: Sequence[str]) -> tuple[list[ImageRow], list[Record], list[FailedRow]]:
    photos = index_photos({path: name for name in names if (path := job.paths[name])})
    images: dict[str, ImageRow] = {}
    records: list[Record] = []
    failed: list[FailedRow] = []
    for name in names:
        for source, group_id in job.statements[name]:
            try:
                photo = photo_of(source.row, job.paths[name], photos, Path(job.config.images))
            except RecordError as error:
                failed.append(FailedRow(source.name, str(error)))
                continue
            annotated = fitting(job.annotated.get(photo_key(name)), photo)
            if photo.image_id not in images:
                images[photo.image_id] = photo_row(photo, annotated.objects if annotated else ())
            places = places_of(annotated, source.row) if annotated else (-1, -1)
            records.append(statement(source.row, photo, group_id, job.config.part, places))
    return list(images.values()), records, failed


def fitting(annotated: AnnotatedPhoto | None, photo: Photo) -> AnnotatedPhoto | None:
    """Return the annotation unless the boxes are of a picture of another size, such as one lying on its side."""
    fits = annotated is not None and (annotated.width, annotated.height) == (photo.width, photo.height)
    return annotated if fits else None


def places_of(annotated: AnnotatedPhoto, row: Row) -> tuple[int, int]:
    """Return where a row's two things are: the largest instance of each noun; which is which of one noun is unknown."""
    subject, _, other = (part.lower() for part in split_caption(row.caption, row.relation))
    if subject == other:
        return (-1, -1)
    first, second = ([*annotated.places(noun), -1][0] for noun in (subject, other))
    return (first, second)
