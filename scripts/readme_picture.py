"""Draw the picture at the top of README.md: sample groups, and what tuning and AdaptVis change.

    python scripts/readme_picture.py runs/quickstart                         # the expert that the run tuned
    python scripts/readme_picture.py runs/quickstart --expert tiny-expert    # the shipped one

Needs a run of ``configs/quickstart.yaml``: the groups are of its test data, the figures of its results.json. It has its
own light ground, so that it looks the same in a dark page, and letters that can be read on a phone.
"""

import argparse
import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image

matplotlib.use("agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spatial.dataset import DatasetFolder
from spatial.errors import RecordError
from spatial.records import Record

SHOWN = ("left of", "behind")
"""The relations of the sample groups."""

INK, GROUND = "#1f2933", "#fbfbf9"
COLOUR_OF = {"true": "#1b7f4b", "false": "#b3261e", "base": "#9aa5b1", "expert": "#1768ac"}


def sample_groups(folder: DatasetFolder, relations: Sequence[str]) -> list[list[Record]]:
    """Return for each relation one statement, about the image of which it is true and that of which it is false.

    Raises:
        RecordError: the dataset has no such pair.
    """
    records = sorted(folder.record_set().records, key=lambda row: (row.group_id, row.answer), reverse=True)
    found = []
    for relation in relations:
        true = [row for row in records if row.relation == relation and row.task == "statement" and row.answer == "true"]
        pair = next(
            (
                [row, other]
                for row in true
                for other in records
                if (other.group_id, other.caption, other.answer) == (row.group_id, row.caption, "false")
            ),
            None,
        )
        if pair is None:
            raise RecordError(f"no group says and denies {relation!r}; take the test data of configs/quickstart.yaml")
        found.append(pair)
    return found


def draw(groups: Sequence[Sequence[Record]], images: Mapping[str, Any], bars: Mapping[str, Any], n: int) -> Figure:
    """Return the picture: the groups above, the chart below.

    Args:
        groups: a statement's record about each of two images.
        images: by identifier.
        bars: "accuracy" and "ci95" by what they are called.
        n: how many statements were asked.
    """
    figure = Figure(figsize=(10, 9.8), dpi=100, facecolor=GROUND)
    for place, pair in enumerate(groups):
        left = 0.02 + 0.49 * place
        words = textwrap.fill(f"“{pair[0].caption}”", 30)
        figure.text(left + 0.235, 0.95, words, size=20, ha="center", va="center", color=INK)
        for side, row in enumerate(pair):
            axes = figure.add_axes((left + 0.24 * side, 0.665, 0.23, 0.2347))
            picture = Image.open(io.BytesIO(images[row.image_id].image)).resize((460, 460), Image.Resampling.BICUBIC)
            axes.imshow(picture)
            axes.set_axis_off()
            style: dict[str, Any] = {"size": 21, "ha": "center", "va": "center", "weight": "bold"}
            figure.text(left + 0.24 * side + 0.115, 0.636, row.answer, color=COLOUR_OF[row.answer], **style)
    _chart(figure.add_axes((0.29, 0.12, 0.67, 0.41)), bars, n)
    figure.text(0.02, 0.565, "How often is the model right?", size=23, color=INK, weight="bold", va="center")
    return figure


def chosen_bars(results: Mapping[str, Any], expert: str) -> dict[str, Any]:
    """Return the four ways, as far as the run has them, by what they are called.

    Raises:
        RecordError: the run has no such expert.
    """
    if expert not in results:
        raise RecordError(f"results.json has no {expert!r}; name one of its models: {', '.join(results)}")
    names = [f"{model}{decoder}" for model in ("base", expert) for decoder in ("", "+adaptvis")]
    return {name.replace("+adaptvis", " + AdaptVis"): results[name] for name in names if name in results}


def _chart(axes: Axes, bars: Mapping[str, Any], n: int) -> None:
    """Draw a bar with its interval for each model and decoder."""
    for place, (name, score) in enumerate(bars.items()):
        value, (low, high) = 100 * score["accuracy"], (100 * end for end in score["ci95"])
        kind = "base" if name.startswith("base") else "expert"
        interval = {"xerr": [[value - low], [high - value]], "error_kw": {"lw": 2.5, "capsize": 5}}
        axes.barh(place, value, 0.68, color=COLOUR_OF[kind], **interval)
        inside = {"size": 22, "va": "center", "color": INK if kind == "base" else "white", "weight": "bold"}
        axes.text(2, place, f"{value:.1f} %", **inside)
    axes.axvline(50, color=INK, linewidth=1.5, linestyle=":")
    axes.set(xlim=(0, 100), ylim=(len(bars) - 0.45, -0.55), facecolor=GROUND)
    axes.set_yticks(range(len(bars)), list(bars), size=20, color=INK)
    axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50: a coin", "75", "100"], size=18, color=INK)
    axes.set_xlabel(f"{n:,} statements, 95 % intervals clustered by image", size=18, color=INK, labelpad=10)
    for name in ("top", "right", "left"):
        axes.spines[name].set_visible(False)
    axes.tick_params(left=False)


def main() -> None:
    """Draw the picture of one run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run of configs/quickstart.yaml")
    parser.add_argument("--out", type=Path, default=Path("docs/images/overview.png"))
    parser.add_argument("--expert", default="expert", help="which expert of results.json")
    given = parser.parse_args()
    results = json.loads((given.run / "results.json").read_text())
    folder = DatasetFolder(str(given.run / "test-data"))
    figure = draw(
        sample_groups(folder, SHOWN), folder.record_set().images, chosen_bars(results, given.expert), results["n"]
    )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(given.out, metadata={"Software": None})
    print(given.out)


if __name__ == "__main__":
    main()
