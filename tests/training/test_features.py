"""A run that reads cached features ends where a run that computes them ends, and "auto" says what it does and why."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from encoders import cache_build
from encoders.config import CacheFeaturesConfig
from encoders.load import load_model
from encoders.tower import FusedVisionModel
from spatial.dataset import DatasetFolder
from spatial.errors import CheckpointError, ConfigError
from training import features as policy
from training.arguments import build_arguments
from training.collate import PrefixCollator
from training.config import TrainConfig
from training.examples import Examples
from training.features import FOLDER, Outlook, check_features, decide, times_seen
from training.output import describe_job
from training.run import check, train

GIB = 2**30


@pytest.fixture
def tuning(config: TrainConfig) -> TrainConfig:
    """Four steps of LoRA tuning, batches of one image, encoder dropout on."""
    trainer = config.trainer | {"per_device_train_batch_size": 1, "max_steps": 4, "save_steps": 2}
    return replace(config, stage="finetune", encoder_dropout=0.3, trainer=trainer)


def cache(config: TrainConfig, out: Path, batch_size: int, dtype: str = "float32") -> str:
    settings = CacheFeaturesConfig(config.model, config.data, str(out), [], dtype, batch_size, "cpu")
    return str(cache_build.cache_features(settings))


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A function after which no picture can be decoded for training and no tower can run, but to be counted."""
    stock = FusedVisionModel.forward

    def decode(*_: Any) -> None:
        raise AssertionError("a picture is decoded")

    def forward(tower: FusedVisionModel, pixel_values: torch.Tensor, **settings: Any) -> Any:
        assert pixel_values.is_meta, "a tower runs"
        return stock(tower, pixel_values, **settings)

    def apply() -> None:
        monkeypatch.setattr("training.examples.decode_image", decode)
        monkeypatch.setattr(FusedVisionModel, "forward", forward)

    return apply


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_with_the_same_batches_the_result_is_the_same_bit_by_bit(
    tuning: TrainConfig, tmp_path: Path, workers: int, blind: Callable[[], None]
) -> None:
    tuning = replace(tuning, trainer=tuning.trainer | {"dataloader_num_workers": workers})
    plain = train(replace(tuning, out=str(tmp_path / "plain")))
    features = cache(tuning, tmp_path / "features", batch_size=1)
    blind()
    cached = train(replace(tuning, out=str(tmp_path / "cached"), features=features))
    assert losses(cached) == losses(plain)
    assert (cached / "adapter_model.safetensors").read_bytes() == (plain / "adapter_model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["align", "full"])
def test_with_other_batches_losses_differ_by_rounding_alone(
    tuning: TrainConfig, tmp_path: Path, blind: Callable[[], None], stage: Any
) -> None:
    trainer = tuning.trainer | {"per_device_train_batch_size": 8}
    tuning = replace(tuning, stage=stage, trainer=trainer, encoder_dropout=0.0)
    plain = train(replace(tuning, out=str(tmp_path / "plain")))
    features = cache(tuning, tmp_path / "features", batch_size=5)
    blind()
    cached = train(replace(tuning, out=str(tmp_path / "cached"), features=features))
    assert losses(cached) == pytest.approx(losses(plain), abs=1e-5)


def test_a_batch_with_features_has_the_tokens_of_one_with_pixels(tuning: TrainConfig, tmp_path: Path) -> None:
    model, processor = load_model(tuning.model)
    examples = Examples([DatasetFolder(tuning.data[0]).record_set()], 3)
    items = [examples[0], examples[5]]
    from encoders.cache import FeatureCache
    from encoders.cache_key import feature_keys

    keys = feature_keys(model.model.vision_tower, processor.image_processor)
    found = FeatureCache(cache(tuning, tmp_path / "features", batch_size=2), keys)
    examples.decoded = False
    blank = [examples[0], examples[5]]
    assert [item.image for item in blank] == [None, None]
    plain, cached = PrefixCollator(processor)(items), PrefixCollator(processor, found)(blank)
    assert plain.keys() - {"pixel_values"} == cached.keys() - {"encoder_features"}
    assert all(torch.equal(plain[name], cached[name]) for name in plain.keys() - {"pixel_values"})
    assert {name: len(feature) for name, feature in cached["encoder_features"].items()} == {"clip": 2, "dinov2": 2}


def test_auto_builds_the_cache_beside_the_output_and_shares_it(
    tuning: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], blind: Callable[[], None]
) -> None:
    trainer = tuning.trainer | {"per_device_train_batch_size": 8, "max_steps": 6}
    tuning = replace(tuning, features="auto", trainer=trainer)
    train(replace(tuning, out=str(tmp_path / "one")))
    text = capsys.readouterr().out
    assert text.count("features: cached: each image is seen 3.0 times (8.0 statements per image") == 1
    kept = sorted((tmp_path / FOLDER).rglob("*.safetensors"))
    assert len(kept) == 2 and not list(tmp_path.glob("one/**/clip-*"))
    times = [path.stat().st_mtime_ns for path in kept]
    blind()
    train(replace(tuning, out=str(tmp_path / "two"), seed=1))
    assert "features: cached: all features are there" in capsys.readouterr().out
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / FOLDER).rglob("*.safetensors"))] == times


