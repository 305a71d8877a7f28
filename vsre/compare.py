"""``vsre compare A B ...``: several evaluations of the same questions side by side, with paired tests.

Each evaluation and each of its decoders is a row; every two rows are compared on the questions that both answered. As
the number of comparisons grows, so does the luck of the luckiest one: p-values are adjusted after Holm. What comes out
is a page, and the same tables as Markdown and LaTeX.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from eval.comparison import compare
from eval.metrics import by_relation, matched
from eval.predictions import Prediction
from eval.statistics import holm
from spatial.errors import ConfigError
from spatial.files import write_json
from spatial.proportion import percent
from vsre.compare_tables import Cells, latex, markdown
from vsre.config import CompareConfig
from vsre.pages import template_environment
from vsre.summary import IMAGE, Evaluation, label, read_evaluation

PAGE, TABLE, LATEX, NUMBERS = "index.html", "comparison.md", "comparison.tex", "comparison.json"


@dataclass(frozen=True)
class Row:
    """One model with one decoder: its rows about relations, with the image, and their scores."""

    name: str
    predictions: Sequence[Prediction]
    scores: dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """Two rows compared (see ``eval.comparison.compare``), the p-value also adjusted for all pairs."""

    first: str
    second: str
    found: dict[str, Any]
    adjusted: float


def write_comparison(config: CompareConfig) -> Path:
    """Compare evaluations; write page, tables and numbers, and print the tables.

    Returns:
        The path of the page.

    Raises:
        ConfigError: fewer than two rows, names that do not fit, or two rows without a question in common.
        RecordError: an evaluation has no predictions.
    """
    rows = rows_of([read_evaluation(name, Path(folder)) for name, folder in named(config).items()])
    if len(rows) < 2:
        raise ConfigError("one model with one decoder is nothing to compare; name a second run, or one with decoders")
    pairs = compare_all(rows)
    if missing := [pair for pair in pairs if not pair.found["n"]]:
        first, second = missing[0].first, missing[0].second
        raise ConfigError(f"{first!r} and {second!r} have no question in common; evaluate both on the same data")
    relations = compare_relations(rows[0], rows[-1])
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    scores = {row.name: row.scores for row in rows}
    tables = {"scores": score_cells(scores), "pairs": pair_cells(pairs), "relations": pair_cells(relations)}
    content = {"rows": scores, "pairs": [asdict(pair) for pair in pairs]}
    write_json(out / NUMBERS, content | {"relations": [asdict(pair) for pair in relations]})
    (out / TABLE).write_text(markdown(tables), encoding="utf-8")
    (out / LATEX).write_text(latex(tables), encoding="utf-8")
    page = template_environment().get_template("compare.html.j2")
    (out / PAGE).write_text(page.render(tables=tables, first=rows[0].name, last=rows[-1].name), encoding="utf-8")
    _print(tables)
    return out / PAGE


def named(config: CompareConfig) -> dict[str, str]:
    """Return the evaluations' folders by name: as the settings say, else the shortest ends of their paths that differ.

    Raises:
        ConfigError: no folder is named, or the names are not one for each.
    """
    folders = list(dict.fromkeys(str(Path(folder)) for folder in config.runs))
    if not folders:
        raise ConfigError("runs is empty; name the output folders of some 'vsre eval': vsre compare A B")
    if config.names:
        if not len(set(config.names)) == len(config.names) == len(folders):
            raise ConfigError(f"names are {', '.join(config.names)} for {len(folders)} runs; give each its own")
        return dict(zip(config.names, folders, strict=True))
    parts = [Path(folder).resolve().parts for folder in folders]
    depth = next(n for n in range(1, max(map(len, parts)) + 1) if len({part[-n:] for part in parts}) == len(parts))
    return {"/".join(part[-depth:]): folder for part, folder in zip(parts, folders, strict=True)}


def rows_of(evaluations: Sequence[Evaluation]) -> list[Row]:
    """Return a row for every decoder of every evaluation, with the image."""
    rows = []
    for evaluation in evaluations:
        runs = [run for run in evaluation.scores if run["image_mode"] == IMAGE]
        decoders = list(dict.fromkeys(run["decoder"] for run in runs))
        for run in runs:
            own = [row for row in evaluation.relations if (row.decoder, row.image_mode) == (run["decoder"], IMAGE)]
            rows.append(Row(label(evaluation.name, run["decoder"], IMAGE, decoders), own, run))
    return rows


def compare_all(rows: Sequence[Row]) -> list[Pair]:
    """Compare every two rows; two without a question in common are no comparison to adjust for."""
    two = list(combinations(rows, 2))
    found = [compare(first.predictions, second.predictions) for first, second in two]
    adjusted = iter(holm([result["p_value"] for result in found if result["n"]]))
    return [
        Pair(a.name, b.name, result, next(adjusted) if result["n"] else 1.0)
        for (a, b), result in zip(two, found, strict=True)
    ]


def compare_relations(first: Row, second: Row) -> list[Pair]:
    """Compare two rows on each relation by itself; the relation stands for the second row's name."""
    both = list(matched(first.predictions, second.predictions))
    before, after = by_relation([a for a, _ in both]), by_relation([b for _, b in both])
    names = [name for name in before if name]
    found = [compare(before[name], after[name]) for name in names]
    adjusted = holm([result["p_value"] for result in found])
    return [Pair("", name, result, p) for name, result, p in zip(names, found, adjusted, strict=True)]


def score_cells(scores: Mapping[str, Mapping[str, Any]]) -> Cells:
    """Return the table of scores, by name of the row."""
    head = ("", "n", "accuracy %", "95 %", "macro %", "worst category %", "pairs %", "yes %", "near ties")
    body = []
    for name, run in scores.items():
        rest = (run["macro_accuracy"], run["worst_category"], run["pair_accuracy"], run["yes_rate"])
        shares = (percent(run["accuracy"]), interval(run["ci95"]), *map(percent, rest))
        body.append((name, f"{run['n']:,}", *shares, str(run["near_ties"])))
    return head, body


def pair_cells(pairs: Sequence[Pair]) -> Cells:
    """Return the table of comparisons; a difference that is not one of luck at 5 % has a star."""
    head = ("", "n", "difference %", "95 %", "gained", "lost", "p", "p (Holm)", "detectable %")
    body = []
    for pair in pairs:
        found, star = pair.found, "*" if pair.adjusted < 0.05 else ""
        name = f"{pair.first} → {pair.second}" if pair.first else pair.second
        signed = "-" if found["difference"] is None else f"{100 * found['difference']:+.1f}{star}"
        counts = (str(found["gained"]), str(found["lost"]), probability(found["p_value"]), probability(pair.adjusted))
        body.append((name, f"{found['n']:,}", signed, interval(found["ci95"]), *counts, percent(found["detectable"])))
    return head, body


def interval(ends: Sequence[float] | None) -> str:
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}" if ends else ""


def probability(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _print(tables: dict[str, Cells]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 140  # a log file has no edge to wrap at
    for head, body in (tables["scores"], tables["pairs"]):
        table = Table(*head)
        for row in body:
            table.add_row(*row)
        console.print(table)
