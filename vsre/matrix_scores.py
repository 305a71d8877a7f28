"""Table and curves of a matrix: one score along the first axis, a line for each value of the second.

Over all further axes, and those that the configuration says (seeds), the mean is taken and the range shown; where a
point is a single combination its 95 % interval is, if the score has one. A single line is a table of two columns.
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
from vsre.config import AxisConfig, MatrixConfig

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
    across, down, _ = split_axes(config)
    columns = list(across.values)
    lines = list(down.values) if down else [""]
    points = {line: _line(config, line, columns, scores) for line in lines}
    (out / TABLE).write_text(_markdown(config, points), encoding="utf-8")
    _print(config, points)
    chance = 0.5 if config.metric in ("accuracy", "macro_accuracy", "balanced_accuracy") else None
    labels = (across.name, f"{config.metric.replace('_', ' ')} in %")
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


def split_axes(config: MatrixConfig) -> tuple[AxisConfig, AxisConfig | None, list[AxisConfig]]:
    """Return the axis along the plot, that from line to line, and those that the mean is taken over."""
    shown = [axis for axis in config.axes if axis.name not in config.average]
    return shown[0], (shown[1] if len(shown) > 1 else None), [axis for axis in config.axes if axis not in shown[:2]]


def position(label: str) -> float | None:
    """Return the number that a label means ("500", "1.5k", "2m"), if it is one."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([km]?)", label.lower())
    return float(match[1]) * _UNITS[match[2]] if match else None


def to_scale(labels: Sequence[str]) -> bool:
    """Tell whether all labels are amounts above nothing."""
    return all(position(label) for label in labels)


def _line(config: MatrixConfig, line: str, columns: Sequence[str], scores: Sequence[Score]) -> dict[str, Point]:
    """Return the points of a line by label of the first axis."""
    across, down, _ = split_axes(config)
    found = {}
    for place, label in enumerate(columns):
        values = [s for s in scores if s.labels[across.name] == label and (not down or s.labels[down.name] == line)]
        if not values:
            continue
        mean = sum(score.value for score in values) / len(values)
        low, high = min(score.value for score in values), max(score.value for score in values)
        if len(values) == 1 and values[0].ci95:
            low, high = values[0].ci95
        at = position(label) if to_scale(columns) else None
        found[label] = Point(float(place) if at is None else at, mean, low, high, label)
    return found


def _rows(config: MatrixConfig, points: Mapping[str, Mapping[str, Point]]) -> list[list[str]]:
    """Return the table, its heading first: a row per line, or a row per point where there is a single line."""
    across, down, _ = split_axes(config)
    if not down:
        return [[across.name, _title(config)], *([name, _cell(points[""].get(name))] for name in across.values)]
    heading = [f"{down.name} \\ {across.name}", *across.values]
    return [heading, *([line, *(_cell(found.get(name)) for name in across.values)] for line, found in points.items())]


def _title(config: MatrixConfig) -> str:
    return f"{config.metric.replace('_', ' ')}, %"


def _cell(point: Point | None) -> str:
    if point is None:
        return "-"
    spread = f" ({100 * point.low:.1f} to {100 * point.high:.1f})" if point.low < point.high else ""
    return f"{100 * point.value:.1f}{spread}"


def _markdown(config: MatrixConfig, points: Mapping[str, Mapping[str, Point]]) -> str:
    heading, *rows = _rows(config, points)
    mean = split_axes(config)[2]
    over = "range over " + ", ".join(axis.name for axis in mean) if mean else "95 % interval"
    spread = any(point.low < point.high for found in points.values() for point in found.values())
    table = "\n".join(f"| {' | '.join(row)} |" for row in [heading, ["---"] * len(heading), *rows])
    return f"{config.metric.replace('_', ' ')} in %{f', with {over}' if spread else ''}:\n\n{table}\n"


def _print(config: MatrixConfig, points: Mapping[str, Mapping[str, Point]]) -> None:
    heading, *rows = _rows(config, points)
    table = Table(*heading, title=_title(config), title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
