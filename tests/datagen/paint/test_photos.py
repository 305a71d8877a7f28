"""VSR's training rows repainted: captions live or die as pairs, and nothing that a target tests is read."""

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.config import DatagenConfig, EngineSettings, PaintSettings, PhotoSettings
from datagen.paint.rows import REJECTED
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts
from spatial.dataset import DatasetFolder
from spatial.errors import CheckpointError, ConfigError, RecordError
from spatial.exposure import exposure_of
from spatial.records import ImageRow

from .conftest import CAT, HELD, SIZE, UMBRELLA


@pytest.fixture
def config(small: DatagenConfig, photos: PhotoSettings) -> DatagenConfig:
    """Every row six times: twice by each of VSRE's ways."""
    paint = PaintSettings("photos", 6, ["txt2img", "box-inpaint"], photos)
    return replace(small, groups=100, groups_per_shard=1, engine=EngineSettings("img2img"), paint=paint)


def images(folder: Path) -> list[ImageRow]:
    """Return what was painted, accepted or not."""
    return [row for part in (folder, folder / REJECTED) for row in DatasetFolder(part).images.values()]


def test_each_way_paints_the_rows_that_it_can(config: DatagenConfig, parts: Parts) -> None:
    folder = run_painted(config, parts)
    assert folder
    seen = defaultdict(list)
    for row in images(folder):
        made = json.loads(row.provenance)
        seen[row.source].append((made["caption"], made["painted"]["role"]))
        assert (row.width, row.height) == SIZE and made["file"] != HELD.photo
    pair = [(UMBRELLA, "false"), (UMBRELLA, "true")]
    assert sorted(set(seen["img2img"])) == sorted([(CAT, "true"), *pair]) and len(seen["img2img"]) == 6
    assert set(seen["txt2img"]) == {(CAT, "true"), (UMBRELLA, "true")}, "no picture is painted of a false caption"
    assert sorted(set(seen["box-inpaint"])) == pair, "the cat has no box"


def test_records_say_what_the_row_said_and_pairs_stay_together(config: DatagenConfig, parts: Parts) -> None:
    folder = run_painted(config, parts)
    assert folder
    data = DatasetFolder(folder)
    groups = defaultdict(list)
    for record in data.records:
        made = json.loads(data.images[record.image_id].provenance)
        assert record.caption == made["caption"] and record.answer == made["painted"]["role"]
        assert record.split == "train" and record.topic == "relation"
        groups[record.group_id].append((data.images[record.image_id].source, record.caption, record.answer))
    assert data.records
    for rows in groups.values():
        source, caption, _ = rows[0]
        both = caption == UMBRELLA and source != "txt2img"
        assert sorted(answer for *_, answer in rows) == (["false", "true"] if both else ["true"])


@pytest.mark.slow
def test_boxes_are_kept_where_the_layout_is(config: DatagenConfig, parts: Parts) -> None:
    folder = run_painted(config, parts)
    assert folder
    known = {
        row.source: len(row.objects) for row in images(folder) if json.loads(row.provenance)["caption"] == UMBRELLA
    }
    assert known["txt2img"] == 0 and known["img2img"] in (1, 2)
    for record in DatasetFolder(folder).records:
        objects = DatasetFolder(folder).images[record.image_id].objects
        for place, noun in zip((record.subject, record.object), record.concepts, strict=True):
            assert place == -1 or objects[place].name == noun


def test_of_a_box_all_is_repainted_or_what_a_mask_finds_in_it(
    config: DatagenConfig, parts: Parts, tmp_path: Path
) -> None:
    regions = []
    for name in ("", "halves"):
        masked = replace(config.paint, photos=replace(config.paint.photos, masks=name))
        folder = run_painted(replace(config, out=str(tmp_path / f"masks-{name}"), paint=masked), parts)
        assert folder
        made = [json.loads(row.provenance) for row in images(folder)]
        boxed = [it for it in made if it["painted"]["engine"] == "box-inpaint"]
        regions.append({it["painted"]["role"]: it["painting"]["region"] for it in boxed})
    assert regions == [{"true": 30 * 20, "false": 20 * 20}, {"true": 15 * 20, "false": 10 * 20}]
    missing = replace(config.paint, photos=replace(config.paint.photos, masks="nowhere"))
    with pytest.raises(CheckpointError, match="no weights in nowhere"):
        run_painted(replace(config, paint=missing), parts)
    assert not Path(config.out).exists()


def test_what_was_repainted_is_guarded_and_licensed_as_photos_are(config: DatagenConfig, parts: Parts) -> None:
    folder = run_painted(config, parts)
    assert folder
    assert exposure_of(DatasetFolder(folder)).photos and exposure_of(DatasetFolder(folder)).targets == ("zeroshot",)
    for row in images(folder):
        assert ("painted over: COCO photo" in row.licence) == (row.source != "txt2img")
    card = (folder / "README.md").read_text()
    assert "Guarded for `zeroshot`" in card and "| img2img |" not in card and "**img2img**" in card
    assert '"photos": {"leakage": ' in card and '"splits": ["mine"]' in card
    assert str(config.paint.photos.images) not in (folder / "dataset.json").read_text()


@pytest.mark.slow
def test_ranks_and_other_folders_of_the_same_photos_make_the_same_data(
    config: DatagenConfig, parts: Parts, tmp_path: Path
) -> None:
    whole = DatasetFolder(run_painted(replace(config, out=str(tmp_path / "whole")), parts) or "").content_hash()
    (tmp_path / "photos").rename(tmp_path / "moved")
    moved = replace(config.paint, photos=replace(config.paint.photos, images=str(tmp_path / "moved")))
    for rank in (0, 1):
        run_painted(replace(config, paint=moved, world=2, rank=rank), parts)
    assert DatasetFolder(config.out).content_hash() == whole


def test_photos_that_come_later_are_other_data(config: DatagenConfig, parts: Parts, tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "train2017" / "000000000003.jpg"
    hidden = photo.rename(tmp_path / "hidden.jpg")
    folder = run_painted(config, parts)
    assert folder and "000000000003.jpg" in (folder / "failed.txt").read_text()
    hidden.rename(photo)
    with pytest.raises(ConfigError, match="made with other rows"):
        run_painted(config, parts)


@pytest.mark.slow
def test_the_annotations_may_be_named_by_the_environment(
    config: DatagenConfig, parts: Parts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unnamed = replace(config, paint=replace(config.paint, photos=replace(config.paint.photos, annotations="")))
    monkeypatch.setenv("VSR_ANNOTATIONS", str(tmp_path))
    assert run_painted(unnamed, parts)
    monkeypatch.setenv("VSR_ANNOTATIONS", str(tmp_path / "nowhere"))
    with pytest.raises(RecordError, match="no VSR annotation file"):
        run_painted(replace(unnamed, out=str(tmp_path / "other")), parts)
