"""What a run comes to, before it is started: steps, tokens, FLOPs, memory, disk and time, from counts alone.

Everything is a pure function of the settings and of a few facts about model and data. The time is an
estimate at a stated part of a device's peak; the rest are counts, exact where the tokens are of real batches.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from transformers import TrainingArguments

from encoders.parameters import PROJECTOR
from training.arguments import UNBOUNDED_EPOCHS, trainer_settings
from training.config import TrainConfig
from training.cost import Costs, Work, hardware_flops, model_flops, peak_flops
from training.launch import processes_of
from training.memory import MOMENTS, Depth, Memory, estimate_memory
from training.zero import deepspeed_settings, zero_stage

UTILISATION = 0.4
"""Part of a device's peak that the time is estimated at (docs/training.md)."""

DEVICES = ("H100", "A100", "RTX 4090")

TOKENS_PER_STATEMENT = 40
"""Question and answer with the words that mark whose turn it is, about; only used where no batch can be made."""

SUPERVISED_PER_STATEMENT = 3
"""The answer and the end of the turn, about."""

FOUR_BITS = 0.53
"""Bytes of a weight in 4 bits with its scales."""


@dataclass(frozen=True)
class Settings:
    """The settings of Trainer's that a plan depends on, with their defaults filled in."""

    batch: int
    accumulation: int
    epochs: float
    max_steps: int
    learning_rate: float
    checkpointing: bool
    half: bool
    saves: str
    save_steps: float
    kept: int | None
    zero_stage: int
    deepspeed: bool
    world: int

    @property
    def images_per_step(self) -> int:
        """Images of one optimizer step, over all devices."""
        return self.batch * self.accumulation * self.world


def settings_of(config: TrainConfig, gpus: int = 0) -> Settings:
    """Return the settings of a config; nothing is set up for them, so a laptop can plan for a cluster.

    Args:
        config: ``nproc`` says how many devices there are to be, ``cpu_nproc`` how many processes without a GPU.
        gpus: that are visible, which count where neither ``nproc`` nor a launcher says how many.

    Raises:
        ConfigError: as ``training.arguments.trainer_settings``.
    """
    given: dict[str, Any] = {field.name: field.default for field in fields(TrainingArguments)}
    given |= trainer_settings(config)
    deepspeed = deepspeed_settings(given)
    launched = config.nproc or int(os.environ.get("WORLD_SIZE", 0))
    return Settings(
        batch=int(given["per_device_train_batch_size"]),
        accumulation=int(given["gradient_accumulation_steps"]),
        epochs=float(given["num_train_epochs"]),
        max_steps=int(given["max_steps"]),
        learning_rate=float(given["learning_rate"]),
        checkpointing=bool(given["activation_checkpointing"]),
        half=bool(given["bf16"] or given["fp16"]),
        saves=str(getattr(given["save_strategy"], "value", given["save_strategy"])),
        save_steps=float(given["save_steps"]),
        kept=given["save_total_limit"],
        zero_stage=zero_stage(deepspeed),
        deepspeed=bool(deepspeed),
        world=launched or processes_of(config, gpus) or max(1, gpus),
    )


def steps_per_epoch(settings: Settings, images: int) -> int:
    """Return the optimizer steps of an epoch, as Trainer counts them: the last one may be smaller."""
    batches = math.ceil(math.ceil(images / settings.batch) / settings.world)
    return max(1, math.ceil(batches / settings.accumulation))


def total_steps(settings: Settings, images: int | None) -> int | None:
    """Return the optimizer steps of a run; ``None`` where only its time limit, or unknown data, ends it."""
    if settings.max_steps > 0:
        return settings.max_steps
    if images is None or settings.epochs >= UNBOUNDED_EPOCHS:
        return None
    return math.ceil(settings.epochs * steps_per_epoch(settings, images))


