"""What goes into a format comes back, whatever it holds, and equal data gives equal bytes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen.config import ExportConfig, ImportConfig
from datagen.export.formats import FORMATS
from datagen.export.rows import plain
from datagen.export.run import export, import_folder
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import RecordError
from spatial.json_files import read_items
from spatial.records import TASKS, ImageObject, ImageRow, Record, encode_png, image_id_of
from spatial.stream import Sample, Samples

IMAGES = []
for seed in range(3):
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    IMAGES.append(ImageRow(image_id_of(pixels), encode_png(pixels), 5, 4, "render"))


def run(dataset: Path, to: str, out: Path, **settings: Any) -> Path:
    return export(ExportConfig(str(dataset), to, str(out), **settings))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(samples: Any) -> dict[str, Any]:
    """Return samples by image as JSON has them, so that NaN equals NaN."""
    return {
        sample.image.image_id: (plain(sample.image), sample.image.image, [plain(record) for record in sample.records])
        for sample in samples
    }


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_gives_back_every_row_and_the_same_bytes_again(rendered: Path, to: str, tmp_path: Path) -> None:
    out = run(rendered, to, tmp_path / "out")
    back = import_folder(ImportConfig(str(out), str(tmp_path / "back"), images_per_shard=5))
    assert rows(Samples(back)) == rows(Samples(rendered))
    assert DatasetFolder(back).content_hash() == DatasetFolder(rendered).content_hash()
    assert (back / "README.md").read_bytes() == (rendered / "README.md").read_bytes()
    assert contents(run(back, to, tmp_path / "again")) == contents(out)


texts = st.text(max_size=8)
words = st.sampled_from(["", "cup", "dining table", "no coco noun"])
numbers = st.floats(allow_nan=False, allow_infinity=False)
objects = st.builds(
    ImageObject,
    name=words,
    box_xyxy=st.tuples(numbers, numbers, numbers, numbers).map(lambda box: tuple(x / 1e300 for x in box)),
    colour=texts,
    mask_rle=st.sampled_from(["", "20", "0,20", "3,4,13", "03,4,13"]) | texts,
    depth=st.floats(allow_infinity=False),
    pose=st.lists(numbers, max_size=2).map(tuple),
)
images = st.builds(
    lambda row, found, licence, provenance: replace(row, objects=found, licence=licence, provenance=provenance),
    st.sampled_from(IMAGES),
    st.lists(objects, max_size=2).map(tuple),
    texts,
    texts,
)
records = st.builds(
    Record,
    image_id=texts,
    group_id=texts,
    role_in_group=texts,
    task=st.sampled_from(TASKS),
    topic=st.sampled_from(["relation", "presence"]),
    caption=texts | st.just("The cup is on the dining table."),
    answer=st.sampled_from(["true", "false", "on"]) | texts,
    subject=st.integers(-1, 3),
    object=st.integers(-1, 3),
    relation=st.sampled_from(["", "on"]),
    frame=st.sampled_from(["", "viewer"]),
    options=st.lists(texts, max_size=2).map(tuple),
    concepts=st.lists(texts, max_size=3).map(tuple),
    split=texts | st.sampled_from(["train", "test", "vsre", "a-b", "a/b"]),
    record_id=st.just(""),
)


def about(image: ImageRow, found: list[Record]) -> Sample:
    own = [replace(record, image_id=image.image_id, record_id="") for record in found]
    return Sample(image, tuple({record.record_id: record for record in own}.values()))


samples = st.lists(st.builds(about, images, st.lists(records, max_size=4)), max_size=3).map(
    lambda found: list({sample.image.image_id: sample for sample in found}.values())
)


@pytest.mark.parametrize("to", FORMATS)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(found=samples)
def test_no_format_loses_anything_of_any_row(
    to: str, found: list[Sample], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    FORMATS[to].write(iter(found), folder, ExportConfig("", to, ""))
    assert rows(FORMATS[to].read(folder)) == rows(found)


def test_records_of_several_splits_lie_in_several_files(tmp_path: Path) -> None:
    parts = {"train": IMAGES[0], "test": IMAGES[1]}
    statements = [
        Record(row.image_id, "g", "original", "statement", "relation", "The cup is on the bed.", "true", split=split)
        for split, row in parts.items()
    ]
    write_shard(tmp_path / "data", 0, parts.values(), [replace(r, relation="on", record_id="") for r in statements])
    for to, names in (("vsr", "{}.jsonl"), ("llava", "{}.json"), ("datasets", "{}/state.json")):
        out = run(tmp_path / "data", to, tmp_path / to)
        assert all((out / names.format(split)).is_file() for split in parts)
        back = import_folder(ImportConfig(str(out), str(tmp_path / f"{to}-back")))
        assert rows(Samples(back)) == rows(Samples(tmp_path / "data"))


def test_records_that_no_template_says_are_kept_beside_the_words(rendered: Path, tmp_path: Path) -> None:
    out = run(rendered, "llava", tmp_path / "out", templates=["question-short"])
    assert rows(FORMATS["llava"].read(out)) == rows(Samples(rendered))


def test_identifiers_of_other_making_survive(tmp_path: Path) -> None:
    own = Record(IMAGES[0].image_id, "g", "original", "caption", "scene", "A cup.", "A cup.", record_id="mine")
    write_shard(tmp_path / "data", 0, IMAGES[:1], [own])
    for to in FORMATS:
        out = run(tmp_path / "data", to, tmp_path / to)
        assert DatasetFolder(import_folder(ImportConfig(str(out), str(tmp_path / f"{to}-back")))).records == [own]


@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    indent=st.sampled_from([None, 2]),
    chunk=st.integers(1, 20),
)
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
def test_items_are_read_from_any_layout_in_any_chunks(
    content: Any, indent: int | None, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spatial.json_files.CHUNK", chunk)
    path = tmp_path / "any.json"
    items = [content, 1, "]", content]
    path.write_text(json.dumps(items, indent=indent))
    assert list(read_items(path)) == items
    path.write_text(json.dumps({"before": content, "list": [content], "wanted": items, "after": 1}, indent=indent))
    assert list(read_items(path, "wanted")) == items
    with pytest.raises(RecordError, match="has no 'other'"):
        list(read_items(path, "other"))
