"""What a report says of training: the curves in its logs, and how often every picture was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatial.errors import ConfigError
from spatial.exposure import TRAINING
from spatial.files import read_mapping
from spatial.json_files import read_lines
from vsre.compare_tables import Cells
from vsre.site.chart import Chart, Words
from vsre.site.curves import line_chart

SCORES = "eval_accuracy_"
"""Before the names of what was evaluated while training went on."""


LOSS = Words(
    "loss",
    "Training loss",
    "Mean loss of the answers since the point before. Lower is better, but it says nothing of pictures not trained on.",
    ("run", "step", "loss"),
)
RATE = Words("rate", "Learning rate", "Of the first group of parameters.", ("run", "step", "learning rate"))


@dataclass(frozen=True)
class Training:
    """The page about training.

    Attributes:
        charts: losses, scores in between, learning rates, as far as logs have them.
        runs: a table of the runs that have ended.
        told: a sentence for each of them, and whether it saw every picture.
    """

    charts: Sequence[Chart]
    runs: Cells
    told: Sequence[tuple[str, bool]]


def read_training(folders: Mapping[str, str], looks: Mapping[str, int]) -> Training | None:
    """Read the logs of training runs; ``None`` where none is named.

    Args:
        folders: of the runs, by name.
        looks: of models, so that a run looks as its model does on other pages.

    Raises:
        ConfigError: nothing was trained in a folder.
        RecordError: a log is damaged.
    """
    logs = {name: _log(name, Path(folder)) for name, folder in folders.items()}
    ended = {name: found for name, folder in folders.items() if (found := read_mapping(Path(folder) / TRAINING))}
    if not logs:
        return None
    charts = [chart for chart in (_curves(LOSS, logs, looks), _scores(logs), _curves(RATE, logs, looks)) if chart]
    told = [_told(name, run, passes) for name, run in ended.items() if (passes := passes_over_data(logs[name]))]
    return Training(charts, _runs(ended), told)


def curve(log: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """Return (step, value) of the lines of a log that have a value."""
    return [(entry["step"], entry[key]) for entry in log if key in entry and "step" in entry]


def passes_over_data(log: Sequence[Mapping[str, Any]]) -> float | None:
    """Return how often a training run saw each of its pictures; ``None`` where its log does not say."""
    return max((float(entry["epoch"]) for entry in log if "epoch" in entry), default=None)


def _log(name: str, folder: Path) -> list[dict[str, Any]]:
    path = folder / "log.jsonl"
    if not path.is_file():
        if (folder / TRAINING).is_file():
            return []
        raise ConfigError(f"training.{name}: {path} does not exist; name the output folder of a 'vsre train'")
    return [entry for entry in read_lines(path) if isinstance(entry, dict)]


def _curves(words: Words, logs: Mapping[str, Sequence[Mapping[str, Any]]], looks: Mapping[str, int]) -> Chart | None:
    """Draw the value that the last head of the words names in logs."""
    *_, axis = words.heads
    lines = {name: points for name, log in logs.items() if (points := curve(log, axis.replace(" ", "_")))}
    chosen = [looks.get(name, index) for index, name in enumerate(lines, 1)]
    return line_chart(words, lines, chosen) if lines else None


def _scores(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Chart | None:
    lines = {
        f"{name}: {key.removeprefix(SCORES)}": [(step, 100 * value) for step, value in curve(log, key)]
        for name, log in logs.items()
        for key in sorted({key for entry in log for key in entry if key.startswith(SCORES)})
    }
    note = "Accuracy on data that is not trained on, asked while training went on."
    words = Words("scores", "Scores while training", note, ("run", "step", "% right"))
    return line_chart(words, lines, range(len(lines))) if lines else None


def _runs(ended: Mapping[str, Mapping[str, Any]]) -> Cells:
    heads = ("run", "steps", "seconds", "processes", "last loss", "trained parameters", "of")
    body = []
    for name, run in ended.items():
        parts = run.get("parameters", {}).values()
        counts = [f"{sum(part[key] for part in parts):,}" if parts else "-" for key in ("trainable", "all")]
        loss = f"{run['loss']:.3f}" if run.get("loss") is not None else "-"
        body.append((name, f"{run['steps']:,}", f"{run['seconds']:,.0f}", str(run.get("processes", 1)), loss, *counts))
    return heads, body


def _told(name: str, run: Mapping[str, Any], passes: float) -> tuple[str, bool]:
    told = f"{name}: {run['steps']} steps in {run['seconds']:.0f} s; each picture was seen {passes:.1f} times."
    return told, passes >= 1
