"""Several runs in one config: each starts from the result of the one before.

    stages:
      - {name: align, data: [data/pre-400k], trainer: {learning_rate: 1.0e-3}}
      - {name: finetune, data: [data/turn-g]}

A stage is laid over the settings beside ``stages``, and is then a run like any other, with a folder of its own: the
result of stage NAME lies in ``out``/NAME, that of the last in ``out`` itself. So what is known of runs holds for
chains: a finished stage is not trained again, a killed one goes on from its last checkpoint, and since each names the
fingerprint of the model that it started from, an earlier stage that has been changed is noticed.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from spatial.errors import ConfigError, UserError, nearest
from spatial.exposure import TRAINING
from spatial.mappings import merged
from spatial.setting_errors import in_plain_words
from training.config import FROM_NOTHING, REPLACED, Stage, TrainConfig
from training.zero import UNMERGED, deepspeed_settings, zero_stage

OF_THE_WHOLE: dict[str, str] = {
    "model": "a stage starts from the result of the one before; set 'model' beside 'stages'",
    "out": "the result of stage NAME lies in 'out'/NAME; set 'out' beside 'stages'",
    "stages": "a stage has no stages; list them all in one row",
    "nproc": "all stages run in the same processes; set it beside 'stages'",
    "cpu_nproc": "all stages run in the same processes; set it beside 'stages'",
    "dry_run": "it is for the whole chain; set it beside 'stages'",
    "feature_cache": "all stages share it; set it beside 'stages'",
}
"""Settings that a stage cannot have, and what to do instead."""

RESERVED = ("checkpoints", "tensorboard", "feature-cache")
"""Names of folders that a run has in ``out``."""

STAGE_NAMES: tuple[str, ...] = get_args(Stage)


def stage_configs(config: TrainConfig) -> list[TrainConfig]:
    """Return the runs of a config in their order: its stages, or the config itself where it has none.

    Raises:
        ConfigError: a stage has no usable name, an unknown setting, a value of a wrong type, or cannot start from the
            result of the one before.
    """
    if not config.stages:
        return [config]
    names = stage_names(config)
    below = {key: value for key, value in asdict(config).items() if key != "stages"}
    below["feature_cache"] = config.feature_cache or str(Path(config.out).parent / "feature-cache")
    found: list[TrainConfig] = []
    for name, given in zip(names, config.stages, strict=True):
        with in_stage(config, name):
            above = {key: value for key, value in given.items() if key != "name"}
            _check_keys(above, config)
            if "stage" not in above and name in STAGE_NAMES:
                above["stage"] = name
            run = typed(merged(below, above, REPLACED))
            last = name == names[-1]
            run.out = config.out if last else str(Path(config.out) / name)
            if config.model and Path(run.out).resolve() == Path(config.model).resolve():
                raise ConfigError(f"its result would be written over 'model', {config.model}; choose another 'out'")
            if found:
                run.model = found[-1].out
                _check_order(found[-1], run)
            found.append(run)
    return found


def stage_names(config: TrainConfig) -> list[str]:
    """Return the names of a config's stages.

    Raises:
        ConfigError: one has none, one that is no folder name, or one that is taken.
    """
    names: list[str] = []
    for number, given in enumerate(config.stages, 1):
        name = given.get("name") if isinstance(given, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
            raise ConfigError(f"stage {number} of 'stages' needs a 'name' of letters, digits, _ and -, not {name!r}")
        if name in RESERVED:
            raise ConfigError(f"stage {number} of 'stages' cannot be named {name!r}: a run has a folder of that name")
        if name in names:
            raise ConfigError(f"two of 'stages' are named {name!r}; give each a name of its own")
        names.append(name)
    return names


@contextmanager
def in_stage(config: TrainConfig, name: str) -> Iterator[None]:
    """Say in a user's mistake which stage of a chain it is in."""
    try:
        yield
    except UserError as error:
        if not config.stages:
            raise
        raise type(error)(f"stage '{name}': {error}") from error


def typed(settings: Mapping[str, Any]) -> TrainConfig:
    """Return settings as the command line would take them: nested ones as their dataclasses, ``1e-3`` as a number.

    Raises:
        ConfigError: a value is of a wrong type.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TrainConfig, as_group=False)
    try:
        values = parser.instantiate(parser.parse_object(dict(settings))).as_dict()
    except Exception as error:  # jsonargparse raises argparse.ArgumentError, TypeError and others alike
        raise ConfigError(in_plain_words(str(error))) from error
    return TrainConfig(**{entry.name: values[entry.name] for entry in fields(TrainConfig)})


def startable(runs: list[TrainConfig]) -> list[TrainConfig]:
    """Return the runs with a model to look at: those after an unmade result start from where the chain starts."""
    shown = [runs[0]]
    for run in runs[1:]:
        made = is_model(Path(run.model))
        shown.append(run if made else replace(run, model=shown[-1].model))
    return shown


def is_model(folder: Path) -> bool:
    """Tell whether a finished run left its result in a folder."""
    return (folder / TRAINING).is_file()


def _check_keys(given: Mapping[str, Any], config: TrainConfig) -> None:
    for key, reason in OF_THE_WHOLE.items():
        if key in given:
            raise ConfigError(f"'{key}' cannot be set here: {reason}")
    _check_known(given, TrainConfig, "", [name for name in asdict(config) if name not in OF_THE_WHOLE])


def _check_known(given: Mapping[str, Any], kind: type[Any], prefix: str, known: list[str]) -> None:
    hints = get_type_hints(kind)
    for key, value in given.items():
        if key not in known:
            raise ConfigError(f"unknown setting '{prefix}{key}'{nearest(str(key), known)}")
        if is_dataclass(hints[key]):
            if not isinstance(value, dict):
                raise ConfigError(f"{prefix}{key} is {value!r}; give a mapping")
            nested: type[Any] = hints[key]  # type: ignore[assignment]
            _check_known(value, nested, f"{prefix}{key}.", [entry.name for entry in fields(nested)])


def _check_order(before: TrainConfig, run: TrainConfig) -> None:
    kinds = [each.stage if each.stage in FROM_NOTHING else "model" for each in (before, run)]
    if kinds[0] != kinds[1]:
        raise ConfigError(f"stage '{run.stage}' cannot start from the result of stage '{before.stage}'")
    if before.stage == "finetune" != run.stage and zero_stage(deepspeed_settings(run.trainer)) == 3:
        raise ConfigError(f"the stage before leaves an adapter, {UNMERGED}")
    if before.stage == run.stage == "finetune" and before.lora != run.lora:
        names = [f.name for f in fields(run.lora) if getattr(before.lora, f.name) != getattr(run.lora, f.name)]
        shown = ", ".join(f"{n} {getattr(before.lora, n)!r} and {getattr(run.lora, n)!r}" for n in names)
        raise ConfigError(
            f"it goes on training the adapter of the stage before, but 'lora' differs ({shown}); set 'lora' beside"
            " 'stages', or let a stage 'full' or 'align' come between, which starts from the merged weights"
        )
