"""One training run: from a config to a checkpoint directory that ``vsre eval`` takes.

Killed runs go on from their last checkpoint and end where an uninterrupted run would have ended; a finished run
is not done again.
"""

import gc
from pathlib import Path

import torch
from accelerate.utils import wait_for_everyone

from encoders.load import is_adapter, read_config
from spatial.errors import ConfigError
from training.adapters import check_lora, check_quantize, check_same_adapter
from training.arguments import build_arguments, check_trainer
from training.chain import in_stage, stage_configs, stage_names, startable
from training.config import FROM_NOTHING, TrainConfig
from training.evaluation import Evaluator, MakeEvaluator
from training.examples import check_mixture
from training.families import check_family, check_family_chain
from training.features import check_features
from training.fit import fit, say
from training.intact import writing_to
from training.lock import only_run
from training.mixing import check_data
from training.output import check_begun, describe_job, drop_checkpoints, fingerprint, is_finished
from training.parts import build_parts
from training.sources import open_sources
from training.stages import check_encoders


def train(config: TrainConfig, make_evaluator: MakeEvaluator | None = None) -> Path:
    """Train as the config says, all its stages if it has some, and return ``out``.

    Args:
        config: the run.
        make_evaluator: makes what ``config.evaluate`` asks; handed in, because this room knows no way of scoring.

    Returns:
        The folder of a PEFT adapter ("finetune"), of a detector, of a painter, or of a whole checkpoint (every other
        stage), with the processor if there is one, and ``training.json``. Of a chain: what its last stage makes.

    Raises:
        ConfigError: settings that cannot be used; ``out`` holds another run, is held by one, or cannot be written.
        RecordError: the data cannot be read, or no record passes the filters.
        CheckpointError: ``model`` is no checkpoint that the stage can start from.
        UserError: the loss, or the norm of its gradients, stopped being finite.
    """
    evaluators = check(config, make_evaluator)
    if not config.stages:
        return _train_one(config, evaluators[0])
    runs = stage_configs(config)
    for number, (name, run) in enumerate(zip(stage_names(config), runs, strict=True), 1):
        say(f"stage {number} of {len(runs)}, {name}: {run.stage}, to {run.out}")
        with in_stage(config, name):
            _train_one(run, evaluators[number - 1])
        _clear_away()
    return Path(config.out)


def _train_one(config: TrainConfig, evaluator: Evaluator | None) -> Path:
    sources = open_sources(config)
    job = describe_job(config, sources)
    if evaluator:
        job["data"]["evaluate"] = evaluator.content
    out = Path(config.out)
    if not is_finished(out, job):
        with writing_to(out), only_run(out):
            if not is_finished(out, job):  # the run that held it until now may have been this one
                arguments = build_arguments(config)
                fit(config, job, arguments, build_parts(config, sources, arguments), evaluator)
                wait_for_everyone()  # the first process publishes the result, from which the next stage starts
                return out
    drop_checkpoints(out)  # a kill may have come between the result and this
    say(f"{config.out} is already trained with this config")
    return out


def _evaluator(config: TrainConfig, make_evaluator: MakeEvaluator | None) -> Evaluator | None:
    if not config.evaluate.every:
        return None
    if make_evaluator is None:
        raise ConfigError("evaluate.every is set, but nothing that scores was handed in; train with 'vsre train'")
    return make_evaluator(config)


def check(config: TrainConfig, make_evaluator: MakeEvaluator | None = None) -> list[Evaluator | None]:
    """Check what can be checked without loading anything large: every stage, before the first one starts.

    Args:
        config: the run.
        make_evaluator: as ``train`` takes it.

    Returns:
        What ``evaluate`` asks in each stage, or the only run; ``None`` where it asks nothing.

    Raises:
        UserError: as ``train`` does.
    """
    runs = stage_configs(config)
    names = stage_names(config) or [""]
    evaluators = []
    for name, run, shown in zip(names, runs, startable(runs), strict=True):
        with in_stage(config, name):
            check_settings(run)
            check_quantize(run.quantize, run.stage)
            open_sources(run)
            check_family(shown)
            _check_model(shown)
            evaluators.append(_evaluator(run, make_evaluator))
            check_begun(Path(run.out), run)
    check_family_chain(runs)
    return evaluators


def check_settings(config: TrainConfig) -> None:
    """Check what can be checked of one run without data, model, devices or further packages.

    Raises:
        ConfigError: settings that cannot be used.
    """
    check_trainer(config)
    check_mixture(config.tasks, config.templates)
    check_features(config)
    check_data(config.data, config.stage)
    if config.stage == "finetune":
        check_lora(config.lora)
    if config.statements_per_image < 1:
        raise ConfigError(f"statements_per_image is {config.statements_per_image}; give at least 1")


def _check_model(config: TrainConfig) -> None:
    """Check what a run starts from; a stage whose start is not made yet is shown with where the chain starts."""
    if not config.model:
        if config.stage not in FROM_NOTHING:
            raise ConfigError(f"stage '{config.stage}' needs a 'model' to start from; name a checkpoint directory")
        return
    fingerprint(Path(config.model))
    if Path(config.model).resolve() == Path(config.out).resolve():
        raise ConfigError(f"'out' and 'model' are both {config.out}; a run never writes over what it starts from")
    if config.stage == "finetune" and is_adapter(config.model):
        check_same_adapter(config.model, config.lora)
    check_encoders(config.encoders, config.stage, read_config(config.model) if config.encoders else None)


def _clear_away() -> None:
    """Give back the memory of a stage before the next one loads its model."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
