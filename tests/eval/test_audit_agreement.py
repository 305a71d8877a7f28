"""Predicates on COCO boxes against VSR's labels: who is asked, who is left out, and who is right."""

import json
from pathlib import Path
from typing import Any

import pytest

from eval.audit import agreement as audited
from eval.audit.agreement import agreement, distinct_rows
from spatial.errors import RecordError

CATEGORIES = {"cup": 1, "book": 2, "cat": 3, "dining table": 4}

LEFT, RIGHT, FAR, MIDDLE = [10, 40, 20, 20], [70, 40, 20, 20], [900, 40, 20, 20], [45, 40, 20, 20]
"""COCO boxes: x, y, width, height."""

PHOTOS: dict[str, list[tuple[str, list[int], bool]]] = {
    "000000000001.jpg": [("cup", LEFT, False), ("book", RIGHT, False)],
    "000000000002.jpg": [("cup", RIGHT, False), ("book", LEFT, False)],
    "000000000003.jpg": [("cup", LEFT, False), ("cup", MIDDLE, False), ("book", RIGHT, False)],
    "000000000004.jpg": [("cup", LEFT, False), ("book", RIGHT, True)],
    "000000000005.jpg": [("cup", LEFT, False), ("dining table", FAR, False)],
    "000000000006.jpg": [("cup", LEFT, False), ("book", LEFT, False)],
    "000000000099.jpg": [("cup", LEFT, False)],
}

ROWS: list[tuple[str, str, str, int]] = [
    ("000000000001.jpg", "The cup is left of the book.", "left of", 1),  # said true, right
    ("000000000002.jpg", "The cup is left of the book.", "left of", 0),  # said false, right
    ("000000000001.jpg", "The book is left of the cup.", "left of", 1),  # said false, wrong
    ("000000000006.jpg", "The cup is left of the book.", "left of", 1),  # one over the other: undecided
    ("000000000005.jpg", "The cup is touching the dining table.", "touching", 0),  # boxes lie apart: said false, right
    ("000000000006.jpg", "The cup is touching the book.", "touching", 1),  # boxes meet: undecided
    ("000000000003.jpg", "The cup is left of the book.", "left of", 1),  # two cups
    ("000000000004.jpg", "The cup is left of the book.", "left of", 1),  # a crowd of books
    ("000000000001.jpg", "The cup is left of the cup.", "left of", 0),  # which cup is which
    ("000000000001.jpg", "The cat is left of the book.", "left of", 0),  # no cat
    ("000000000007.jpg", "The cup is left of the book.", "left of", 0),  # a photo of another file
    ("000000000001.jpg", "The cup is congruent the book.", "congruent", 0),  # no predicate
    ("000000000001.jpg", "Left of the book: a cup.", "left of", 1),  # another form
]


