"""``vsre sweep RUN``: choose AdaptVis's scales and threshold on validation groups, and report them on the others."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from eval.comparison import compare
from eval.decoders import format_decoder
from eval.metrics import accuracy
from eval.predictions import Prediction, read_predictions
from eval.statistics import cluster_interval
from eval.sweep import Sweep, sweep
from spatial.errors import ConfigError
from spatial.files import write_json
from vsre.config import SweepConfig
from vsre.summary import IMAGE

NUMBERS, PICTURE = "sweep.json", "sweep.png"


def write_sweep(config: SweepConfig) -> Path:
    """Choose, compare with the plain model, write ``sweep.json`` and the map of what was tried, and print the result.

    Returns:
        The picture.

    Raises:
        ConfigError: no run is named, or it has no scales.
        RecordError: the run has no predictions.
    """
    if not config.run:
        raise ConfigError("run is empty; name the output folder of a 'vsre eval' that ran several scales")
    rows = [row for row in read_predictions(Path(config.run) / "predictions.parquet") if row.image_mode == IMAGE]
    rows = [row for row in rows if not config.topics or row.topic in config.topics]
    found = sweep(rows, config.share, config.seed, config.betas or ())
    out = Path(config.out or Path(config.run) / "sweep")
    out.mkdir(parents=True, exist_ok=True)
    told = describe(found)
    write_json(out / NUMBERS, told | {"config": asdict(config)})
    draw(found).savefig(out / PICTURE, dpi=150)
    _print(told)
    return out / PICTURE


def describe(found: Sweep) -> dict[str, Any]:
    """Return what is reported: the choice, and test scores of greedy, of the choice and of each scale."""
    tested = {"greedy": found.greedy, format_decoder(found.chosen): found.adapted}
    tested |= {f"scale(alpha={alpha:g})": rows for alpha, rows in found.scales.items() if alpha != 1}
    groups, count = found.validation
    return {
        "chosen": format_decoder(found.chosen),
        "validation": {"groups": groups, "n": count, "tried": len(found.trials)},
        "test": {name: _score(rows) for name, rows in tested.items()},
        "against_greedy": compare(found.greedy, found.adapted),
    }


def draw(found: Sweep) -> Any:
    """Draw validation accuracy over the threshold: a panel for each scale of unsure answers, a line for sure ones."""
    from matplotlib.figure import Figure

    first = sorted({trial.decoder.a1 for trial in found.trials})
    figure = Figure(figsize=(3.2 * len(first), 3.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(first), sharey=True))
    for a1, axes in zip(first, panels, strict=True):
        for a2 in first:
            row = [trial for trial in found.trials if (trial.decoder.a1, trial.decoder.a2) == (a1, a2)]
            points = sorted((trial.decoder.beta, 100 * trial.accuracy) for trial in row)
            axes.plot(*zip(*points, strict=True), label=f"{a2:g}", linewidth=1)
        if a1 == found.chosen.a1:
            best = max(trial.accuracy for trial in found.trials)
            axes.plot([found.chosen.beta], [100 * best], marker="o", color="black", markerfacecolor="none")
        axes.set(title=f"unsure: {a1:g}", xlabel="beta", ylabel="validation accuracy %" if a1 == first[0] else "")
    panels[-1].legend(title="sure", frameon=False, fontsize="small")
    return figure


def _score(rows: list[Prediction]) -> dict[str, Any]:
    interval = cluster_interval([row.correct for row in rows], [row.image_id for row in rows])
    return {"n": len(rows), "accuracy": accuracy(rows), "ci95": list(interval)}


def _print(told: dict[str, Any]) -> None:
    against, chosen_on = told["against_greedy"], told["validation"]
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"chosen on {chosen_on['n']} questions of {chosen_on['groups']} groups, of {chosen_on['tried']}:"
        f" {told['chosen']}"
    )
    for name, score in told["test"].items():
        low, high = score["ci95"]
        console.print(f"test  {name:<40} {100 * score['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f})")
    console.print(
        f"against greedy on the {against['n']} test questions: {against['gained']} gained, {against['lost']} lost,"
        f" p = {against['p_value']:.3g}"
    )
