"""Read VSR: captions about COCO photos, each true or false (Liu, Emerson, Collier, TACL 2023, arXiv 2205.00363).

A line of an annotation file names a photo, a caption, its relation and its label. VSR is contrastive: most
captions occur once with a photo of which they are true and once with one of which they are not. Such a pair is
one group here, so pair accuracy needs no further file. Photos are read from a local folder and named, like all
images, by the hash of their pixels; a photo that is missing or broken makes its rows fail by name.
"""

import json
import logging
import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from spatial.dataset import FailedRow, RecordSet
from spatial.errors import RecordError, nearest
from spatial.records import Record
from spatial.relations import relation_named
from spatial.scene import digest
from spatial.templates import split_caption
from spatial.vsr_photos import Photo, PhotoImages, index_photos

PHOTO_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.(?:jpg|jpeg|png)", re.IGNORECASE)
"""What a data file may call a photo: a plain name, which cannot leave the folder it is looked up in."""

EXAMPLE = '{"image": "desk.jpg", "caption": "The cup is left of the book.", "relation": "left of", "label": 1}'
"""A row that can be used."""

FOLDERS = ("", "train2017", "val2017")
"""Where photos are looked for under the images folder: itself and COCO's own sub-folders."""


@dataclass(frozen=True)
class Released:
    """What the released annotation file of a split holds."""

    rows: int
    sha256: str


RELEASED: dict[tuple[str, str], Released] = {
    ("random", "train"): Released(7680, "8b725a8621f2d0f94745f1fefdcf3ff8a7eb96fd358676296ff9c9a4ff463c6e"),
    ("random", "dev"): Released(1097, "90de24b811597a913310d043758f1119a1ba9ebf1b1ca8f1e27c4907f01980d4"),
    ("random", "test"): Released(2195, "8ade82a0b93ac9dc1e53f6cf1f11e9d5536776a3715102b6b4d27d4f81d551cc"),
    ("zeroshot", "train"): Released(3489, "62daf2c5d573667038f88feaf1d26a1154c892083a72d83ed5c7551666ed3066"),
    ("zeroshot", "dev"): Released(340, "0abda42fe9333ab6a8671b32886738b5cfa6d37a8c277b56d8368c339c8dffce"),
    ("zeroshot", "test"): Released(1222, "914d9156723b912d8f794b179248af865a68c5f81c9d8e3a21d007778cacaad4"),
}
"""The six annotation files of github.com/cambridgeltl/visual-spatial-reasoning, folder data/splits."""


@dataclass(frozen=True)
class Row:
    """One line of an annotation file: its number, counted from 1, and what the project uses of it."""

    line: int
    photo: str
    caption: str
    relation: str
    truth: bool
    link: str = ""


def read_vsr(annotations: Path, images: Path, split: str = "zeroshot", part: str = "dev") -> RecordSet:
    """Read a part of VSR as true/false statements about photos.

    Args:
        annotations: a jsonl file, or a folder with ``<split>.<part>.jsonl`` or ``<split>/<part>.jsonl``.
        images: the folder of the photos, or of COCO's ``train2017`` and ``val2017``.
        split: "random" or "zeroshot"; any other name is taken for a selection of one's own, of any length.
        part: "train", "dev" or "test".

    Returns:
        Records with the images they need; rows without a usable photo are in ``failed``.

    Raises:
        RecordError: the annotation file is missing, damaged or not the released one in length, or no photo was found.
    """
    path = annotation_file(Path(annotations), split, part)
    rows = read_rows(path, split, part)
    found = {row.line: find_photo(Path(images), row, split, part) for row in rows}
    names = {photo: row.photo for row in rows if (photo := found[row.line]) is not None}
    if not rows:
        raise RecordError(f"{path} has no rows; a row is {EXAMPLE}")
    if not names:
        raise RecordError(
            f"none of the {len(rows)} photos of {path.name} is in {images}, such as {rows[0].photo}; "
            f"{photos_hint([split], part, Path(images))}"
        )
    photos = index_photos(names)
    records, failed = [], []
    for row, group_id in zip(rows, pair_groups(rows, f"vsr/{split}/{part}"), strict=True):
        try:
            own = photo_of(row, found[row.line], photos, Path(images))
            records.append(statement(row, own, group_id, part))
        except (RecordError, ValueError) as error:
            failed.append(FailedRow(f"{path.name}:{row.line} {row.photo}", str(error)))
    usable = [photo for photo in photos.values() if isinstance(photo, Photo)]
    files = {photo.image_id: photo.name for photo in usable}
    return RecordSet(records, PhotoImages(iter(usable)), failed, files)


def annotation_file(annotations: Path, split: str, part: str) -> Path:
    """Return the annotation file of a part.

    Raises:
        RecordError: it does not exist, or the names are not plain words.
    """
    if annotations.is_file():
        return annotations
    if not annotations.is_dir() and annotations.suffix:
        files = [path.name for path in annotations.parent.glob(f"*{annotations.suffix}")]
        mend = nearest(annotations.name, files) or "; correct the path of the annotations"
        raise RecordError(f"there is no file {annotations}{mend}")
    for name in (split, part):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise RecordError(
                f"{name!r} is no name of a VSR split; use split random or zeroshot, part train, dev or test"
            )
    candidates = (annotations / f"{split}.{part}.jsonl", annotations / split / f"{part}.jsonl")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise RecordError(
        f"no VSR annotation file {candidates[0]} or {candidates[1]}; {fetch_hint([split], part, annotations)}"
        "pass a jsonl file, or a folder with data/splits of github.com/cambridgeltl/visual-spatial-reasoning"
    )


