"""Minimal pairs that somebody else made: a table with two pictures, or two questions, and two answers in each row.

Nothing of a row is taken from another row, and no picture is replaced by an empty one: a row that cannot be used is
named, with the reason. (The released code of NOTICE, arXiv 2406.16320, pairs prompts of different rows, shows zeros for
pictures that were not downloaded, and has each row of SVO-Probes twice.)
"""

import csv
import difflib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from eval.config import CsvConfig
from eval.interpret.build import BUILDERS
from eval.interpret.pairs import MODES, Pair, PairSet, Side
from eval.interpret.questions import WORD, question, replaced
from eval.readers.pictures import Picture, Pictures, read_file
from spatial.dataset import FailedRow
from spatial.errors import ConfigError, RecordError, check_known, first_line, nearest
from spatial.records import decode_image, image_id_of
from spatial.templates import Prompt

COLUMNS = (
    *("id", "clean_image", "corrupt_image", "clean_prompt", "corrupt_prompt"),
    *("correct", "incorrect", "family", "group", "subject", "relation", "object"),
)
NEEDED = ("clean_image", "clean_prompt", "correct", "incorrect")

ALIKE = 0.5
"""Two questions of which no larger share of the words agrees do not belong to one pair."""

Row = dict[str, str]


class _Unusable(Exception):
    """Why a row makes no pair; the same words for all of a kind."""


def read_pairs(config: CsvConfig) -> PairSet:
    """Read the pairs of a table, after it is built if it is to be and is not there.

    Returns:
        Of each row an image pair and a text pair, as far as it has them; what cannot be used is in ``failed``.

    Raises:
        ConfigError: a setting is unknown, or names a column that the file has not.
        RecordError: the file is missing or damaged, or no row of it can be used.
    """
    _check(config)
    path = Path(config.path)
    if config.build and not path.exists():
        BUILDERS[config.build](config)
    root = Path(config.images) if config.images else path.parent
    pictures, known = Pictures(path.stem, ""), dict[Path, Picture]()
    pairs: dict[str, Pair] = {}
    failed: list[FailedRow] = []
    for number, row in _rows(path, config.columns):
        name = f"{path.name}:{number}" + (f" ({row['id']})" if row["id"] else "")
        for mode in config.modes:
            try:
                pair = _pair(row, mode, root, pictures, known)
                if pair is None:
                    continue
                if pair.pair_id in pairs:
                    raise _Unusable("the same pair stands in the table before")
                pairs[pair.pair_id] = pair
            except _Unusable as reason:
                failed.append(FailedRow(name, str(reason)))
        if not (row["corrupt_image"] or row["corrupt_prompt"]):
            failed.append(FailedRow(name, "it has neither another picture nor another question"))
    if not pairs:
        first = f"the first: {failed[0].name}: {failed[0].reason}" if failed else "it has none"
        raise RecordError(f"none of the rows of {path} makes a pair; {first}")
    return PairSet(list(pairs.values()), pictures, failed)


def _check(config: CsvConfig) -> None:
    if not config.path:
        raise ConfigError("path is empty; name the table of pairs")
    for name in config.columns:
        check_known("column", name, COLUMNS)
    for mode in config.modes:
        check_known("mode", mode, MODES)
    if config.build:
        check_known("build", config.build, BUILDERS)


def _rows(path: Path, columns: dict[str, str]) -> Iterator[tuple[int, Row]]:
    """Yield rows by our names of the columns, with "" for what a row lacks, each with its number from 1."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            named = {name: columns.get(name, name) for name in COLUMNS}
            _check_header(path, list(table.fieldnames or ()), named, columns)
            for number, row in enumerate(table, start=1):
                yield number, {name: (row.get(theirs) or "").strip() for name, theirs in named.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(
            f"{path} cannot be read as a table ({first_line(error)}); correct the path or file"
        ) from error


def _check_header(path: Path, header: list[str], named: dict[str, str], asked: dict[str, str]) -> None:
    for name, theirs in named.items():
        if theirs not in header and (name in NEEDED or name in asked):
            near = nearest(theirs, header)
            raise ConfigError(f"{path} has no column {theirs!r}{near}; name the one for {name!r} under columns")


def _pair(row: Row, mode: str, root: Path, pictures: Pictures, known: dict[Path, Picture]) -> Pair | None:
    """Return one pair of a row; ``None`` if it has none of this mode."""
    if not row[f"corrupt_{'image' if mode == 'image' else 'prompt'}"]:
        return None
    answers = (row["correct"], row["incorrect"])
    if not all(answers):
        raise _Unusable("an answer is missing")
    if answers[0].lower() == answers[1].lower():
        raise _Unusable("both answers are the same")
    words = {role: row[role] for role in ("subject", "relation", "object") if row[role]}
    prompt = question(row["clean_prompt"], answers, answers[0], words)
    shown = _picture(root, row["clean_image"], pictures, known)
    clean = Side(shown, prompt)
    if mode == "image":
        other = _picture(root, row["corrupt_image"], pictures, known)
        if other == shown:
            raise _Unusable("both pictures are the same")
        corrupt = Side(other, question(row["clean_prompt"], answers, answers[1], words))
    else:
        corrupt = Side(shown, replaced(prompt, _reworded(row, prompt), answers[1]))
    return Pair(mode, clean, corrupt, answers, row["relation"], row["family"], row["group"] or shown)


def _reworded(row: Row, clean: Prompt) -> str:
    """Return the corrupt question, if it is one to the clean one."""
    text = row["corrupt_prompt"]
    ours, theirs = (WORD.findall(said.lower()) for said in (clean.text, text))
    if ours == theirs:
        raise _Unusable("both questions are the same")
    if difflib.SequenceMatcher(None, ours, theirs, autojunk=False).ratio() <= ALIKE:
        raise _Unusable("its two questions have too little in common; they may be of different rows")
    return text


def _picture(root: Path, name: str, pictures: Pictures, known: dict[Path, Picture]) -> str:
    """Return the identifier of a picture under ``root``, and keep the picture."""
    path = _inside(root, name)
    if path not in known:
        known[path] = _look_at(path, name)
    pictures.keep(known[path], path)
    return known[path].image_id


def _inside(root: Path, name: str) -> Path:
    if "://" in name:
        raise _Unusable("a picture is an address and not a file; download it first")
    if not name or "\0" in name or "\\" in name:
        raise _Unusable("a picture has no usable name")
    path = (root / name).resolve()
    if Path(name).is_absolute() or not path.is_relative_to(root.resolve()):
        raise _Unusable("a picture is outside the folder of pictures")
    if not path.is_file():
        raise _Unusable("a picture is missing")
    return path


def _look_at(path: Path, name: str) -> Picture:
    """Decode a picture, and refuse one of a single colour, which may stand for a failed download."""
    try:
        pixels = np.asarray(decode_image(read_file(path), name))
    except RecordError as error:
        large = " more than " in str(error)
        raise _Unusable("a picture is too large" if large else "a picture cannot be decoded") from error
    if (pixels == pixels[0, 0]).all():
        raise _Unusable("a picture is of one colour, as failed downloads are")
    height, width, _ = pixels.shape
    return Picture(name, image_id_of(pixels), width, height)
