"""Painted runs of every engine and of the shipped kind of verifier, with real networks at tiny random size.

Such an engine paints noise, so nothing may be accepted: what is tested is all that lies between settings and folder.
"""

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datagen.assets import CORE
from datagen.claim import REJECTED
from datagen.config import DatagenConfig, EngineSettings, PaintSettings, PhotoSettings, VerifySettings
from datagen.engines.controls import Canvas, depth_control, hash_of
from datagen.engines.registry import ENGINES
from datagen.paint.run import run_painted
from datagen.passes import render_passes
from datagen.verify.verdicts import CHECKS, accepted, from_json
from encoders.detector import DetectorConfig, TinyDetector
from encoders.painter import build_painter
from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import CheckpointError, ConfigError
from spatial.records import ImageRow, decode_image, image_id_of
from spatial.scene import Scene

from ...painters import mini
from ..engines import tiny

NOUNS = sorted({*CORE, "umbrella", "truck", "cat", "bed"})


def save_painter(folder: Path, seed: int = 0) -> Path:
    painter = build_painter(sorted(CORE), mini(64))
    with torch.no_grad():
        for parameter in painter.unet.parameters():
            parameter.add_(0.01 * seed)
    painter.to(torch.float16).save_pretrained(folder)
    return folder


def save_detector(folder: Path, seed: int = 0) -> Path:
    """Save a detector that finds this and that everywhere."""
    torch.manual_seed(seed)
    sizes = {"image_size": 64, "widths": [8, 8, 12, 16], "blocks": 1, "neck": 16}
    network = TinyDetector(DetectorConfig(nouns=NOUNS, **sizes))
    torch.nn.init.normal_(network.heat_head[-1].weight, std=0.5)
    torch.nn.init.zeros_(network.heat_head[-1].bias)
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of folders of weights."""
    root = tmp_path_factory.mktemp("models")
    save_painter(root / "painter")
    save_detector(root / "detector")
    return root


@pytest.fixture
def real(small: DatagenConfig, models: Path) -> DatagenConfig:
    """Return a run of four pictures in two shards by the tiny painter, judged by the tiny verifier."""
    tiny_verifier = f"tiny={models / 'detector'}"
    return replace(
        small,
        groups=2,
        groups_per_shard=1,
        image_size=64,
        engine=EngineSettings("tiny-depth", str(models / "painter"), steps=2, batch_size=2, device="cpu"),
        verify=VerifySettings([tiny_verifier], tiny_verifier, device="cpu"),
        paint=PaintSettings(),
    )


@pytest.fixture(scope="module")
def weights(models: Path) -> Callable[[str], dict[str, Any]]:
    """Return a function from an engine to its settings, which saves its weights once."""
    saves: dict[str, Callable[[Path], Path]] = {
        "sdxl": tiny.save_sdxl,
        "union": tiny.save_union,
        "zimage": tiny.save_zimage,
        "zimage-control": tiny.save_zimage_control,
        "inpainting": lambda folder: tiny.save_sdxl(folder, channels=9),
    }
    needs = {
        "sdxl-controlnet": {"model": "sdxl", "control": "union"},
        "z-image": {"model": "zimage", "control": "zimage-control"},
        "tiny-depth": {"model": "painter"},
        "img2img": {"model": "sdxl"},
        "txt2img": {"model": "sdxl"},
        "box-inpaint": {"model": "inpainting"},
    }

    def settings(engine: str) -> dict[str, Any]:
        for name in needs[engine].values():
            if not (models / name).is_dir():
                saves[name](models / name)
        return {setting: str(models / name) for setting, name in needs[engine].items()}

    return settings


def over_photos(real: DatagenConfig, photos: PhotoSettings, weights: Callable[[str], dict[str, Any]]) -> DatagenConfig:
    """Return a run that repaints the boxes of photos."""
    engine = replace(real.engine, name="box-inpaint", size=64, **weights("box-inpaint"))
    paint = PaintSettings("photos", photos=photos)
    return DatagenConfig(real.out, groups=9, groups_per_shard=1, engine=engine, verify=real.verify, paint=paint)


def rows_of(folder: Path) -> list[ImageRow]:
    return list(DatasetFolder(folder).images.values())


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_every_engine_paints_a_run_whose_noise_the_verifier_rejects(
    name: str, real: DatagenConfig, weights: Callable[[str], dict[str, Any]], photos: PhotoSettings
) -> None:
    whole = name in ("sdxl-controlnet", "z-image")
    engine = replace(real.engine, name=name, size=64, per_object=whole, **{"control": "", **weights(name)})
    config = over_photos(real, photos, weights) if name == "box-inpaint" else replace(real, engine=engine)
    folder = run_painted(config)
    assert folder and not rows_of(folder) and not list(DatasetFolder(folder).records), "noise shows nothing"
    rows = rows_of(folder / REJECTED)
    assert rows and not list(DatasetFolder(folder / REJECTED).records), "nothing is stated of noise"
    seeds = defaultdict(set)
    for row in rows:
        verdicts = from_json(row.verdicts)
        assert [it.check for it in verdicts] == list(CHECKS) and not accepted(verdicts)
        made = json.loads(row.provenance)
        seeds[made["painted"]["group"]].add(made["painting"]["seed"])
        check_picture(row, made, name)
    if name != "box-inpaint":  # a group of scenes has one seed, of its own
        assert len({seed for own in seeds.values() for seed in own}) == len(seeds) == 2


def check_picture(row: ImageRow, made: dict[str, Any], name: str) -> None:
    """Check what a row says of how it came about."""
    assert row.source == name == made["engine"]["engine"] and row.licence
    assert made["engine"]["steps"] == 2 and made["engine"]["weights"]["sha256"]
    assert len(made["verifier"]["tiny-verifier"]) == 32
    pixels = np.asarray(decode_image(row.image, ""))
    assert image_id_of(pixels) == row.image_id and pixels.std() > 1
    painting, controls = made["painting"], made["painting"].get("controls", {})
    if name == "box-inpaint":
        assert set(controls) == {"reference", "mask"} and "umbrella" in painting["prompt"]
        return
    scene = Scene.from_json(row.scene)
    assert all(thing.name in painting["prompt"] for thing in scene.objects[:2])
    passes, canvas = render_passes(scene, 1), Canvas(*painting["canvas"])
    assert made["painted"]["control"] == (name != "txt2img") == bool(row.objects)
    if "depth" in ENGINES[name].takes:
        assert controls["depth"] == hash_of(depth_control(passes, canvas))
    if name in ("sdxl-controlnet", "z-image"):
        parts = painting["objects"]
        assert len(parts) == len(scene.objects) and all(part["mask"] and part["prompt"] for part in parts)


def test_a_box_is_repainted_and_nothing_around_it(
    real: DatagenConfig, weights: Callable[[str], dict[str, Any]], photos: PhotoSettings
) -> None:
    folder = run_painted(over_photos(real, photos, weights))
    assert folder
    for row in rows_of(folder / REJECTED):
        name = json.loads(row.provenance)["file"]
        before = np.asarray(decode_image((Path(photos.images) / "train2017" / name).read_bytes(), "")).astype(int)
        changed = (np.abs(np.asarray(decode_image(row.image, "")).astype(int) - before) > 0).any(-1)
        boxes = [it.box_xyxy for it in row.objects if it.name == "umbrella"]
        x0, y0, x1, y1 = (round(value) for value in boxes[0])
        inside = changed[y0:y1, x0:x1].sum()
        assert inside == changed.sum() > 0


def unfinished(folder: Path) -> None:
    """Take away the tables that make shards finished."""
    for path in folder.glob("records/*.parquet"):
        path.unlink()


def test_other_weights_do_not_go_on_with_a_run(
    real: DatagenConfig, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings are the same: the weights behind the path are not. It is told before an engine is loaded."""
    folder = run_painted(replace(real, groups=1))
    assert folder
    held = json.loads((folder / "dataset.json").read_text())["model_weights"]
    assert set(held) == {"tiny-depth", "verifier: tiny-verifier", "verifier: depth tiny-verifier"}
    verifier = "verifier: depth tiny-verifier, verifier: tiny-verifier"
    for name, save, whose in (("painter", save_painter, "tiny-depth"), ("detector", save_detector, verifier)):
        kept = (models / name).rename(models / f"{name}-kept")
        save(models / name, seed=1)
        unfinished(folder)
        before = sorted(path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file())
        refusal = pytest.raises(ConfigError, match=f"holds data made with other model_weights of {whose}; choose")
        with monkeypatch.context() as patch, refusal:
            patch.setattr("encoders.painter.load_painter", None)
            run_painted(replace(real, groups=1))
        assert before == sorted(path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file())
        for path in sorted((models / name).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (models / name).rmdir()
        kept.rename(models / name)
    assert not finished_shards(folder)
    run_painted(replace(real, groups=1))
    assert finished_shards(folder) == {0}


@pytest.mark.parametrize(
    ("held", "message"),
    [({}, "has no config.json"), ({"config.json": '{"model_type": "bert"}'}, "no .safetensors file")],
)
def test_a_folder_that_holds_no_detector_is_told_before_an_engine_is_loaded(
    real: DatagenConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: dict[str, str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    for name, text in held.items():
        (tmp_path / "empty" / name).write_text(text)
    monkeypatch.setattr("encoders.painter.load_painter", None)
    settings = replace(real.verify, detectors=[f"tiny={tmp_path / 'empty'}"])
    with pytest.raises(CheckpointError, match=f"detector tiny: .*{message}"):
        run_painted(replace(real, verify=settings, out=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_and_ends_the_same(real: DatagenConfig, tmp_path: Path) -> None:
    config = replace(real, groups=4, groups_per_shard=1)
    whole = run_painted(replace(config, out=str(tmp_path / "whole")))
    code = f"from datagen.config import *\nfrom datagen.paint.run import run_painted\nrun_painted({config!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder, deadline = Path(config.out), time.monotonic() + 200
    while not finished_shards(folder) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("records/shard-*.parquet")}
    assert 1 <= len(kept) < 4
    run_painted(config)
    assert whole and len(rows_of(folder / REJECTED)) == 8
    for part in ("", REJECTED):
        assert DatasetFolder(folder / part).content_hash() == DatasetFolder(whole / part).content_hash()
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())