def read_rows(path: Path, split: str, part: str) -> list[Row]:
    """Read an annotation file and check it against the released one where ``split`` and ``part`` name one.

    Raises:
        RecordError: a line cannot be read, or the number of rows is not the released one.
    """
    data = path.read_bytes()
    lines = data.decode("utf-8", errors="replace").split("\n")
    released = RELEASED.get((split, part))
    mend = "download the file again" if released else f"a row is {EXAMPLE}"
    rows = [_parse(line, f"{path}:{number}", number, mend) for number, line in enumerate(lines, 1) if line.strip()]
    if released and len(rows) != released.rows:
        raise RecordError(
            f"{path} has {len(rows)} rows, but VSR's {split} {part} has {released.rows}; "
            "download it again, or, if the rows are your own, give the split a name of your own, such as 'mine' "
            "(of vsre eval: --data.variant mine)"
        )
    if released and sha256(data).hexdigest() != released.sha256:
        logging.getLogger(__name__).warning("%s is not byte for byte VSR's released %s %s file", path, split, part)
    return rows


def find_photo(images: Path, row: Row, split: str, part: str) -> Path | None:
    """Return where a row's photo is under the images folder, if it is there and has a plain name."""
    if not PHOTO_NAME.fullmatch(row.photo):
        return None
    candidates = [images / folder / row.photo for folder in FOLDERS]
    if (split, part) == ("zeroshot", "dev"):
        # The naming of a public copy of this part's photos, one file per line.
        candidates.append(images / f"val_Spatial_Reasoning_{row.line}.jpg")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def fetch_hint(splits: Sequence[str], part: str, folder: Path) -> str:
    """Return the start of a mend, the command that fetches released parts; empty for a selection of one's own."""
    out = shlex.quote(str(folder))
    released = [split for split in splits if (split, part) in RELEASED]
    commands = [f"vsre fetch vsr --split {split} --parts '[{part}]' --out {out}" for split in released]
    return f"run: {' && '.join(commands)}; or " if commands else ""


def photos_hint(splits: Sequence[str], part: str, folder: Path) -> str:
    """Return how photos that are missing are had."""
    if fetch := fetch_hint(splits, part, folder):
        return f"{fetch}pass the folder that holds COCO's train2017 and val2017 (images.cocodataset.org/zips)"
    return "pass the folder that they are in"


def _parse(line: str, place: str, number: int, mend: str) -> Row:
    """Return one line of an annotation file.

    Raises:
        RecordError: it is no row; says where it is, why, and the mend.
    """
    try:
        fields: Any = json.loads(line)
    except ValueError as error:
        raise RecordError(f"{place} is no VSR row, it is not JSON ({error}); {mend}") from error
    if not isinstance(fields, dict):
        raise RecordError(f"{place} is no VSR row, which has names and values; {mend}")
    for name in ("image", "caption", "relation", "label"):
        if name not in fields:
            raise RecordError(f"{place} is no VSR row, it has no {name!r}, only {', '.join(fields)}; {mend}")
    if fields["label"] not in (0, 1):
        raise RecordError(f"{place} is no VSR row, its label is {fields['label']!r} instead of 1 or 0; {mend}")
    image, caption, relation = (str(fields[name]) for name in ("image", "caption", "relation"))
    return Row(number, image, caption, relation, bool(fields["label"]), str(fields.get("image_link", "")))


def photo_of(row: Row, path: Path | None, photos: Mapping[Path, Photo | RecordError], images: Path) -> Photo:
    """Return a row's photo.

    Raises:
        RecordError: it has none; says why.
    """
    if path is None:
        raise RecordError(why_missing(row, images))
    photo = photos[path]
    if isinstance(photo, RecordError):
        raise photo
    return photo


def why_missing(row: Row, images: Path) -> str:
    """Return why ``find_photo`` finds nothing, with the mend."""
    if not PHOTO_NAME.fullmatch(row.photo):
        return f"{row.photo!r} is not a plain file name of a photo; correct the row"
    return f"image {row.photo} is missing under {images}; put it there (VSR's own come with 'vsre fetch vsr')"


def pair_groups(rows: Sequence[Row], prefix: str) -> list[str]:
    """Return a group per row: the k-th true and the k-th false row of one caption share one."""
    seen: dict[tuple[str, bool], int] = defaultdict(int)
    groups = []
    for row in rows:
        groups.append(digest(f"{prefix}/{row.caption}/{seen[row.caption, row.truth]}"))
        seen[row.caption, row.truth] += 1
    return groups


def statement(row: Row, photo: Photo, group_id: str, part: str, places: tuple[int, int] = (-1, -1)) -> Record:
    """Return a row as a statement about its photo.

    Args:
        row: of an annotation file.
        photo: the row's.
        group_id: see ``pair_groups``.
        part: "train", "dev" or "test".
        places: where subject and object are among the image's objects; -1 where that is not known.

    Raises:
        ValueError: the relation is unknown, or the caption does not say it of two things.
    """
    relation_named(row.relation)
    subject, _, other = split_caption(row.caption, row.relation)
    answer = "true" if row.truth else "false"
    return Record(
        image_id=photo.image_id,
        group_id=group_id,
        role_in_group=answer,
        task="statement",
        topic="relation",
        caption=row.caption,
        answer=answer,
        subject=places[0],
        object=places[1],
        relation=row.relation,
        concepts=(subject.lower(), other.lower()),
        split=part,
    )
