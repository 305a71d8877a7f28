"""Fit one stage's parts on the Hugging Face Trainer: resume what was killed, save what is complete."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainingArguments

from encoders.launch import leave_group_at_exit, process_place
from encoders.parameters import parameter_counts, parameter_table
from spatial.errors import CheckpointError, UserError
from training.budget import Clock
from training.callbacks import LossLog, TimeLimit
from training.complete import check_saved
from training.config import TrainConfig
from training.evaluation import PREFIX, Evaluator, check_answers, evaluation_facts
from training.guard import Guard
from training.output import (
    CHECKPOINTS,
    LOG,
    check_processes,
    last_checkpoint,
    publish,
    relocate_best,
    seconds_spent,
    start_job,
)
from training.parts import Parts
from training.plan import peak_rates
from training.throughput import Throughput, summary_line
from training.trainer import VsreTrainer


def fit(
    config: TrainConfig,
    job: dict[str, Any],
    arguments: TrainingArguments,
    parts: Parts,
    evaluator: Evaluator | None = None,
) -> Path:
    """Train any module whose forward returns ``.loss``, resume it if it was killed, and save it to ``config.out``.

    Args:
        config: ``out``, rates, limits and schedule are read; the rest has been used already.
        job: what decides the result; see ``training.output.is_finished``, which the caller has asked.
        arguments: as ``build_arguments`` makes them.
        parts: what trains, on what.
        evaluator: what ``config.evaluate`` asks.
    """
    if evaluator:
        check_answers(parts.model)
    out = Path(config.out)
    if arguments.world_size > 1:
        leave_group_at_exit()
    checkpoint = _begin(out, job, arguments, config)
    if checkpoint:
        arguments.eval_on_start = False  # the score of the start is in the log
    clock = Clock(seconds_spent(checkpoint))
    with _tensorboard_in(out):
        trainer = VsreTrainer(
            config.projector_learning_rate,
            clock,
            config.max_seconds if config.schedule == "time" else 0.0,
            config.loss_per,
            config.peak_tflops,
            evaluator,
            parts.projector,
            config.optimizer,
            model=parts.model,
            args=arguments,
            train_dataset=parts.dataset,
            data_collator=parts.collator,
            processing_class=parts.processor,
            callbacks=[TimeLimit(clock, config.max_seconds), LossLog(out / LOG), *parts.callbacks],
        )
    rates = peak_rates(config, arguments.learning_rate, parts.projector)
    trainer.add_callback(Guard(trainer, rates, arguments.deepspeed or {}))
    if arguments.should_save:
        _introduce(parts, rates, checkpoint, trainer.throughput)
    with _plain_worker_errors(), _nothing_but_tensors(checkpoint):
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    facts: dict[str, Any] = {"steps": result.global_step, "seconds": round(clock.seconds, 1)}
    if evaluator:
        facts["evaluation"] = evaluation_facts(trainer.state, config)
        say_scores(facts["evaluation"])
    if checkpoint:
        step = checkpoint.name.rpartition("-")[2]
        say(f"it went on from step {step}; train_loss and rates above are of the steps since then")
    _save(trainer, parts, out, job | facts)
    return out


def _begin(out: Path, job: dict[str, Any], arguments: TrainingArguments, config: TrainConfig) -> Path | None:
    """Return the checkpoint to go on from, which the first process chooses for all; a collective.

    Others would look while it removes what is damaged, and might choose another one.

    Raises:
        UserError: the run cannot go on; on all processes.
    """
    chosen: list[Any] = [None]
    try:
        if arguments.should_save:
            check_processes(out, arguments.world_size)
            start_job(out, job, arguments.world_size)
            if checkpoint := last_checkpoint(out / CHECKPOINTS):
                by_score = config.evaluate.every and config.evaluate.keep == "best"
                relocate_best(checkpoint, PREFIX + config.evaluate.metric if by_score else "")
                chosen = [str(checkpoint)]
    except (OSError, UserError) as error:
        chosen = [error]
    found = broadcast_object_list(chosen)[0]
    if isinstance(found, Exception):
        raise found
    return Path(found) if found else None


@contextmanager
def _tensorboard_in(out: Path) -> Iterator[None]:
    """Let Trainer's TensorBoard write into ``out``, unless the user has said where; only the environment tells it."""
    if "TENSORBOARD_LOGGING_DIR" in os.environ:
        yield
        return
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "tensorboard")
    try:
        yield
    finally:
        del os.environ["TENSORBOARD_LOGGING_DIR"]


