"""VSR rows become statements about photos; what cannot be used is named, never dropped."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spatial import vsr
from spatial.errors import RecordError
from spatial.records import decode_image, image_id_of
from spatial.relations import RELATIONS
from spatial.templates import TEMPLATES, render, split_caption
from spatial.vocabulary import split_words, words
from spatial.vsr import RELEASED, annotation_file, read_rows, read_vsr
from spatial.vsr_photos import Photo

RELEASED_FILES = os.environ.get("VSR_ANNOTATIONS", "")

ROWS = [
    ("000000000001.jpg", "train2017", "The dog is on the surfboard.", "on", 1),
    ("000000000002.jpg", "train2017", "The dog is on the surfboard.", "on", 0),
    ("000000000003.jpg", "val2017", "The bowl contains the hot dog.", "contains", 1),
    ("000000000004.jpg", "val2017", "The cat is left of the bed.", "left of", 0),
    ("000000000005.jpg", "train2017", "The cat is left of the bed.", "left of", 1),
]


def line(image: str, folder: str, caption: str, relation: str, label: int) -> str:
    return json.dumps(
        {
            "image": image,
            "image_link": f"http://images.cocodataset.org/{folder}/{image}",
            "caption": caption,
            "label": label,
            "relation": relation,
            "subj": "dog",
            "obj": "surfboard",
            "annotator_id": 4,
            "vote_true_validator_id": "[19, 2, 51]",
            "vote_false_validator_id": "[]",
        }
    )


def write_annotations(
    folder: Path, rows: list[tuple[str, str, str, str, int]] = ROWS, name: str = "own.dev.jsonl"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(line(*row) + "\n" for row in rows))
    return folder / name


def write_photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="JPEG")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos 1 and 3 in COCO's folders, 2 in the open; 4 is broken and 5 missing."""
    folder = tmp_path / "photos"
    write_photo(folder / "train2017" / "000000000001.jpg", 1)
    write_photo(folder / "000000000002.jpg", 2)
    write_photo(folder / "val2017" / "000000000003.jpg", 3)
    broken = folder / "val2017" / "000000000004.jpg"
    write_photo(broken, 4)
    broken.write_bytes(broken.read_bytes()[:400])
    return folder


def test_rows_become_statements_about_photos(tmp_path: Path, photos: Path) -> None:
    data = read_vsr(write_annotations(tmp_path).parent, photos, "own", "dev")
    assert [(item.caption, item.relation, item.answer) for item in data.records] == [
        ("The dog is on the surfboard.", "on", "true"),
        ("The dog is on the surfboard.", "on", "false"),
        ("The bowl contains the hot dog.", "contains", "true"),
    ]
    assert {(item.task, item.topic, item.split) for item in data.records} == {("statement", "relation", "dev")}
    assert data.records[2].concepts == ("bowl", "hot dog")


def test_images_are_named_by_pixels_and_read_when_asked_for(tmp_path: Path, photos: Path) -> None:
    data = read_vsr(write_annotations(tmp_path), photos, "own")
    row = data.images[data.records[0].image_id]
    assert image_id_of(np.asarray(decode_image(row.image, "photo"))) == row.image_id
    assert (row.width, row.height, row.source) == (30, 20, "vsr")
    assert json.loads(row.provenance) == {"file": "000000000001.jpg"}
    assert len(data.images) == 3
    (photos / "train2017" / "000000000001.jpg").unlink()
    with pytest.raises(RecordError, match=r"000000000001\.jpg can no longer be read"):
        data.images[row.image_id]


def test_missing_and_broken_photos_fail_by_name(tmp_path: Path, photos: Path) -> None:
    failed = read_vsr(write_annotations(tmp_path), photos, "own").failed
    assert [row.name for row in failed] == ["own.dev.jsonl:4 000000000004.jpg", "own.dev.jsonl:5 000000000005.jpg"]
    assert "cannot be decoded" in failed[0].reason
    assert "missing under" in failed[1].reason


def test_a_caption_and_its_opposite_form_a_group(tmp_path: Path, photos: Path) -> None:
    records = read_vsr(write_annotations(tmp_path), photos, "own").records
    assert records[0].group_id == records[1].group_id != records[2].group_id
    assert {records[0].role_in_group, records[1].role_in_group} == {"true", "false"}


def test_the_naming_of_the_public_copy_is_found(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RELEASED, ("zeroshot", "dev"), vsr.Released(5, ""))
    write_photo(photos / "val_Spatial_Reasoning_5.jpg", 5)
    data = read_vsr(write_annotations(tmp_path, name="zeroshot.dev.jsonl").parent, photos)
    assert len(data.records) == 4
    assert json.loads(data.images[data.records[-1].image_id].provenance) == {"file": "000000000005.jpg"}


def test_no_photo_at_all_says_where_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        RecordError,
        match=r"none of the 5 photos of own.dev.jsonl is in \S+, such as .*; pass the folder that they are in",
    ):
        read_vsr(write_annotations(tmp_path), tmp_path / "nowhere", "own")
    monkeypatch.setitem(RELEASED, ("random", "dev"), vsr.Released(5, ""))
    with pytest.raises(RecordError, match=r"run: vsre fetch vsr --split random --parts '\[dev\]' --out \S+nowhere; or"):
        read_vsr(tmp_path / "own.dev.jsonl", tmp_path / "nowhere", "random", "dev")


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/secret.jpg", "a/../../secret.jpg", "..", "", "C:\\secret.jpg"])
def test_no_row_reads_outside_the_photos(tmp_path: Path, photos: Path, name: str) -> None:
    write_photo(tmp_path / "secret.jpg", 9)
    path = write_annotations(tmp_path / "own", [*ROWS, (name, "train2017", "The cat is on the bed.", "on", 1)])
    data = read_vsr(path, photos, "own")
    assert len(data.records) == 3
    assert "not a plain file name" in data.failed[-1].reason


