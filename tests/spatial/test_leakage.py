"""What a target keeps unseen is known by hashes, and a row is dropped for its photo, not for a caption of others."""

import importlib.util
import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eval.benchmarks import VSR_ANNOTATIONS
from spatial import leakage
from spatial.errors import ConfigError, RecordError
from spatial.leakage import (
    HASHES,
    HELD_OUT_PARTS,
    TARGETS,
    HeldOut,
    caption_key,
    file_name,
    hashes_of,
    held_out,
    joined,
    packaged,
    photo_key,
    short_hash,
    target_names,
)
from spatial.records import decode_image, image_id_of
from spatial.vocabulary import NOUNS
from spatial.vsr import RELEASED, Released, Row, annotation_file, read_rows

RELEASED_FILES = os.environ.get("VSR_ANNOTATIONS", "")


def row(photo: str, caption: str, truth: bool = True) -> Row:
    return Row(1, photo, caption, "on", truth)


HELD = hashes_of([row("000000000007.jpg", "The cat is on the bed."), row("000000000008.jpg", "The dog is on the bed.")])


@pytest.mark.parametrize(
    ("photo", "caption", "rule"),
    [
        ("000000000007.jpg", "The cat is on the bed.", "image and caption"),
        ("COCO_train2014_000000000007.jpg", "the cat is  on the bed", "image and caption"),
        ("000000000007.jpg", "The dog is on the bed.", "image"),
        ("000000000007.jpg", "The mouse is on the bed.", "image"),
        ("000000000009.jpg", "The cat is on the bed.", "caption"),
        ("000000000009.jpg", "The bed is on the cat.", ""),
    ],
)
def test_a_row_is_dropped_for_its_photo_and_for_a_shared_caption_only_under_strict(
    photo: str, caption: str, rule: str
) -> None:
    assert HELD.rule(photo, caption) == rule
    assert HELD.drops(photo, caption) == rule.startswith("image")
    assert HELD.drops(photo, caption, strict=True) == bool(rule)


def test_a_synthetic_image_is_known_by_pixels_and_nouns_and_not_by_captions() -> None:
    held = HeldOut(captions=HELD.captions, pixels=frozenset({short_hash("abc")}), concepts=frozenset({"clock"}))
    assert held.shows("abc", ["cup"]) == "pixels"
    assert held.shows("other", ["cup", "clock"]) == "concept"
    assert held.shows("other", ["cup", "cat"]) == ""


@given(st.lists(st.integers(0, 10**12 - 1), unique=True, max_size=20), st.integers(0, 10**12 - 1))
def test_a_photo_is_held_out_exactly_if_it_was_listed(numbers: list[int], other: int) -> None:
    held = hashes_of([row(f"{number:012}.jpg", "The cat is on the bed.") for number in numbers])
    assert all(held.drops(f"{number:012}.png", "x") for number in numbers)
    assert held.drops(f"{other:012}.jpg", "x") == (other in numbers)


@given(st.text(min_size=1), st.text(min_size=1))
def test_hashes_are_short_and_come_apart_again(first: str, second: str) -> None:
    hashes = {short_hash(first), short_hash(second)}
    assert leakage._cut(joined(hashes)) == hashes
    assert (short_hash(first) == short_hash(second)) == (first == second)


@given(st.sampled_from(["", "train2017/", "a\\b\\", "x/COCO_train2014_", "COCO_val2014_"]), st.integers(0, 10**12 - 1))
def test_a_photo_has_one_key_in_every_release(prefix: str, number: int) -> None:
    assert photo_key(f"{prefix}{number:012}.jpg") == f"{number:012}"


def test_keys_leave_out_what_does_not_make_a_photo_or_caption_another() -> None:
    assert photo_key("val2017/000000000139.JPG") == photo_key("COCO_val2014_000000000139.jpg") == "000000000139"
    assert photo_key("Mine.png") == "mine" != photo_key("mine2.png")
    assert caption_key(" The Cat  is on the bed. ") == "the cat is on the bed"


