"""Walking through a dataset folder meets each image once with all of its records, however the shards were cut."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import RecordError
from spatial.records import ImageRow, Record, encode_png, image_id_of
from spatial.stream import Samples


def image(seed: int, **fields: object) -> ImageRow:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return ImageRow(image_id_of(pixels), encode_png(pixels), 5, 4, "render", **fields)  # type: ignore[arg-type]


def record(row: ImageRow, caption: str) -> Record:
    return Record(row.image_id, "group", "original", "statement", "relation", caption, "true")


IMAGES = [image(seed) for seed in range(6)]
RECORDS = [record(row, f"Caption {number}.") for row in IMAGES[:5] for number in range(3)]


@pytest.mark.parametrize("shards", [1, 2, 6])
def test_every_image_comes_once_with_its_records_in_order(tmp_path: Path, shards: int) -> None:
    for index in range(shards):
        images = IMAGES[index::shards]
        ids = {row.image_id for row in images}
        write_shard(tmp_path, index, images, [item for item in RECORDS if item.image_id in ids])
    samples = list(Samples(tmp_path))
    assert len(samples) == len(Samples(tmp_path)) == 6
    assert {sample.image.image_id for sample in samples} == {row.image_id for row in IMAGES}
    assert Samples(tmp_path).count_records() == len(RECORDS)
    for sample in samples:
        assert sample.records == tuple(item for item in RECORDS if item.image_id == sample.image.image_id)


def test_an_image_of_two_shards_counts_once_with_the_records_of_both(tmp_path: Path) -> None:
    again = replace(IMAGES[0], provenance='{"attempts": 2}')
    further = record(IMAGES[0], "A further caption.")
    write_shard(tmp_path, 0, IMAGES[:2], RECORDS[:6])
    write_shard(tmp_path, 1, [again, IMAGES[2]], [*RECORDS[:2], further, *RECORDS[6:9]])
    samples = {sample.image.image_id: sample for sample in Samples(tmp_path)}
    assert samples[again.image_id].records == (*RECORDS[:3], further)
    assert samples[again.image_id].image == again == DatasetFolder(tmp_path).images[again.image_id]
    assert sum(len(sample.records) for sample in samples.values()) == Samples(tmp_path).count_records() == 10


def test_a_record_without_its_image_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, IMAGES[:1], RECORDS[:4])
    with pytest.raises(RecordError, match=IMAGES[1].image_id):
        Samples(tmp_path)
