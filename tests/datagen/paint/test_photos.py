"""VSR's training rows repainted: captions live or die as pairs, and nothing that a target tests is read."""

import json
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.claim import REJECTED
from datagen.config import DatagenConfig, EngineSettings, LeakageConfig, PaintSettings, PhotoSettings, ScaleSettings
from datagen.paint.job import prepare_painted
from datagen.paint.photos import PhotoSource
from datagen.paint.plan import plan
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts
from eval.benchmarks import VSR_ANNOTATIONS
from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import CheckpointError, ConfigError, RecordError
from spatial.exposure import exposure_of
from spatial.records import ImageRow
from tests.stand_ins import Halves

from .conftest import CAT, HELD, SIZE, UMBRELLA


@pytest.fixture
def config(small: DatagenConfig, photos: PhotoSettings) -> DatagenConfig:
    """Every row six times: twice by each of VSRE's ways."""
    paint = PaintSettings("photos", 6, ["txt2img", "box-inpaint"], photos=replace(photos, one_sided=True))
    return over_photos(small, paint)


def over_photos(small: DatagenConfig, paint: PaintSettings) -> DatagenConfig:
    """Return settings that repaint every caption."""
    engine = EngineSettings("img2img", batch_size=5)
    return DatagenConfig(small.out, groups=100, groups_per_shard=1, workers=1, engine=engine, paint=paint)


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


def test_captions_and_engines_that_have_one_side_alone_are_kept_out(
    small: DatagenConfig, photos: PhotoSettings, parts: Parts
) -> None:
    paint = PaintSettings("photos", 4, ["box-inpaint"], photos=photos)
    folder = run_painted(over_photos(small, paint), parts)
    assert folder and "true alone or false alone" in (folder / "failed.txt").read_text()
    seen = defaultdict(set)
    for row in images(folder):
        made = json.loads(row.provenance)
        seen[row.source, made["painted"]["group"]].add((made["caption"], made["painted"]["role"]))
    assert set(map(frozenset, seen.values())) == {frozenset({(UMBRELLA, "true"), (UMBRELLA, "false")})}
    with pytest.raises(ConfigError, match=r"'txt2img' paints true captions alone.*set paint.photos.one_sided true"):
        run_painted(over_photos(small, replace(paint, engines=["txt2img"])), parts)


def test_an_engine_that_has_a_box_for_one_side_alone_paints_neither(
    small: DatagenConfig, photos: PhotoSettings, parts: Parts
) -> None:
    path = Path(photos.instances[0])
    content = json.loads(path.read_text())
    kept = [entry for entry in content["annotations"] if entry["image_id"] == 1]
    path.write_text(json.dumps({**content, "annotations": kept}))
    folder = run_painted(over_photos(small, PaintSettings("photos", 2, ["box-inpaint"], photos=photos)), parts)
    assert folder and {row.source for row in images(folder)} == {"img2img"}


def test_where_no_caption_has_two_sides_that_is_said(
    small: DatagenConfig, photos: PhotoSettings, parts: Parts, tmp_path: Path
) -> None:
    (tmp_path / "photos" / "train2017" / "000000000002.jpg").unlink()
    with pytest.raises(RecordError, match=r"no row can be repainted; of the first, .*"):
        run_painted(over_photos(small, PaintSettings("photos", photos=photos)), parts)
    assert not Path(small.out).exists()


def test_a_group_of_photos_has_one_seed_and_one_style(config: DatagenConfig, parts: Parts) -> None:
    folder = run_painted(config, parts)
    assert folder
    seeds = defaultdict(list)
    for row in images(folder):
        made = json.loads(row.provenance)
        seeds[made["painted"]["group"]].append(made["painting"]["seed"])
    pairs = [own for own in seeds.values() if len(own) == 2]
    assert len(pairs) == 4 and all(len(set(own)) == 1 for own in pairs)
    assert len({own[0] for own in seeds.values()}) == len(seeds)


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