def guessed_work(prefix: int, statements: float, images: float = 1.0) -> Work:
    """Return the work of images of ``prefix`` tokens, with so many statements each, where no batch can be made."""
    each = TOKENS_PER_STATEMENT
    tokens = prefix + statements * each
    pairs = prefix * (prefix + 1) / 2 + statements * (each * prefix + each * (each + 1) / 2)
    one = (tokens, tokens, pairs, tokens**2, statements * SUPERVISED_PER_STATEMENT, 1, 1)
    return Work(*(images * float(value) for value in one))


def peak_rates(config: TrainConfig, rate: float, projector: Sequence[str] = (PROJECTOR,)) -> dict[str, float]:
    """Return the peak learning rate by component, "" for those that have none of their own."""
    own = config.projector_learning_rate
    return {"": rate} | (dict.fromkeys(projector, own) if own is not None else {})


def step_flops(costs: Costs, micro_batch: Work, settings: Settings) -> tuple[float, float]:
    """Return (model, hardware) FLOPs of an optimizer step over all devices, given a micro-batch of one."""
    times = settings.accumulation * settings.world
    needed = model_flops(costs, micro_batch)
    return times * needed, times * hardware_flops(costs, micro_batch, settings.checkpointing)


def device_memory(
    config: TrainConfig, settings: Settings, counts: dict[str, tuple[int, int]], depth: Depth, batch: Work
) -> Memory:
    """Return what one device holds (``training.memory``), given counts by component (all, trainable)."""
    trainable = sum(some for _, some in counts.values())
    frozen = sum(every for every, _ in counts.values()) - trainable
    half = settings.half and config.stage != "pretrain"
    under_deepspeed = settings.deepspeed and settings.half
    return estimate_memory(
        frozen,
        trainable,
        depth,
        tokens=batch.padded,
        supervised=batch.supervised,
        frozen_bytes=frozen_bytes(config, counts, 2.0 if half else 4.0),
        trainable_bytes=2.0 if under_deepspeed else 4.0,
        activation_bytes=2.0 if settings.half else 4.0,
        master_copy=under_deepspeed,
        checkpointing=settings.checkpointing,
        zero_stage=settings.zero_stage,
        world=settings.world,
    )


def frozen_bytes(config: TrainConfig, counts: dict[str, tuple[int, int]], plain: float) -> float:
    """Return the bytes of a frozen weight on average; ``quantize`` is about the language model's."""
    bits = FOUR_BITS if config.quantize.get("load_in_4bit") else 1.0 if config.quantize.get("load_in_8bit") else plain
    language = counts.get("language_model", (0, 0))
    frozen = sum(every - some for every, some in counts.values())
    share = (language[0] - language[1]) / frozen if frozen else 0.0
    return share * bits + (1 - share) * plain


def disk_bytes(config: TrainConfig, settings: Settings, counts: dict[str, tuple[int, int]]) -> tuple[float, float]:
    """Return the bytes of one checkpoint to resume from, and of the most that lie on the disk at a time."""
    trainable = sum(some for _, some in counts.values())
    frozen = sum(every for every, _ in counts.values()) - trainable
    each = 2.0 if settings.half and config.stage != "pretrain" else 4.0
    model = trainable * 4.0 + (0.0 if config.stage == "finetune" else frozen * each)
    checkpoint = model + trainable * 4.0 * (MOMENTS + (settings.deepspeed and settings.half))
    if settings.saves == "no":
        return 0.0, model
    kept = settings.kept or 1
    return checkpoint, (kept + 1) * checkpoint + model  # an older one goes when a newer one is whole


def device_hours(flops: float, device: str, tflops: float = 0.0) -> float:
    """Return the hours of one device that FLOPs take at ``UTILISATION`` of its peak.

    Raises:
        ValueError: the device's peak is unknown.
    """
    peak = peak_flops(device, tflops)
    if peak is None:
        raise ValueError(f"the peak of {device} is unknown; give peak_tflops")
    return flops / (peak * UTILISATION) / 3600
