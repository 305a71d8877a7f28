"""Which files VSR consists of: the annotation file of each chosen part, and the photos that its rows are about.

They lie where ``spatial.vsr`` looks for them: ``OUT/zeroshot.test.jsonl``, ``OUT/train2017/000000085637.jpg``. A row
decides nothing about where a file is written or which server is asked: of its link only COCO's folder is used, and
of its photo's name only a plain file name is accepted.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from datagen.fetch.batch import Missing
from datagen.fetch.config import FetchConfig
from datagen.fetch.download import Wanted
from datagen.fetch.sources import ANNOTATIONS, PHOTOS, addresses
from spatial.benchmarks import file_hash
from spatial.errors import ConfigError, RecordError, nearest
from spatial.records import MAX_PIXELS, decode_image
from spatial.vsr import PHOTO_NAME, RELEASED, Row, find_photo, read_rows

COCO_LINK = re.compile(r"https?://images\.cocodataset\.org/(train2017|val2017)/[^/]+")
SPLITS = tuple(dict.fromkeys(split for split, _ in RELEASED))
PARTS = tuple(dict.fromkeys(part for _, part in RELEASED))


def check(config: FetchConfig) -> None:
    """Check the settings.

    Raises:
        ConfigError: one of them cannot be used.
    """
    if config.split not in SPLITS:
        raise ConfigError(f"split must be {' or '.join(SPLITS)}, not {config.split!r}{nearest(config.split, SPLITS)}")
    for part in config.parts:
        if part not in PARTS:
            raise ConfigError(f"parts may hold {', '.join(PARTS)}, not {part!r}{nearest(part, PARTS)}")
    if not config.parts or len(set(config.parts)) < len(config.parts):
        raise ConfigError(f"parts must name train, dev or test, each once at most, not {config.parts}")
    check_transfer(config)
    addresses(ANNOTATIONS, config.annotations_url, split=config.split, part="test")
    addresses(PHOTOS, config.photos_url, folder="train2017", name="000000000001.jpg")


def check_transfer(config: FetchConfig) -> None:
    """Check the settings that every data set has.

    Raises:
        ConfigError: one of them cannot be used.
    """
    if config.concurrency < 1:
        raise ConfigError(f"concurrency must be at least 1, not {config.concurrency}")
    if config.retries < 0:
        raise ConfigError(f"retries must be 0 or more, not {config.retries}")
    if not config.timeout > 0:
        raise ConfigError(f"timeout must be more than 0 seconds, not {config.timeout}")


def annotation_name(split: str, part: str) -> str:
    """Return the name of a part's annotation file in the output folder."""
    return f"{split}.{part}.jsonl"


def wanted_annotations(config: FetchConfig) -> list[Wanted]:
    """Return the annotation files of the chosen parts, each with the hash of the released one."""
    return [
        Wanted(
            annotation_name(config.split, part),
            addresses(ANNOTATIONS, config.annotations_url, split=config.split, part=part),
            RELEASED[config.split, part].sha256,
        )
        for part in config.parts
    ]


def parts_there(config: FetchConfig) -> list[str]:
    """Return the chosen parts whose annotation file lies in the output folder as released."""
    return [
        part
        for part, item in zip(config.parts, wanted_annotations(config), strict=True)
        if _hash(Path(config.out) / item.file) == item.sha256
    ]


def wanted_photos(config: FetchConfig, parts: Iterable[str]) -> tuple[list[Wanted], list[Missing]]:
    """Return the photos that the rows of these parts need, each once, and the rows that name none.

    A photo that is in the folder already, in COCO's folders or beside the annotations, is looked for at its place.
    """
    wanted: dict[str, Wanted] = {}
    odd = []
    for part in parts:
        name = annotation_name(config.split, part)
        for row in read_rows(Path(config.out) / name, config.split, part):
            link = COCO_LINK.fullmatch(row.link)
            if link and PHOTO_NAME.fullmatch(row.photo):
                photo = _wanted_photo(config, row, part, link[1])
                wanted[photo.file] = photo
            else:
                odd.append(Missing(f"{name}:{row.line}", f"{row.photo!r} at {row.link!r} is no COCO photo"))
    return list(wanted.values()), odd


def _wanted_photo(config: FetchConfig, row: Row, part: str, folder: str) -> Wanted:
    out = Path(config.out)
    there = find_photo(out, row, config.split, part)
    file = there.relative_to(out).as_posix() if there else f"{folder}/{row.photo}"
    return Wanted(file, addresses(PHOTOS, config.photos_url, folder=folder, name=row.photo), flaw=photo_flaw)


def photo_flaw(path: Path) -> str:
    """Return what is wrong with a photo, "" if it decodes."""
    try:
        decode_image(path.read_bytes(), "photo")
    except RecordError:
        return f"it is no photo that decodes, of at most {MAX_PIXELS:,} pixels"
    return ""


def _hash(path: Path) -> str:
    return file_hash(path) if path.is_file() else ""