def coco(photos: dict[str, list[tuple[str, list[int], bool]]], prefix: str = "") -> dict[str, Any]:
    """The content of a COCO-format file."""
    annotations = [
        {
            "id": 100 * image + index,
            "image_id": image,
            "category_id": CATEGORIES[noun],
            "bbox": box,
            "iscrowd": int(crowd),
            "segmentation": {"counts": [1, 2], "size": [480, 1000]} if crowd else [[0, 0, 1, 1, 2, 2]],
        }
        for image, objects in enumerate(photos.values())
        for index, (noun, box, crowd) in enumerate(objects)
    ]
    images = [
        {"id": image, "file_name": prefix + name, "width": 1000, "height": 480} for image, name in enumerate(photos)
    ]
    categories = [{"id": number, "name": name} for name, number in CATEGORIES.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_rows(path: Path, rows: list[tuple[str, str, str, int]]) -> Path:
    keys = ("image", "caption", "relation", "label")
    path.write_text("\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows))
    return path


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(coco(PHOTOS)))
    return path


@pytest.fixture
def vsr(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "rows.jsonl", ROWS)


def test_rows_are_decided_undecided_or_left_out_by_reason(boxes: Path, vsr: Path) -> None:
    found = agreement(boxes, vsr)
    assert found["rows"] == len(ROWS)
    assert found["left_out"] == {
        audited.SEVERAL: 3,
        audited.NO_NOUN: 1,
        audited.NO_PHOTO: 1,
        audited.NO_PREDICATE: 1,
        audited.OTHER_FORM: 1,
    }
    assert found["overall"]["decided"] + found["overall"]["undecided"] + 7 == len(ROWS)


def test_agreement_is_counted_per_relation_and_overall(boxes: Path, vsr: Path) -> None:
    found = agreement(boxes, vsr)
    left, touching, overall = found["per_relation"]["left of"], found["per_relation"]["touching"], found["overall"]
    assert set(found["per_relation"]) == {"left of", "touching"}
    assert (left["decided"], left["undecided"], left["agreement"]) == (3, 1, pytest.approx(2 / 3))
    assert (left["said_true"], left["said_false"]) == ({"n": 1, "right": 1}, {"n": 2, "right": 1})
    assert (touching["decided"], touching["undecided"], touching["agreement"]) == (1, 1, 1.0)
    assert (overall["decided"], overall["undecided"], overall["agreement"]) == (4, 2, 0.75)
    # Wilson (1927) for 3 of 4 at 95 %, by hand.
    assert overall["ci95"] == pytest.approx([0.3006, 0.9544], abs=1e-4)
    assert found["disagreements"] == [
        {
            "row": "rows.jsonl:3",
            "photo": "000000000001.jpg",
            "caption": "The book is left of the cup.",
            "label": True,
            "predicate": False,
        }
    ]


def test_a_relation_that_is_never_decided_has_no_agreement(boxes: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "one.jsonl", [ROWS[5]])
    found = agreement(boxes, rows)["per_relation"]["touching"]
    assert (found["decided"], found["agreement"], found["ci95"]) == (0, None, None)


def test_several_files_and_older_names_are_read_as_one(tmp_path: Path, vsr: Path) -> None:
    folder = tmp_path / "annotations"
    folder.mkdir()
    names = list(PHOTOS)
    for number, (kept, prefix) in enumerate(((names[:3], "train2017/"), (names[3:], "COCO_val2014_"))):
        content = coco({name: PHOTOS[name] for name in kept}, prefix)
        (folder / f"instances_{number}.json").write_text(json.dumps(content))
    (folder / "captions.json").write_text("{}")
    found = agreement(folder, vsr)
    assert (found["overall"]["decided"], found["overall"]["undecided"]) == (4, 2)


def test_a_row_in_both_splits_of_vsr_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audited, "RELEASED", {("mine", "dev"): None, ("mine", "test"): None, ("mine", "train"): None})
    write_rows(tmp_path / "mine.dev.jsonl", ROWS[:3])
    write_rows(tmp_path / "mine.test.jsonl", ROWS[1:5])
    assert [source for source, _ in distinct_rows(tmp_path)] == [
        "mine.dev.jsonl:1",
        "mine.dev.jsonl:2",
        "mine.dev.jsonl:3",
        "mine.test.jsonl:3",
        "mine.test.jsonl:4",
    ]


@pytest.mark.parametrize(
    "content",
    ["", "[1, 2]", "{}", '{"images": [], "annotations": [{}], "categories": []}', '{"images": 3}', "not json"],
)
def test_a_file_of_another_format_is_refused_in_one_line(tmp_path: Path, vsr: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=r"other\.json|none of the photos") as refused:
        agreement(path, vsr)
    assert "\n" not in str(refused.value)


def test_annotations_of_other_photos_are_refused(tmp_path: Path, vsr: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(coco({"000000000099.jpg": PHOTOS["000000000099.jpg"]})))
    with pytest.raises(RecordError, match="none of the photos"):
        agreement(path, vsr)


def test_missing_files_are_named(tmp_path: Path, boxes: Path, vsr: Path) -> None:
    with pytest.raises(RecordError, match="neither a COCO-format file nor a folder"):
        agreement(tmp_path / "nowhere.json", vsr)
    with pytest.raises(RecordError, match="correct --vsr"):
        agreement(boxes, tmp_path / "nowhere")
