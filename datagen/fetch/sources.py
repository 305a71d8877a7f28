"""Where the files of VSR are had, and what is known of them beforehand. A changed address is one line here.

The annotations are the authors' own files, on GitHub at a fixed commit and on Hugging Face; both must have the
sha256 of ``spatial.vsr.RELEASED``. The photos are COCO's. Their rows link to images.cocodataset.org, which offers
no TLS; the same bucket is asked over TLS first, because no hash of a photo is known beforehand.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from spatial.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """Addresses of a kind of file, the preferred first, and how a mirror's address goes on."""

    addresses: tuple[str, ...]
    tail: str
    setting: str


ANNOTATIONS = Source(
    (
        "https://raw.githubusercontent.com/cambridgeltl/visual-spatial-reasoning/"
        "b27a0af0ee1462d2b6b92c8c83e869d9254a241a/data/splits/{split}/{part}.jsonl",
        "https://huggingface.co/datasets/cambridgeltl/vsr_{split}/resolve/main/{part}.jsonl",
    ),
    "/{split}/{part}.jsonl",
    "annotations_url",
)

PHOTOS = Source(
    (
        "https://s3.amazonaws.com/images.cocodataset.org/{folder}/{name}",
        "http://images.cocodataset.org/{folder}/{name}",
    ),
    "/{folder}/{name}",
    "photos_url",
)


@dataclass(frozen=True)
class Extent:
    """How much a released part is: bytes of its annotation file, and different photos of its rows."""

    annotation_bytes: int
    photos: int


EXTENTS: Mapping[tuple[str, str], Extent] = MappingProxyType(
    {
        ("random", "train"): Extent(2_362_151, 4968),
        ("random", "dev"): Extent(338_049, 1017),
        ("random", "test"): Extent(674_712, 1874),
        ("zeroshot", "train"): Extent(1_114_884, 2249),
        ("zeroshot", "dev"): Extent(107_245, 227),
        ("zeroshot", "test"): Extent(380_380, 715),
    }
)

PHOTO_BYTES = 163_000
"""Mean size of a COCO photo: val2017.zip holds 5,000 of them, uncompressed, in 815,585,330 bytes."""


def addresses(source: Source, mirror: str, **words: str) -> tuple[str, ...]:
    """Return where a file is had: from ``mirror`` alone if one is given.

    Raises:
        ConfigError: the mirror is no http address, or holds an unknown word in braces.
    """
    templates = (_template(source, mirror),) if mirror else source.addresses
    return tuple(re.sub(r"{(\w+)}", lambda word: words[word[1]], template) for template in templates)


def _template(source: Source, mirror: str) -> str:
    if not re.match(r"https?://[^/\s]", mirror):
        raise ConfigError(f"{source.setting} must be an http or https address, not {mirror!r}")
    known = re.findall(r"{\w+}", source.tail)
    for word in re.findall(r"{.*?}", mirror):
        if word not in known:
            raise ConfigError(f"{source.setting} holds the unknown word {word}; known: {' and '.join(known)}")
    if "{" not in mirror:
        return mirror.rstrip("/") + source.tail
    if known[-1] not in mirror:
        raise ConfigError(f"{source.setting} must hold {known[-1]}, or every file would have one address")
    return mirror
