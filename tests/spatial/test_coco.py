"""Boxes come from instances files: the right photo, the largest first, no crowds, and mistakes by name."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from spatial.coco import read_instances
from spatial.errors import RecordError

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 18, "name": "Dog"}]


def content(annotations: list[dict[str, Any]], images: tuple[str, ...] = ("000000000007.jpg",)) -> dict[str, Any]:
    rows = [{"id": 70 + n, "file_name": name, "width": 64, "height": 48} for n, name in enumerate(images)]
    return {"images": rows, "annotations": annotations, "categories": CATEGORIES}


def instance(box: list[float], category: int = 1, image: int = 70, **more: Any) -> dict[str, Any]:
    outline = {"segmentation": [[1.0, 2.0, 3.0]]}
    return {"image_id": image, "category_id": category, "bbox": box, "iscrowd": 0, **outline, **more}


def write(path: Path, item: dict[str, Any]) -> Path:
    path.write_text(json.dumps(item))
    return path


def test_instances_are_boxes_of_corners_the_largest_first_without_crowds(tmp_path: Path) -> None:
    annotations = [
        instance([1.5, 2, 10, 20]),
        instance([0, 0, 9, 9], 18, area=3.0),
        instance([5, 5, 30.004, 30], 1),
        instance([0, 0, 60, 40], 1, iscrowd=1),
    ]
    path = write(tmp_path / "instances.json", content(annotations))
    (photo,) = read_instances([path], ["000000000007.jpg"]).values()
    assert [(item.name, item.box_xyxy) for item in photo.objects] == [
        ("cat", (5, 5, 35.0, 35)),
        ("cat", (1.5, 2, 11.5, 22)),
        ("dog", (0, 0, 9, 9)),
    ]
    assert (photo.places("cat"), photo.places("dog"), photo.places("bed")) == ([0, 1], [2], [])
    assert photo.crowds == {"cat"}
    assert (photo.width, photo.height) == (64, 48)


def test_several_files_are_read_and_only_photos_that_are_asked_for(tmp_path: Path) -> None:
    names = ("COCO_val2014_000000000007.jpg", "000000000008.jpg")
    first = write(tmp_path / "a.json", content([instance([0, 0, 1, 1]), instance([0, 0, 1, 1], image=71)], names))
    second = write(tmp_path / "b.json", content([], ("000000000009.jpg",)))
    found = read_instances([first, second], ["000000000007.jpg", "000000000009.jpg", "000000000010.jpg"])
    assert sorted(found) == ["000000000007", "000000000009"]
    assert found["000000000009"].objects == () == tuple(found["000000000009"].crowds)


def test_a_folder_stands_for_its_instances_files(tmp_path: Path) -> None:
    for number in (7, 8):
        write(tmp_path / f"instances_{number}.json", content([], (f"{number:012}.jpg",)))
    write(tmp_path / "captions.json", {})
    assert sorted(read_instances([tmp_path], ["000000000007.jpg", "000000000008.jpg"])) == [
        "000000000007",
        "000000000008",
    ]


def test_the_order_in_a_file_does_not_matter_where_sizes_differ(tmp_path: Path) -> None:
    for sides in permutations([1.0, 2.0, 3.0]):
        path = write(tmp_path / "instances.json", content([instance([0, 0, side, side]) for side in sides]))
        (photo,) = read_instances([path], ["000000000007.jpg"]).values()
        assert [item.box_xyxy[2] for item in photo.objects] == [3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    "item", [{}, {"images": []}, content([{"image_id": 70, "category_id": 1}]), content([instance([1])])]
)
def test_a_file_of_another_format_is_named(tmp_path: Path, item: dict[str, Any]) -> None:
    path = write(tmp_path / "captions.json", item)
    with pytest.raises(RecordError, match=r"captions\.json is not a COCO-format file"):
        read_instances([path], ["000000000007.jpg"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"nowhere\.json is neither a COCO-format file nor a folder"):
        read_instances([tmp_path / "nowhere.json"], [])