@contextmanager
def _nothing_but_tensors(checkpoint: Path | None) -> Iterator[None]:
    """Say in one line that torch refused a file of a checkpoint: it runs no code of one, whatever stands in it."""
    try:
        yield
    except UnpicklingError as error:
        raise CheckpointError(
            f"{checkpoint} holds a file that is damaged or more than tensors and numbers, which is not loaded;"
            " delete that folder, and the same command goes on from the one before"
        ) from error


@contextmanager
def _plain_worker_errors() -> Iterator[None]:
    """Give back the one line of a user's mistake that a loader worker met; torch wraps it in the worker's trace."""
    try:
        yield
    except UserError as error:
        *trace, line = str(error).strip().splitlines()
        if not trace:
            raise
        raise type(error)(line.partition(": ")[2]) from error


def _introduce(parts: Parts, rates: dict[str, float], checkpoint: Path | None, throughput: Throughput) -> None:
    from rich.console import Console

    images: Any = parts.dataset
    console = Console(stderr=True)
    console.print(parameter_table(parameter_counts(parts.model, parts.projector), rates))
    made_of = f" an epoch: {parts.made_of}" if parts.made_of else ""
    console.print(f"{len(images)} images{made_of}", highlight=False)
    console.print(throughput.describe(), highlight=False, soft_wrap=True)
    if checkpoint:
        console.print(f"resuming from {checkpoint}", highlight=False)


def _save(trainer: VsreTrainer, parts: Parts, out: Path, facts: dict[str, Any]) -> None:
    """Save through Trainer, which gathers what is sharded, and publish from the first process."""
    model, partial = parts.model, out / ".partial"
    if trainer.args.should_save:
        shutil.rmtree(partial, ignore_errors=True)
        if (settings := getattr(model, "config", None)) is not None:
            settings.use_cache = True  # Trainer turned it off for training
    product = getattr(model, "product", None)
    if product is None:
        trainer.save_model(str(partial))
    elif trainer.args.should_save:  # a task's own heads are scaffolding
        product.save_pretrained(str(partial))
        if trainer.processing_class is not None:
            trainer.processing_class.save_pretrained(str(partial))
    if trainer.args.should_save:
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        counts = parameter_counts(model, parts.projector)
        facts |= {
            "loss": losses[-1] if losses else None,
            "throughput": trainer.throughput.summary,
            "processes": trainer.args.world_size,
            "parameters": {name: {"all": every, "trainable": some} for name, (every, some) in counts.items()},
        }
        check_saved(partial, model, _has_learnt(trainer))
        publish(partial, out, facts)
        if trainer.throughput.summary:
            say(summary_line(trainer.throughput.summary))
        say(f"trained {facts['steps']} steps in {facts['seconds']:.0f} s; the result is in {out}")


def say_scores(facts: dict[str, Any]) -> None:
    """Say which weights became the result, and where training did not help."""
    metric, start, result = facts["metric"], facts["history"][0], facts["result"]
    score = f"{result[metric]:.3f}" if metric in result else "not scored"
    say(f"the result is that of step {result['step']}: {metric} {score}, {start[metric]:.3f} before training")
    if start["step"] == 0 and result.get(metric, start[metric]) <= start[metric]:
        say(f"warning: {metric} is no better than before training")


def _has_learnt(trainer: VsreTrainer) -> bool:
    """Return whether a step was taken with a learning rate above 0; a warm-up begins with 0."""
    taken, rate = trainer.state.global_step, trainer.args.learning_rate
    return rate > 0 and taken > max(1, trainer.args.get_warmup_steps(taken))


def say(text: str) -> None:
    """Print a line, of several processes in the first one alone."""
    if process_place()[0] == 0:
        print(text, flush=True)
