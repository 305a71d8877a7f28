"""Settings that would do nothing are refused in one line, before anything is read or written."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from datagen.config import DatagenConfig, EngineSettings, PaintSettings, PhotoSettings, ScaleSettings, VerifySettings
from datagen.engines.base import COMMON
from datagen.engines.registry import ENGINES, load_engine
from datagen.idle import OF_SCENES, check_engines, check_over, given
from datagen.paint.job import prepare_painted
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts, engine_settings, installed, turns_of
from datagen.run import check_settings
from spatial.errors import ConfigError
from tests.stand_ins import PARTS, SMALL

OTHERS: dict[str, Any] = {
    "split": "test",
    "relations": ["left of"],
    "contrasts": ["swap"],
    "weights": "vsr",
    "frames": "viewer",
    "frame_conflict": 0.2,
    "nouns": ["core"],
    "exclude_nouns": [],
    "image_size": 64,
    "supersample": 1,
    "looks": "plain",
    "distractors": 0,
    "assets": "mine",
}
"""Of every setting of scenes, a value that is not its default."""

STEERED = {"control": "x", "control_strength": 0.5, "control_start": 0.1, "control_end": 0.5, "without_control": True}
CHANGED: dict[str, Any] = {
    **STEERED,
    **{"revision": "main", "loras": ["x"], "offload": "model", "strength": 0.5, "per_object": True},
}
"""Of every setting that not all engines take, a value that is not its default."""

TAKEN = {
    "sdxl-controlnet": {*CHANGED},
    "z-image": {*CHANGED} - {"strength"},
    "tiny-depth": {"control_start", "control_end", "without_control"},
    "img2img": {"revision", "loras", "offload", "strength"},
    "box-inpaint": {"revision", "loras", "offload", "strength"},
    "txt2img": {"revision", "loras", "offload"},
}


def photos(tmp_path: Path, engine: EngineSettings, **paint: Any) -> DatagenConfig:
    return DatagenConfig(str(tmp_path / "out"), engine=engine, paint=PaintSettings("photos", 6, **paint))


def test_the_table_is_of_all_engines_and_all_settings() -> None:
    assert set(TAKEN) == set(ENGINES) and set(OTHERS) == set(OF_SCENES)
    assert {entry.name for entry in fields(EngineSettings)} == COMMON | set(CHANGED)


@pytest.mark.parametrize("name", TAKEN)
def test_each_engine_refuses_what_it_does_not_take(name: str) -> None:
    for setting, value in CHANGED.items():
        whole = {"per_object": True} if setting == "strength" and name == "sdxl-controlnet" else {}
        settings = replace(EngineSettings(name), **{setting: value, **whole})
        if setting in TAKEN[name]:
            check_engines(settings, {name: ENGINES[name]})
            continue
        with pytest.raises(ConfigError, match=f"engine.{setting} does nothing with {name}; leave it away"):
            load_engine(settings)


def test_strength_is_of_repainting() -> None:
    with pytest.raises(ConfigError, match=r"sdxl-controlnet repaints single objects alone; set engine.per_object true"):
        load_engine(EngineSettings("sdxl-controlnet", strength=0.5))


@pytest.mark.parametrize("name", ["img2img", "box-inpaint", "txt2img"])
@pytest.mark.parametrize("over", ["scenes", "photos"])
def test_what_has_no_control_cannot_paint_without_it(tmp_path: Path, name: str, over: str) -> None:
    engine = EngineSettings(name, without_control=True)
    config = photos(tmp_path, engine, photos=PhotoSettings(one_sided=True))
    if over == "scenes":
        config = replace(config, paint=PaintSettings())
    for dry_run in (False, True):
        with pytest.raises(ConfigError, match=rf"engine.without_control does nothing with {name}; leave it away"):
            run_painted(replace(config, dry_run=dry_run), PARTS)
    assert not Path(config.out).exists()


def test_engines_that_take_turns_share_what_one_of_them_takes_but_not_what_all_must_take(tmp_path: Path) -> None:
    parts, one_sided = installed(), PhotoSettings(one_sided=True)
    config = photos(tmp_path, EngineSettings("txt2img", strength=0.3), engines=["img2img"], photos=one_sided)
    assert [turn.mode for turn in turns_of(config, parts)] == ["txt2img", "img2img"]
    scenes = DatagenConfig(engine=EngineSettings("z-image", loras=["x"]), paint=PaintSettings(engines=["tiny-depth"]))
    with pytest.raises(ConfigError, match=r"engine.loras does nothing with tiny-depth"):
        turns_of(scenes, parts)
    mixed = DatagenConfig(
        engine=EngineSettings("z-image", without_control=True), paint=PaintSettings(engines=["img2img"])
    )
    with pytest.raises(ConfigError, match=r"engine.without_control does nothing with img2img"):
        turns_of(mixed, parts)


@pytest.mark.parametrize("name", ["sdxl-controlnet", "z-image", "tiny-depth"])
def test_an_engine_that_cannot_repaint_photos_is_refused_early(tmp_path: Path, name: str) -> None:
    for without in (False, True):
        config = photos(tmp_path, EngineSettings(name, without_control=without))
        with pytest.raises(ConfigError, match=rf"engine '{name}' takes .*, but no photo; set paint.over to 'scenes'"):
            run_painted(config, installed())


@pytest.mark.parametrize("name", OTHERS)
def test_settings_of_scenes_are_refused_over_photos(tmp_path: Path, name: str) -> None:
    config = replace(photos(tmp_path, EngineSettings("img2img")), **{name: OTHERS[name]})
    with pytest.raises(ConfigError, match=f"{name}: does nothing with paint.over 'photos'; leave it away"):
        turns_of(config, PARTS)


def test_settings_of_photos_are_refused_over_scenes_and_masks_without_boxes(tmp_path: Path) -> None:
    config = DatagenConfig(engine=EngineSettings("copyist"))
    check_over(config)
    for changed in (PhotoSettings(images="x"), PhotoSettings(one_sided=True), PhotoSettings(masks="x")):
        with pytest.raises(ConfigError, match=r"paint.photos.\w+: does nothing with paint.over 'scenes'"):
            turns_of(replace(config, paint=PaintSettings(photos=changed)), PARTS)
    masked = photos(tmp_path, EngineSettings("img2img"), photos=PhotoSettings(masks="sam"))
    with pytest.raises(ConfigError, match=r"paint.photos.masks does nothing with img2img; leave it away"):
        turns_of(masked, PARTS)
    assert turns_of(replace(masked, paint=replace(masked.paint, engines=["box-inpaint"])), PARTS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"engine": EngineSettings(steps=4)}, "engine.steps does nothing without engine.name"),
        ({"verify": VerifySettings(depth="")}, "verify.depth does nothing without engine.name"),
        ({"paint": PaintSettings(seeds_per_spec=4)}, "paint.seeds_per_spec does nothing without engine.name"),
        ({"scale": ScaleSettings(by="ray")}, "scale.by does nothing without engine.name"),
    ],
)
def test_settings_of_painting_are_refused_where_nothing_is_painted(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_settings(replace(DatagenConfig(), **changed))


@pytest.mark.parametrize(
    ("verify", "message"),
    [
        (VerifySettings(tuned="x"), "verify.tuned does nothing without verify.judges; name a judge, or leave it away"),
        (VerifySettings(unread="accept", calibration="x"), "verify.unread does nothing with verify.calibration"),
        (VerifySettings(tuned="x", judges=["vqa=y"], unread="accept"), ""),
        (VerifySettings(tuned="x", judges=["vqa=y"], calibration="z"), ""),
    ],
)
def test_settings_of_the_verifier_that_others_silence_are_refused(verify: VerifySettings, message: str) -> None:
    config = DatagenConfig(engine=EngineSettings("copyist"), verify=verify)
    if not message:
        assert turns_of(config, PARTS)
        return
    with pytest.raises(ConfigError, match=message):
        turns_of(config, PARTS)


def test_what_is_set_for_a_cluster_may_stay_where_one_machine_paints(tmp_path: Path) -> None:
    scale = ScaleSettings("here", "auto", 8, 2, 1.0, 1.0, 5)
    config = replace(SMALL, out=str(tmp_path / "data"), scale=scale)
    assert prepare_painted(config, PARTS).config.scale == scale


def test_a_setting_is_given_if_it_is_not_its_default() -> None:
    assert given(EngineSettings()) == [] and given(EngineSettings("x", steps=3)) == ["name", "steps"]


def test_each_of_several_engines_has_its_own_weights(tmp_path: Path) -> None:
    models = {"img2img": "one", "box-inpaint": "two/three@main"}
    config = photos(tmp_path, EngineSettings("img2img"), engines=["box-inpaint"], models=models)
    turns_of(config, PARTS)
    assert [engine_settings(config, name).model for name in models] == ["one", "two/three@main"]
    own = replace(config, paint=replace(config.paint, models={}))
    assert [engine_settings(own, name).model for name in models] == ["", ""]


@pytest.mark.parametrize(
    ("engine", "models", "message"),
    [
        ({"model": "x"}, {}, r"engine.model cannot be .* paint.models: {img2img: DIR, box-inpaint: DIR}"),
        ({"revision": "x"}, {}, "engine.revision cannot be that of img2img and box-inpaint at once"),
        ({}, {"img2im": "x"}, "weights of 'img2im'; did you mean 'img2img'"),
        ({}, {"txt2img": "x"}, "'txt2img'.*, which does not paint here"),
    ],
)
def test_weights_of_several_engines_at_once_or_of_none_are_refused(
    tmp_path: Path, engine: dict[str, str], models: dict[str, str], message: str
) -> None:
    config = photos(tmp_path, EngineSettings("img2img", **engine), engines=["box-inpaint"], models=models)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        turns_of(config, PARTS)


def test_a_control_network_is_of_one_engine_and_models_are_of_several() -> None:
    parts: Parts = installed()
    two = DatagenConfig(engine=EngineSettings("z-image", control="x"), paint=PaintSettings(engines=["sdxl-controlnet"]))
    with pytest.raises(ConfigError, match=r"engine.control cannot be that of z-image and sdxl-controlnet at once"):
        turns_of(two, parts)
    one = DatagenConfig(engine=EngineSettings("z-image"), paint=PaintSettings(models={"z-image": "x"}))
    with pytest.raises(ConfigError, match=r"name its weights by engine\.model"):
        turns_of(one, parts)