def test_masks_are_claimed_by_their_weights_and_not_by_their_place(
    config: DatagenConfig, parts: Parts, tmp_path: Path
) -> None:
    def masked(name: str) -> DatagenConfig:
        return replace(config, paint=replace(config.paint, photos=replace(config.paint.photos, masks=name)))

    folder = run_painted(masked(str(tmp_path / "halves")), parts)
    assert folder
    for row in images(folder):
        held = json.loads(row.provenance).get("masks")
        assert (held == Halves("halves").provenance) == (row.source == "box-inpaint") != (held is None)
    described = (folder / "dataset.json").read_text()
    assert str(tmp_path / "halves") not in described
    assert set(json.loads(described)["model_weights"]) >= {"masks", "img2img", "box-inpaint"}
    card = (folder / "README.md").read_text()
    assert '"masks": "MASKS"' in card and "model_weights" not in card
    with pytest.raises(ConfigError, match="made with other paint"):
        plan(config, parts)
    (folder / "records" / "shard-00001.parquet").unlink()
    with pytest.raises(ConfigError, match="made with other model_weights"):
        run_painted(masked(str(tmp_path / "others")), parts)
    assert finished_shards(folder) == {0}
    run_painted(masked(str(tmp_path / "moved" / "halves")), parts)
    assert finished_shards(folder) == {0, 1}


def test_a_worker_makes_the_masks_of_where_the_run_was_started(config: DatagenConfig, parts: Parts) -> None:
    scale = ScaleSettings(by="ray")
    photos = replace(config.paint.photos, masks="halves")
    on_ray = replace(config, paint=replace(config.paint, photos=photos), scale=scale)
    missing = replace(on_ray, paint=replace(config.paint, photos=replace(photos, masks="nowhere")))
    with pytest.raises(CheckpointError, match="no weights in nowhere"):
        prepare_painted(missing, parts)
    source = prepare_painted(on_ray, parts).source
    assert isinstance(source, PhotoSource) and source.attempts(0)
    with pytest.raises(CheckpointError, match=r"paint.photos.masks halves has other weights on .* than where"):
        replace(source, known_masks=Halves("others").provenance).attempts(0)


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


def test_a_file_that_stays_unseen_may_lie_elsewhere(config: DatagenConfig, parts: Parts, tmp_path: Path) -> None:
    def guarded(folder: str) -> DatagenConfig:
        path = tmp_path / folder / "unseen.jsonl"
        path.parent.mkdir()
        shutil.copy(VSR_ANNOTATIONS / "zeroshot.dev.jsonl", path)
        photos = replace(config.paint.photos, leakage=LeakageConfig("files", [str(path)]))
        return replace(config, paint=replace(config.paint, photos=photos))

    folder = run_painted(guarded("here"), parts)
    assert folder and str(tmp_path) not in (folder / "dataset.json").read_text()
    assert plan(guarded("there"), parts).left == 0


def test_photos_that_come_later_are_other_data(config: DatagenConfig, parts: Parts, tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "train2017" / "000000000003.jpg"
    hidden = photo.rename(tmp_path / "hidden.jpg")
    folder = run_painted(config, parts)
    assert folder and "000000000003.jpg" in (folder / "failed.txt").read_text()
    hidden.rename(photo)
    with pytest.raises(ConfigError, match="made with other rows"):
        run_painted(config, parts)


def test_a_plan_refuses_the_folder_of_other_rows_or_settings(
    config: DatagenConfig, parts: Parts, tmp_path: Path
) -> None:
    few = replace(config, paint=replace(config.paint, seeds_per_spec=3))
    run_painted(few, parts)
    assert plan(few, parts).left == 0
    with pytest.raises(ConfigError, match="made with other seed"):
        plan(replace(few, seed=1), parts)
    strict = replace(few.paint.photos, leakage=LeakageConfig("both"))
    with pytest.raises(ConfigError, match=r"made with other guard, leakage, paint"):
        plan(replace(few, paint=replace(few.paint, photos=strict)), parts)
    (tmp_path / "instances.json").unlink()
    assert any("instances.json" in line for line in plan(few, parts).missing)


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
