"""What is known beforehand of public benchmarks: the files they consist of, for those who read and who fetch them.

A number here was read in a release, a data card or a public audit; ``docs/benchmarks.md`` says in which, and which
servers could not be asked. What nobody tells stands as 0 or "".
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from spatial.errors import RecordError

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What a data file may call a picture: a plain name, which cannot leave the folder it is looked up in."""

IDENTIFIER = re.compile(r"[0-9]{1,12}")
"""How COCO and Visual Genome number their pictures."""


@dataclass(frozen=True)
class Released:
    """The file of a benchmark, as its authors released it.

    Attributes:
        file: its name in the benchmark's folder (MME's questions are a folder themselves).
        rows: all rows of the file.
        asked: of these, the rows that belong to the benchmark as it is used here.
        hash: "sha256:..." or "md5:..." of the file.
        pictures: the folder of the pictures beside the file; "" where they stand in the file.
        licence: as its authors state it.
    """

    file: str
    rows: int = 0
    asked: int = 0
    hash: str = ""
    pictures: str = ""
    licence: str = ""


WHATSUP = "What'sUp, MIT (the repository; nothing is said of the photos)"
COCO = "COCO photo under its Flickr author's licence; What'sUp caption, MIT (the repository)"
GENOME = "Visual Genome photo, CC BY 4.0; What'sUp caption, MIT (the repository)"

CONTROLLED_A = "sha256:77ee94ae35552ed643ecd47f700daa178e10051458baae99d5c4c5d5922590d3"
CONTROLLED_B = "sha256:2c0df1ab59d13d71442752b4b3c7353114d712a785b0850ec22e11c2b0c474c9"
MMBENCH_DEV = "md5:b6caf1133a01c6bb705cf753bb527ed8"
CV_BENCH_2D = "sha256:33196034ef4bf3265cae4a7ff5c4071b2ff1cc21123e8e285c6a91393897ecbc"

RELEASED: dict[str, Released] = {
    "whatsup-a": Released(
        "controlled_images_dataset.json", 412, 412, CONTROLLED_A, pictures="controlled_images", licence=WHATSUP
    ),
    "whatsup-b": Released(
        "controlled_clevr_dataset.json", 408, 408, CONTROLLED_B, pictures="controlled_clevr", licence=WHATSUP
    ),
    "coco-spatial-one": Released("coco_qa_one_obj.json", 2247, 2247, pictures="val2017", licence=COCO),
    "coco-spatial-two": Released("coco_qa_two_obj.json", 440, 440, pictures="val2017", licence=COCO),
    "vg-spatial-one": Released("vg_qa_one_obj.json", 1160, 1160, pictures="vg_images", licence=GENOME),
    "vg-spatial-two": Released("vg_qa_two_obj.json", 291, 291, pictures="vg_images", licence=GENOME),
    "mme-position": Released("position", 60, 60, licence="Apache-2.0 (MME's card); photos of COCO"),
    "mmbench-spatial": Released("MMBench_DEV_EN.tsv", 4329, hash=MMBENCH_DEV, licence="Apache-2.0 (MMBench)"),
    "seed-spatial": Released(
        "SEED-Bench.json", asked=657, pictures="SEED-Bench-image", licence="CC BY-NC 4.0 (SEED-Bench's card)"
    ),
    "blink-spatial": Released(
        "Spatial_Relation/val-00000-of-00001.parquet", 143, 143, licence="Apache-2.0 (BLINK's card)"
    ),
    "cv-bench-relation": Released("test_2d.parquet", 1438, 650, CV_BENCH_2D, licence="Apache-2.0 (CV-Bench's card)"),
    "embspatial": Released("embspatial_bench.json", 3640, 3640, licence="CC BY 4.0 (EmbSpatial-Bench's card)"),
}
"""The benchmarks by the name that ``vsre fetch`` and ``data.kind`` know them by."""

SEED_SPATIAL_RELATION = 6
"""The ``question_type_id`` of SEED-Bench's dimension "Spatial Relation"."""

NUMBERED = {"val2017": "{:012d}.jpg", "vg_images": "{}.jpg"}
"""How the pictures of a folder are named by their numbers."""


def numbered_picture(kind: str, number: object) -> str:
    """Return the file name of the picture that a row of a COCO or Visual Genome set numbers.

    Raises:
        RecordError: it is no such number.
    """
    if isinstance(number, bool) or not IDENTIFIER.fullmatch(str(number)):
        raise RecordError(f"{number!r} is no number of a picture; correct the row")
    return NUMBERED[RELEASED[kind].pictures].format(int(str(number)))


def hash_flaw(path: Path, released: str) -> str:
    """Return how a file differs from the one with hash "sha256:..." or "md5:...", "" if it does not or none is known.

    Raises:
        OSError: the file cannot be read.
    """
    kind, _, expected = released.partition(":")
    return f"its {kind} is not the released file's" if expected and file_hash(path, kind) != expected else ""


def file_hash(path: Path, kind: str = "sha256") -> str:
    """Return the hash of a file, which is not read whole into memory.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