def test_no_split_name_reads_outside_the_annotations(tmp_path: Path) -> None:
    write_annotations(tmp_path, name="secret.dev.jsonl")
    with pytest.raises(RecordError, match="no name of a VSR split"):
        annotation_file(tmp_path, "../secret", "dev")


@pytest.mark.parametrize(("relation", "reason"), [("onn", "did you mean 'on'"), ("under", "not of the form")])
def test_a_row_that_contradicts_itself_fails_by_name(tmp_path: Path, photos: Path, relation: str, reason: str) -> None:
    path = write_annotations(
        tmp_path, [*ROWS, ("000000000001.jpg", "train2017", "The cat is on the bed.", relation, 1)]
    )
    failed = read_vsr(path, photos, "own").failed[-1]
    assert failed.name.startswith("own.dev.jsonl:6")
    assert reason in failed.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", r"it is not JSON \(.*\); a row is {.image.: .desk.jpg., .*"),
        ("[1]", "which has names and values; a row is"),
        (
            '{"picture": "a.jpg", "caption": "", "label": 1}',
            "it has no 'image', only picture, caption, label; a row is",
        ),
        ('{"image": "a.jpg", "captoin": "", "label": 1}', "it has no 'caption', only image, captoin, label; a row is"),
        (line("a.jpg", "x", "The cat is on the bed.", "on", 2), "its label is 2 instead of 1 or 0; a row is"),
        (line("a.jpg", "x", "The cat is on the bed.", "on", "true"), "its label is 'true' instead of 1 or 0"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "own.jsonl").write_text(line(*ROWS[0]) + "\n" + text + "\n")
    with pytest.raises(RecordError, match=rf"own\.jsonl:2 is no VSR row, .*{reason}"):
        read_rows(tmp_path / "own.jsonl", "own", "dev")


def test_a_damaged_line_of_a_released_file_is_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text("{\n")
    with pytest.raises(RecordError, match=r"dev.jsonl:1 is no VSR row, .*; download the file again"):
        read_rows(tmp_path / "dev.jsonl", "zeroshot", "dev")


def test_a_misspelt_file_names_the_one_beside_it(tmp_path: Path) -> None:
    write_annotations(tmp_path, name="statements.jsonl")
    with pytest.raises(RecordError, match=r"there is no file \S+statments\.jsonl; did you mean 'statements.jsonl'"):
        read_vsr(tmp_path / "statments.jsonl", tmp_path, "mine")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(RecordError, match=r"empty.jsonl has no rows; a row is {"):
        read_vsr(tmp_path / "empty.jsonl", tmp_path, "mine")


@pytest.mark.parametrize(("split", "part"), RELEASED)
def test_an_official_split_of_another_length_is_refused(tmp_path: Path, split: str, part: str) -> None:
    write_annotations(tmp_path / split, name=f"{part}.jsonl")
    with pytest.raises(RecordError, match=f"has 5 rows, but VSR's {split} {part} has .*variant mine"):
        read_rows(annotation_file(tmp_path, split, part), split, part)


def test_a_changed_official_split_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(RELEASED, ("random", "dev"), vsr.Released(5, "0" * 64))
    read_rows(write_annotations(tmp_path), "random", "dev")
    assert "not byte for byte" in caplog.text


def test_a_missing_annotation_file_says_what_to_copy(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"zeroshot\.dev\.jsonl .*visual-spatial-reasoning"):
        read_vsr(tmp_path, tmp_path)


@pytest.mark.skipif(not RELEASED_FILES, reason="set VSR_ANNOTATIONS to a folder with VSR's split files")
@pytest.mark.parametrize(("split", "part"), RELEASED)
def test_released_files_read_completely(split: str, part: str, caplog: pytest.LogCaptureFixture) -> None:
    rows = read_rows(annotation_file(Path(RELEASED_FILES), split, part), split, part)
    assert not caplog.text
    assert {row.relation for row in rows} <= set(RELATIONS)
    known = set(words())
    for row in rows:
        split_caption(row.caption, row.relation)
        assert set(split_words(row.caption)) <= known


def test_the_mend_fetches_every_released_part_and_nothing_for_ones_own() -> None:
    assert vsr.fetch_hint(["random", "mine", "zeroshot"], "train", Path("d")) == (
        "run: vsre fetch vsr --split random --parts '[train]' --out d && "
        "vsre fetch vsr --split zeroshot --parts '[train]' --out d; or "
    )
    assert vsr.fetch_hint(["mine"], "train", Path("d")) == ""


@pytest.mark.skipif(not RELEASED_FILES, reason="set VSR_ANNOTATIONS to a folder with VSR's split files")
def test_zero_shot_test_has_its_520_opposite_pairs() -> None:
    rows = read_rows(annotation_file(Path(RELEASED_FILES), "zeroshot", "test"), "zeroshot", "test")
    sizes = Counter(vsr.pair_groups(rows, "vsr/zeroshot/test"))
    assert Counter(sizes.values()) == {2: 520, 1: 182}
    assert render(vsr.statement(rows[0], Photo(Path(), "", "", 1, 1), "", "test"), TEMPLATES["determine"], 0).spans
