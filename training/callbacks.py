"""What happens around the steps: the epoch's draws, the clock and its limit, and a plain log of losses."""

import json
from pathlib import Path
from typing import Any, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import IntervalStrategy

from training.budget import Clock
from training.evaluation import PREFIX


class Drawn(Protocol):
    """A dataset whose items are drawn anew in every epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the draws of an epoch, counted from 0."""


class EpochDraws(TrainerCallback):
    """Tell the dataset which epoch begins; a resumed run begins in the epoch that its checkpoint was in."""

    def __init__(self, examples: Drawn) -> None:
        self.examples = examples

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Choose the draws; ``state.epoch`` is fractional after a resume in the middle."""
        self.examples.set_epoch(int(state.epoch or 0))


class TimeLimit(TrainerCallback, ExportableState):
    """Advance the clock at every step, and stop with a checkpoint once ``max_seconds`` are spent (0: never)."""

    def __init__(self, clock: Clock, max_seconds: float) -> None:
        self.clock, self.max_seconds = clock, max_seconds
        self._processes = 1

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint's ``trainer_state.json`` keeps (see ``seconds_spent`` and ``intact.damage``)."""
        return {"args": {}, "attributes": {"seconds": self.clock.seconds, "processes": self._processes}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock, as loading is not training time; stop at once if a resumed run had ended but for its result.

        Publishing may have failed then. Trainer itself looks whether it is done only after a step.
        """
        self._processes = args.world_size
        self.clock.start()
        if state.global_step and (state.global_step >= state.max_steps or 0 < self.max_seconds <= self.clock.seconds):
            control.should_training_stop = True

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tick before the scheduler steps, because a time schedule reads the clock."""
        self.clock.tick()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """All ranks share the clock, so all stop at the same step."""
        if 0 < self.max_seconds <= self.clock.seconds:
            control.should_training_stop = control.should_save = control.should_log = True
            control.should_evaluate = args.eval_strategy != IntervalStrategy.NO


class LossLog(TrainerCallback):
    """Append each log entry as one JSON line: step, epoch, loss, grad_norm, learning_rate, seconds, and throughput.

    Scores of ``evaluate`` have lines of their own, with ``eval_`` before their names.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Drop lines of steps that a killed run did after its last checkpoint; they are done again."""
        if not state.is_world_process_zero:
            return
        kept = [line for line in _lines(self.path) if json.loads(line)["step"] <= state.global_step]
        self.path.write_text("".join(f"{line}\n" for line in kept))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write entries with a loss or scores; the closing summary of ``Trainer`` has neither."""
        wanted = logs and ("loss" in logs or any(name.startswith(PREFIX) for name in logs))
        if state.is_world_process_zero and logs and wanted:
            with self.path.open("a") as log:
                log.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def _lines(path: Path) -> list[str]:
    """Return the complete lines of a log that a kill may have cut short."""
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()
