"""What'sUp and its sets on photos: records of the released rows, groups that belong together, nothing that leaks."""

import io
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from eval.benchmarks import read_benchmark
from eval.readers.whatsup import WORDS, take_caption
from eval.splits import Ceilings, adaptvis_split, ceilings
from spatial.benchmarks import RELEASED, file_hash
from spatial.errors import ConfigError, RecordError
from spatial.records import decode_image
from spatial.templates import TEMPLATES, render, split_caption

from .released_files import config, constant_accuracy, expect, numbered, picture, prompts, whatsup, write_json

PAIRS = [("beer bottle", "armchair"), ("sunglasses", "chair"), ("mug", "table"), ("dog", "bed"), ("cap", "chair")]

ONE = [
    (7, "A photo of a TV on the left", "A photo of a TV on the right"),
    (7, "A photo of a dining table on the bottom", ""),
]

TWO = [
    (9, "A photo of a dog to the left of a cat", "A photo of a dog to the right of a cat"),
    (9, "A photo of a dog above a bed", "A photo of a dog below a bed"),
    (11, "A photo of a skis below a bed", "A photo of a skis above a bed"),
]

CASES = [
    ("whatsup-a", "A beer bottle on a armchair", "The beer bottle is on the armchair.", "on"),
    ("whatsup-a", "A sunglasses to the left of a chair", "The sunglasses are left of the chair.", "left of"),
    ("whatsup-b", "A mug in front of a knife", "The mug is in front of the knife.", "in front of"),
    ("coco-spatial-two", "A photo of a TV to the right of a chair", "The TV is right of the chair.", "right of"),
    ("vg-spatial-two", "A photo of black trees behind a fence", "The black trees are behind the fence.", "behind"),
    ("vg-spatial-two", "A photo of a dog on top of a toilet", "The dog is above the toilet.", "above"),
    (
        "vg-spatial-two",
        "A photo of a cart to the front of the trees",
        "The cart is in front of the trees.",
        "in front of",
    ),
    (
        "coco-spatial-one",
        "A photo of a dining table on the bottom",
        "The dining table is at the bottom.",
        "at the bottom",
    ),
    ("coco-spatial-one", "A photo of skis at the top.", "The skis are at the top.", "at the top"),
    ("vg-spatial-one", "A photo of grass in the back", "The grass is behind.", "behind"),
]


