"""``vsre matrix CONFIG``: one pipeline for every combination of settings, as in VSRE's study of data size and encoders.

A matrix is a pipeline in which some steps have several versions. A step's version is named by the labels of those axes
that reach it, by settings of its own or through a step that it reads from; what several combinations need alike
therefore has one name, and is done once. The whole is a pipeline as 'vsre run' does it, and continues like one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from spatial.errors import ConfigError, nearest
from spatial.mappings import merged
from vsre.config import AxisConfig, MatrixConfig, RunConfig, StepConfig
from vsre.matrix_scores import write_scores
from vsre.matrix_submit import submit_missing
from vsre.pipeline import do_step
from vsre.settings import REPLACED
from vsre.steps import Step, references, replace_references, resolve_steps


@dataclass(frozen=True)
class Cell:
    """One combination.

    Attributes:
        labels: by name of the axis.
        steps: of its pipeline, in order, by their names in the expanded matrix.
    """

    labels: dict[str, str]
    steps: tuple[str, ...]

    @property
    def name(self) -> str:
        """All labels, joined."""
        return "-".join(self.labels.values())


@dataclass(frozen=True)
class Matrix:
    """An expanded matrix.

    Attributes:
        cells: all combinations, the first axis varying slowest.
        steps: every version of every step, once.
        score: by name of the cell, the step that scores it.
    """

    cells: list[Cell]
    steps: dict[str, StepConfig]
    score: dict[str, str]

    def shared(self) -> list[str]:
        """Return the steps that several cells need."""
        uses = Counter(step for cell in self.cells for step in cell.steps)
        return [name for name in self.steps if uses[name] > 1]


def run_matrix(config: MatrixConfig) -> Path:
    """Do, or submit, the steps that are not done; write table and curves of what is.

    Returns:
        The picture of the curves, or the run directory before there are any scores.

    Raises:
        ConfigError: axes or settings that cannot be used; everything is checked before the first step starts.
    """
    matrix = expand(config)
    steps = {step.name: step for step in resolve_steps(RunConfig(config.out, list(matrix.steps.values())))}
    missing = [cell for cell in matrix.cells if not all(steps[name].is_done for name in cell.steps)]
    print(f"{len(matrix.cells)} combinations, {len(missing)} not done; {len(steps)} steps", flush=True)
    if config.dry_run:
        for cell in missing:
            print(f"{cell.name}: {', '.join(name for name in cell.steps if not steps[name].is_done)}")
        return Path(config.out)
    if config.submit:
        submit_missing(config, matrix.steps, {c.name: c.steps for c in missing}, matrix.shared(), steps)
        return _write(config, matrix, steps)
    for position, cell in enumerate(missing, 1):
        for name in cell.steps:
            if not steps[name].is_done:
                do_step(steps[name], f"[{position}/{len(missing)}] {cell.name}: {name}")
        _write(config, matrix, steps)
    return _write(config, matrix, steps)


def expand(config: MatrixConfig) -> Matrix:
    """Return all combinations and the versions of steps that they consist of.

    Raises:
        ConfigError: no axis or value, a name used twice, or a step that is not there.
    """
    _check(config)
    reached = _reached(config)
    cells: list[Cell] = []
    steps: dict[str, StepConfig] = {}
    score: dict[str, str] = {}
    for labels in product(*(axis.values for axis in config.axes)):
        chosen = dict(zip((axis.name for axis in config.axes), labels, strict=True))
        names = {step.name: _version(step.name, chosen, reached[step.name]) for step in config.steps}
        for step in config.steps:
            laid = [axis.values[chosen[axis.name]].get(step.name, {}) for axis in config.axes]
            steps.setdefault(names[step.name], _renamed(step, laid, names))
        cell = Cell(chosen, tuple(names[step.name] for step in config.steps))
        cells.append(cell)
        score[cell.name] = names[config.score]
    return Matrix(cells, steps, score)


def _write(config: MatrixConfig, matrix: Matrix, steps: Mapping[str, Step]) -> Path:
    done = {cell.name: steps[matrix.score[cell.name]] for cell in matrix.cells}
    folders = {name: step.out for name, step in done.items() if step.is_done}
    return write_scores(config, {cell.name: cell.labels for cell in matrix.cells}, folders)


def _check(config: MatrixConfig) -> None:
    names = [step.name for step in config.steps]
    if not names:
        raise ConfigError(
            "there are no steps to run; name a settings file that has some, as configs/matrix/tiny-scaling.yaml"
        )
    if config.score not in names:
        raise ConfigError(f"score names no step: {config.score!r}{nearest(config.score, names)}")
    command = next(step.command for step in config.steps if step.name == config.score)
    if command != "eval":
        raise ConfigError(f"score names step {config.score!r}, which is no 'eval' but {command!r}")
    axes = [axis.name for axis in config.axes]
    if not axes or len(set(axes)) != len(axes):
        raise ConfigError(f"a matrix needs axes with different names, not {axes}")
    if unknown := [name for name in config.average if name not in axes]:
        raise ConfigError(f"average names no axis: {unknown[0]!r}{nearest(unknown[0], axes)}")
    if set(config.average) == set(axes):
        raise ConfigError("average names every axis; leave out the one that shall go along the plot")
    for axis in config.axes:
        _check_axis(axis, names)
    combined = ["-".join(labels) for labels in product(*(axis.values for axis in config.axes))]
    if len(set(combined)) != len(combined):
        raise ConfigError("two combinations have the same name; give the labels of the axes other names")


def _check_axis(axis: AxisConfig, steps: list[str]) -> None:
    if not axis.values:
        raise ConfigError(f"axis {axis.name!r} has no values; give 'label: {{step: {{setting: value}}}}'")
    for label, laid in axis.values.items():
        for step in laid:
            if step not in steps:
                raise ConfigError(f"axis {axis.name!r}, value {label!r}: no step {step!r}{nearest(step, steps)}")


def _reached(config: MatrixConfig) -> dict[str, set[str]]:
    """Return which axes make versions of each step: those that set it, and those that reach what it reads."""
    found: dict[str, set[str]] = {}
    for step in config.steps:
        own = {axis.name for axis in config.axes if any(step.name in laid for laid in axis.values.values())}
        laid = [axis.values[label].get(step.name, {}) for axis in config.axes for label in axis.values]
        read = {name for settings in (step.settings, *laid) for name in references(settings)}
        found[step.name] = own.union(*(found.get(name, set()) for name in read))
    return found


def _version(step: str, labels: Mapping[str, str], axes: set[str]) -> str:
    return "-".join([step, *(label for axis, label in labels.items() if axis in axes)])


def _renamed(step: StepConfig, laid: list[dict[str, Any]], names: Mapping[str, str]) -> StepConfig:
    """Return a version of a step: other settings laid over its own, reading from the versions of its combination."""
    settings = step.settings
    for above in laid:
        settings = merged(settings, above, REPLACED.get(step.command, ()))
    known = {name: f"step:{version}" for name, version in names.items()}
    known |= {name: f"step:{name}" for name in _unknown(settings, known)}  # resolving will say what is wrong
    out = step.out and step.out + names[step.name].removeprefix(step.name)
    return replace(step, name=names[step.name], settings=replace_references(settings, known), out=out)


def _unknown(settings: Any, known: Mapping[str, str]) -> Iterator[str]:
    return (name for name in references(settings) if name not in known)
