"""What a report says of attention: finished runs of ``vsre attend``, read from their folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.attend.show import confidence_table, layer_table
from spatial.proportion import percent
from vsre.compare_tables import Cells
from vsre.mediation_tables import cells_of
from vsre.site.runs import Plot, finished, link_to, plot_of, repeating

CAPTIONS = {
    "maps.png": "Pictures with the boxes of both objects, and where the last word of the prompt looks: as the model is "
    "(greedy), and after each decoder has changed its attention",
    "share.png": "How much of the attention the picture gets, layer by layer",
    "overlap.png": "How well attention fits the boxes of the objects, layer by layer",
    "confidence.png": "Whether the model is right more often when it is surer",
}
"""In the order of the page."""


@dataclass(frozen=True)
class Part:
    """What the page says of one model.

    Attributes:
        name: as the settings call it.
        told: which questions and decoders.
        plots: those that the run has drawn.
        tables: by caption.
        link: the folder as seen from the page.
        command: that repeats the run; "" where its settings were not kept.
    """

    name: str
    told: str
    plots: Sequence[Plot]
    tables: Mapping[str, Cells]
    link: str
    command: str


def read_attention(folders: Mapping[str, str], page_folder: Path) -> list[Part]:
    """Read finished runs.

    Args:
        folders: of the runs, by the name of their model.
        page_folder: where the page will lie, for links.

    Raises:
        ConfigError: a folder has no finished run; the message names the command that makes it.
    """
    return [_part(name, Path(folder), page_folder) for name, folder in folders.items()]


def _part(name: str, folder: Path, page_folder: Path) -> Part:
    found = finished("attention", folder, "attend", "image_share_of_prompt")
    plots = [plot_of(folder / file, caption) for file, caption in CAPTIONS.items() if (folder / file).is_file()]
    shown = (layer_table(found["layers"]), confidence_table(found["confidence"]["greedy"]))
    tables = {str(table.title): _filled(cells_of(table)) for table in shown}
    return Part(name, _told(found), plots, tables, link_to(folder, page_folder), repeating("attend", folder))


def _told(found: Mapping[str, Any]) -> str:
    counts, maps = found["data"], found["maps"]
    decoders = ", ".join(found["layers"])
    return (
        f"{counts['questions']:,} questions about {counts['images']:,} pictures; decoders {decoders}. The picture has "
        f"{percent(found['image_share_of_prompt'])} % of the prompt's tokens. The maps are of layer {maps['layer']}, "
        f"{maps['chosen']}."
    )


def _filled(table: Cells) -> Cells:
    """Repeat the name of a row where the terminal leaves it away below another of the same name."""
    heads, body = table
    rows, name = [], ""
    for first, *rest in body:
        name = first or name
        rows.append((name, *rest))
    return heads, rows
