"""A run killed with signal 9 ends, once resumed, where an uninterrupted run ends: bit by bit."""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spatial.errors import ConfigError
from training.callbacks import TimeLimit
from training.collate import PrefixCollator
from training.config import LoraSettings, OptimizerChoice, Stage, TrainConfig
from training.examples import Example
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


PLAIN = {"per_device_train_batch_size": 8}
ACCUMULATED = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "activation_checkpointing": True}
UNEVEN = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 4, "dataloader_num_workers": 2}
"""Six batches of an epoch make two steps: of four batches, and of two, the last of which has one image."""


@pytest.mark.parametrize(
    ("stage", "trainer", "optimizer"),
    [
        ("pretrain", PLAIN, "trainer"),
        ("full", PLAIN, "muon"),
        pytest.param("finetune", ACCUMULATED | {"dataloader_num_workers": 2}, "trainer", marks=pytest.mark.slow),
        pytest.param("finetune", ACCUMULATED, "trainer", marks=pytest.mark.slow),
        pytest.param("finetune", PLAIN | {"dataloader_num_workers": 2}, "trainer", marks=pytest.mark.slow),
        pytest.param("finetune", UNEVEN, "trainer", marks=pytest.mark.slow),
        pytest.param("finetune", UNEVEN | {"dataloader_persistent_workers": True}, "trainer", marks=pytest.mark.slow),
        pytest.param("align", ACCUMULATED, "trainer", marks=pytest.mark.slow),
        pytest.param("full", UNEVEN, "trainer", marks=pytest.mark.slow),
    ],
)
def test_kill_and_resume_in_the_second_epoch_is_bit_identical(
    config: TrainConfig,
    tmp_path: Path,
    stage: Stage,
    trainer: dict[str, Any],
    optimizer: OptimizerChoice,
    train_elsewhere: Callable[..., tuple[int, str]],
) -> None:
    # Two steps make an epoch; the checkpoint of step 3 is in the middle of the second. Both random parts are on.
    lora = LoraSettings(r=4, alpha=8, dropout=0.1)
    trainer = config.trainer | trainer
    given = replace(config, stage=stage, encoder_dropout=0.3, lora=lora, optimizer=optimizer, trainer=trainer)
    whole = train(replace(given, out=str(tmp_path / "whole")))
    broken = replace(given, out=str(tmp_path / "broken"))
    code, output = train_elsewhere(broken, before=KILL_AT_STEP_5)
    assert code == -9, output
    checkpoint = last_checkpoint(tmp_path / "broken" / "checkpoints")
    assert checkpoint is not None and checkpoint.name == "checkpoint-3" and seconds_spent(checkpoint) > 0
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    assert state["epoch"] == pytest.approx(5 / 3 if trainer["per_device_train_batch_size"] == 3 else 1.5)
    with pytest.raises(ConfigError, match=r"another config \(seed, trainer\.max_grad_norm\)"):
        train(replace(broken, seed=1, trainer=trainer | {"max_grad_norm": 7.0}))
    resumed = train(broken)
    name = "adapter_model.safetensors" if stage == "finetune" else "model.safetensors"
    assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    logs = [[json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()] for out in (whole, resumed)]
    assert [entry["loss"] for entry in logs[0]] == [entry["loss"] for entry in logs[1]]


def test_every_epoch_has_an_order_of_its_own_also_after_a_resume(config: TrainConfig, tmp_path: Path) -> None:
    """The order after a resume in epoch two must be epoch two's: it was once the first one's (accelerate PR#4071)."""

    def shown(out: str, stop_after: int) -> list[str]:
        seen: list[str] = []
        stock = PrefixCollator.__call__

        def collate(self: PrefixCollator, examples: Sequence[Example]) -> dict[str, Any]:
            seen.extend(example.image_id for example in examples)
            return stock(self, examples)

        def on_step_end(self: TimeLimit, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == stop_after:
                raise InterruptedError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PrefixCollator, "__call__", collate)
            patch.setattr(TimeLimit, "on_step_end", on_step_end)
            with contextlib.suppress(InterruptedError):
                train(replace(config, stage="align", out=str(tmp_path / out)))
        return seen

    whole = shown("whole", 0)
    epochs = [whole[start : start + 16] for start in range(0, 64, 16)]
    assert len(set(map(tuple, epochs))) == 4 and len(set(map(frozenset, epochs))) == 1
    shown("broken", 4)
    resumed = shown("broken", 0)
    assert resumed[-40:] == whole[24:]


def test_a_checkpoint_cut_short_is_passed_over(tmp_path: Path) -> None:
    for steps, state in ((3, "{}"), (20, "{}"), (100, '{"global_step": 1')):
        folder = tmp_path / f"checkpoint-{steps}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-200").mkdir()
    found = last_checkpoint(tmp_path)
    assert found is not None and found.name == "checkpoint-20"
