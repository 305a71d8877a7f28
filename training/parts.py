"""What each kind of stage trains, on what: module, dataset, collator, processor, and the callbacks of their own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainingArguments, set_seed

from encoders.load import is_adapter
from encoders.parameters import LANGUAGE, PROJECTOR
from spatial.errors import ConfigError
from training.adapters import continued_adapter, load_base
from training.callbacks import EpochDraws
from training.collate import PrefixCollator, Sizes
from training.config import TrainConfig
from training.conversations import Conversations, Pool
from training.dense import DenseCollator, DenseImages, DenseTask
from training.detector import detector_parts
from training.examples import Examples
from training.families import FAMILIES, family_parts, foreign_kind
from training.features import prepare_features
from training.lengths import check_lengths, check_records
from training.mixing import folder_weights
from training.sources import Source, conversations_in, folders_in
from training.stages import check_towers_frozen, prepare_stage


@dataclass
class Parts:
    """What ``training.fit.fit`` needs of a stage.

    Attributes:
        model: with ``requires_grad`` set as wanted; its forward returns ``.loss``.
        dataset: map-style; ``collator`` makes the arguments of the model's forward of a list of its items.
        processor: saved beside the model, if there is one.
        callbacks: beside those that every run has.
        projector: modules that ``projector_learning_rate`` is for.
        made_of: what an epoch shows of each part of weighed data.
    """

    model: nn.Module
    dataset: Dataset[Any]
    collator: Any
    processor: Any = None
    callbacks: list[TrainerCallback] = field(default_factory=list)
    projector: Sequence[str] = (PROJECTOR,)
    made_of: str = ""


def build_parts(config: TrainConfig, sources: Sequence[Source], arguments: TrainingArguments) -> Parts:
    """Load what a stage trains, and what on.

    Raises:
        UserError: as ``training.run.train`` does.
    """
    folders = folders_in(sources)
    if config.stage == "detector":
        detector, sights, targets = detector_parts(config, folders)
        return Parts(detector, sights, targets, callbacks=[EpochDraws(sights)])
    if config.stage == "painter":
        from training.painter import painter_parts

        painter, scenes, painted = painter_parts(config, folders)
        return Parts(painter, scenes, painted, callbacks=[EpochDraws(scenes)])
    if config.stage == "towers":
        images = DenseImages([folder.record_set() for folder in folders])
        model, processor = load_trainable(config, arguments)
        task = DenseTask(model, processor.tokenizer)
        return Parts(task, images, DenseCollator(processor, task.grids), processor)
    pool = pool_of(config, sources)
    made_of = mixture_text(sources, pool.datasets)
    if kind := foreign_kind(config):
        records = pool.datasets[0]  # families take nothing else, see check_family
        other, rows = family_parts(config, kind, arguments)
        draws: list[TrainerCallback] = [EpochDraws(records)]
        return Parts(other, records, rows, rows.processor, draws, FAMILIES[kind].projector, made_of)
    model, processor = load_trainable(config, arguments)
    sizes = sizes_of(model)
    for part in pool.datasets:
        if isinstance(part, Conversations):
            check_lengths(part.file, processor, sizes, Path(config.out))
        else:
            check_records(part, processor, sizes, Path(config.out))
    examples: Examples | Conversations | Pool = pool.datasets[0] if len(pool.datasets) == 1 else pool
    features = None
    if isinstance(examples, Examples):
        features = prepare_features(config, arguments, examples, model, processor)
    collator = PrefixCollator(processor, features, sizes)
    return Parts(model, examples, collator, processor, [EpochDraws(examples)], made_of=made_of)


def pool_of(config: TrainConfig, sources: Sequence[Source]) -> Pool:
    """Return records and conversations as what the model is shown; all dataset folders are one part of it."""
    count, parts = config.statements_per_image, []
    given: Sequence[float | None] = folder_weights(config.data) or [None] * len(sources)
    shares = dict(zip(map(id, sources), given, strict=True))
    folders = folders_in(sources)
    if folders:
        weights = [share for folder in folders if (share := shares[id(folder)]) is not None]
        sets = [folder.record_set() for folder in folders]
        parts.append(Examples(sets, count, config.tasks, config.templates, config.seed, weights or None))
    talks = [Conversations(file, count, config.seed, shares[id(file)]) for file in conversations_in(sources)]
    return Pool([*parts, *talks])


def mixture_text(sources: Sequence[Source], parts: Sequence[Examples | Conversations]) -> str:
    """Return what an epoch shows of each source that is weighed, or "" where none is."""
    folders = [str(folder.path) for folder in folders_in(sources)]
    said = []
    for part in parts:
        names = [str(part.file.path)] if isinstance(part, Conversations) else folders
        said += [part.mixture.describe(names)] if part.mixture else []
    return ", ".join(said)


def sizes_of(model: Any) -> Sizes:
    """Return what a model of ours, or an adapter around one, takes."""
    settings = model.config
    return Sizes(settings.num_image_tokens, settings.image_token_id, settings.text.max_position_embeddings)


def load_trainable(config: TrainConfig, arguments: TrainingArguments) -> tuple[nn.Module, Any]:
    """Return the model with the stage's parameters trainable, and the processor.

    With ``trainer.bf16`` the frozen part is held in bfloat16, and all that trains in float32.
    """
    half = arguments.bf16 and config.stage != "pretrain"
    dtype = torch.bfloat16 if half else torch.float32
    continued = config.stage == "finetune" and is_adapter(config.model)
    if continued:
        adapted, processor = continued_adapter(config.model, dtype, config.lora, config.quantize)
        model = adapted.get_base_model()
    else:
        model, processor = load_base(config.model, dtype, config.quantize)
    language = getattr(model.model, LANGUAGE)
    attention = language.config._attn_implementation
    if attention != "sdpa":
        raise ConfigError(f"packing needs attention 'sdpa', not {attention!r}; correct {config.model}/config.json")
    model.config.encoder_dropout = config.encoder_dropout
    if arguments.dataloader_num_workers:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive the fork of a worker
    set_seed(config.seed)  # LoRA matrices are drawn here
    if continued:
        trainable = adapted
        check_towers_frozen(trainable)
    else:
        trainable = prepare_stage(model, config.stage, config.lora, config.encoders)
    for parameter in trainable.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return trainable, processor
