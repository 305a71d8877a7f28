"""``vsre train --dry_run``: what a run would do and cost, and the first row that it would learn from.

No weight is loaded: models stand on the meta device, where a 13B takes a second and no memory. What there is of data
and tokenizer is read; what is not there yet is said, and the rest is told without it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from encoders.configuration import VsreConfig
from encoders.load import is_adapter
from encoders.parameters import PROJECTOR, parameter_counts, parameter_table
from spatial.errors import CheckpointError, RecordError
from training import plan
from training.adapters import check_same_adapter
from training.chain import in_stage, stage_configs, stage_names, startable
from training.config import FROM_NOTHING, TrainConfig
from training.cost import planned_model
from training.dense import DenseImages
from training.detector import detector_parts
from training.dry_run_lines import show_costs, show_disk, show_first, show_memory, show_steps, show_tokens
from training.evaluation import MakeEvaluator
from training.families import FAMILIES, check_family, check_family_chain, foreign_kind, planned_family
from training.memory import Depth
from training.run import check_settings
from training.sample import Sample, look
from training.sources import folders_in, open_sources
from training.stages import check_encoders


@dataclass
class Planned:
    """The model of a stage on the meta device.

    Attributes:
        model: with adapters, and ``requires_grad`` set.
        depth: of its language model.
        projector: modules that ``projector_learning_rate`` is for.
        image_tokens: of an image; 0: as many as its processor makes.
        make_collator: makes the collator of another family; ``None``: the model is of ours.
    """

    model: nn.Module
    depth: Depth
    projector: tuple[str, ...] = (PROJECTOR,)
    image_tokens: int = 0
    make_collator: Callable[[], Any] | None = None


def dry_run(
    config: TrainConfig,
    model_config: Callable[[str], VsreConfig],
    console: Console | None = None,
    make_evaluator: MakeEvaluator | None = None,
) -> None:
    """Print what each stage of a config would do and cost.

    Args:
        config: of the run, or of a chain of them.
        model_config: returns the configuration of a checkpoint directory, or of what a settings file of
            ``vsre build-model`` would build.
        console: where to print.
        make_evaluator: as ``training.run.train`` takes it; without one, ``evaluate.settings`` is not looked at.

    Raises:
        ConfigError: settings that cannot be used.
        CheckpointError: neither the model nor a description of it is there.
    """
    console = console or Console(soft_wrap=True, highlight=False)
    runs, names = stage_configs(config), stage_names(config) or [""]
    check_family_chain(runs)
    for number, (name, run, shown) in enumerate(zip(names, runs, startable(runs), strict=True), 1):
        if config.stages:
            console.rule(f"stage {number} of {len(runs)}: {run.stage}, into {run.out}")
        with in_stage(config, name):
            _check(run, shown)
            if run.stage in FROM_NOTHING:
                _show_small(run, console)
                continue
            planned = _planned(replace(run, model=shown.model), model_config)
            if shown.model != run.model:
                console.print(f"{run.model} is not there yet: an earlier stage makes it, with the same sizes")
            _show(replace(run, model=shown.model), planned, console)
            _show_evaluation(run, make_evaluator, console)


def _check(run: TrainConfig, shown: TrainConfig) -> None:
    """Find mistakes as far as they can be without data; ``shown`` starts from a model that is there."""
    check_settings(run)
    check_family(shown)
    if run.stage == "finetune" and is_adapter(shown.model):
        check_same_adapter(shown.model, run.lora)


def _planned(config: TrainConfig, model_config: Callable[[str], VsreConfig]) -> Planned:
    if kind := foreign_kind(config):
        model, collator = planned_family(config, kind)
        return Planned(model, _depth(model.config.get_text_config()), FAMILIES[kind].projector, 0, collator)  # type: ignore[union-attr, operator]
    try:
        described = model_config(config.model)
    except CheckpointError:
        if Path(config.model).exists():
            raise
        raise CheckpointError(
            f"model {config.model or '(none)'} does not exist; build it with 'vsre build-model', or give a dry run"
            " the settings file that would: --model configs/model/vsre-7b.yaml"
        ) from None
    shape = VsreConfig.from_dict(described.to_dict())
    shape.encoder_dropout = config.encoder_dropout
    check_encoders(config.encoders, config.stage, shape)
    model = planned_model(shape, config.stage, config.lora, config.encoders)
    return Planned(model, _depth(shape.text), image_tokens=shape.num_image_tokens)


def _show(config: TrainConfig, planned: Planned, console: Console) -> None:
    settings = plan.settings_of(config, torch.cuda.device_count())
    counts = parameter_counts(planned.model, planned.projector)
    console.print(parameter_table(counts, plan.peak_rates(config, settings.learning_rate, planned.projector)))
    if config.stage == "towers":
        show_steps(settings, Sample(images=_found_images(config, console)), console)
        show_disk(config, settings, counts, None, console)
        return
    sample = look(config, settings, planned.make_collator)
    for note in sample.notes:
        console.print(f"- {note}", markup=False)
    tokens = planned.image_tokens or round(sample.image_tokens)
    work = sample.work or plan.guessed_work(tokens, config.statements_per_image, settings.batch)
    show_tokens(config, settings, tokens, work, sample, not planned.make_collator, console)
    show_steps(settings, sample, console)
    show_costs(config, settings, planned.model, work, sample.images, console)
    memory = plan.device_memory(config, settings, counts, planned.depth, work)
    show_memory(memory, settings, console)
    show_disk(config, settings, counts, plan.total_steps(settings, sample.images), console)
    show_first(sample, console)


def _show_small(config: TrainConfig, console: Console) -> None:
    """Print parameters and steps of a stage whose model is small and of a kind of its own."""
    settings = plan.settings_of(config, torch.cuda.device_count())
    try:
        folders = folders_in(open_sources(config))
        if config.stage == "detector":
            model, dataset = detector_parts(config, folders)[:2]
        else:
            from training.painter import painter_parts

            model, dataset = painter_parts(config, folders)[:2]  # type: ignore[assignment]
    except RecordError as error:
        console.print(f"- no data yet: {error}; its sizes depend on the data", markup=False)
        show_steps(settings, Sample(), console)
        return
    counts = parameter_counts(model)
    console.print(parameter_table(counts, {"": settings.learning_rate}))
    show_steps(settings, Sample(images=len(dataset)), console)
    show_disk(config, settings, counts, plan.total_steps(settings, len(dataset)), console)


def _found_images(config: TrainConfig, console: Console) -> int | None:
    try:
        return len(DenseImages([folder.record_set() for folder in folders_in(open_sources(config))]))
    except RecordError as error:
        console.print(f"- no data yet: {error}", markup=False)
        return None


def _show_evaluation(config: TrainConfig, make_evaluator: MakeEvaluator | None, console: Console) -> None:
    chosen = config.evaluate
    if not chosen.every:
        return
    console.print(f"\nevaluate: every {chosen.every} steps, by {chosen.metric}; the {chosen.keep} weights are kept")
    try:
        if make_evaluator:
            make_evaluator(config)
    except RecordError as error:
        console.print(f"- no data to evaluate on yet: {error}", markup=False)


def _depth(text: Any) -> Depth:
    """Return the sizes of a language model; OPT and T5 have names of their own for one."""
    inner = next((getattr(text, name) for name in ("intermediate_size", "ffn_dim", "d_ff") if hasattr(text, name)), 0)
    return Depth(text.num_hidden_layers, text.hidden_size, inner, text.vocab_size)