def test_auto_keeps_to_its_decision_when_it_is_resumed(
    tuning: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = tuning.trainer | {"per_device_train_batch_size": 8}
    tuning = replace(tuning, features="auto", out=str(tmp_path / "out"), trainer=trainer)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.fit.publish", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tuning)
    assert "features: cached: each image is seen 2.0 times" in capsys.readouterr().out
    monkeypatch.setattr(policy, "free_bytes", lambda _: 0)
    train(tuning)
    assert "features: cached: as when the run began" in capsys.readouterr().out


def test_auto_leaves_it_where_it_does_not_pay(
    tuning: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(replace(tuning, features="auto"))
    assert "features: not cached: each image is seen 0.2 times; 2 times would pay" in capsys.readouterr().out
    assert not (tmp_path / FOLDER).exists()


WORTH = Outlook(records_per_image=8.0, share=0.1, times_seen=5.0, to_write=GIB, free=10 * GIB)


@pytest.mark.parametrize(
    ("change", "use", "says"),
    [
        ({}, True, "each image is seen 5.0 times"),
        ({"records_per_image": 1.0}, False, "1.0 statements per image, encoders at 10%"),
        ({"records_per_image": 1.0, "share": 0.3}, True, "encoders at 30%"),
        ({"records_per_image": 4.0}, True, "4.0 statements"),
        ({"times_seen": 1.0}, False, "seen 1.0 times"),
        ({"times_seen": 1.0, "to_write": 0}, True, "all features are there"),
        ({"times_seen": None}, False, "only max_seconds ends the run"),
        ({"free": GIB}, False, "1.0 GiB to write, 1.0 GiB free"),
    ],
)
def test_the_decision_and_its_reason(change: dict[str, Any], use: bool, says: str) -> None:
    decision = decide(replace(WORTH, **change))
    assert decision.use is use and says in decision.reason and "\n" not in decision.reason


def test_how_often_images_are_seen(tuning: TrainConfig) -> None:
    assert times_seen(build_arguments(tuning), 2) == 2.0
    accumulated = tuning.trainer | {"gradient_accumulation_steps": 3}
    assert times_seen(build_arguments(replace(tuning, trainer=accumulated)), 2) == 6.0
    epochs = {"num_train_epochs": 7, "report_to": "none"}
    assert times_seen(build_arguments(replace(tuning, trainer=epochs)), 2) == 7.0
    timed = replace(tuning, trainer={"report_to": "none"}, max_seconds=9.0, schedule="time")
    assert times_seen(build_arguments(timed), 2) is None


@pytest.mark.parametrize("stage", ["pretrain", "towers", "detector", "painter"])
def test_encoders_that_learn_cannot_be_cached(tuning: TrainConfig, stage: Any) -> None:
    with pytest.raises(ConfigError, match=f"stage '{stage}' cannot use cached features") as caught:
        check(replace(tuning, stage=stage, features="auto"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("as_file", [False, True])
def test_zero3_cannot_read_features_and_zero2_can(tuning: TrainConfig, tmp_path: Path, as_file: bool) -> None:
    """Weights that are split while they load have no values, so every model would be taken for the same one."""

    def check_stage(stage: int, features: str) -> None:
        settings: Any = {"zero_optimization": {"stage": stage}}
        if as_file:
            path = tmp_path / "deepspeed.json"
            path.write_text(json.dumps(settings))
            settings = str(path)
        # The model does not exist: whoever looks at it first would say something else.
        trainer = tuning.trainer | {"deepspeed": settings}
        check_features(replace(tuning, features=features, trainer=trainer, model=str(tmp_path / "absent")))

    for features in ("auto", str(tmp_path)):
        with pytest.raises(ConfigError, match=r"set zero_optimization\.stage to 2") as caught:
            check_stage(3, features)
        assert "\n" not in str(caught.value)
        check_stage(2, features)
    check_stage(3, "")


def test_a_folder_without_the_features_names_the_command_that_makes_them(tuning: TrainConfig, tmp_path: Path) -> None:
    from vsre.settings import parse

    tuning = replace(tuning, features=str(tmp_path / "features"))
    with pytest.raises(CheckpointError, match="has no features of 'clip'; run 'vsre cache-features") as caught:
        train(tuning)
    command = shlex.split(str(caught.value).partition("run '")[2][:-1])
    cache_build.cache_features(replace(parse(command[1], command[2:]), device="cpu"))
    train(tuning)

    cache(tuning, tmp_path / "half", 4, "bfloat16")
    other = replace(tuning, features=str(tmp_path / "half"), out=str(tmp_path / "other"))
    with pytest.raises(CheckpointError, match="only with dtype bfloat16, not float32"):
        train(other)


def test_features_are_part_of_the_job_only_where_they_change_the_result(tuning: TrainConfig, tmp_path: Path) -> None:
    folders = [DatasetFolder(path) for path in tuning.data]

    def settings(**change: Any) -> dict[str, Any]:
        found: dict[str, Any] = describe_job(replace(tuning, **change), folders)["config"]
        return found

    half = tuning.trainer | {"bf16": True}
    assert settings(features="auto") == settings(features="somewhere") == settings()
    assert settings(features="a", trainer=half) == settings(features="b", trainer=half) != settings(trainer=half)
    # A run in float32 may go on with or without its cache.
    tuning = replace(tuning, out=str(tmp_path / "out"))
    train(tuning)
    train(replace(tuning, features=str(tmp_path / "nowhere")))


def test_training_in_bfloat16_takes_features_in_bfloat16(
    tuning: TrainConfig, tmp_path: Path, blind: Callable[[], None]
) -> None:
    features = cache(tuning, tmp_path / "features", 4, "bfloat16")
    blind()
    out = train(replace(tuning, features=features, trainer=tuning.trainer | {"bf16": True}))
    assert all(torch.isfinite(weight).all() for weight in load_file(out / "adapter_model.safetensors").values())


@pytest.mark.slow
def test_two_processes_build_it_together(
    tuning: TrainConfig, tmp_path: Path, train_elsewhere: Callable[..., tuple[int, str]]
) -> None:
    trainer = tuning.trainer | {"per_device_train_batch_size": 4, "max_steps": 4, "use_cpu": True}
    tuning = replace(tuning, features="auto", trainer=trainer)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    code, output = train_elsewhere(tuning, launcher)
    assert code == 0, output
    assert output.count("features: cached: each image is seen 2.0 times") == 1
    assert len(list((tmp_path / FOLDER).rglob("*.safetensors"))) == 4, "a shard of each encoder by each process"
