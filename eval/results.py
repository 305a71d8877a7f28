"""From predictions to ``results.json`` and the table on the screen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from eval.calibration import calibration
from eval.comparison import compare
from eval.metrics import (
    METRICS,
    Rows,
    accuracy,
    by_category,
    by_relation,
    chance,
    near_ties,
    pairs,
    partition,
    scored,
    sets,
)
from eval.predictions import Prediction
from eval.scorers import compare_scorers, option_bias
from eval.statistics import cluster_interval
from eval.terminal import percent_range, wide_console
from eval.wordings import family_of, wording_spread
from spatial.proportion import percent

INTERVAL = "BCa bootstrap over images, 95 % (of pairs, over groups); Wilson over images where all images agree"


def summarise(predictions: Sequence[Prediction], resamples: int, seed: int) -> list[dict[str, Any]]:
    """Return the scores of every (decoder, image mode, canvas), in the order in which they first appear.

    Each has the metrics of ``eval.metrics.METRICS``, ``ci95`` clustered by image, ``pair_ci95`` of the pairs clustered
    by group (a pair has two images), ``near_chance`` (the interval contains chance), the same per relation, category,
    topic, template and family of templates, ``wordings`` (mean, worst and spread over templates and families),
    ``against_greedy`` (exact McNemar on the same questions), and the rows that failed by record.
    """
    runs: dict[tuple[str, str, str], list[Prediction]] = {}
    for row in predictions:
        runs.setdefault((row.decoder, row.image_mode, row.canvas), []).append(row)
    return [
        {"decoder": decoder, "image_mode": mode, "canvas": canvas}
        | _scores(rows, resamples, seed)
        | _against(runs.get(("greedy", mode, canvas), []), rows, decoder)
        for (decoder, mode, canvas), rows in runs.items()
    ]


def print_tables(scores: Sequence[dict[str, Any]]) -> None:
    """Print a table of all runs, headed by the canvas, which says which are near chance; and accuracies by category.

    Where a run asks in several wordings, a third table has the spread over these.
    """
    console = wide_console()
    canvases = ", ".join(dict.fromkeys(run["canvas"] for run in scores))
    columns = ("decoder", "images", "n", "accuracy", "95 %", "yes", "answered", "pairs", "failed", "note")
    table = Table(*columns, title=f"canvas: {canvases}" if canvases else None, title_justify="left")
    for run in scores:
        rates = [percent(run[key]) for key in ("yes_rate", "answered", "pair_accuracy")]
        note = f"near chance ({percent(run['chance'])})" if run["near_chance"] else ""
        name = (run["decoder"], run["image_mode"], str(run["n"]))
        table.add_row(*name, *_cells(run), *rates, str(len(run["failed"])), note)
    console.print(table)
    reasons = Counter(reason for run in scores for reason in run["failed"].values())
    for reason, count in reasons.most_common(2):
        console.print(f"{count:,} failed: {reason}", soft_wrap=True)
    names = sorted({name for run in scores for name in run["per_category"]})
    detail = Table("accuracy, %", "images", *names)
    for run in scores:
        cells = ["\n".join(_cells(run["per_category"].get(name))) for name in names]
        detail.add_row(run["decoder"], run["image_mode"], *cells)
    console.print(detail)
    spread = Table("accuracy over wordings, %", "images", "task", "over", "n", "mean", "worst", "std")
    for row in (row for run in scores for row in _wording_rows(run)):
        spread.add_row(*row)
    if spread.row_count:
        console.print(spread)


def _scores(rows: Rows, resamples: int, seed: int) -> dict[str, Any]:
    whole = _slice(rows, resamples, seed)
    guess, interval = chance(rows), whole["ci95"]
    parts = {
        "per_relation": {name: part for name, part in by_relation(rows).items() if name},
        "per_category": by_category([row for row in rows if row.category]),
        "per_topic": partition([row for row in rows if row.topic], lambda row: row.topic),
        "per_template": partition([row for row in rows if row.template], lambda row: row.template),
        "per_family": partition([row for row in rows if family_of(row.template)], lambda row: family_of(row.template)),
    }
    return (
        whole
        | {name: metric(rows) for name, metric in METRICS.items()}
        | {
            "chance": guess,
            "near_chance": guess is not None and interval is not None and interval[0] <= guess <= interval[1],
            "pairs": len(pairs(rows)),
            "pair_ci95": _pair_interval(rows, resamples, seed),
            "sets": len(sets(rows)),
            "near_ties": near_ties(rows),
            "scorers": compare_scorers(rows),
            "options": option_bias(rows),
            "calibration": asdict(found) if (found := calibration(rows)) else None,
        }
        | {
            key: {name: _slice(part, resamples, seed) for name, part in by_name.items()}
            for key, by_name in parts.items()
        }
        | {"wordings": wording_spread(rows)}
        | {"failed": {row.record_id: row.failed for row in rows if row.failed}}
    )


def _slice(rows: Rows, resamples: int, seed: int) -> dict[str, Any]:
    """Number of scored rows, their accuracy and its interval."""
    known = scored(rows)
    interval = None
    if known:
        correct, images = [row.correct for row in known], [row.image_id for row in known]
        interval = list(cluster_interval(correct, images, resamples, seed))
    return {"n": len(known), "accuracy": accuracy(known), "ci95": interval}


def _pair_interval(rows: Rows, resamples: int, seed: int) -> list[float] | None:
    found = pairs(rows)
    if not found:
        return None
    right, groups = [a.correct and b.correct for a, b in found], [a.group_id for a, _ in found]
    return list(cluster_interval(right, groups, resamples, seed))


def _against(greedy: Rows, rows: Rows, decoder: str) -> dict[str, Any]:
    if decoder == "greedy" or not greedy:
        return {}
    return {"against_greedy": compare(greedy, rows)}


def _wording_rows(run: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for everything that a run has several of: templates, families, held-out families."""
    return [
        (
            *(run["decoder"], run["image_mode"], task, name.replace("_", " "), str(spread["n"])),
            *(percent(spread[key]) for key in ("mean", "worst", "std")),
        )
        for task, spreads in run["wordings"].items()
        for name, spread in spreads.items()
        if spread["n"] > 1
    ]


def _cells(scores: dict[str, Any] | None) -> tuple[str, str]:
    if not scores or scores["accuracy"] is None:
        return "-", ""
    return percent(scores["accuracy"]), percent_range(scores["ci95"])
