"""What a report says of the parts that carry the answer: finished runs of ``vsre interpret``, read from their folders.

Every picture that lies in a folder is shown, the first of each leading kind openly and all others on demand; numbers
come from ``results.json``. No model is needed to write the page again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.interpret.everywhere import in_words
from eval.interpret.show import heads_table, sites_table
from eval.interpret.summary import LEAST_PAIRS
from vsre.compare_tables import Cells
from vsre.mediation_tables import (
    Run,
    cells_of,
    changes_counted,
    changes_table,
    comparisons,
    counted,
    effects_tables,
    functions_of,
    held_out_table,
    selected_heads,
    tiers_table,
)
from vsre.site.runs import Plot, finished, link_to, plot_of, repeating

CAPTIONS = {
    "effects": "Effect of every place",
    "heads": "Effect of single heads",
    "functions": "What heads look at",
    "against": "Where the two models differ most",
    "universal": "The same in every family of relations, mode and set of data?",
    "exchanged": "Selected and random heads on pairs that did not select them",
    "encoders": "One encoder sees the other picture",
    "cuts": "Attention cut off between parts of the prompt",
    "head": "One head",
}
"""By the first word of a picture's name, in the order of the page; any other picture comes last."""

LEADING = ("effects", "heads", "functions", "against")
"""Kinds of pictures of which the first is shown openly."""


@dataclass(frozen=True)
class Part:
    """What the page says of one model.

    Attributes:
        name: as the settings call it.
        plots: shown openly.
        more: shown on demand.
        tables: by caption.
        effects: every place in numbers, by caption; folded away.
        functions: by name, what is measured and the heads that have it.
        universality: sentences about what is the same in every family, mode and set of data.
        changes: against another model; ``None`` where the run was compared with none.
        link: the folder as seen from the page.
        command: that repeats the run; "" where its settings were not kept.
    """

    name: str
    plots: Sequence[Plot]
    more: Sequence[Plot]
    tables: Mapping[str, Cells]
    effects: Mapping[str, Cells]
    functions: Mapping[str, tuple[str, str]]
    universality: Sequence[str]
    changes: "Changes | None"
    link: str
    command: str


@dataclass(frozen=True)
class Changes:
    """What differs from another model.

    Attributes:
        other: what it is called.
        pairs: that count in both.
        places: that were compared.
        sure: of them, those whose interval leaves out 0.
        table: the largest of these.
    """

    other: str
    pairs: int
    places: int
    sure: int
    table: Cells


@dataclass(frozen=True)
class Mediation:
    """The section: tables about all models, a part about each, and the fewest pairs that say something."""

    tiers: Cells
    held_out: Cells
    parts: Sequence[Part]
    summary: Mapping[str, Any]
    least: int = LEAST_PAIRS


def read_mediation(folders: Mapping[str, str], page_folder: Path) -> Mediation:
    """Read finished runs.

    Args:
        folders: of the runs, by the name of their model.
        page_folder: where the page will lie, for links.

    Raises:
        ConfigError: a folder has no finished run; the message names the command that makes it.
    """
    runs = {name: finished("interpretations", Path(folder), "interpret", "modes") for name, folder in folders.items()}
    parts = [_part(name, run, folders, page_folder) for name, run in runs.items()]
    summary = {name: summarised(run) for name, run in runs.items()}
    return Mediation(tiers_table(runs), held_out_table(runs), parts, summary)


def summarised(run: Run) -> dict[str, Any]:
    """Return a run in short: per kind of pair, the pairs that count, the heads, and their effect on other pairs."""
    short: dict[str, Any] = {}
    for mode, own in run["modes"].items():
        short[mode] = {"pairs": own["tiers"]["T0"], "counted": counted(run, mode)}
    for mode, direction, exchanged, one in comparisons(run):
        short[mode]["heads"] = selected_heads(exchanged)
        short[mode]["selected_by_rule"] = exchanged["selected_by_rule"]
        numbers = {key: one[key] for key in ("selected", "random", "difference", "ci95", "pairs")}
        short[mode].setdefault("other_pairs", {})[direction] = numbers
    return short


def _part(name: str, run: Run, folders: Mapping[str, str], page_folder: Path) -> Part:
    folder = Path(folders[name])
    shown, more = _plots(folder)
    return Part(
        name,
        shown,
        more,
        _tables(run),
        effects_tables(run),
        functions_of(run),
        list(in_words(run["universality"])) if "universality" in run else [],
        _changes(run, folders),
        link_to(folder, page_folder),
        repeating("interpret", folder),
    )


def _plots(folder: Path) -> tuple[list[Plot], list[Plot]]:
    """Return the pictures of a folder: those that are shown openly, and the others."""
    order = list(CAPTIONS)
    kinds = {path: path.stem.partition("-")[0] for path in folder.glob("*.png")}
    place = {path: order.index(kind) if kind in order else len(order) for path, kind in kinds.items()}
    shown: list[Plot] = []
    more: list[Plot] = []
    seen: set[str] = set()
    for path in sorted(kinds, key=lambda path: (place[path], path.name)):
        leads = kinds[path] in LEADING and kinds[path] not in seen
        seen.add(kinds[path])
        (shown if leads else more).append(_plot(path))
    return shown, more


def _plot(path: Path) -> Plot:
    kind, _, rest = path.stem.partition("-")
    return plot_of(path, CAPTIONS.get(kind, kind) + (f": {rest.replace('-', ', ')}" if rest else ""))


def _tables(run: Run) -> dict[str, Cells]:
    """Return the strongest places, and the strongest heads, of each kind of pair."""
    tables = []
    for mode, own in run["modes"].items():
        tables.append(sites_table(own, mode))
        if own["heads"]["all"]:
            tables.append(heads_table(own["heads"], mode))
    return {str(table.title): cells_of(table) for table in tables if table.row_count}


def _changes(run: Run, folders: Mapping[str, str]) -> Changes | None:
    against = run.get("against")
    if not against:
        return None
    named = {Path(folder).resolve(): name for name, folder in folders.items()}
    other = named.get(Path(against["folder"]).resolve(), against["folder"])
    return Changes(other, against["pairs"], *changes_counted(run), changes_table(run, other))
