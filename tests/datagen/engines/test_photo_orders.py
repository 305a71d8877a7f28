"""Photos are repainted of training rows alone, never of what a target tests, with words that are true of them."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datagen.config import ImportVsrConfig, LeakageConfig
from datagen.engines import photo_orders as module
from datagen.engines.masks import load_sam
from datagen.engines.photo_orders import MODES, PhotoJob, box_mask, is_known, photo_jobs, photo_order
from eval.benchmarks import VSR_ANNOTATIONS
from spatial.errors import CheckpointError, ConfigError, RecordError
from spatial.leakage import HeldOut, short_hash
from spatial.observation import Box
from spatial.vsr import read_rows

HELD = read_rows(VSR_ANNOTATIONS / "zeroshot.test.jsonl", "zeroshot", "test")[0]
"""A row that the zero-shot target keeps unseen."""

ON = "The umbrella is on the truck."

ROWS = [
    ("000000000001.jpg", ON, "on", 1),
    ("000000000002.jpg", ON, "on", 0),
    ("000000000003.jpg", "The bowl contains the hot dog.", "contains", 1),
    (HELD.photo, "The dog is near the cat.", "near", 1),
    ("000000000004.jpg", "The cat is left of the bed.", "left of", 1),
]

BOX = (10.0, 20.5, 40.0, 40.0)


@pytest.fixture
def config(tmp_path: Path) -> ImportVsrConfig:
    """Rows of one file and their photos; 3 has no boxes and 4 no photo."""
    keys = ("image", "caption", "relation", "label")
    lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in ROWS]
    (tmp_path / "mine.train.jsonl").write_text("\n".join(lines))
    for number, name in enumerate(["000000000001.jpg", "000000000002.jpg", "000000000003.jpg", HELD.photo]):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name, format="JPEG")
    instances = {
        "categories": [{"id": 1, "name": "umbrella"}, {"id": 2, "name": "truck"}],
        "images": [{"id": number, "file_name": f"{number:012}.jpg", "width": 64, "height": 48} for number in (1, 2)],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [10, 20.5, 30, 19.5]},
            {"image_id": 1, "category_id": 1, "bbox": [1, 2, 4, 4]},
            {"image_id": 1, "category_id": 2, "bbox": [5, 30, 40, 10]},
            {"image_id": 2, "category_id": 1, "bbox": [0, 0, 9, 9]},
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    return ImportVsrConfig(
        annotations=str(tmp_path), images=str(tmp_path), instances=[str(tmp_path / "instances.json")], splits=["mine"]
    )


def named(jobs: list[PhotoJob]) -> list[tuple[str, bool]]:
    return [(job.source.row.photo, job.source.row.truth) for job in jobs]


def test_each_way_takes_the_rows_that_it_can_repaint_and_says_why_not_the_others(config: ImportVsrConfig) -> None:
    taken = {mode: photo_jobs(config, mode) for mode in MODES}
    first, second, third = ((row[0], bool(row[3])) for row in ROWS[:3])
    assert named(taken["img2img"][0]) == [first, second, third]
    assert named(taken["txt2img"][0]) == [first, third]
    assert named(taken["box-inpaint"][0]) == [first, second]
    reasons = {mode: {row.name.split()[-1]: row.reason for row in failed} for mode, (_, failed) in taken.items()}
    assert "is missing under" in reasons["img2img"]["000000000004.jpg"]
    assert "its caption is false of the photo" in reasons["txt2img"]["000000000002.jpg"]
    assert "its subject has no box; name COCO's" in reasons["box-inpaint"]["000000000003.jpg"]
    assert not any(HELD.photo in names for names in reasons.values())


@pytest.mark.parametrize("mode", MODES)
def test_a_photo_that_the_target_tests_is_never_repainted(config: ImportVsrConfig, mode: str) -> None:
    jobs, _ = photo_jobs(config, mode)
    assert HELD.photo not in {job.photo.name for job in jobs}
    random = replace(config, leakage=LeakageConfig(target="files", files=[str(Path(config.annotations) / "own.jsonl")]))
    own = Path(config.annotations) / "own.jsonl"
    own.write_text(json.dumps({"image": "000000000001.jpg", "caption": "x", "relation": "on", "label": 1}))
    assert "000000000001.jpg" not in {job.photo.name for job in photo_jobs(random, mode)[0]}


def test_a_held_out_photo_under_another_name_is_known_by_its_pixels(
    config: ImportVsrConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, _ = photo_jobs(config, "img2img")
    copy = jobs[0].photo.image_id
    monkeypatch.setattr(module, "held_out", lambda *_: HeldOut(pixels=frozenset({short_hash(copy)})))
    left, failed = photo_jobs(config, "img2img")
    assert copy not in {job.photo.image_id for job in left} and len(left) == len(jobs) - 1
    assert any("its pixels are those of a photo that the target tests" in row.reason for row in failed)


@pytest.mark.parametrize("part", ["dev", "test"])
def test_other_parts_than_train_are_refused(config: ImportVsrConfig, part: str) -> None:
    with pytest.raises(ConfigError, match="photos are repainted of part 'train' alone"):
        photo_jobs(replace(config, part=part), "img2img")


def test_an_unknown_way_names_the_nearest(config: ImportVsrConfig) -> None:
    with pytest.raises(ConfigError, match="called 'img2im'; did you mean 'img2img'"):
        photo_jobs(config, "img2im")


def jobs_by_truth(config: ImportVsrConfig, mode: str) -> dict[bool, PhotoJob]:
    return {job.source.row.truth: job for job in photo_jobs(config, mode)[0] if job.source.row.caption == ON}


def test_only_a_true_caption_is_said_and_the_label_stays(config: ImportVsrConfig) -> None:
    for mode in ("img2img", "box-inpaint"):
        for truth, job in jobs_by_truth(config, mode).items():
            made = photo_order(job, mode, 0, "g")
            (claim,) = made.intent.claims
            assert (claim.relation, claim.truth, claim.subject, claim.object) == ("on", truth, 0, 1)
            assert ("on the truck" in made.order.prompts.whole) == (truth and mode == "img2img")
            assert made.order.photo is not None and made.order.photo.shape == (48, 64, 3)
            assert made.order.prompts.objects == ("umbrella", "truck") and made.order.key == job.photo.name


def test_boxes_are_meant_only_where_the_layout_is_kept(config: ImportVsrConfig) -> None:
    meant = {mode: photo_order(jobs_by_truth(config, mode)[True], mode, 0, "g").intent.objects for mode in MODES}
    for mode in ("img2img", "box-inpaint"):
        assert [thing.box_xyxy for thing in meant[mode]] == [BOX, (5.0, 30.0, 45.0, 40.0)]
    assert [thing.name for thing in meant["txt2img"]] == ["umbrella", "truck"]
    assert not any(is_known(thing.box_xyxy) for thing in meant["txt2img"])


def test_the_mask_is_the_subjects_box_or_what_a_model_finds_in_it(config: ImportVsrConfig) -> None:
    job = jobs_by_truth(config, "box-inpaint")[True]
    whole = photo_order(job, "box-inpaint", 0, "g").order.region
    assert whole is not None and (whole == box_mask(BOX, 64, 48)).all()
    rows, columns = np.nonzero(whole)
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (10, 40, 20, 40)

    def left_half(pixels: np.ndarray, box: Box) -> np.ndarray:
        assert pixels.shape == (48, 64, 3) and box == BOX
        return np.arange(64)[None, :].repeat(48, axis=0) < 20

    part = photo_order(job, "box-inpaint", 0, "g", masks=left_half).order.region
    assert part is not None and (part == (whole & (np.arange(64) < 20))).all() and part.any()
    nothing = photo_order(job, "box-inpaint", 0, "g", masks=lambda pixels, _: np.zeros(pixels.shape[:2], np.bool_))
    assert nothing.order.region is not None and (nothing.order.region == whole).all()
    assert photo_order(job, "img2img", 0, "g").order.region is None


def test_the_pictures_of_a_group_have_one_seed_and_one_style(config: ImportVsrConfig) -> None:
    for mode in ("img2img", "box-inpaint"):
        pair = jobs_by_truth(config, mode)
        made = [photo_order(pair[truth], mode, 0, "g").order for truth in (True, False)]
        assert made[0].key != made[1].key and made[0].seed == made[1].seed
        assert made[0].prompts.style == made[1].prompts.style
        others = [photo_order(pair[True], mode, 0, f"g{index}").order for index in range(20)]
        assert len({order.seed for order in others}) == 20 and len({order.prompts.style for order in others}) > 1


def test_copies_have_their_own_noise_and_all_is_repeatable(config: ImportVsrConfig) -> None:
    job = jobs_by_truth(config, "img2img")[True]
    made = [photo_order(job, "img2img", seed, "g", copy).order for seed in (0, 1) for copy in (0, 1, 2)]
    assert len({order.seed for order in made}) == 6
    again = photo_order(job, "img2img", 0, "g").order
    assert (again.seed, again.prompts) == (made[0].seed, made[0].prompts)


def test_a_photo_that_vanished_is_named(config: ImportVsrConfig) -> None:
    job = jobs_by_truth(config, "img2img")[True]
    job.photo.path.unlink()
    with pytest.raises(RecordError, match=r"000000000001.jpg can no longer be read"):
        photo_order(job, "img2img", 0, "g")


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny random SAM."""
    import torch
    from transformers import SamConfig, SamImageProcessorPil, SamModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SamConfig(
        vision_config={
            **sizes,
            "image_size": 64,
            "patch_size": 16,
            "output_channels": 16,
            "mlp_dim": 16,
            "num_pos_feats": 8,
            "window_size": 0,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 16,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "iou_head_hidden_dim": 16,
        },
    )
    folder = tmp_path_factory.mktemp("sam")
    SamModel(config).save_pretrained(folder)
    square = {"height": 64, "width": 64}
    SamImageProcessorPil(size={"longest_edge": 64}, pad_size=square, mask_size={"longest_edge": 16}).save_pretrained(
        folder
    )
    return folder


