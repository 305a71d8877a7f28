"""Exports are what readers of each format expect."""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen.config import ExportConfig
from datagen.export.formats import FORMATS
from datagen.export.run import export
from spatial.dataset import DatasetFolder
from spatial.records import ImageObject, ImageRow, decode_image, decode_mask, encode_png, image_id_of
from spatial.stream import Sample, Samples
from spatial.vsr import read_vsr
from vsre.roots import ROOT


def run(dataset: Path, to: str, out: Path, **settings: Any) -> Path:
    return export(ExportConfig(str(dataset), to, str(out), **settings))


def test_readers_of_vsr_take_the_files_as_they_are(rendered: Path, tmp_path: Path) -> None:
    out = run(rendered, "vsr", tmp_path / "out")
    read = read_vsr(out / "train.jsonl", out / "images", split="mine", part="train")
    ours = [row for row in DatasetFolder(rendered).records if (row.task, row.topic) == ("statement", "relation")]
    assert not read.failed and len(ours) == 48
    said = {(row.image_id, row.caption, row.relation, row.answer) for row in ours}
    assert {(row.image_id, row.caption, row.relation, row.answer) for row in read.records} == said
    keys = (
        "image image_link caption label relation subj obj annotator_id vote_true_validator_id vote_false_validator_id"
    )
    released = set(json.loads((ROOT / "eval" / "assets" / "vsr" / "zeroshot.dev.jsonl").read_text().split("\n")[0]))
    written = json.loads((out / "train.jsonl").read_text().split("\n")[0])
    assert released == set(keys.split())
    assert set(written) == released | {"reference_frame", "vsre"}
    assert (written["subj"], written["obj"]) == tuple(ours[0].concepts)


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_llava_conversations_say_every_record_once(rendered: Path, tmp_path: Path, turns: int) -> None:
    out = run(rendered, "llava", tmp_path / "out", turns=turns)
    talks = json.loads((out / "train.json").read_text())
    per_image = [len(sample.records) for sample in Samples(rendered)]
    assert len(talks) == sum(-(-count // (turns or count)) for count in per_image)
    assert len({talk["id"] for talk in talks}) == len(talks)
    assert sum(len(talk["conversations"]) // 2 for talk in talks) == sum(per_image)
    for talk in talks:
        assert (out / "images" / talk["image"]).is_file()
        assert [turn["from"] for turn in talk["conversations"]] == ["human", "gpt"] * (len(talk["conversations"]) // 2)
        text = "".join(turn["value"] for turn in talk["conversations"])
        assert text.startswith("<image>\n") and text.count("<image>") == 1
        assert len(talk["vsre"]["records"]) == len(talk["conversations"]) // 2
    answers = {turn["value"] for talk in talks for turn in talk["conversations"][1::2]}
    assert {"yes", "no", "left of", "right of", "two"} <= answers


def test_the_seed_chooses_llava_words_and_templates_limit_them(rendered: Path, tmp_path: Path) -> None:
    first, second = (run(rendered, "llava", tmp_path / str(seed), seed=seed) / "train.json" for seed in (0, 1))
    assert first.read_bytes() != second.read_bytes()
    only = run(rendered, "llava", tmp_path / "only", templates=["question-short"])
    talks = json.loads((only / "train.json").read_text())
    assert all(talk["conversations"][0]["value"].endswith("Is this true?") for talk in talks)


def test_coco_boxes_and_masks_are_those_of_the_objects(rendered: Path, tmp_path: Path) -> None:
    out = run(rendered, "coco", tmp_path / "out")
    instances = json.loads((out / "annotations" / "instances.json").read_text())
    captions = json.loads((out / "annotations" / "captions.json").read_text())
    nouns = {category["name"]: category["id"] for category in instances["categories"]}
    assert len(nouns) == 80 and (nouns["person"], nouns["stop sign"], nouns["toothbrush"]) == (1, 13, 90)
    pictures = {row["id"]: row for row in instances["images"]}
    assert len(pictures) == len(captions["images"]) == 12
    for row in instances["annotations"]:
        counts, size = row["segmentation"]["counts"], row["segmentation"]["size"]
        mask = decode_mask(",".join(map(str, counts)), *size)
        assert row["area"] == mask.sum() and not row["iscrowd"]
        ys, xs = np.nonzero(mask)
        box = (xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min())
        assert np.allclose(row["bbox"], box, atol=1)
        assert size == [pictures[row["image_id"]]["height"], pictures[row["image_id"]]["width"]]
    said = [(row["image_id"], row["caption"]) for row in captions["annotations"]]
    assert len(said) == len(set(said)) > 12
    false = {(r.image_id, r.caption) for r in DatasetFolder(rendered).records if r.answer == "false"}
    assert not {(pictures[number]["file_name"].removesuffix(".png"), text) for number, text in said} & false


def test_a_noun_that_coco_does_not_know_gets_an_identifier_of_its_own(tmp_path: Path) -> None:
    pixels = np.zeros((4, 5, 3), dtype=np.uint8)
    found = tuple(ImageObject(name, (0.0, 0.0, 2.0, 2.0)) for name in ("violin", "cup", "oboe", "violin"))
    image = ImageRow(image_id_of(pixels), encode_png(pixels), 5, 4, "render", found)
    FORMATS["coco"].write(iter([Sample(image, ())]), tmp_path, ExportConfig("", "coco", ""))
    content = json.loads((tmp_path / "annotations" / "instances.json").read_text())
    assert [row["category_id"] for row in content["annotations"]] == [1001, 47, 1002, 1001]
    assert [row["name"] for row in content["categories"][80:]] == ["violin", "oboe"]
    assert [row["segmentation"] for row in content["annotations"]] == [[]] * 4


def test_datasets_reads_pictures_and_nested_records(rendered: Path, tmp_path: Path) -> None:
    from datasets import load_from_disk

    loaded = load_from_disk(str(run(rendered, "datasets", tmp_path / "out")))
    assert list(loaded) == ["train"] and len(loaded["train"]) == 12
    row = loaded["train"][0]
    sample = next(iter(Samples(rendered)))
    assert np.array_equal(np.asarray(row["image"]), np.asarray(decode_image(sample.image.image, "")))
    assert [item["caption"] for item in row["records"]] == [record.caption for record in sample.records]


@pytest.mark.slow
def test_hugging_face_streams_the_tar_shards(rendered: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    out = run(rendered, "webdataset", tmp_path / "out", images_per_shard=5)
    shards = sorted(out.glob("*.tar"))
    assert [path.name for path in shards] == [f"shard-{index:06d}.tar" for index in range(3)]
    streamed = load_dataset("webdataset", data_files=[str(path) for path in shards], split="train", streaming=True)
    found = {row["__key__"]: row["json"]["image"]["scene_id"] for row in streamed}
    assert found == {sample.image.image_id: sample.image.scene_id for sample in Samples(rendered)}


def test_tar_shards_hold_nothing_of_the_day_or_the_machine(rendered: Path, tmp_path: Path) -> None:
    out = run(rendered, "webdataset", tmp_path / "out")
    with tarfile.open(out / "shard-000000.tar") as tar:
        assert {(member.mtime, member.uid, member.uname, member.mode) for member in tar} == {(0, 0, "", 0o644)}
