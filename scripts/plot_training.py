"""Draw the learning curves of finished runs: the loss, and the accuracies of evaluations in training.

.venv/bin/python scripts/plot_training.py checkpoints/tiny-base/towers checkpoints/tiny-base --out curves.svg
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vsre.charts import svg_of

PREFIX = "eval_accuracy_"
"""Before the names of categories in the log."""


def draw_loss(axes: Axes, log: list[dict[str, Any]], name: str) -> None:
    """Draw the loss over steps; the seconds trained stand at the top."""
    rows = [row for row in log if "loss" in row]
    axes.plot([row["step"] for row in rows], [row["loss"] for row in rows], color="#1768ac", linewidth=1)
    minutes = rows[-1]["seconds"] / 60
    axes.set(
        title=f"{name}: {rows[-1]['step']} steps in {minutes:.0f} min", xlabel="step", ylabel="loss", ylim=(0, None)
    )


def draw_scores(axes: Axes, log: list[dict[str, Any]]) -> None:
    """Draw the accuracy on each category over steps."""
    rows = [row for row in log if any(key.startswith(PREFIX) for key in row)]
    for key in sorted({key for row in rows for key in row if key.startswith(PREFIX)}):
        known = [row for row in rows if key in row]
        axes.plot(
            [row["step"] for row in known], [100 * row[key] for row in known], marker=".", label=key[len(PREFIX) :]
        )
    axes.axhline(50, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="step", ylabel="accuracy in %, held-out scenes", ylim=(0, 100))
    axes.legend(frameon=False, fontsize="small", ncols=2)


def main() -> None:
    """Read the logs and draw them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders with log.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="an .svg file")
    args = parser.parse_args()
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in args.runs]
    scored = [any(key.startswith(PREFIX) for row in log for key in row) for log in logs]
    figure = Figure(figsize=(4.2 * (len(logs) + sum(scored)), 3.6), layout="constrained")
    panels = iter(figure.subplots(1, len(logs) + sum(scored), squeeze=False)[0])
    for run, log, has_scores in zip(args.runs, logs, scored, strict=True):
        draw_loss(next(panels), log, run.name)
        if has_scores:
            draw_scores(next(panels), log)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(svg_of(figure), encoding="utf-8")
    print(args.out)


if __name__ == "__main__":
    main()
