"""A dry run tells what a painted run takes, says what nobody measured and what is missing, and leaves no trace."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.config import DatagenConfig, EngineSettings, PaintSettings, PhotoSettings, VerifySettings
from datagen.engines.registry import ENGINES
from datagen.paint.missing import missing_weights
from datagen.paint.plan import describe, plan
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts
from datagen.verify.models import places_of
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError


def test_pictures_are_those_that_the_run_paints(small: DatagenConfig, parts: Parts) -> None:
    config = replace(small, paint=PaintSettings(seeds_per_spec=3, engines=["second"]))
    found = plan(config, parts)
    assert not Path(small.out).exists()
    folder = run_painted(config, parts)
    assert folder
    rows = [row for part in (folder, folder / "rejected") for row in DatasetFolder(part).images.values()]
    assert found.pictures == {name: sum(row.source == name for row in rows) for name in ("copyist", "second")}
    assert found.left == 1 and plan(config, parts).left == 0


def test_estimates_are_said_to_be_unmeasured_and_measurements_take_their_place(
    small: DatagenConfig, parts: Parts, painted: Path
) -> None:
    text = describe(plan(small, parts), parts)
    assert "2 s each (estimate for an H100, not measured)" in text and "verifying not counted" in text
    assert "CC0-1.0 (test)" in text and "assumed" in text and "nothing written" in text
    text = describe(plan(replace(small, out=str(painted)), parts), parts)
    assert "measured on 48 pictures" in text and "not measured" not in text and "100.0% are there already" in text


def test_an_engine_that_needs_no_gpu_is_measured_at_once(small: DatagenConfig, parts: Parts) -> None:
    quick = replace(parts, engines={"copyist": replace(parts.engines["copyist"], seconds=0.01)})
    found = plan(replace(small, engine=replace(small.engine, steps=20)), quick)
    cost = found.costs["copyist"]
    assert 0.02 <= cost.paint < 1 and cost.verify is not None and "measured here" in cost.source
    assert not Path(small.out).exists()


def test_what_is_left_of_a_run_is_what_is_counted(small: DatagenConfig, parts: Parts) -> None:
    run_painted(replace(small, world=4, rank=1), parts)
    found = plan(small, parts)
    assert found.left == pytest.approx(0.75)
    written = sum(path.stat().st_size for path in Path(small.out).rglob("shard-*.parquet"))
    assert found.picture_bytes[0] == pytest.approx(written / 12)


def test_shards_whose_times_are_lost_do_not_make_pictures_larger(
    small: DatagenConfig, parts: Parts, painted: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(painted, tmp_path / "copy"))
    whole, _ = plan(replace(small, out=str(folder)), parts).picture_bytes
    for path in sorted((folder / "times").iterdir())[1:]:
        path.unlink()
    first, told = plan(replace(small, out=str(folder)), parts).picture_bytes
    assert first == pytest.approx(whole, rel=0.3) and told == "as in the shards that are there"


def test_weights_that_are_not_here_are_named(small: DatagenConfig, parts: Parts, tmp_path: Path) -> None:
    engines = {**parts.engines, "copyist": replace(parts.engines["copyist"], default_model="nobody/no-such-weights")}
    [line] = plan(small, replace(parts, engines=engines)).missing
    assert line.startswith("weights of copyist: run 'hf download nobody/no-such-weights'")
    here = replace(small, engine=replace(small.engine, model=str(tmp_path)))
    assert not plan(here, replace(parts, engines=engines)).missing


def test_all_that_is_named_and_not_here_is_told(
    small: DatagenConfig, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "models--owner--cached" / "snapshots" / "1"
    cache.mkdir(parents=True)
    (cache / "lora.safetensors").touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here.safetensors").touch()
    kind = replace(parts.engines["copyist"], default_control="nobody/control")
    known = replace(parts, engines={**parts.engines, "copyist": kind}, judges=places_of)
    loras = ["nobody/fast/few-steps.safetensors", "owner/cached", str(tmp_path / "here.safetensors")]
    config = replace(
        small,
        engine=replace(small.engine, loras=loras),
        verify=VerifySettings(["owlv2=./gone", "grounding-dino"], "depth-anything=nobody/depth", safety="nobody/safe"),
    )
    assert plan(config, known).missing == [
        "control network of copyist: run 'hf download nobody/control' where there is a network",
        "LoRA of copyist: run 'hf download nobody/fast few-steps.safetensors' where there is a network",
        "weights of verifier owlv2: ./gone does not exist; correct the path, or download into it: "
        "hf download google/owlv2-base-patch16-ensemble --local-dir ./gone",
        "weights of verifier grounding-dino: "
        "run 'hf download IDEA-Research/grounding-dino-base' where there is a network",
        "weights of verifier depth-anything: run 'hf download nobody/depth' where there is a network",
        "weights of safety checker: run 'hf download nobody/safe' where there is a network",
    ]
    without = replace(config, engine=replace(config.engine, without_control=True, loras=[]), verify=VerifySettings())
    monkeypatch.setattr("spatial.shipped.ASSETS", tmp_path)
    [line] = missing_weights(without, known)
    assert line.startswith("weights of verifier tiny: tiny-verifier is no folder and does not come with the code")
    (tmp_path / "tiny-verifier").mkdir()
    (tmp_path / "tiny-verifier" / "SHA256SUMS").touch()
    assert not missing_weights(without, known)


def test_every_model_of_one_kind_is_looked_for(small: DatagenConfig, parts: Parts) -> None:
    verify = VerifySettings(["tiny=./first"], "tiny=./second", ["vqa=./third", "vqa=./fourth"])
    missing = plan(replace(small, verify=verify), replace(parts, judges=places_of)).missing
    assert [line.partition(" does not exist")[0] for line in missing] == [
        "weights of verifier tiny: ./first",
        "weights of verifier tiny: ./second",
        "weights of verifier vqa: ./third",
        "weights of verifier vqa: ./fourth",
    ]


@pytest.mark.parametrize("name", ["weights/sdxl", "mine/sdxl"])
def test_a_path_that_is_built_like_a_hub_name_is_a_folder_to_be_filled(
    name: str, small: DatagenConfig, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "owner").mkdir()
    monkeypatch.chdir(tmp_path)
    kind = replace(parts.engines["copyist"], default_model="owner/sdxl", default_control="owner/nets/union.safetensors")
    known = replace(parts, engines={"copyist": kind})
    engine = replace(small.engine, model=name, control="weights/union.safetensors")
    assert missing_weights(replace(small, engine=engine), known) == [
        f"weights of copyist: {name} does not exist; correct the path, or download into it: "
        f"hf download owner/sdxl --local-dir {name}",
        "control network of copyist: weights/union.safetensors does not exist; correct the path, or download into it: "
        "hf download owner/nets union.safetensors --local-dir weights",
    ]
    [line, _] = missing_weights(small, known)  # the engine's own, whatever folders are here
    assert line == "weights of copyist: run 'hf download owner/sdxl' where there is a network"


def test_engines_that_are_shipped_say_which_control_network_they_need() -> None:
    assert {name for name, kind in ENGINES.items() if kind.default_control} == {"sdxl-controlnet", "z-image"}


def test_photos_are_planned_from_their_annotations_alone(small: DatagenConfig, parts: Parts, tmp_path: Path) -> None:
    captions = [("1.jpg", "The cat is on the bed.", 1), ("2.jpg", "The cat is on the bed.", 0), ("3.jpg", "A", 1)]
    lines = [
        json.dumps({"image": name, "caption": caption, "relation": "on", "label": label})
        for name, caption, label in captions
    ]
    (tmp_path / "mine.train.jsonl").write_text("\n".join(lines))
    photos = PhotoSettings(str(tmp_path), str(tmp_path / "none"), [], ["mine"])
    one_sided = replace(photos, one_sided=True)
    paint = PaintSettings("photos", 6, ["txt2img", "box-inpaint"], photos=one_sided)
    config = DatagenConfig(small.out, groups=9, engine=EngineSettings("img2img"), paint=paint)
    found = plan(config, parts)
    assert found.pictures == {"img2img": 4, "txt2img": 2, "box-inpaint": 4}
    assert (found.rows, found.config.groups) == (2, 1)
    text = describe(found, parts)
    paired = plan(replace(config, paint=replace(paint, engines=["box-inpaint"], photos=photos)), parts)
    assert paired.pictures == {"img2img": 6, "box-inpaint": 6} and paired.rows == 2
    assert "2 of 2 photos, such as 1.jpg, are not in" in text and "instances_train2017.json" in text
    assert "COCO photo under its Flickr author's licence" in text
    masked = replace(config, paint=replace(paint, photos=replace(one_sided, masks="nobody/sam")))
    assert any("paint.photos.masks: run 'hf download nobody/sam'" in line for line in plan(masked, parts).missing)


def test_a_dry_run_refuses_what_the_run_would_refuse_and_writes_nothing(
    small: DatagenConfig, parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="no engine is called"):
        run_painted(replace(small, dry_run=True, engine=EngineSettings("no")), parts)
    assert run_painted(replace(small, dry_run=True), parts) is None
    assert "nothing written" in capsys.readouterr().out and not Path(small.out).exists()