@pytest.mark.parametrize(("kind", "released", "caption", "answer"), CASES)
def test_a_caption_becomes_a_sentence_that_comes_apart_again(
    kind: str, released: str, caption: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = take_caption(released, WORDS[kind])
    assert said.relation == answer
    if kind.startswith("whatsup"):
        whatsup(tmp_path, kind, [(said.subject, said.object)])
        expect(monkeypatch, kind, 4)
    else:
        numbered(tmp_path, kind, [(1, released, "another")])
        expect(monkeypatch, kind, 1)
    (record,) = (row for row in read_benchmark(config(kind, tmp_path)).records if row.answer == answer)
    assert (record.caption, record.task, record.role_in_group) == (caption, "choice", answer)
    assert record.options == tuple(sorted(set(WORDS[kind].values())))
    assert record.concepts == tuple(noun.lower() for noun in (said.subject, said.object) if noun)
    if said.object:
        assert (record.topic, record.relation) == ("relation", answer)
        assert split_caption(record.caption, record.relation) == (said.subject, answer, said.object)
    else:
        assert (record.topic, record.relation) == ("place", "")


@pytest.mark.parametrize("kind", ["whatsup-a", "whatsup-b"])
def test_four_photos_of_two_objects_are_a_group_with_two_pairs(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whatsup(tmp_path, kind, PAIRS)
    expect(monkeypatch, kind, 20)
    found = read_benchmark(config(kind, tmp_path))
    assert len(found.records) == len(found.images) == 20 and not found.failed
    groups = {record.group_id for record in found.records}
    assert len(groups) == len(PAIRS)
    for group in groups:
        four = [record for record in found.records if record.group_id == group]
        assert sorted(record.answer for record in four) == list(four[0].options)
        assert len({record.image_id for record in four}) == 4
    assert ceilings(found.records) == Ceilings(100.0, 100.0)


@pytest.mark.parametrize("kind", ["whatsup-a", "whatsup-b"])
def test_a_scorer_to_which_all_options_are_alike_gets_chance(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 29 of the reference code: the right caption stands first, and ties count as right."""
    rows = whatsup(tmp_path, kind, PAIRS)
    expect(monkeypatch, kind, 20)
    found = read_benchmark(config(kind, tmp_path))
    templates = [name for name, _ in prompts(found.records[0], ["core", "own", "adaptvis"])]
    assert {"where", "letters-where", f"adaptvis-{kind[-1]}"} <= set(templates)
    assert {constant_accuracy(found, name) for name in templates} == {0.25}
    # The order of a row's captions is nowhere in the records.
    turned = [{**row, "caption_options": [row["caption_options"][0], *row["caption_options"][:0:-1]]} for row in rows]
    write_json(tmp_path / RELEASED[kind].file, turned)
    assert read_benchmark(config(kind, tmp_path)).records == found.records


def test_photos_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect 15 of the reference code: every photo is squeezed to 2300 x 4096."""
    whatsup(tmp_path, "whatsup-a", PAIRS[:1])
    expect(monkeypatch, "whatsup-a", 4)
    found = read_benchmark(config("whatsup-a", tmp_path))
    for image in found.images.values():
        assert (image.width, image.height) == decode_image(image.image, "").size == (24, 16)
        assert image.image in {path.read_bytes() for path in tmp_path.rglob("*.jpeg")}
        assert (image.source, image.licence) == ("whatsup-a", RELEASED["whatsup-a"].licence)


@pytest.mark.parametrize(
    ("kind", "template", "text"),
    [
        ("whatsup-a", "adaptvis-a", "Where is the mug in relation to the table? Answer with left, right, on or under."),
        (
            "whatsup-b",
            "adaptvis-b",
            "Where is the mug in relation to the table? Answer with left, right, front or behind.",
        ),
    ],
)
def test_adaptvis_s_prompts_have_its_words_in_its_order(
    kind: str, template: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whatsup(tmp_path, kind, [("mug", "table")])
    expect(monkeypatch, kind, 4)
    asked = [render(record, TEMPLATES[template], 0) for record in read_benchmark(config(kind, tmp_path)).records]
    assert {prompt.text for prompt in asked} == {text}
    assert sorted(prompt.answer for prompt in asked) == sorted(asked[0].options)
    assert f"{', '.join(asked[0].options[:3])} or {asked[0].options[3]}" in text


@pytest.mark.parametrize(
    ("kind", "rows", "texts"),
    [
        ("coco-spatial-one", ONE, {"Where is the TV in the photo? Answer with left, right, top or bottom."}),
        (
            "vg-spatial-one",
            ONE,
            {"Where is the TV in the photo? Answer with left, right, front, behind, top or bottom."},
        ),
        (
            "coco-spatial-two",
            TWO,
            {"Where are the skis in relation to the bed? Answer with left, right, above or below."},
        ),
        (
            "vg-spatial-two",
            TWO,
            {"Where is the dog in relation to the cat? Answer with left, right, front, behind, above or below."},
        ),
    ],
)
def test_rows_about_one_photo_are_a_group_and_every_row_is_asked(
    kind: str, rows: list[tuple[int, str, str]], texts: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbered(tmp_path, kind, rows)
    expect(monkeypatch, kind, len(rows))
    found = read_benchmark(config(kind, tmp_path))
    photos = {number for number, _, _ in rows}
    assert len(found.records) == len(rows) and len({record.group_id for record in found.records}) == len(photos)
    words = [prompts(record, ["core", "adaptvis"]) for record in found.records]
    assert all({f"adaptvis-{kind.replace('-spatial', '')}"} < {name for name, _ in each} for each in words)
    assert texts <= {prompt.text for each in words for _, prompt in each}


def test_the_published_parts_have_the_rows_gold_and_order_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 23 of the reference code: the relations of all rows are zipped with the predictions of some."""
    whatsup(tmp_path, "whatsup-a", PAIRS)
    expect(monkeypatch, "whatsup-a", 20)
    whole = read_benchmark(config("whatsup-a", tmp_path)).records
    for part, rows in zip(("dev", "test"), adaptvis_split(20), strict=True):
        found = read_benchmark(config("whatsup-a", tmp_path, split=part)).records
        assert found == [whole[row] for row in rows] and {record.split for record in found} == {part}
        assert all(f" {record.relation} the " in record.caption for record in found)
    with pytest.raises(ConfigError, match="dev and test"):
        read_benchmark(config("whatsup-a", tmp_path, split="train"))


def test_rows_that_cannot_be_used_fail_by_name_and_the_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = whatsup(tmp_path, "whatsup-a", PAIRS[:3])
    photos = tmp_path / "controlled_images"
    (tmp_path / "secret.jpeg").write_bytes(picture(99))
    named = [photos / Path(row["image_path"]).name for row in rows]
    named[0].unlink()
    named[1].write_bytes(picture(1)[:40])
    rows[2]["caption_options"][0] = "A mug beside a table"
    rows[3]["image_path"] = "../secret.jpeg"
    rows[4]["image_path"] = "/etc/passwd"
    rows[5]["caption_options"] = rows[5]["caption_options"][:3]
    turned = rows[6]["caption_options"]
    rows[6]["caption_options"] = [turned[1], turned[0], *turned[2:]]
    rows[7] = {"image": "x"}
    rows[8] = 5  # type: ignore[call-overload]
    rows[9]["image_path"] = "data/controlled_images/a b.jpeg"
    write_json(tmp_path / "controlled_images_dataset.json", rows)
    expect(monkeypatch, "whatsup-a", 12)
    found = read_benchmark(config("whatsup-a", tmp_path))
    failed = {row.name.rpartition(":")[2]: row.reason for row in found.failed}
    assert list(failed) == [str(number) for number in range(1, 11)] and len(found.records) == 2
    reasons = ("is missing", "cannot be decoded", "says none of", "leads outside", "leads outside", "in four relations")
    reasons += ("first caption says", "no row of", "no row of", "not the plain name")
    assert all(said in reason for said, reason in zip(reasons, failed.values(), strict=True))
    assert not any("\n" in reason for reason in failed.values())


@pytest.mark.parametrize("number", ["../1", True, -1, None, 1.5, "1/../../x", 10**13])
def test_only_a_number_names_a_numbered_photo(number: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered(tmp_path, "coco-spatial-one", ONE)
    write_json(tmp_path / "coco_qa_one_obj.json", [*ONE, (number, *ONE[0][1:])])
    expect(monkeypatch, "coco-spatial-one", 3)
    found = read_benchmark(config("coco-spatial-one", tmp_path))
    assert len(found.records) == 2 and "no number of a picture" in found.failed[0].reason


def test_photos_may_lie_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered(tmp_path / "here", "coco-spatial-one", ONE)
    (tmp_path / "here" / "val2017").rename(tmp_path / "coco")
    expect(monkeypatch, "coco-spatial-one", 2)
    with pytest.raises(
        RecordError, match=r"none of the 2 rows .* run 'vsre fetch coco-spatial-one', or set data.images"
    ):
        read_benchmark(config("coco-spatial-one", tmp_path / "here"))
    assert (
        len(read_benchmark(config("coco-spatial-one", tmp_path / "here", images=str(tmp_path / "coco"))).records) == 2
    )


def test_a_row_that_stands_twice_counts_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered(tmp_path, "coco-spatial-one", [*ONE, ONE[0], ONE[0]])
    expect(monkeypatch, "coco-spatial-one", 4)
    found = read_benchmark(config("coco-spatial-one", tmp_path)).records
    assert len({record.record_id for record in found}) == 4
    assert [record.role_in_group for record in found] == [
        "on the left",
        "at the bottom",
        "on the left (2)",
        "on the left (3)",
    ]


def test_another_number_of_rows_is_refused_unless_the_file_is_ones_own(tmp_path: Path) -> None:
    whatsup(tmp_path, "whatsup-a", PAIRS)
    file = tmp_path / "controlled_images_dataset.json"
    with pytest.raises(RecordError, match="has 20 rows, but the released one has 412") as raised:
        read_benchmark(config("whatsup-a", tmp_path))
    assert "\n" not in str(raised.value) and "vsre fetch whatsup-a" in str(raised.value)
    assert len(read_benchmark(config("whatsup-a", tmp_path, annotations=str(file))).records) == 20
    with pytest.raises(RecordError, match="412"):
        read_benchmark(config("whatsup-a", file))


@pytest.mark.parametrize("content", [b"[", b"", b"\xff\xfe", b'[{"image_path": "a', b"{}", b"<html>log in</html>"])
def test_a_damaged_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "controlled_images_dataset.json").write_bytes(content)
    with pytest.raises(RecordError, match=r"controlled_images_dataset\.json") as raised:
        read_benchmark(config("whatsup-a", tmp_path))
    assert "\n" not in str(raised.value)


def test_a_missing_file_names_the_command_and_a_missing_path_the_setting(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"dataset\.json is missing; run 'vsre fetch whatsup-a --out "):
        read_benchmark(config("whatsup-a", tmp_path))
    with pytest.raises(
        ConfigError, match=r"data\.path is empty; name the folder that 'vsre fetch vg-spatial-two' wrote"
    ):
        read_benchmark(replace(config("vg-spatial-two", tmp_path), path=""))


def test_an_unknown_hash_is_told_and_another_one_than_the_known_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whatsup(tmp_path, "whatsup-a", PAIRS)
    expect(monkeypatch, "whatsup-a", 20)
    known = file_hash(tmp_path / "controlled_images_dataset.json")
    with caplog.at_level(logging.INFO):
        read_benchmark(config("whatsup-a", tmp_path))
        assert known in caplog.text
        monkeypatch.setitem(RELEASED, "whatsup-a", replace(RELEASED["whatsup-a"], hash=f"sha256:{known}"))
        caplog.clear()
        read_benchmark(config("whatsup-a", tmp_path))
        assert not caplog.text
        monkeypatch.setitem(RELEASED, "whatsup-a", replace(RELEASED["whatsup-a"], hash=f"sha256:{'0' * 64}"))
        read_benchmark(config("whatsup-a", tmp_path))
    assert "sha256 is not the released file's" in caplog.text


def test_a_picture_of_too_many_pixels_fails_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered(tmp_path, "coco-spatial-one", ONE)
    buffer = io.BytesIO()
    Image.new("1", (20000, 20000)).save(buffer, format="PNG")
    (tmp_path / "val2017" / "000000000007.jpg").write_bytes(buffer.getvalue())
    expect(monkeypatch, "coco-spatial-one", 2)
    with pytest.raises(RecordError, match="pixels"):
        read_benchmark(config("coco-spatial-one", tmp_path))
