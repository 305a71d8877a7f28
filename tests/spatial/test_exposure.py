"""What data and checkpoints have seen adds up, and decides on which parts of VSR their scores mean something."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial import exposure as module
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import RecordError
from spatial.exposure import DESCRIPTION, Exposure, description_of, exposure_from_json, exposure_of
from spatial.leakage import HeldOut, short_hash
from spatial.records import ImageObject, ImageRow, encode_png, image_id_of

NAMES = st.lists(st.sampled_from(["random", "zeroshot", "sha256:12"]), unique=True).map(
    lambda names: tuple(sorted(names))
)
EXPOSURES = st.builds(
    lambda photos, targets, pixels, nouns: Exposure(
        photos, targets if photos else (), pixels, {"zeroshot": nouns} if nouns else {}
    ),
    st.booleans(),
    NAMES,
    NAMES,
    st.lists(st.sampled_from(["book", "clock"]), unique=True).map(lambda nouns: tuple(sorted(nouns))),
)


@given(EXPOSURES, EXPOSURES, EXPOSURES)
def test_what_was_seen_adds_up_in_any_order(a: Exposure, b: Exposure, c: Exposure) -> None:
    assert a | b == b | a
    assert (a | b) | c == a | (b | c)
    assert a | Exposure() == a
    assert exposure_from_json(json.loads(json.dumps(a.as_json()))) == a


@given(EXPOSURES, EXPOSURES, st.sampled_from(["random", "zeroshot"]), st.sampled_from(["train", "dev", "test"]))
def test_more_data_never_makes_a_score_mean_more(a: Exposure, b: Exposure, name: str, part: str) -> None:
    if a.objection(name, part):
        assert (a | b).objection(name, part)
    if not a.objection(name, part) and not b.objection(name, part):
        assert not (a | b).objection(name, part)


def test_photos_are_covered_by_the_target_of_their_guard_and_no_further() -> None:
    seen = Exposure(True, ("zeroshot",))
    assert seen.objection("zeroshot", "test") == "" == seen.objection("zeroshot", "dev")
    assert "guarded for zeroshot, not for random" in seen.objection("random", "test")
    assert "guarded for nothing" in Exposure(True).objection("zeroshot", "test")
    assert "train part" in seen.objection("zeroshot", "train")
    assert Exposure().objection("zeroshot", "train") == ""


def test_synthetic_images_of_held_out_nouns_take_the_zero_shot_claim_away() -> None:
    seen = Exposure(concepts={"zeroshot": ("book", "clock")})
    assert "2 nouns that zeroshot holds out, such as book, clock" in seen.objection("zeroshot", "test")
    assert seen.objection("random", "test") == ""


def write_folder(folder: Path, images: list[tuple[str, list[str]]], description: object = None) -> DatasetFolder:
    """Write one image for each source and list of nouns."""
    rows = []
    for seed, (source, nouns) in enumerate(images):
        pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        objects = tuple(ImageObject(noun, (0, 0, 4, 4)) for noun in nouns)
        rows.append(ImageRow(image_id_of(pixels), encode_png(pixels), 8, 8, source, objects))
    write_shard(folder, 0, rows, [])
    if description is not None:
        (folder / "dataset.json").write_text(json.dumps(description))
    return DatasetFolder(folder)


def test_renders_are_looked_through_for_held_out_nouns(tmp_path: Path) -> None:
    data = write_folder(tmp_path, [("render", ["chair", "book"]), ("render", ["car", "truck"])], {"seed": 1})
    assert exposure_of(data) == Exposure(concepts={"zeroshot": ("book", "car", "chair")})
    assert exposure_of(write_folder(tmp_path / "safe", [("render", ["truck"])])) == Exposure()


@pytest.mark.parametrize(
    ("description", "targets"), [({"guard": {"covers": ["zeroshot"]}}, ("zeroshot",)), ({}, ()), (None, ())]
)
def test_photos_carry_the_target_that_their_folder_tells_of(
    tmp_path: Path, description: object, targets: tuple[str, ...]
) -> None:
    data = write_folder(tmp_path, [("vsr", ["book"]), ("vsr", [])], description)
    assert exposure_of(data) == Exposure(True, targets)


def test_pictures_painted_after_photos_carry_the_target_of_the_photos(tmp_path: Path) -> None:
    data = write_folder(tmp_path, [("repaint", ["truck"])], {"guard": {"covers": ["zeroshot"]}})
    assert exposure_of(data) == Exposure(True, ("zeroshot",))


def test_a_synthetic_image_with_the_pixels_of_a_held_out_photo_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_folder(tmp_path, [("render", ["truck"])])
    held = {"random": HeldOut(), "zeroshot": HeldOut(pixels=frozenset(map(short_hash, data.images)))}
    monkeypatch.setattr(module, "packaged", held.__getitem__)
    seen = exposure_of(data)
    assert seen.pixels == ("zeroshot",)
    assert "pixels" in seen.objection("zeroshot", "test") and not seen.objection("random", "test")


def test_a_damaged_description_is_not_taken_for_none(tmp_path: Path) -> None:
    assert description_of(tmp_path) == {}
    for content in ("", "[1]", '{"guard": '):
        (tmp_path / DESCRIPTION).write_text(content)
        with pytest.raises(RecordError, match=r"dataset\.json is damaged"):
            description_of(tmp_path)