@pytest.mark.parametrize("part", HELD_OUT_PARTS)
def test_every_shipped_zero_shot_row_is_among_the_packaged_hashes(part: str) -> None:
    rows = read_rows(annotation_file(VSR_ANNOTATIONS, "zeroshot", part), "zeroshot", part)
    for target in ("zeroshot", "both"):
        held = held_out(target)
        assert all(held.rule(item.photo, item.caption) == "image and caption" for item in rows)
    assert sum(held_out("random").drops(item.photo, item.caption) for item in rows) < len(rows)


def test_the_packaged_hashes_are_of_the_released_files_and_hold_no_row() -> None:
    content = json.loads(HASHES.read_text())
    assert content["annotations"] == {f"{s}.{p}.jsonl": known.sha256 for (s, p), known in RELEASED.items()}
    assert ".jpg" not in HASHES.read_text() and HASHES.stat().st_size < 120_000
    assert [len(packaged(split).photos) for split in ("random", "zeroshot")] == [2627, 939]
    assert [len(packaged(split).pairs) for split in ("random", "zeroshot")] == [3292, 1562]


def test_the_zero_shot_split_holds_out_nouns_and_the_random_split_none() -> None:
    assert len(packaged("zeroshot").concepts) == 34 and not packaged("random").concepts
    assert packaged("zeroshot").concepts < set(NOUNS)
    assert {"book", "clock", "handbag"} <= packaged("zeroshot").concepts
    assert "horse" not in packaged("zeroshot").concepts  # in the dev part, and in the training part


