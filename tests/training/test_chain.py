"""Stages of one config: each starts from the one before, none is done twice, and a chain of LoRA is one adapter."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from encoders.load import lineage, load_model
from encoders.parameters import PROJECTOR
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import ConfigError
from tests.extras import needs_deepspeed
from tests.training.conftest import WORDS, tiny_config
from training.arguments import build_arguments
from training.chain import stage_configs
from training.config import LoraSettings, TrainConfig
from training.parts import load_trainable
from training.run import check, train

KILL_IN_THE_SECOND_STAGE = """
import os, signal
from training.callbacks import TimeLimit

stock = TimeLimit.on_step_end

def on_step_end(self, args, state, control, **kwargs):
    stock(self, args, state, control, **kwargs)
    if state.global_step == 3 and not args.output_dir.endswith("first/checkpoints"):
        os.kill(os.getpid(), signal.SIGKILL)

TimeLimit.on_step_end = on_step_end
"""

ZERO_2 = {
    "zero_optimization": {"stage": 2},
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_force_ds_cpu_optimizer": False,
}

NO_SHARED_MEMORY = """
import os
os.environ["DS_ACCELERATOR"] = "cpu"
import deepspeed.ops
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
"""


def shortened(config: TrainConfig) -> TrainConfig:
    """Fine-tuning of four steps, a checkpoint after the second."""
    trainer = config.trainer | {"max_steps": 4, "save_steps": 2}
    return replace(config, stage="finetune", lora=LoraSettings(r=4, alpha=8, dropout=0.1), trainer=trainer)


def in_two(short: TrainConfig) -> TrainConfig:
    """Two stages of fine-tuning that differ in their records."""
    stages: list[dict[str, Any]] = [
        {"name": "first", "tasks": {"caption/scene": 1.0}, "trainer": {"max_steps": 3}},
        {"name": "second", "tasks": {"statement/relation": 1.0}},
    ]
    return replace(short, stages=stages)


@pytest.fixture
def short(config: TrainConfig) -> TrainConfig:
    return shortened(config)


@pytest.fixture
def chained(short: TrainConfig) -> TrainConfig:
    return in_two(short)


@pytest.fixture(scope="module")
def done(model_path: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A chain that has been trained; whoever changes its result puts it back."""
    config = in_two(shortened(tiny_config(model_path, data, tmp_path_factory.mktemp("chain") / "out")))
    train(config)
    return config


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_stage_is_laid_over_the_config_and_starts_from_the_one_before(short: TrainConfig) -> None:
    given = {"name": "align", "data": {"b": 2}, "trainer": {"learning_rate": "1e-3"}, "projector_learning_rate": "1e-4"}
    first, second = stage_configs(replace(short, data={"a": 1.0}, stages=[given, {"name": "turn-s", "lora": {"r": 2}}]))
    assert (first.stage, first.out, first.model) == ("align", f"{short.out}/align", short.model)
    assert first.data == {"b": 2.0} and first.projector_learning_rate == 1e-4
    assert first.trainer == short.trainer | {"learning_rate": 1e-3}
    assert (second.stage, second.out, second.model) == ("finetune", short.out, first.out)
    assert second.data == {"a": 1.0} and second.lora == LoraSettings(r=2, alpha=8, dropout=0.1)
    assert not first.stages and not second.stages
    assert first.feature_cache == second.feature_cache == str(Path(short.out).parent / "feature-cache")


@pytest.mark.parametrize(
    ("stages", "complaint"),
    [
        ([{"data": ["a"]}], "stage 1 of 'stages' needs a 'name'"),
        ([{"name": "a/b"}], "needs a 'name' of letters"),
        ([{"name": "a"}, {"name": "a"}], "two of 'stages' are named 'a'"),
        ([{"name": "checkpoints"}], "a run has a folder of that name"),
        ([{"name": "a", "templtes": []}], "stage 'a': unknown setting 'templtes'; did you mean 'templates'"),
        ([{"name": "a", "lora": {"rr": 3}}], r"unknown setting 'lora.rr'; did you mean 'r'"),
        ([{"name": "a", "lora": 3}], "lora is 3; give a mapping"),
        ([{"name": "a", "lora": {"r": "many"}}], r"stage 'a': .*lora\.r.*many"),
        ([{"name": "a", "stage": "finetun"}], "stage 'a': .*expected .* got finetun; did you mean 'finetune'"),
        ([{"name": "a", "out": "b"}], "'out' cannot be set here"),
        ([{"name": "a", "model": "b"}], "'model' cannot be set here: a stage starts from the result"),
        ([{"name": "a", "trainer": {"lerning_rate": 1}}], "stage 'a': .*did you mean 'learning_rate'"),
        ([{"name": "a"}, {"name": "b", "lora": {"r": 2}}], r"'b': .*'lora' differs \(r 4 and 2\)"),
        ([{"name": "a"}, {"name": "detector"}], "'detector' cannot start from the result of stage 'finetune'"),
        ([{"name": "a"}, {"name": "b", "data": ["nowhere"]}], "stage 'b': .*nowhere"),
        ([{"name": "a"}, {"name": "align", "encoders": ["clyp"]}], "stage 'align': .*did you mean 'clip'"),
        ([{"name": "a", "lora": {"options": {"use_rslor": True}}}], "did you mean 'use_rslora'"),
    ],
)
def test_a_mistake_in_any_stage_is_one_line_before_the_first_one_starts(
    short: TrainConfig, stages: list[dict[str, Any]], complaint: str
) -> None:
    with pytest.raises(Exception, match=complaint) as caught:
        train(replace(short, stages=stages))
    assert "\n" not in str(caught.value) and type(caught.value).__module__ == "spatial.errors"
    assert not Path(short.out).exists()


