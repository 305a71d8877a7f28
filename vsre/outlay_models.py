"""What the steps that build, train, merge and score models would take. Models are made of sizes alone, no weights.

Steps, FLOPs and disk of training are those of ``training.plan``, which ``vsre train --dry_run`` prints too.
"""

import json
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from encoders.config import BuildConfig
from eval.config import EvalConfig, InterpretConfig
from spatial.errors import CheckpointError, ConfigError, UserError
from training.config import LoraSettings, TrainConfig
from vsre.assets import asset_names, resolve_model
from vsre.outlay import HOUR, Made, Outlay, data_of, hours

FULL, HALF = 4, 2
"""Bytes of a number in float32 and in bfloat16."""


def building(config: BuildConfig, made: Made) -> Outlay:
    """Plan ``vsre build-model``; sizes of published models are known here, others come from their config.json."""
    from encoders.build import planned_config

    if config.base in asset_names():
        config = replace(config, base=resolve_model(config.base))
    sources = [config.base, *(config.towers[name].weights for name in config.encoders if name in config.towers)]
    absent = tuple(name for name in sources if name and not _is_here(name))
    fetches = tuple(f"{name}: 'hf download {name}'; its page on huggingface.co says who may" for name in absent)
    try:
        model = planned_config(config)
    except UserError as error:
        return Outlay(fetches=fetches, missing=(str(error),))
    size = HALF if config.dtype in ("bfloat16", "float16") or (config.dtype == "auto" and config.base) else FULL
    return Outlay(disk=float(_parameters(_key(model))) * size, model=model, fetches=fetches)


def training(config: TrainConfig, made: Made) -> Outlay:
    """Plan ``vsre train``, stage by stage where stages are chained."""
    from training.chain import stage_configs
    from training.conversation_file import SUFFIXES

    model, missing = _model(config.model, made)
    images, statements, absent = data_of(config.data, made)
    disk, gpu, trained = 0.0, 0.0, 0
    notes: list[str] = []
    for stage in stage_configs(config):
        own, rows, gone = data_of(stage.data, made)
        absent = (*absent, *gone)
        if any(name.endswith(SUFFIXES) for name in stage.data):
            notes.append("conversations are not counted")
        if model is None or not own or stage.stage in ("detector", "painter", "towers"):
            continue
        need = _stage(stage, model, own, rows)
        disk, gpu, trained = disk + need.disk, gpu + need.gpu_hours, need.trained
        notes += need.notes
    missing = (*missing, *dict.fromkeys(absent))
    return Outlay(
        disk, gpu, 0.0, images, statements, model, trained, missing=missing, notes=tuple(dict.fromkeys(notes))
    )


def merging(config: Any, made: Made) -> Outlay:
    """Plan ``vsre merge``: a whole model is written."""
    model, missing = _model(config.adapter, made)
    return Outlay(disk=float(_parameters(_key(model))) * HALF if model else 0.0, model=model, missing=missing)


def scoring(config: EvalConfig, made: Made) -> Outlay:
    """Plan ``vsre eval``: the statements of an image share its prefix."""
    from spatial.templates import TEMPLATES, choose_templates
    from training.plan import TOKENS_PER_STATEMENT

    images, statements, missing = _benchmark(config, made)
    model, absent = _model(config.model, made)
    if model is None:
        return Outlay(missing=(*missing, *absent))
    asked = [name for name in choose_templates(config.templates) if TEMPLATES[name].task == "statement"]
    modes = len(config.image_modes)
    costs, _ = _planned(_key(model), "align", _lora_key(LoraSettings()))
    prefix, text = model.num_image_tokens, statements * len(asked) * TOKENS_PER_STATEMENT
    tokens = images * prefix + text
    weights = 2 * (costs.frozen + costs.trainable) * tokens + 2 * costs.head * statements * len(asked)
    pairs = images * prefix**2 / 2 + text * prefix
    flops = modes * (weights + costs.attention * pairs + images * (costs.projector + costs.encoders))
    return Outlay(gpu_hours=hours(flops), missing=(*missing, *absent))


