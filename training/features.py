"""Whether a run reads cached features instead of running its frozen encoders, and where they are.

A cache pays where the encoders are a large part of the work or each image has many statements, and only if images are
seen often enough to make up for writing it. "auto" decides by that, says so in one line, and a resumed run keeps to
what was decided when it began.

The folder of "auto" lies beside the run's output, so that runs beside each other (fusions, subsets of encoders, ranks
of LoRA) share it: inside, every encoder, revision, geometry and number format has a folder of its own.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list, wait_for_everyone
from torch import nn
from transformers import TrainingArguments

from encoders.cache import FeatureCache
from encoders.cache_build import Share, build_command, build_features
from encoders.cache_key import SPLIT, feature_keys
from encoders.configuration import VsreConfig
from encoders.flops import language_flops, tower_flops
from encoders.tower import FusedVisionModel
from spatial.disk import free_bytes, size_text
from spatial.errors import ConfigError
from spatial.files import read_mapping, write_json
from training.arguments import UNBOUNDED_EPOCHS
from training.config import AUTO, FROZEN_TOWERS, TrainConfig
from training.cost import passes
from training.examples import Examples
from training.output import CHECKPOINTS, last_checkpoint
from training.plan import TOKENS_PER_STATEMENT
from training.zero import deepspeed_settings, zero_stage

FOLDER = "feature-cache"
DECISION = "features.json"

LEAST_RECORDS = 4.0
LEAST_SHARE = 0.25
LEAST_SEEN = 2.0
LARGEST_PART_OF_DISK = 0.5


@dataclass(frozen=True)
class Outlook:
    """What the decision depends on.

    Attributes:
        records_per_image: in the data.
        share: floating-point operations of the encoders over those of training the language model, for one image.
        times_seen: how often the run shows each image; ``None`` if only a time limit ends it.
        to_write: bytes that are not in the cache yet.
        free: bytes of its disk.
    """

    records_per_image: float
    share: float
    times_seen: float | None
    to_write: int
    free: int


@dataclass(frozen=True)
class Decision:
    """Whether features are cached, and why."""

    use: bool
    reason: str


def check_features(config: TrainConfig) -> None:
    """Refuse features where encoders learn, or there are none, or ZeRO-3 splits them while they load.

    Raises:
        ConfigError: features cannot be used.
    """
    if config.features and config.stage not in FROZEN_TOWERS:
        raise ConfigError(
            f"stage '{config.stage}' cannot use cached features, because its encoders are not frozen ones;"
            " remove 'features'"
        )
    if config.features and zero_stage(deepspeed_settings(config.trainer)) == 3:
        raise ConfigError(SPLIT)


def prepare_features(
    config: TrainConfig, arguments: TrainingArguments, examples: Examples, model: nn.Module, processor: Any
) -> FeatureCache | None:
    """Return the cache that the run reads, complete, and tell ``examples`` to decode no pictures; or ``None``.

    Raises:
        CheckpointError: the folder lacks features of this model, or cannot be written.
    """
    if not config.features:
        return None
    wrapped: Any = model
    base = wrapped.get_base_model() if hasattr(model, "get_base_model") else wrapped
    vision = base.model.vision_tower
    auto = config.features == AUTO
    beside = Path(config.feature_cache or Path(config.out).parent / FOLDER)
    folder = beside if auto else Path(config.features)
    dtype = str(vision.dtype).removeprefix("torch.")
    mend = build_command(config.model, list(config.data), folder, dtype)
    keys = feature_keys(vision, processor.image_processor)
    keys = {name: key for name, key in keys.items() if not config.encoders or name in config.encoders}
    cache = FeatureCache(folder, keys, mend)
    if auto:
        decision = _agreed(config, arguments, lambda: decide(_outlook(config, arguments, examples, base.config, cache)))
        if arguments.process_index == 0:
            what, where = ("cached", f"; in {folder}") if decision.use else ("not cached", "")
            print(f"features: {what}: {decision.reason}{where}", flush=True)
        if not decision.use:
            return None
        _build(cache, vision, processor, examples, arguments)
        cache = FeatureCache(folder, keys, mend)
    cache.require(examples.image_ids)
    examples.decoded = False
    return cache


def decide(outlook: Outlook) -> Decision:
    """Decide whether a cache pays (design: 4 statements per image or a share of 25 %, seen often, and room for it)."""
    records, share = outlook.records_per_image, outlook.share
    work = f"{records:.1f} statements per image, encoders at {share:.0%} of the language model's work"
    if records < LEAST_RECORDS and share <= LEAST_SHARE:
        return Decision(False, f"{work}; {LEAST_RECORDS:.0f} statements or {LEAST_SHARE:.0%} would do")
    if outlook.to_write == 0:
        return Decision(True, f"all features are there ({work})")
    if outlook.times_seen is None:
        return Decision(False, "only max_seconds ends the run; set trainer.num_train_epochs, or name a folder")
    seen = f"each image is seen {outlook.times_seen:,.1f} times"
    if outlook.times_seen < LEAST_SEEN:
        return Decision(False, f"{seen}; {LEAST_SEEN:.0f} times would pay for writing them ({work})")
    room = f"{size_text(outlook.to_write)} to write, {size_text(outlook.free)} free"
    if outlook.to_write > LARGEST_PART_OF_DISK * outlook.free:
        return Decision(False, f"{room}; at most {LARGEST_PART_OF_DISK:.0%} of it is taken")
    return Decision(True, f"{seen} ({work}; {room})")


def times_seen(arguments: TrainingArguments, items: int, images: int = 0) -> float | None:
    """Return how often a run shows each image at most; ``None`` if only its time limit ends it.

    Args:
        arguments: of the run.
        items: of an epoch.
        images: that these are of, where some are shown more often than others; 0: each once.
    """
    images = images or items
    if arguments.max_steps > 0:
        step = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
        return arguments.max_steps * step / images
    if arguments.num_train_epochs >= UNBOUNDED_EPOCHS:
        return None
    return float(arguments.num_train_epochs) * items / images


def encoder_share(config: TrainConfig, arguments: TrainingArguments, model: VsreConfig) -> float:
    """Return the operations of all encoders over those of training the language model, for one image.

    What a training step costs in forward passes is told by ``training.cost``.
    """
    model = deepcopy(model)  # counting builds models, which write into their configuration
    tokens = model.num_image_tokens + config.statements_per_image * TOKENS_PER_STATEMENT
    training = passes(config.stage == "full", arguments.activation_checkpointing) * language_flops(model, tokens)
    towers = tower_flops(model.vision)
    return sum(towers[name] for name in config.encoders or towers) / training


def _outlook(
    config: TrainConfig, arguments: TrainingArguments, examples: Examples, model: VsreConfig, cache: FeatureCache
) -> Outlook:
    images = examples.image_ids
    return Outlook(
        records_per_image=examples.records_per_image,
        share=encoder_share(config, arguments, model),
        times_seen=times_seen(arguments, len(examples), len(images)),
        to_write=cache.missing_bytes(images),
        free=free_bytes(cache.out),
    )


def _agreed(config: TrainConfig, arguments: TrainingArguments, make: Callable[[], Decision]) -> Decision:
    """Return the decision that the first process makes, or made before the run was killed."""
    path = Path(config.out) / CHECKPOINTS / DECISION
    found: list[Decision] = [Decision(False, "")]
    if arguments.process_index == 0:
        before = read_mapping(path) if last_checkpoint(path.parent) else None
        found = [Decision(bool(before["use"]), "as when the run began") if before else make()]
        if before is None:
            write_json(path, asdict(found[0]))
    broadcast_object_list(found)
    return found[0]


def _build(
    cache: FeatureCache, vision: FusedVisionModel, processor: Any, examples: Examples, arguments: TrainingArguments
) -> None:
    """Compute what is missing, every process its share, on the device that will train."""
    device = vision.device
    vision.to(arguments.device)
    share = Share(arguments.process_index, arguments.world_size)
    build_features(cache, vision, processor.image_processor, examples.images, examples.image_ids, share)
    vision.to(device)
    wait_for_everyone()