def test_a_result_is_never_written_over_the_model(short: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="stage 'b': its result would be written over 'model'"):
        check(replace(short, out=short.model, stages=[{"name": "a"}, {"name": "b"}]))


def test_a_chain_of_adapters_is_one_adapter_with_the_names_of_one_longer_run(
    done: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(done.out)
    longer = train(replace(done, stages=[], out=str(tmp_path / "longer"), trainer=done.trainer | {"max_steps": 7}))
    assert adapter(out).keys() == adapter(longer).keys()
    assert [path.resolve() for path in lineage(out)] == [out.resolve(), Path(done.model).resolve()]
    before = adapter(out / "first")
    assert all(not torch.equal(weight, before[name]) for name, weight in adapter(out).items())
    assert (losses(out / "first"), len(losses(out))) != (losses(out), 3) and len(losses(out)) == 4
    facts = json.loads((out / "training.json").read_text())
    assert facts["config"]["stages"] == [] and facts["config"]["model"] == str(out / "first")
    model, processor = load_model(out)
    assert processor.num_image_tokens == model.config.num_image_tokens
    capsys.readouterr()
    written = (out / "training.json").stat().st_mtime_ns
    assert train(done) == out and (out / "training.json").stat().st_mtime_ns == written
    assert capsys.readouterr().out.count("already trained") == 2


def test_a_changed_earlier_stage_is_noticed(done: TrainConfig) -> None:
    out = Path(done.out)
    changed = [done.stages[0] | {"seed": 1}, done.stages[1]]
    with pytest.raises(ConfigError, match=r"stage 'first': .*first holds a run with another config \(seed\)"):
        train(replace(done, stages=changed))
    with pytest.raises(ConfigError, match=r"stage 'second': .*remove training.json and checkpoints in it"):
        train(replace(done, stages=[done.stages[0], done.stages[1] | {"seed": 1}]))
    path = out / "first" / "adapter_model.safetensors"
    saved = path.read_bytes()
    save_file({name: weight + 1 for name, weight in load_file(path).items()}, path)
    try:
        with pytest.raises(ConfigError, match=r"stage 'second': .* holds a run with another model"):
            train(done)
    finally:
        path.write_bytes(saved)


@pytest.mark.slow
def test_a_chain_killed_in_its_second_stage_ends_where_an_uninterrupted_one_ends(
    chained: TrainConfig, tmp_path: Path, train_elsewhere: Callable[..., tuple[int, str]]
) -> None:
    chained = replace(chained, encoder_dropout=0.3)
    whole = train(replace(chained, out=str(tmp_path / "whole")))
    broken = replace(chained, out=str(tmp_path / "broken"))
    code, output = train_elsewhere(broken, before=KILL_IN_THE_SECOND_STAGE)
    assert code == -9, output
    first = (tmp_path / "broken" / "first" / "training.json").stat().st_mtime_ns
    resumed = train(broken)
    assert (resumed / "first" / "training.json").stat().st_mtime_ns == first
    for part in ("first", "."):
        name = f"{part}/adapter_model.safetensors"
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert losses(resumed) == losses(whole)


@pytest.mark.parametrize("half", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_going_on_with_an_adapter_starts_from_its_very_values(short: TrainConfig, tmp_path: Path, half: bool) -> None:
    out = train(short)
    given = replace(short, model=str(out), out=str(tmp_path / "more"), trainer=short.trainer | {"bf16": half})
    model, _ = load_trainable(given, build_arguments(given))
    from peft import get_peft_model_state_dict

    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    saved = adapter(out)
    assert found.keys() == saved.keys()
    assert all(found[name].dtype == torch.float32 and torch.equal(found[name], saved[name]) for name in saved)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(trained) == len(saved) and not any("vision_tower" in name for name in trained)
    with pytest.raises(ConfigError, match=r"is an adapter with r 4, not 2, alpha 8, not 16; give the same 'lora'"):
        train(replace(given, lora=LoraSettings(r=2, alpha=16, dropout=0.1)))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["align", "full"])
def test_another_stage_after_an_adapter_starts_from_its_merged_weights(short: TrainConfig, stage: str) -> None:
    stages: list[dict[str, Any]] = [
        {"name": "tune"},
        {"name": stage, "trainer": {"learning_rate": 0.0, "max_steps": 1}},
    ]
    out = train(replace(short, stages=stages))
    merged, result = load_model(out / "tune")[0].state_dict(), load_model(out)[0].state_dict()
    assert (out / "model.safetensors").exists() and not (out / "adapter_config.json").exists()
    assert merged.keys() == result.keys() and all(torch.equal(merged[name], result[name]) for name in merged)


@pytest.mark.slow
def test_what_was_seen_in_an_earlier_stage_is_carried_over(short: TrainConfig, tmp_path: Path) -> None:
    whole = DatasetFolder(next(iter(short.data)))
    photos = tmp_path / "photos"
    write_shard(photos, 0, [replace(row, source="vsr") for row in whole.images.values()], whole.records)
    (photos / "dataset.json").write_text(json.dumps({"guard": {"covers": ["zeroshot"]}}))
    trainer = short.trainer | {"max_steps": 1}
    out = train(replace(short, trainer=trainer, stages=[{"name": "a", "data": [str(photos)]}, {"name": "b"}]))
    exposure = json.loads((out / "training.json").read_text())["exposure"]
    assert exposure["photos"] and exposure["targets"] == ["zeroshot"] and exposure["concepts"]["zeroshot"]


@pytest.mark.slow
def test_one_encoder_after_the_other_then_all(make_model: Any, short: TrainConfig) -> None:
    model = make_model("sequence", WORDS)
    stages: list[dict[str, Any]] = [
        {"name": "clip", "stage": "align", "encoders": ["clip"]},
        {"name": "dinov2", "stage": "align", "encoders": ["dinov2"]},
        {"name": "finetune"},
    ]
    out = train(replace(short, model=str(model), stages=stages))
    base, first, second = (load_model(path)[0].state_dict() for path in (model, out / "clip", out / "dinov2"))
    changed = [
        {name for name in base if not torch.equal(a[name], b[name])} for a, b in ((base, first), (first, second))
    ]
    for encoder, names in zip(("clip", "dinov2"), changed, strict=True):
        assert names and all(PROJECTOR in name and f".{encoder}" in name for name in names)
    assert any(PROJECTOR in name for name in adapter(out))


@pytest.mark.slow
@pytest.mark.parametrize("deepspeed", [False, pytest.param(True, marks=needs_deepspeed)])
def test_two_processes_train_a_chain_as_one_does(
    chained: TrainConfig, tmp_path: Path, train_elsewhere: Callable[..., tuple[int, str]], deepspeed: bool
) -> None:
    chained = replace(chained, lora=replace(chained.lora, dropout=0.0), projector_learning_rate=5e-4)
    one = train(replace(chained, out=str(tmp_path / "one")))
    trainer = chained.trainer | {"per_device_train_batch_size": 4} | ({"deepspeed": ZERO_2} if deepspeed else {})
    two = replace(chained, trainer=trainer, out=str(tmp_path / "two"))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    code, output = train_elsewhere(two, launcher, before=NO_SHARED_MEMORY if deepspeed else "")
    assert code == 0, output
    for part in ("first", "."):
        assert losses(tmp_path / "two" / part) == pytest.approx(losses(one / part), abs=1e-4)
        facts = json.loads((tmp_path / "two" / part / "training.json").read_text())
        assert facts["processes"] == 2
        found, wanted = adapter(tmp_path / "two" / part), adapter(one / part)
        assert found.keys() == wanted.keys()
        assert all(found[name].shape == wanted[name].shape for name in wanted)


def test_a_config_with_stages_goes_through_a_file(chained: TrainConfig) -> None:
    given = json.loads(json.dumps(asdict(chained)))
    again = TrainConfig(**given | {"lora": LoraSettings(**given["lora"])})
    assert [asdict(run) for run in stage_configs(again)] == [asdict(run) for run in stage_configs(chained)]
