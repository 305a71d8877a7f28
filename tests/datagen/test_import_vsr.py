"""Rows of VSR become a dataset folder that training reads, without what the target holds, with boxes where known."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen import import_vsr as import_module
from datagen.card_checks import rows_left
from datagen.config import DatagenConfig, ExportConfig, ImportConfig, ImportVsrConfig, LeakageConfig
from datagen.export.run import export, import_folder
from datagen.import_vsr import import_vsr
from datagen.run import generate
from datagen.vsr_rows import select_rows
from eval.benchmarks import VSR_ANNOTATIONS
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError
from spatial.exposure import Exposure, exposure_of
from spatial.leakage import file_name
from spatial.records import decode_image, image_id_of
from spatial.templates import TEMPLATES, choose_templates
from spatial.vsr import read_rows
from training.examples import Examples

HELD = read_rows(VSR_ANNOTATIONS / "zeroshot.test.jsonl", "zeroshot", "test")[0]
"""A row that the zero-shot target keeps unseen."""

UMBRELLA = "The umbrella is on the truck."

MINE = [
    ("000000000001.jpg", UMBRELLA, "on", 1),
    ("000000000002.jpg", UMBRELLA, "on", 0),
    ("000000000003.jpg", "The bowl contains the hot dog.", "contains", 1),
    (HELD.photo, HELD.caption, HELD.relation, 1),
    (HELD.photo, "The dog is near the cat.", "near", 1),
    ("000000000003.jpg", HELD.caption, HELD.relation, 0),
    ("000000000004.jpg", "The cat is left of the bed.", "left of", 0),
    ("000000000005.jpg", "The cat is left of the bed.", "left of", 1),
    ("000000000001.jpg", "The cat is left of the bed.", "onn", 1),
]
OTHER = [MINE[0], ("000000000003.jpg", "The cat is near the bowl.", "near", 1)]

SIZE = (64, 48)


def write_rows(path: Path, rows: list[tuple[str, str, str, int]]) -> None:
    keys = ("image", "caption", "relation", "label")
    path.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows))


def write_photo(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="JPEG")


@pytest.fixture
def config(tmp_path: Path) -> ImportVsrConfig:
    """Two files and their photos; 4 is broken and 5 missing, and 3 is annotated at another size."""
    write_rows(tmp_path / "mine.train.jsonl", MINE)
    write_rows(tmp_path / "other.train.jsonl", OTHER)
    photos = tmp_path / "photos"
    for number in (1, 2, 3, 4):
        write_photo(photos / "train2017" / f"{number:012}.jpg", number)
    write_photo(photos / "val2017" / HELD.photo, 9)
    broken = photos / "train2017" / "000000000004.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    instances = {
        "categories": [{"id": 1, "name": "umbrella"}, {"id": 2, "name": "truck"}, {"id": 3, "name": "bowl"}],
        "images": [
            {"id": number, "file_name": f"{number:012}.jpg", "width": 48 if number == 3 else 64, "height": 48}
            for number in (1, 2, 3)
        ],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, 4, 4], "iscrowd": 0},
            {"image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 20], "iscrowd": 0},
            {"image_id": 1, "category_id": 2, "bbox": [5, 30.5, 40, 10], "iscrowd": 0},
            {"image_id": 2, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 0},
            {"image_id": 3, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 0},
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    return ImportVsrConfig(
        out=str(tmp_path / "data"),
        annotations=str(tmp_path),
        images=str(photos),
        instances=[str(tmp_path / "instances.json")],
        splits=["mine", "other"],
        photos_per_shard=2,
    )


def said(data: DatasetFolder) -> set[tuple[str, str, str]]:
    files = {image_id: json.loads(row.provenance)["file"] for image_id, row in data.images.items()}
    return {(files[record.image_id], record.caption, record.answer) for record in data.records}


def test_rows_are_pooled_each_once_without_photos_that_the_target_holds(config: ImportVsrConfig) -> None:
    data = DatasetFolder(import_vsr(config))
    assert said(data) == {
        ("000000000001.jpg", UMBRELLA, "true"),
        ("000000000002.jpg", UMBRELLA, "false"),
        ("000000000003.jpg", "The bowl contains the hot dog.", "true"),
        ("000000000003.jpg", HELD.caption, "false"),
        ("000000000003.jpg", "The cat is near the bowl.", "true"),
    }
    assert len(data.records) == 5
    assert {(record.task, record.topic, record.split) for record in data.records} == {
        ("statement", "relation", "train")
    }


def test_a_caption_and_its_opposite_are_one_group_and_photos_keep_their_bytes(config: ImportVsrConfig) -> None:
    data = DatasetFolder(import_vsr(config))
    pair = [record for record in data.records if record.caption == UMBRELLA]
    assert len({record.group_id for record in pair}) == 1
    assert {record.role_in_group for record in pair} == {"true", "false"}
    assert len({record.group_id for record in data.records}) == 4
    for row in data.images.values():
        assert row.image == (Path(config.images) / "train2017" / json.loads(row.provenance)["file"]).read_bytes()
        assert row.image_id == image_id_of(np.asarray(decode_image(row.image, "photo")))
        assert row.source == "vsr" and "Flickr" in row.licence


def test_boxes_are_of_the_largest_instance_and_only_where_sizes_agree(config: ImportVsrConfig) -> None:
    data = DatasetFolder(import_vsr(config))
    by_file = {json.loads(row.provenance)["file"]: row for row in data.images.values()}
    first = next(record for record in data.records if record.image_id == by_file["000000000001.jpg"].image_id)
    objects = by_file["000000000001.jpg"].objects
    assert [item.name for item in objects] == ["umbrella", "truck", "umbrella"]
    assert objects[first.subject].box_xyxy == (10, 20, 40, 40)
    assert objects[first.object].box_xyxy == (5, 30.5, 45, 40.5)
    second = next(record for record in data.records if record.image_id == by_file["000000000002.jpg"].image_id)
    assert (second.subject, second.object) == (0, -1)
    assert by_file["000000000003.jpg"].objects == ()
    card = (data.path / "README.md").read_text()
    assert "1 of 5 statements about relations have the boxes of both things.\nIn 1 of these" in card


def test_rows_that_cannot_be_used_are_listed_with_the_reason(config: ImportVsrConfig) -> None:
    lines = (import_vsr(config) / "failed.txt").read_text().splitlines()
    assert len(lines) == 3
    assert "mine.train.jsonl:9 000000000001.jpg: unknown relation 'onn'; did you mean 'on'?" in lines
    assert any("mine.train.jsonl:7 000000000004.jpg" in line and "cannot be decoded" in line for line in lines)
    assert any("mine.train.jsonl:8 000000000005.jpg" in line and "missing under" in line for line in lines)


def test_the_card_tells_what_each_rule_leaves(config: ImportVsrConfig) -> None:
    card = (import_vsr(config) / "README.md").read_text()
    assert "| as released | 9 | 2 | 10 | 6 |" in card
    assert "| without held-out photos | 7 | 2 | 8 | 5 |" in card
    assert "| without held-out photos and captions | 6 | 2 | 7 | 5 |" in card
    assert "Guarded for `zeroshot`, without held-out photos." in card
    assert "photo and caption 1, only the photo 1, only the caption 1." in card


def test_strict_drops_captions_too(config: ImportVsrConfig) -> None:
    strict = replace(config, leakage=LeakageConfig(strict=True))
    assert HELD.caption not in {caption for _, caption, _ in said(DatasetFolder(import_vsr(strict)))}


def test_the_folder_says_what_it_is_safe_for(config: ImportVsrConfig) -> None:
    data = DatasetFolder(import_vsr(config))
    assert exposure_of(data) == Exposure(True, ("zeroshot",))
    own = Path(config.annotations) / "own.jsonl"
    write_rows(own, [MINE[0]])
    leakage = LeakageConfig("files", [str(own)])
    other = DatasetFolder(import_vsr(replace(config, out=f"{config.out}-own", leakage=leakage)))
    assert exposure_of(other) == Exposure(True, (file_name(own),))
    assert (HELD.photo, HELD.caption, "true") in said(other) and (MINE[0][0], UMBRELLA, "true") not in said(other)


def test_a_test_part_stays_whole_and_covers_nothing(config: ImportVsrConfig) -> None:
    write_rows(Path(config.annotations) / "mine.test.jsonl", MINE[3:5])
    data = DatasetFolder(import_vsr(replace(config, splits=["mine"], part="test")))
    assert len(data.records) == 2 and {record.split for record in data.records} == {"test"}
    assert not (data.path / "failed.txt").exists()
    assert exposure_of(data) == Exposure(True)
    assert "Do not train on it" in (data.path / "README.md").read_text()
    held = json.loads((data.path / "dataset.json").read_text())
    assert held["vsr"] == {"names": [file_name(Path(config.annotations) / "mine.test.jsonl")], "part": "test"}


def test_training_reads_an_import_like_renders_and_boxes_only_where_they_are_known(config: ImportVsrConfig) -> None:
    records = DatasetFolder(import_vsr(config)).record_set()
    examples = Examples([records], 8, {"statement/relation": 1.0}, ["published"])
    texts = []
    for epoch in range(60):
        examples.set_epoch(epoch)
        texts += [prompt.text for index in range(len(examples)) for prompt in examples[index].prompts]
    boxed = [text for text in texts if "[" in text]
    assert boxed and all("[10.00, 20.00, 40.00, 40.00]" in text and "umbrella" in text for text in boxed)
    assert len(set(texts)) > 60
    only = Examples([records], 8, {}, ["vsre-49"])
    assert [len(only[index].prompts) for index in range(len(only))] == [1]
    assert all(TEMPLATES[name].origin == "published" for name in choose_templates(["published"]))


def test_a_killed_import_goes_on_and_a_photo_that_has_come_is_taken_in(
    config: ImportVsrConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard = import_module.write_shard

    def killed(folder: Path, index: int, *rows: Any) -> None:
        if index == 1:
            raise KeyboardInterrupt
        write_shard(folder, index, *rows)

    with monkeypatch.context() as patch:
        patch.setattr(import_module, "write_shard", killed)
        with pytest.raises(KeyboardInterrupt):
            import_vsr(config)
    first = Path(config.out) / "records" / "shard-00000.parquet"
    written = first.stat().st_mtime_ns
    hash_of = DatasetFolder(import_vsr(config)).content_hash()
    assert first.stat().st_mtime_ns == written
    assert hash_of == DatasetFolder(import_vsr(replace(config, out=f"{config.out}-again"))).content_hash()
    write_photo(Path(config.images) / "000000000005.jpg", 5)
    data = DatasetFolder(import_vsr(config))
    assert first.stat().st_mtime_ns == written
    assert ("000000000005.jpg", "The cat is left of the bed.", "true") in said(data)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"splits": []}, ConfigError, "splits is empty"),
        ({"part": "valid"}, ConfigError, "use train, dev or test"),
        ({"photos_per_shard": 0}, ConfigError, "photos_per_shard is 0"),
        ({"leakage": LeakageConfig("zero")}, ConfigError, "unknown leakage.target 'zero'; .*did you mean 'zeroshot'"),
        ({"images": "nowhere"}, RecordError, "none of the 5 photos is in --images nowhere"),
        ({"instances": ["nowhere.json"]}, RecordError, r"nowhere\.json is neither a COCO-format file nor a folder"),
        ({"splits": ["random"]}, RecordError, r"random\.train\.jsonl"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    config: ImportVsrConfig, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        import_vsr(replace(config, **changes))
    assert not Path(config.out).exists()


def test_missing_photos_of_released_parts_come_with_the_commands_that_fetch_them(config: ImportVsrConfig) -> None:
    path = Path(config.annotations) / "zeroshot.test.jsonl"
    path.write_bytes((VSR_ANNOTATIONS / path.name).read_bytes())
    released = replace(config, splits=["zeroshot"], part="test", images="no where")
    with pytest.raises(RecordError, match=r"run: vsre fetch vsr --split zeroshot .*'\[test\]' --out 'no where'; or"):
        import_vsr(released)


def test_one_file_is_one_split(config: ImportVsrConfig) -> None:
    with pytest.raises(ConfigError, match="give one split"):
        import_vsr(replace(config, annotations=str(Path(config.annotations) / "mine.train.jsonl")))


def test_data_of_other_settings_in_the_folder_is_refused(config: ImportVsrConfig, tmp_path: Path) -> None:
    import_vsr(config)
    with pytest.raises(ConfigError, match="other guard, leakage"):
        import_vsr(replace(config, leakage=LeakageConfig("both")))
    with pytest.raises(ConfigError, match="holds data made with other"):
        generate(DatagenConfig(out=config.out, groups=1))


def test_an_export_and_its_import_keep_the_guard_and_are_not_gone_on_with(
    config: ImportVsrConfig, tmp_path: Path
) -> None:
    folder = import_vsr(config)
    out = export(ExportConfig(str(folder), "vsr", str(tmp_path / "export")))
    back = import_folder(ImportConfig(str(out), str(tmp_path / "back")))
    assert exposure_of(DatasetFolder(back)) == exposure_of(DatasetFolder(folder))
    assert (back / "README.md").read_text() == (folder / "README.md").read_text()
    with pytest.raises(ConfigError, match="holds imported data"):
        import_vsr(replace(config, out=str(back)))


def test_no_row_left_is_an_error(config: ImportVsrConfig) -> None:
    write_rows(Path(config.annotations) / "mine.train.jsonl", MINE[3:5])
    with pytest.raises(RecordError, match=r"no row of mine\.train\.jsonl is left"):
        import_vsr(replace(config, splits=["mine"]))


def test_the_table_is_printed_before_photos_are_looked_for(
    config: ImportVsrConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RecordError):
        import_vsr(replace(config, images="nowhere"))
    assert "\n".join(rows_left([asdict(row) for row in select_rows(config).left])) in capsys.readouterr().out
