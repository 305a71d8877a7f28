"""One process of a job that trains several configs one after the other, as a chain of stages does.

Usage: torchrun --nproc_per_node 2 zero_worker.py JOBS.json

JOBS.json: {"configs": {NAME: settings}, "facts": FOLDER, "kill": NAME or "", "nan": NAME or ""}. Of every run,
the first process notes in FOLDER/NAME.json what engine and rates really trained, and in FOLDER/NAME.safetensors the
trained weights as gathered from all processes. The run called "kill" ends by signal 9 in its fifth step; in the run
called "nan", the loss of the last process is not a number in its fifth step.
"""

import json
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from training import trainer as stock
from training.callbacks import TimeLimit
from training.chain import typed
from training.complete import saved_name
from training.guard import Guard
from training.run import train
from training.throughput import Throughput

RANK = int(os.environ.get("RANK", "0"))
now: dict[str, Any] = {"name": "", "trainer": None}


def main(path: str) -> None:
    jobs = json.loads(Path(path).read_text())
    _watch(jobs)
    for name, settings in jobs["configs"].items():
        now["name"] = name
        train(typed(settings))
        if now["trainer"] is not None:
            _note(Path(jobs["facts"]) / name)


def counted(throughput: Throughput) -> dict[str, float]:
    """Return what all log entries together say was trained, over all processes."""
    done = throughput._intervals
    sums = {name: sum(getattr(each.work, name) for each in done) for name in ("tokens", "supervised", "images")}
    return sums | {"statements": sum(each.statements for each in done)}


def _watch(jobs: dict[str, Any]) -> None:
    begin, step_end, loss = Guard.on_train_begin, TimeLimit.on_step_end, stock.answer_loss

    def on_train_begin(self: Guard, *args: Any, **kwargs: Any) -> None:
        now["trainer"] = self.trainer
        begin(self, *args, **kwargs)

    def on_step_end(self: TimeLimit, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step_end(self, args, state, control, **kwargs)
        if state.global_step == 5 and now["name"] == jobs["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)

    def answer_loss(*args: Any, **kwargs: Any) -> torch.Tensor:
        bad = now["name"] == jobs["nan"] and RANK == 1 and now["trainer"].state.global_step == 4
        return loss(*args, **kwargs) * (float("nan") if bad else 1.0)

    Guard.on_train_begin, TimeLimit.on_step_end, stock.answer_loss = on_train_begin, on_step_end, answer_loss


def _note(place: Path) -> None:
    trainer, now["trainer"] = now["trainer"], None
    engine = trainer.model_wrapped
    parameters = {saved_name(name): p for name, p in trainer.model.named_parameters() if p.requires_grad}
    split = [parameter for parameter in parameters.values() if hasattr(parameter, "ds_id")]
    if split:
        import deepspeed

        whole = deepspeed.zero.GatheredParameters(split)
    else:
        whole = nullcontext()
    with whole:
        gathered = {name: parameter.detach().clone().contiguous() for name, parameter in parameters.items()}
    if RANK == 0:
        optimizer = getattr(engine, "optimizer", trainer.optimizer)
        facts = {
            "engine": type(engine).__name__,
            "optimizer": type(optimizer).__name__,
            "rates": [group["initial_lr"] for group in optimizer.param_groups],
            "split": len(split),
            "counted": counted(trainer.throughput),
        }
        place.with_suffix(".json").write_text(json.dumps(facts))
        save_file(gathered, place.with_suffix(".safetensors"))


if __name__ == "__main__":
    main(sys.argv[1])
