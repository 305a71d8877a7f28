"""Make ``spatial/assets/vsr-held-out.json``: hashes of VSR's dev and test rows, by which training rows are dropped.

    .venv/bin/python scripts/hash_vsr.py ANNOTATIONS [--images DIR]

ANNOTATIONS holds VSR's six files (``random.dev.jsonl`` or ``random/dev.jsonl``, ...). With the photos (COCO's
``train2017`` and ``val2017``) the hashes of their pixels are added, by which generated images are checked.
"""

import argparse
from hashlib import sha256
from pathlib import Path
from typing import Any

from tqdm import tqdm

from spatial.errors import RecordError
from spatial.files import write_json
from spatial.leakage import HASHES, HELD_OUT_PARTS, hashes_of, joined, short_hash
from spatial.templates import split_caption
from spatial.vsr import RELEASED, Row, annotation_file, find_photo, read_rows
from spatial.vsr_photos import index_photos

ABOUT = "blake2b-48 of VSR's dev and test rows in URL-safe base64, 8 characters each; made by scripts/hash_vsr.py"

SPLITS = tuple(dict.fromkeys(split for split, _ in RELEASED))

UNSEEN_CONCEPTS = ("zeroshot",)
"""Splits that keep whole nouns for dev and test."""


def make(annotations: Path, images: Path | None = None, out: Path = HASHES) -> Path:
    """Write the hashes of all dev and test parts to ``out``.

    Raises:
        RecordError: an annotation file or photo is missing or damaged, or a file is not the released one.
    """
    content: dict[str, Any] = {"about": ABOUT, "annotations": {}, "concepts": {}, "parts": {}}
    for split in SPLITS:
        rows = {}
        for part in ("train", *HELD_OUT_PARTS):
            path = annotation_file(annotations, split, part)
            rows[part] = read_rows(path, split, part)
            content["annotations"][f"{split}.{part}.jsonl"] = released_hash(path, split, part)
        for part in HELD_OUT_PARTS:
            found = hashes_of(rows[part])
            hashes = {"photos": found.photos, "captions": found.captions, "pairs": found.pairs}
            if images:
                hashes["pixels"] = pixel_hashes(rows[part], images, split, part)
            content["parts"][f"{split}/{part}"] = {kind: joined(values) for kind, values in hashes.items()}
        if split in UNSEEN_CONCEPTS:
            unseen = set().union(*(nouns(rows[part]) for part in HELD_OUT_PARTS)) - nouns(rows["train"])
            content["concepts"][split] = sorted(unseen)
    write_json(out, content)
    return out


def released_hash(path: Path, split: str, part: str) -> str:
    """Return the sha256 of an annotation file, which must be the released one."""
    found = sha256(path.read_bytes()).hexdigest()
    if found != RELEASED[split, part].sha256:
        raise RecordError(f"{path} is not VSR's released file; download it again")
    return found


def pixel_hashes(rows: list[Row], images: Path, split: str, part: str) -> frozenset[str]:
    """Return the hashes of the pixels of the rows' photos; all must be there and decode."""
    found = {row.photo: find_photo(images, row, split, part) for row in rows}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise RecordError(f"{len(missing)} photos of {split} {part} are not in {images}, the first is {missing[0]}")
    paths = {path: name for name, path in found.items() if path is not None}
    hashes = set()
    for path in tqdm(sorted(paths), desc=f"{split} {part}", unit="photo"):
        photo = index_photos({path: paths[path]})[path]
        if isinstance(photo, RecordError):
            raise photo
        hashes.add(short_hash(photo.image_id))
    return frozenset(hashes)


def nouns(rows: list[Row]) -> set[str]:
    """Return the nouns of captions."""
    parts = (split_caption(row.caption, row.relation) for row in rows)
    return {noun.lower() for subject, _, other in parts for noun in (subject, other)}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--images", type=Path, default=None)
    arguments = parser.parse_args()
    try:
        print(make(arguments.annotations, arguments.images))
    except RecordError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
