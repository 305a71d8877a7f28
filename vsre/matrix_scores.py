"""Table and curves of a matrix: one score along the first axis, a line for each value of the second.

Over all further axes, such as seeds, the mean is taken and the range shown; where a point is a single combination its
95 % interval is, if the score has one.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spatial.errors import ConfigError, nearest
from spatial.files import write_json
from vsre.charts import Point, curve_chart
from vsre.config import MatrixConfig

PICTURE, TABLE, SCORES = "matrix.png", "matrix.md", "matrix.json"

_UNITS = {"": 1, "k": 1e3, "m": 1e6}


@dataclass(frozen=True)
class Score:
    """What one combination reached."""

    labels: dict[str, str]
    value: float
    ci95: tuple[float, float] | None
    n: int


def write_scores(config: MatrixConfig, cells: Mapping[str, Mapping[str, str]], folders: Mapping[str, Path]) -> Path:
    """Write ``matrix.json``, ``matrix.md`` and ``matrix.png`` of the combinations that are scored.

    Args:
        config: of the matrix.
        cells: labels by axis, by name of the combination.
        folders: output folder of the evaluation of each combination that is done.

    Returns:
        The picture; the run directory where nothing is scored yet.

    Raises:
        ConfigError: the evaluations have no such score.
    """
    out = Path(config.out)
    scores = [read_score(dict(cells[name]), folder, config.metric) for name, folder in folders.items()]
    if not scores:
        return out
    out.mkdir(parents=True, exist_ok=True)
    content = {"metric": config.metric, "combinations": len(cells), "scores": [asdict(score) for score in scores]}
    write_json(out / SCORES, content)
    columns = list(config.axes[0].values)
    lines = list(config.axes[1].values) if len(config.axes) > 1 else [""]
    points = {line: _line(config, line, columns, scores) for line in lines}
    (out / TABLE).write_text(_markdown(config, columns, points), encoding="utf-8")
    _print(config, columns, points)
    chance = 0.5 if config.metric in ("accuracy", "macro_accuracy", "balanced_accuracy") else None
    labels = (config.axes[0].name, f"{config.metric.replace('_', ' ')} in %")
    curves = {line: list(found.values()) for line, found in points.items() if found}
    curve_chart(curves, labels, to_scale(columns), chance).savefig(out / PICTURE, dpi=150)
    return out / PICTURE


def read_score(labels: dict[str, str], folder: Path, metric: str) -> Score:
    """Read one score of an evaluation's ``results.json``: its first decoder, with the pictures.

    Raises:
        ConfigError: there is no such score.
    """
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))["scores"]
    run = next((run for run in results if run["image_mode"] == "image"), results[0])
    known = [name for name, value in run.items() if isinstance(value, float)]
    if not isinstance(run.get(metric), int | float):
        raise ConfigError(f"{folder} has no score {metric!r}; choose from {', '.join(known)}{nearest(metric, known)}")
    interval = tuple(run["ci95"]) if metric == "accuracy" and run.get("ci95") else None
    return Score(labels, float(run[metric]), interval, int(run["n"]))


def position(label: str) -> float | None:
    """Return the number that a label means ("500", "1.5k", "2m"), if it is one."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([km]?)", label.lower())
    return float(match[1]) * _UNITS[match[2]] if match else None


def to_scale(labels: Sequence[str]) -> bool:
    """Tell whether all labels are amounts above nothing."""
    return all(position(label) for label in labels)


def _line(config: MatrixConfig, line: str, columns: Sequence[str], scores: Sequence[Score]) -> dict[str, Point]:
    """Return the points of a line by label of the first axis."""
    x, others = config.axes[0].name, [axis.name for axis in config.axes[1:2]]
    found = {}
    for place, label in enumerate(columns):
        values = [s for s in scores if s.labels[x] == label and all(s.labels[name] == line for name in others)]
        if not values:
            continue
        mean = sum(score.value for score in values) / len(values)
        low, high = min(score.value for score in values), max(score.value for score in values)
        if len(values) == 1 and values[0].ci95:
            low, high = values[0].ci95
        at = position(label) if to_scale(columns) else None
        found[label] = Point(float(place) if at is None else at, mean, low, high, label)
    return found


def _rows(columns: Sequence[str], points: Mapping[str, Mapping[str, Point]]) -> list[list[str]]:
    return [[line, *(_cell(found.get(label)) for label in columns)] for line, found in points.items()]


def _cell(point: Point | None) -> str:
    if point is None:
        return "-"
    spread = f" ({100 * point.low:.1f} to {100 * point.high:.1f})" if point.low < point.high else ""
    return f"{100 * point.value:.1f}{spread}"


def _heading(config: MatrixConfig, columns: Sequence[str]) -> list[str]:
    line = config.axes[1].name if len(config.axes) > 1 else ""
    return [f"{line} \\ {config.axes[0].name}", *columns]


def _markdown(config: MatrixConfig, columns: Sequence[str], points: Mapping[str, Mapping[str, Point]]) -> str:
    rows = [_heading(config, columns), ["---"] * (len(columns) + 1), *_rows(columns, points)]
    over = "range over " + ", ".join(axis.name for axis in config.axes[2:]) if config.axes[2:] else "95 % interval"
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{config.metric.replace('_', ' ')} in %, with {over}:\n\n{table}\n"


def _print(config: MatrixConfig, columns: Sequence[str], points: Mapping[str, Mapping[str, Point]]) -> None:
    table = Table(*_heading(config, columns), title=f"{config.metric.replace('_', ' ')}, %", title_justify="left")
    for row in _rows(columns, points):
        table.add_row(*row)
    Console().print(table)
