"""Where the files of benchmarks but VSR are had. A changed address is one line here.

Three kinds of servers: the Hugging Face hub, whose files are asked for at a fixed commit where one is known; Google
Drive, which may answer with a page instead of a file, and then a person can do it by hand; and one HTTP server.
None of them could be asked when this was written: see ``docs/benchmarks.md``.
"""

from dataclasses import dataclass

from datagen.fetch.sources import PHOTOS, Source
from spatial.benchmarks import RELEASED

LARGE = 4 * 2**30
"""Bytes that archives and tables with pictures may have."""

GENOME_PHOTOS = Source(
    (
        "https://cs.stanford.edu/people/rak248/VG_100K_2/{name}",
        "https://cs.stanford.edu/people/rak248/VG_100K/{name}",
    ),
    "/{folder}/{name}",
    "photos_url",
)

PHOTO_SOURCES = {"val2017": PHOTOS, "vg_images": GENOME_PHOTOS}
"""Where numbered photos are had, by the folder they lie in."""


@dataclass(frozen=True)
class Piece:
    """A file of a benchmark.

    Attributes:
        file: its path in the output folder.
        addresses: where it is had, the preferred first.
        hash: "sha256:..." or "md5:...", "" if none is known.
        drive: its identifier on Google Drive, for a person who fetches it by hand; else "".
        unpack: the folder to take out of it, where it is an archive.
    """

    file: str
    addresses: tuple[str, ...]
    hash: str = ""
    drive: str = ""
    unpack: str = ""


def _drive(file: str, identifier: str, digest: str = "", unpack: str = "") -> Piece:
    address = f"https://drive.usercontent.google.com/download?id={identifier}&export=download&confirm=t"
    return Piece(file, (address,), digest, identifier, unpack)


def _hub(kind: str, repository: str, commit: str = "main", unpack: str = "", file: str = "") -> Piece:
    file = file or RELEASED[kind].file
    address = f"https://huggingface.co/datasets/{repository}/resolve/{commit}/{file}"
    return Piece(file, (address,), "" if unpack else RELEASED[kind].hash, unpack=unpack)


def _questions(kind: str, identifier: str) -> Piece:
    return _drive(RELEASED[kind].file, identifier, RELEASED[kind].hash)


PHOTOS_A = "sha256:4fc005e7ab1e2ac5e5836d2456dd9ae930239c44953b0b2d3e9523f6ad5b1a69"
PHOTOS_B = "sha256:df8b23af7dc73c4bf98937777b7a5d85aab42598eace82fa7adad5802df2c493"

PIECES: dict[str, tuple[Piece, ...]] = {
    "whatsup-a": (
        _questions("whatsup-a", "1ap8mmmpQjLIjPGuplkpBgc1hoEHCj4hm"),
        _drive("controlled_images.tar.gz", "19KGYVQjrV3syb00GgcavB2nZTW5NXX0H", PHOTOS_A, "controlled_images"),
    ),
    "whatsup-b": (
        _questions("whatsup-b", "1unNNosLbdy9NDjgj4l8fsQP3WiAAGA6z"),
        _drive("controlled_clevr.tar.gz", "13jdBpg8t3NqW3jrL6FK8HO93vwsUjDxG", PHOTOS_B, "controlled_clevr"),
    ),
    "coco-spatial-one": (_questions("coco-spatial-one", "1RsMdpE9mmwnK4zzMPpC1-wTU_hNis-dq"),),
    "coco-spatial-two": (_questions("coco-spatial-two", "1TCEoM0mgFmz8T4cF7PQ3XJmO6JjtiQ-s"),),
    "vg-spatial-one": (_questions("vg-spatial-one", "1ARMRzRdohs9QTr1gpIfzyUzvW20wYp_p"),),
    "vg-spatial-two": (_questions("vg-spatial-two", "1sjVG5O3QMY8s118k7kQM8zzDZH12i_95"),),
    "mme-position": (
        _hub("mme-position", "darkyarding/MME", file="MME_Benchmark_release_version.zip", unpack="position"),
    ),
    "mmbench-spatial": (
        Piece(
            RELEASED["mmbench-spatial"].file,
            ("https://opencompass.openxlab.space/utils/benchmarks/MMBench/MMBench_DEV_EN.tsv",),
            RELEASED["mmbench-spatial"].hash,
        ),
    ),
    "seed-spatial": (
        _hub("seed-spatial", "AILab-CVC/SEED-Bench"),
        _hub("seed-spatial", "AILab-CVC/SEED-Bench", file="SEED-Bench-image.zip", unpack="SEED-Bench-image"),
    ),
    "blink-spatial": (_hub("blink-spatial", "BLINK-Benchmark/BLINK", "a3666eb249237ba3d5eca8db21176cc47967e040"),),
    "cv-bench-relation": (
        _hub("cv-bench-relation", "nyu-visionx/CV-Bench", "bc284db50d036958861cb60cdd7b77612052ce0d"),
    ),
    "embspatial": (_hub("embspatial", "Phineas476/EmbSpatial-Bench", "e2733cacf0f20371518c687176e881d79644e61e"),),
}
"""The files of each benchmark, its questions first; photos that are numbered come from ``PHOTO_SOURCES``."""
