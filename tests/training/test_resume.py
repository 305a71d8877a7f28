"""A run killed with signal 9 ends, once resumed, where an uninterrupted run ends: bit by bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from spatial.errors import ConfigError
from training.config import LoraSettings, Stage, TrainConfig
from training.output import last_checkpoint, seconds_spent
from training.run import train

KILL_AT_STEP_5 = """
import os, signal
from training.callbacks import TimeLimit

stock = TimeLimit.on_step_end

def on_step_end(self, args, state, control, **kwargs):
    stock(self, args, state, control, **kwargs)
    if state.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)

TimeLimit.on_step_end = on_step_end
"""


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_kill_and_resume_in_the_second_epoch_is_bit_identical(
    config: TrainConfig, tmp_path: Path, stage: Stage, train_elsewhere: Callable[..., tuple[int, str]]
) -> None:
    # Two steps make an epoch; the checkpoint of step 3 is in the middle of the second. Both random parts are on.
    given = replace(config, stage=stage, encoder_dropout=0.3, lora=LoraSettings(r=4, alpha=8, dropout=0.1))
    whole = train(replace(given, out=str(tmp_path / "whole")))
    broken = replace(given, out=str(tmp_path / "broken"))
    code, output = train_elsewhere(broken, before=KILL_AT_STEP_5)
    assert code == -9, output
    checkpoint = last_checkpoint(tmp_path / "broken" / "checkpoints")
    assert checkpoint is not None and checkpoint.name == "checkpoint-3" and seconds_spent(checkpoint) > 0
    with pytest.raises(ConfigError, match=r"another config \(seed\)"):
        train(replace(broken, seed=1))
    resumed = train(broken)
    name = "model.safetensors" if stage == "pretrain" else "adapter_model.safetensors"
    assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    logs = [[json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()] for out in (whole, resumed)]
    assert [entry["loss"] for entry in logs[0]] == [entry["loss"] for entry in logs[1]]


def test_a_checkpoint_cut_short_is_passed_over(tmp_path: Path) -> None:
    for steps, state in ((3, "{}"), (20, "{}"), (100, '{"global_step": 1')):
        folder = tmp_path / f"checkpoint-{steps}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-200").mkdir()
    found = last_checkpoint(tmp_path)
    assert found is not None and found.name == "checkpoint-20"
