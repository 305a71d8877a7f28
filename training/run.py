"""One training run: from a config to a checkpoint directory that ``vsre eval`` takes.

Killed runs go on from their last checkpoint and end where an uninterrupted run would have ended; a finished run
is not done again.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainingArguments, set_seed

from encoders.load import load_model
from encoders.parameters import LANGUAGE, PROJECTOR, parameter_counts, parameter_table
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, UserError
from training.arguments import build_arguments, check_trainer
from training.budget import Clock
from training.callbacks import EpochDraws, LossLog, TimeLimit
from training.collate import PrefixCollator
from training.config import TrainConfig
from training.dense import DenseCollator, DenseImages, DenseTask
from training.detector import detector_parts
from training.examples import Examples, check_names
from training.features import check_features, prepare_features
from training.launch import leave_group_at_exit
from training.output import (
    CHECKPOINTS,
    LOG,
    describe_job,
    fingerprint,
    is_finished,
    last_checkpoint,
    publish,
    seconds_spent,
    start_job,
)
from training.stages import prepare_stage
from training.trainer import VsreTrainer

FROM_NOTHING = ("detector", "painter")
"""Stages that need no checkpoint to start from."""


def train(config: TrainConfig) -> Path:
    """Train as the config says and return ``out``.

    Returns:
        A full checkpoint ("pretrain", "align") or a PEFT adapter ("finetune"), with processor and ``training.json``.

    Raises:
        ConfigError: settings that cannot be used, or ``out`` holds another run.
        RecordError: the data cannot be read, or no record passes the filters.
        CheckpointError: ``model`` is not a checkpoint of ours.
        UserError: the loss stopped being finite.
    """
    check(config)
    folders = [DatasetFolder(path) for path in config.data]
    job = describe_job(config, folders)
    if is_finished(Path(config.out), job):
        _say(f"{config.out} is already trained with this config")
        return Path(config.out)
    arguments = build_arguments(config)
    if config.stage == "detector":
        detector, sights, targets = detector_parts(config, folders)
        return fit(config, job, arguments, detector, sights, targets, callbacks=[EpochDraws(sights)])
    if config.stage == "painter":
        from training.painter import painter_parts

        painter, scenes, painted = painter_parts(config, folders)
        return fit(config, job, arguments, painter, scenes, painted, callbacks=[EpochDraws(scenes)])
    sets = [folder.record_set() for folder in folders]
    if config.stage == "towers":
        images = DenseImages(sets)
        model, processor = load_trainable(config, arguments)
        task = DenseTask(model, processor.tokenizer)
        return fit(config, job, arguments, task, images, DenseCollator(processor, task.grids), processor)
    examples = Examples(
        sets,
        config.statements_per_image,
        config.tasks,
        config.templates,
        config.seed,
    )
    model, processor = load_trainable(config, arguments)
    features = prepare_features(config, arguments, examples, model, processor)
    collator = PrefixCollator(processor, features)
    return fit(config, job, arguments, model, examples, collator, processor, [EpochDraws(examples)])


def check(config: TrainConfig) -> None:
    """Check what can be checked without loading anything large.

    Raises:
        UserError: as ``train`` does.
    """
    check_trainer(config)
    check_names(config.tasks, config.templates)
    check_features(config)
    if not config.data:
        raise ConfigError("no data; name at least one dataset folder in 'data'")
    if config.statements_per_image < 1:
        raise ConfigError(f"statements_per_image is {config.statements_per_image}; give at least 1")
    for path in config.data:
        DatasetFolder(path)
    if not config.model:
        if config.stage not in FROM_NOTHING:
            raise ConfigError(f"stage '{config.stage}' needs a 'model' to start from; name a checkpoint directory")
        return
    fingerprint(Path(config.model))
    if Path(config.model).resolve() == Path(config.out).resolve():
        raise ConfigError(f"'out' and 'model' are both {config.out}; a run never writes over what it starts from")
    if config.stage == "finetune" and (Path(config.model) / "adapter_config.json").exists():
        raise ConfigError(f"{config.model} is an adapter; start from its base model")


def load_trainable(config: TrainConfig, arguments: TrainingArguments) -> tuple[nn.Module, Any]:
    """Return the model with the stage's parameters trainable, and the processor.

    With ``trainer.bf16`` the frozen part is held in bfloat16, and all that trains in float32.
    """
    half = arguments.bf16 and config.stage != "pretrain"
    model, processor = load_model(config.model, torch.bfloat16 if half else torch.float32)
    language = getattr(model.model, LANGUAGE)
    attention = language.config._attn_implementation
    if attention != "sdpa":
        raise ConfigError(f"packing needs attention 'sdpa', not {attention!r}; correct {config.model}/config.json")
    model.config.encoder_dropout = config.encoder_dropout
    if arguments.dataloader_num_workers:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive the fork of a worker
    set_seed(config.seed)  # LoRA matrices are drawn here
    trainable = prepare_stage(model, config.stage, config.lora)
    for parameter in trainable.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainable, processor


def fit(
    config: TrainConfig,
    job: dict[str, Any],
    arguments: TrainingArguments,
    model: nn.Module,
    dataset: Dataset[Any],
    collator: Any,
    processor: Any = None,
    callbacks: list[TrainerCallback] | None = None,
) -> Path:
    """Train any module whose forward returns ``.loss``, resume it if it was killed, and save it to ``config.out``.

    Args:
        config: ``out``, rates, limits and schedule are read; the rest has been used already.
        job: what decides the result; see ``training.output.is_finished``, which the caller has asked.
        arguments: as ``build_arguments`` makes them.
        model: with ``requires_grad`` set as wanted.
        dataset: map-style; ``collator`` makes the arguments of the model's forward of a list of its items.
        processor: saved beside the model.
        callbacks: beside time and log.
    """
    out = Path(config.out)
    if arguments.world_size > 1:
        leave_group_at_exit()
    if arguments.should_save:
        start_job(out, job)
    checkpoint = last_checkpoint(out / CHECKPOINTS)
    clock = Clock(seconds_spent(checkpoint))
    with _tensorboard_in(out):
        trainer = VsreTrainer(
            config.projector_learning_rate,
            clock,
            config.max_seconds if config.schedule == "time" else 0.0,
            config.loss_per,
            model=model,
            args=arguments,
            train_dataset=dataset,
            data_collator=collator,
            processing_class=processor,
            callbacks=[TimeLimit(clock, config.max_seconds), LossLog(out / LOG), *(callbacks or [])],
        )
    if arguments.should_save:
        _introduce(config, model, arguments, dataset, checkpoint)
    with _plain_worker_errors():
        result = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    _save(trainer, model, out, job | {"steps": result.global_step, "seconds": round(clock.seconds, 1)})
    return out


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
def _plain_worker_errors() -> Iterator[None]:
    """Give back the one line of a user's mistake that a loader worker met; torch wraps it in the worker's trace."""
    try:
        yield
    except UserError as error:
        *trace, line = str(error).strip().splitlines()
        if not trace:
            raise
        raise type(error)(line.partition(": ")[2]) from error


def _introduce(
    config: TrainConfig, model: nn.Module, arguments: TrainingArguments, dataset: Any, checkpoint: Path | None
) -> None:
    from rich.console import Console

    rates = {"": arguments.learning_rate}
    if config.projector_learning_rate is not None:
        rates[PROJECTOR] = config.projector_learning_rate
    console = Console(stderr=True)
    console.print(parameter_table(parameter_counts(model), rates))
    console.print(f"{len(dataset)} images, {arguments.world_size} process(es)", highlight=False)
    if checkpoint:
        console.print(f"resuming from {checkpoint}", highlight=False)


def _save(trainer: VsreTrainer, model: nn.Module, out: Path, facts: dict[str, Any]) -> None:
    """Save through Trainer, which gathers what is sharded, and publish from the first process."""
    partial = out / ".partial"
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
        counts = parameter_counts(model)
        facts |= {
            "loss": losses[-1] if losses else None,
            "processes": trainer.args.world_size,
            "parameters": {name: {"all": every, "trainable": some} for name, (every, some) in counts.items()},
        }
        publish(partial, out, facts)
        _say(f"trained {facts['steps']} steps in {facts['seconds']:.0f} s; the result is in {out}")


def _say(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(text, flush=True)
