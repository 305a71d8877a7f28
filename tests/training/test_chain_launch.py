"""A chain of stages from the command line: alone, in two processes, and with ZeRO, it trains what one process does."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from encoders.load import lineage
from spatial.errors import ConfigError
from tests.extras import needs_deepspeed
from tests.training.test_launch_lines import VSRE, line  # noqa: F401
from training.config import TrainConfig
from training.run import check, train

STAGES: list[dict[str, Any]] = [
    {"name": "align", "trainer": {"max_steps": 2}},
    {"name": "first", "stage": "finetune", "tasks": {"caption/scene": 1.0}},
    {"name": "second", "stage": "finetune", "tasks": {"statement/relation": 1.0}},
]
STEPS = {"align": 2, "first": 3, ".": 3}

SINGLE = (sys.executable, "-m", *VSRE)
TWO = (*SINGLE, "--nproc", "2")
TORCHRUN = ("torchrun", "--standalone", "--nproc_per_node", "2", "-m", *VSRE)
LINES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "alone": (SINGLE, "", "1 process,"),
    "nproc": (TWO, "", "2 processes, DistributedDataParallel,"),
    "torchrun": (TORCHRUN, "", "2 processes, DistributedDataParallel,"),
    "zero2": (TWO, "configs/deepspeed/zero2.json", "2 processes, DeepSpeedEngine ZeRO-2,"),
    "zero3": (TORCHRUN, "configs/deepspeed/zero3.json", "2 processes, DeepSpeedEngine ZeRO-3,"),
}


def losses(out: Path) -> list[float]:
    return [json.loads(entry)["loss"] for entry in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", list(LINES))
def test_a_chain_is_the_same_however_it_is_launched(
    line: Callable[..., tuple[int, str, Path]],  # noqa: F811
    config: TrainConfig,
    tmp_path: Path,
    way: str,
) -> None:
    words, deepspeed, said = LINES[way]
    trainer = {"max_steps": 3, "per_device_train_batch_size": 8 if way == "alone" else 4}
    sharding = {"deepspeed": deepspeed} if deepspeed else {}
    code, output, out = line(*words, stages=STAGES, trainer=trainer | sharding)
    assert code == 0, output[-4000:]
    assert output.count(said) == 3, output[-4000:]
    given = replace(config, stage="finetune", projector_learning_rate=5e-4, stages=STAGES, out=str(tmp_path / "here"))
    here = train(replace(given, trainer=config.trainer | {"max_steps": 3}))
    for part, steps in STEPS.items():
        assert len(losses(out / part)) == steps
        assert losses(out / part) == pytest.approx(losses(here / part), abs=1e-4)
    assert [path.resolve() for path in lineage(out)] == [out.resolve(), (out / "align").resolve()]
    for part in ("first", "."):
        found, wanted = (load_file(each / part / "adapter_model.safetensors") for each in (out, here))
        assert found.keys() == wanted.keys()
        assert all(torch.allclose(found[name], wanted[name], atol=1e-4) for name in wanted)


@needs_deepspeed
@pytest.mark.parametrize("stage", ["align", "full", "pretrain"])
def test_what_zero_3_cannot_merge_is_refused_before_the_first_stage_starts(config: TrainConfig, stage: str) -> None:
    trainer = config.trainer | {"deepspeed": "configs/deepspeed/zero3.json"}
    stages = [{"name": "tune", "stage": "finetune"}, {"name": "after", "stage": stage}]
    with pytest.raises(ConfigError, match=r"'after': the stage before leaves an adapter, .*zero2.json, or run 'vs"):
        train(replace(config, stages=stages, trainer=trainer))
    assert not Path(config.out).exists()
    check(replace(config, stages=[stages[0], {"name": "more", "stage": "finetune"}], trainer=trainer))


@needs_deepspeed
def test_zero_3_goes_on_with_an_adapter_on_a_whole_model_only(config: TrainConfig, tmp_path: Path) -> None:
    trainer = config.trainer | {"max_steps": 1, "save_strategy": "no"}
    one = train(replace(config, stage="finetune", trainer=trainer, out=str(tmp_path / "one")))
    split = replace(config, model=str(one), trainer=trainer | {"deepspeed": "configs/deepspeed/zero3.json"})
    check(replace(split, stage="finetune"))
    with pytest.raises(ConfigError, match=r"one is an adapter, which ZeRO-3 cannot merge"):
        check(replace(split, stage="full"))
    settings = json.loads((one / "adapter_config.json").read_text())
    two = tmp_path / "two"
    two.mkdir()
    (two / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": str(one)}))
    with pytest.raises(ConfigError, match=r"one is an adapter, which ZeRO-3 cannot merge"):
        check(replace(split, stage="finetune", model=str(two)))