def write_own(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    lines = [json.dumps({"image": photo, "caption": text, "relation": "on", "label": 1}) for photo, text in rows]
    path.write_text("\n".join(lines))
    return path


def test_own_files_are_a_target_and_named_by_their_content(tmp_path: Path) -> None:
    own = write_own(tmp_path / "own.jsonl", [("mine.jpg", "The cat is on the bed.")])
    held = held_out("files", [own])
    assert held.drops("mine.jpg", "x") and not held.drops("000000372029.jpg", "The dog is on the surfboard.")
    (name,) = target_names("files", [own])
    assert name == file_name(own) == f"sha256:{sha256(own.read_bytes()).hexdigest()[:16]}"
    assert target_names("both") == ("random", "zeroshot")


@pytest.mark.parametrize(
    ("target", "files", "says"),
    [
        ("zeroshoot", [], "did you mean 'zeroshot'"),
        ("files", [], "go together"),
        ("zeroshot", ["x.jsonl"], "go together"),
        ("files", ["nowhere.jsonl"], "nowhere.jsonl, which is no file"),
    ],
)
def test_a_target_that_cannot_be_used_says_why(target: str, files: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        held_out(target, files)


@pytest.fixture
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "hash_vsr.py"
    spec = importlib.util.spec_from_file_location("hash_vsr", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NOUN_OF_PART = {"train": "cat", "dev": "dog", "test": "bear"}


@pytest.fixture
def annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six files of one row each, taken for the released ones; photo numbers count them."""
    for number, (split, part) in enumerate(RELEASED):
        caption = f"The {NOUN_OF_PART[part]} is on the bed."
        path = write_own(tmp_path / f"{split}.{part}.jsonl", [(f"{number:012}.jpg", caption)])
        monkeypatch.setitem(RELEASED, (split, part), Released(1, sha256(path.read_bytes()).hexdigest()))
    return tmp_path


def test_the_script_hashes_annotations_and_photos(
    script: ModuleType, annotations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = annotations / "photos"
    photos.mkdir()
    for number in range(6):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(photos / f"{number:012}.jpg")
    out = script.make(annotations, photos, annotations / "hashes.json")
    monkeypatch.setattr(leakage, "HASHES", out)
    monkeypatch.setattr(leakage, "packaged", packaged.__wrapped__)
    zeroshot, random = held_out("zeroshot"), held_out("random")
    assert zeroshot.drops("000000000004.jpg", "x") and zeroshot.drops("000000000005.jpg", "x")
    assert not zeroshot.drops("000000000003.jpg", "x")  # its training part
    assert random.drops("000000000001.jpg", "x") and not random.drops("000000000004.jpg", "x")
    assert zeroshot.concepts == {"dog", "bear"} and not random.concepts
    pixels = np.asarray(decode_image((photos / "000000000005.jpg").read_bytes(), "photo"))
    assert zeroshot.shows(image_id_of(pixels), []) == "pixels" and random.shows(image_id_of(pixels), []) == ""


def test_the_script_refuses_missing_photos_and_files_that_are_not_the_released_ones(
    script: ModuleType, annotations: Path
) -> None:
    with pytest.raises(RecordError, match=r"photos of random dev are not in .*000000000001\.jpg"):
        script.make(annotations, annotations, annotations / "hashes.json")
    path = annotations / "zeroshot.dev.jsonl"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(RecordError, match="not VSR's released file"):
        script.make(annotations, None, annotations / "hashes.json")
    assert not (annotations / "hashes.json").exists()


@pytest.mark.skipif(not RELEASED_FILES, reason="set VSR_ANNOTATIONS to a folder with VSR's split files")
def test_the_script_makes_the_packaged_file_again(script: ModuleType, tmp_path: Path) -> None:
    made = json.loads(script.make(Path(RELEASED_FILES), None, tmp_path / "hashes.json").read_text())
    packed = json.loads(HASHES.read_text())
    for part in packed["parts"].values():
        part.pop("pixels", None)
    assert made == packed


@pytest.mark.skipif(not RELEASED_FILES, reason="set VSR_ANNOTATIONS to a folder with VSR's split files")
@pytest.mark.parametrize(
    ("target", "strict", "random", "zeroshot", "distinct", "photos"),
    [
        ("zeroshot", False, 6371, 3481, 7436, 4666),
        ("zeroshot", True, 6371, 3481, 7436, 4666),
        ("random", False, 5000, 1645, 5000, 3632),
        ("both", False, 4231, 1644, 4231, 3141),
        ("both", True, 2129, 782, 2129, 1760),
    ],
)
def test_the_guard_leaves_the_known_numbers_of_training_rows(
    target: str, strict: bool, random: int, zeroshot: int, distinct: int, photos: int
) -> None:
    held = held_out(target)
    left = {
        split: [
            item
            for item in read_rows(annotation_file(Path(RELEASED_FILES), split, "train"), split, "train")
            if not held.drops(item.photo, item.caption, strict)
        ]
        for split in TARGETS["both"]
    }
    pooled = {(item.photo, item.caption, item.truth) for part in left.values() for item in part}
    assert (len(left["random"]), len(left["zeroshot"])) == (random, zeroshot)
    assert (len(pooled), len({photo for photo, _, _ in pooled})) == (distinct, photos)


@pytest.mark.skipif(not RELEASED_FILES, reason="set VSR_ANNOTATIONS to a folder with VSR's split files")
def test_the_splits_share_what_the_page_about_leakage_says() -> None:
    folder = Path(RELEASED_FILES)
    parts = {key: read_rows(annotation_file(folder, *key), *key) for key in RELEASED}
    seen = parts["random", "train"]
    photos, pairs = {item.photo for item in seen}, {(item.photo, item.caption) for item in seen}
    assert sum((item.photo, item.caption) in pairs for item in parts["zeroshot", "test"]) == 830
    assert sum(item.photo in photos for item in parts["zeroshot", "test"]) == 1056
    labels: dict[str, set[bool]] = {}
    for item in seen:
        labels.setdefault(item.caption, set()).add(item.truth)
    known = [item for item in parts["random", "test"] if len(labels.get(item.caption, ())) == 1]
    assert (len(known), sum(item.truth not in labels[item.caption] for item in known)) == (876, 814)
    assert len({(item.photo, item.caption) for key in RELEASED for item in parts[key] if key[1] == "train"}) == 8751
