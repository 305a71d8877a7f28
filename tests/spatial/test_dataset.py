"""A dataset folder gives back what was written, however it was cut into shards, and a damaged file is named."""

import math
from pathlib import Path

import numpy as np
import pytest

from spatial.dataset import DatasetFolder, finished_shards, write_shard
from spatial.errors import RecordError
from spatial.records import ImageObject, ImageRow, Record, encode_png, image_id_of


def image(seed: int) -> ImageRow:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    objects = (
        ImageObject("cup", (1.0, 2.0, 5.5, 6.0), "red", "3,4", 2.5, (0.0, 1.0, 0.0, 0.1, 0.1, 0.2, 90.0)),
        ImageObject("dining table", (0.0, 0.0, 9.0, 9.0)),
    )
    return ImageRow(image_id_of(pixels), encode_png(pixels), 16, 12, "render", objects, "scene", "{}", "CC0-1.0")


def record(row: ImageRow, answer: str = "true", **fields: object) -> Record:
    caption = "The red cup is on the dining table."
    return Record(row.image_id, "group", "original", "statement", "relation", caption, answer, 0, 1, "on", **fields)  # type: ignore[arg-type]


IMAGES = [image(seed) for seed in range(6)]
RECORDS = [record(row, answer, concepts=("cup", "dining table")) for row in IMAGES for answer in ("true", "false")]


def write(folder: Path, shards: int) -> DatasetFolder:
    for index in range(shards):
        images = IMAGES[index::shards]
        ids = {row.image_id for row in images}
        write_shard(folder, index, images, [item for item in RECORDS if item.image_id in ids])
    return DatasetFolder(folder)


def same(first: ImageObject, second: ImageObject) -> bool:
    depths = (first.depth, second.depth)
    return (math.isnan(depths[0]) and math.isnan(depths[1])) or first == second


def test_round_trip_keeps_every_field(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)
    assert folder.records == RECORDS
    assert set(folder.images) == {row.image_id for row in IMAGES}
    for row in IMAGES:
        back = folder.images[row.image_id]
        assert (back.image, back.width, back.height, back.scene, back.licence) == (row.image, 16, 12, "{}", "CC0-1.0")
        assert all(map(same, back.objects, row.objects))
        assert back.objects[0] == row.objects[0]


def test_content_hash_does_not_depend_on_sharding(tmp_path: Path) -> None:
    hashes = {write(tmp_path / str(shards), shards).content_hash() for shards in (1, 2, 5)}
    assert len(hashes) == 1


def test_content_hash_sees_every_record(tmp_path: Path) -> None:
    write_shard(tmp_path / "less", 0, IMAGES, RECORDS[:-1])
    assert DatasetFolder(tmp_path / "less").content_hash() != write(tmp_path / "all", 1).content_hash()


def test_identifiers_survive_the_disk(tmp_path: Path) -> None:
    back = write(tmp_path, 2).records
    assert {item.record_id for item in back} == {item.record_id for item in RECORDS}


def test_a_shard_written_twice_counts_once(tmp_path: Path) -> None:
    write(tmp_path, 2)
    assert len(write(tmp_path, 2).records) == len(RECORDS)
    assert finished_shards(tmp_path) == {0, 1}


def test_a_shard_without_records_is_unfinished(tmp_path: Path) -> None:
    write(tmp_path, 2)
    (tmp_path / "records" / "shard-00001.parquet").unlink()
    assert finished_shards(tmp_path) == {0}
    assert len(DatasetFolder(tmp_path).images) == 3


@pytest.mark.parametrize("part", ["images", "records"])
@pytest.mark.parametrize("keep", [0, 100, -20])
def test_a_truncated_shard_is_named(tmp_path: Path, part: str, keep: int) -> None:
    write(tmp_path, 2)
    path = tmp_path / part / "shard-00001.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RecordError, match=r"shard-00001\.parquet is truncated"):
        getattr(DatasetFolder(tmp_path), part)


def test_a_file_with_other_columns_is_named(tmp_path: Path) -> None:
    write(tmp_path, 1)
    images, records = (tmp_path / part / "shard-00000.parquet" for part in ("images", "records"))
    images.write_bytes(records.read_bytes())
    with pytest.raises(RecordError, match=r"images.shard-00000\.parquet lacks the columns image, width"):
        assert DatasetFolder(tmp_path).images


def test_a_missing_or_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not exist"):
        DatasetFolder(tmp_path / "nowhere")
    with pytest.raises(RecordError, match="no finished shard"):
        DatasetFolder(tmp_path)


def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path) -> None:
    class Broken:
        def __iter__(self) -> None:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_shard(tmp_path, 0, IMAGES, Broken())  # type: ignore[arg-type]
    assert finished_shards(tmp_path) == set()
    assert not list(tmp_path.rglob("*.tmp*"))