def patching(config: InterpretConfig, made: Made) -> Outlay:
    """Plan ``vsre interpret``: what it lacks; its work hangs on how alike the sides of pairs are."""
    missing = () if config.csv.path else _benchmark(config, made)[2]
    absent = _model(config.model, made)[1]
    return Outlay(missing=(*missing, *absent), notes=("GPU-hours of patching are not estimated",))


def _stage(config: TrainConfig, model: Any, images: float, statements: float) -> Outlay:
    from training import plan
    from training.cost import model_flops

    settings = plan.settings_of(config)
    shown = settings.epochs * images
    if settings.max_steps > 0:
        shown = float(settings.max_steps * settings.images_per_step)
    each = min(config.statements_per_image, statements / images)
    lora, encoders = _lora_key(config.lora), tuple(config.encoders)
    costs, counts = _planned(_key(model, config.encoder_dropout), config.stage, lora, encoders)
    spent = hours(model_flops(costs, plan.guessed_work(model.num_image_tokens, each, shown)))
    notes: tuple[str, ...] = ()
    limit = config.max_seconds * settings.world / HOUR  # hours of all devices
    if 0 < limit < spent:
        spent, notes = limit, ("a time limit ends training early",)
    elif config.max_seconds > 0:
        notes = (f"training ends after {config.max_seconds:g} s at the latest, on whatever device",)
    _, disk = plan.disk_bytes(config, settings, counts)
    return Outlay(disk=disk, gpu_hours=spent, trained=sum(some for _, some in counts.values()), notes=notes)


def _benchmark(config: EvalConfig | InterpretConfig, made: Made) -> tuple[float, float, tuple[str, ...]]:
    """Return the images and statements that are asked about, and what is missing of them."""
    data = config.data
    if data.kind != "vsr":
        images, statements, missing = data_of([data.path] if data.path else [], made)
        if data.limit and statements > data.limit:
            images, statements = images * data.limit / statements, float(data.limit)
        return images, statements, missing
    from datagen.fetch.sources import EXTENTS
    from spatial.vsr import RELEASED
    from vsre.outlay_data import missing_photos

    part = (data.variant, data.split or "test")
    missing = () if made.find(data.images) else missing_photos(data.images)
    return (EXTENTS[part].photos, RELEASED[part].rows, missing) if part in RELEASED else (0, 0, missing)


def _model(name: str, made: Made) -> tuple[Any, tuple[str, ...]]:
    """Return the configuration of a model that is here or will be made, or what is missing."""
    if not name:
        return None, ()
    found = made.find(name)
    if found is not None and (found.model is not None or found.missing):
        return found.model, ()  # what is missing for it has been said
    from encoders.load import read_config

    try:
        return read_config(resolve_model(name)), ()
    except (CheckpointError, ConfigError) as error:
        return None, (str(error),)


def _is_here(name: str) -> bool:
    from datagen.paint.missing import is_here

    return is_here(name)


def _key(model: Any, dropout: float = 0.0) -> str:
    """Return a configuration as text, by which counts are remembered."""
    settings = json.loads(model.to_json_string(use_diff=False))
    return json.dumps(settings | {"encoder_dropout": dropout}, sort_keys=True)


def _lora_key(lora: LoraSettings) -> str:
    return json.dumps(asdict(lora), sort_keys=True)


@lru_cache(maxsize=32)
def _planned(key: str, stage: Any, lora: str, encoders: tuple[str, ...] = ()) -> tuple[Any, dict[str, tuple[int, int]]]:
    """Return what a stage's tokens, pairs and images cost, and the parameters of its model by component."""
    from encoders.parameters import parameter_counts
    from training.cost import costs_of, planned_model

    model = planned_model(_read(key), stage, LoraSettings(**json.loads(lora)), encoders)
    return costs_of(model), parameter_counts(model)


@lru_cache(maxsize=32)
def _parameters(key: str) -> int:
    """Return how many parameters there are; tied ones count once."""
    import torch

    from encoders.modeling import VsreForConditionalGeneration

    with torch.device("meta"):
        return sum(it.numel() for it in VsreForConditionalGeneration(_read(key)).parameters())


def _read(key: str) -> Any:
    from encoders.configuration import VsreConfig

    return VsreConfig(**json.loads(key))
