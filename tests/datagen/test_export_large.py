"""A hundred thousand records go to every format and back, in memory that does not grow with them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datagen.export.formats import FORMATS
from spatial.dataset import DatasetFolder, write_shard
from spatial.records import ImageObject, ImageRow, Record, encode_mask, encode_png, image_id_of
from spatial.templates import sentence
from spatial.vocabulary import COLOURS, NOUNS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

RECORDS_PER_IMAGE, IMAGES_PER_SHARD = 100, 20
SMALL, LARGE = 5_000, 100_000
MIB = 2**20

CODE = """
import resource, sys
from datagen.config import ExportConfig, ImportConfig
from datagen.export.run import export, import_folder
data, to, out, back = sys.argv[1:]
if back:
    import_folder(ImportConfig(out, back))
else:
    export(ExportConfig(data, to, out))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def image(number: int) -> ImageRow:
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    objects = []
    for _ in range(3):
        left, top = rng.integers(0, 8, 2)
        mask = np.zeros((16, 16), dtype=bool)
        mask[top : top + 6, left : left + 7] = True
        box = (float(left), float(top), float(left + 7), float(top + 6))
        objects.append(ImageObject(str(rng.choice(NOUNS)), box, str(rng.choice(COLOURS)), encode_mask(mask), 2.5))
    return ImageRow(image_id_of(pixels), encode_png(pixels), 16, 16, "render", tuple(objects), licence="CC0-1.0")


def record(row: ImageRow, group: int, number: int) -> Record:
    subject, other = number % 3, (number + 1) % 3
    concepts = (row.objects[subject].name, row.objects[other].name)
    common = {
        "image_id": row.image_id,
        "group_id": f"group {group} {number // 8}",
        "role_in_group": "original",
        "concepts": concepts,
        "split": "train",
    }
    if number % 4 == 3:
        text = f"The {concepts[0]} is at x{number % 8} y{group % 8}."
        return Record(**common, task="locate", topic="cell", caption=text, answer=f"x{number % 8} y{group % 8}")  # type: ignore[arg-type]
    relation = ("left of", "right of", "near")[number % 3]
    caption = sentence(f"{COLOURS[number % 8]} {concepts[0]}", relation, f"{concepts[1]} number {number}")
    fields = {"subject": subject, "object": other, "relation": relation, "frame": "viewer"}
    answer = "true" if number % 2 else "false"
    return Record(**common, **fields, task="statement", topic="relation", caption=caption, answer=answer)  # type: ignore[arg-type]


def make(folder: Path, records: int) -> Path:
    for start in range(0, records // RECORDS_PER_IMAGE, IMAGES_PER_SHARD):
        images = [image(number) for number in range(start, start + IMAGES_PER_SHARD)]
        said = [record(row, start + i, k) for i, row in enumerate(images) for k in range(RECORDS_PER_IMAGE)]
        write_shard(folder, start // IMAGES_PER_SHARD, images, said)
    return folder


@pytest.fixture(scope="module")
def datasets_by_size(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    return {size: make(tmp_path_factory.mktemp("data") / str(size), size) for size in (SMALL, LARGE)}


def peak(*arguments: object) -> int:
    """Run an export, or an import if there is a fourth argument, and return its peak memory in bytes."""
    words = [*map(str, arguments), *[""] * (4 - len(arguments))]
    done = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("to", FORMATS)
def test_a_hundred_thousand_records_go_there_and_back(
    datasets_by_size: dict[int, Path], to: str, tmp_path: Path
) -> None:
    peaks = {}
    for size, data in datasets_by_size.items():
        out, back = tmp_path / f"out {size}", tmp_path / f"back {size}"
        peaks[size] = (peak(data, to, out), peak(data, to, out, back))
        ours, theirs = DatasetFolder(data), DatasetFolder(back)
        assert ours.content_hash() == theirs.content_hash()
    assert len(theirs.records) == LARGE
    assert theirs.records == ours.records
    assert {key: theirs.images[key] for key in theirs.images} == {key: ours.images[key] for key in ours.images}
    growth = [(large - small) / MIB for small, large in zip(*peaks.values(), strict=True)]
    assert max(growth) < 150, f"export and import grew by {growth} MiB"
