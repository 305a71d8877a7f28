"""Which rows of VSR go into a dataset: files pooled, each row once, and those that a target keeps unseen left out."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from datagen.config import ImportVsrConfig
from spatial.dataset import FailedRow
from spatial.errors import ConfigError, RecordError
from spatial.leakage import HELD_OUT_PARTS, HeldOut, check_target, file_name, held_out, photo_key
from spatial.relations import relation_named
from spatial.sentences import split_caption
from spatial.vsr import RELEASED, Row, annotation_file, read_rows

RULES = {
    "none": "as released",
    "image": "without held-out photos",
    "strict": "without held-out photos and captions",
}
"""What may be left out, in words."""


@dataclass(frozen=True)
class SourceRow:
    """A row, and the split and file that it was first met in."""

    split: str
    file: str
    row: Row

    @property
    def name(self) -> str:
        """File, line and photo, as failures name a row."""
        return f"{self.file}:{self.row.line} {self.row.photo}"


@dataclass(frozen=True)
class Left:
    """How many rows a rule leaves: of each split's file, of all files together with each row once, and their photos.

    ``rule`` is in words.
    """

    rule: str
    by_split: dict[str, int]
    distinct: int
    photos: int


@dataclass(frozen=True)
class Selection:
    """The rows of an import.

    Attributes:
        rows: those to write, each once, in the order of the files.
        failed: rows that contradict themselves, with the reason.
        left: what each rule would leave of the files, that of none first.
        shared: how many distinct rows share "image and caption", "image" or only "caption" with the target.
        files: annotation files by name, with the hash of their content.
        names: what an evaluation calls the rows' sources: "zeroshot", or "sha256:..." of a file of one's own.
    """

    rows: list[SourceRow]
    failed: list[FailedRow]
    left: list[Left]
    shared: dict[str, int]
    files: dict[str, str]
    names: list[str]


def select_rows(config: ImportVsrConfig) -> Selection:
    """Read the annotation files and leave out what the guard of a training part drops.

    Raises:
        ConfigError: a split, part or target that cannot be used.
        RecordError: a file cannot be read, or no row is left.
    """
    _check(config)
    files = {split: annotation_file(Path(config.annotations), split, config.part) for split in config.splits}
    read = {
        split: [SourceRow(split, path.name, row) for row in read_rows(path, split, config.part)]
        for split, path in files.items()
    }
    guarded = config.part not in HELD_OUT_PARTS
    guard = held_out(config.leakage.target, config.leakage.files) if guarded else HeldOut()
    strict = config.leakage.strict
    rows, failed = _sound(source for source in _distinct(read) if not guard.drops(*_said(source), strict))
    if not rows:
        raise RecordError(f"no row of {', '.join(path.name for path in files.values())} is left; see docs/leakage.md")
    shared = {"image and caption": 0, "image": 0, "caption": 0}
    for source in _distinct(read):
        if rule := guard.rule(*_said(source)):
            shared[rule] += 1
    return Selection(
        rows,
        failed,
        [_left(read, guard, rule) for rule in (RULES if guarded else ["none"])],
        shared,
        {path.name: file_name(path) for path in files.values()},
        [split if (split, config.part) in RELEASED else file_name(path) for split, path in files.items()],
    )


def _check(config: ImportVsrConfig) -> None:
    if not config.splits:
        raise ConfigError("splits is empty; name random, zeroshot or both")
    if len(set(config.splits)) > 1 and Path(config.annotations).is_file():
        raise ConfigError(f"annotations is one file, {config.annotations}; give one split, or the folder of the files")
    if config.part not in ("train", *HELD_OUT_PARTS):
        raise ConfigError(f"part is {config.part!r}; use train, dev or test")
    if config.photos_per_shard < 1:
        raise ConfigError(f"photos_per_shard is {config.photos_per_shard}; use a positive number")
    check_target(config.leakage.target, config.leakage.files)


def _said(source: SourceRow) -> tuple[str, str]:
    return source.row.photo, source.row.caption


def _distinct(read: dict[str, list[SourceRow]]) -> list[SourceRow]:
    """Pool the files; a photo with the same caption and label counts once."""
    found: dict[tuple[str, str, bool], SourceRow] = {}
    for source in (source for part in read.values() for source in part):
        found.setdefault((photo_key(source.row.photo), source.row.caption, source.row.truth), source)
    return list(found.values())


def _left(read: dict[str, list[SourceRow]], guard: HeldOut, rule: str) -> Left:
    kept = {
        split: [s for s in part if rule == "none" or not guard.drops(*_said(s), strict=rule == "strict")]
        for split, part in read.items()
    }
    pooled = _distinct(kept)
    photos = {photo_key(source.row.photo) for source in pooled}
    return Left(RULES[rule], {split: len(part) for split, part in kept.items()}, len(pooled), len(photos))


def _sound(sources: Iterable[SourceRow]) -> tuple[list[SourceRow], list[FailedRow]]:
    """Part the rows that can become statements from those whose relation and caption contradict each other."""
    rows, failed = [], []
    for source in sources:
        try:
            relation_named(source.row.relation)
            split_caption(source.row.caption, source.row.relation)
            rows.append(source)
        except ValueError as error:
            failed.append(FailedRow(source.name, str(error)))
    return rows, failed