def test_sam_masks_stay_in_their_box(sam: Path, config: ImportVsrConfig) -> None:
    masks: Callable[..., np.ndarray] = load_sam(str(sam))
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    found = [masks(pixels, box) for box in (BOX, (0.0, 0.0, 64.0, 48.0))]
    assert all(mask.shape == (48, 64) and mask.dtype == np.bool_ for mask in found)
    assert not (found[0] & ~box_mask(BOX, 64, 48)).any() and found[1].any() and not found[1].all()
    region = photo_order(jobs_by_truth(config, "box-inpaint")[True], "box-inpaint", 0, "g", masks=masks).order.region
    assert region is not None and region.any() and not (region & ~box_mask(BOX, 64, 48)).any()


def test_sam_is_the_same_wherever_it_runs_and_says_which_weights_it_has(
    sam: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    plain = load_sam(str(sam))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # a machine with GPUs, which SAM must not ask for
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    moved = Path(shutil.copytree(sam, tmp_path / "moved"))
    weights = load_file(moved / "model.safetensors")
    for masks in (plain, load_sam(str(moved))):
        assert {it.device.type for it in masks.model.parameters()} == {"cpu"}
        assert {it.dtype for it in masks.model.parameters()} == {torch.float32}
        assert (masks(pixels, BOX) == plain(pixels, BOX)).all()
        assert masks.provenance["sha256"] == plain.provenance["sha256"]
        assert str(tmp_path) not in str(masks.provenance)
    own = hashlib.sha256((sam / "model.safetensors").read_bytes()).hexdigest()
    assert plain.provenance["sha256"]["model.safetensors"] == own
    save_file({name: tensor.half() for name, tensor in weights.items()}, moved / "model.safetensors", {"format": "pt"})
    half = load_sam(str(moved))
    assert {it.dtype for it in half.model.parameters()} == {torch.float32}
    assert half.provenance["sha256"] != plain.provenance["sha256"]


def test_another_model_is_no_sam(zimage_control: Path, sdxl: Path) -> None:
    with pytest.raises(
        CheckpointError, match="holds a model of type None, not sam; fetch it: hf download facebook/sam"
    ):
        load_sam(str(zimage_control))
    with pytest.raises(CheckpointError, match=r"is no SAM: it has no config.json; fetch it"):
        load_sam(str(sdxl))
