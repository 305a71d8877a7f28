"""Charts that a page draws with Plotly, each with its numbers as a table and a switch for each of its series.

Plotly's Python half checks the figure here; its JavaScript half, which lies beside the pages, draws it in the browser.
Colours of text and lines are the page's (``templates/site.css``), so that a chart is right in light, dark and print.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from vsre.compare_tables import Cells

PALETTE = ("#7b8794", "#2f7fd1", "#d0561b", "#00916a", "#b8609a", "#a8810f")
"""Each at least 3 to 1 against white and against the dark page; the colour-blind tell them apart by shape as well."""

SHAPES = ("circle", "diamond", "square", "triangle-up", "pentagon", "star")

FULL, HOLLOW = "●◆■▲⬟★", "○◇□△⬠☆"
"""The same as letters."""


@dataclass(frozen=True)
class Words:
    """What is said around a chart: its anchor, title, how to read it, and the heads of its table's columns."""

    name: str
    title: str
    note: str
    heads: Sequence[str]


@dataclass(frozen=True)
class Switch:
    """What shows and hides a series, and explains its marks.

    Attributes:
        name: of the series.
        look: of its model.
        shown: at first.
        hollow: whether its marks are outlines.
    """

    name: str
    look: int
    shown: bool = True
    hollow: bool = False

    @property
    def colour(self) -> str:
        """Colour of its marks."""
        return colour_of(self.look)

    @property
    def sign(self) -> str:
        """Its marks as a letter."""
        return (HOLLOW if self.hollow else FULL)[self.look % len(SHAPES)]


@dataclass(frozen=True)
class Chart:
    """What ``_chart.html.j2`` draws.

    Attributes:
        words: around it.
        label: what it shows, for those who do not see it.
        figure: JSON of the Plotly figure, fit for a script element.
        switches: of its series, where there are several.
        table: the numbers.
    """

    words: Words
    label: str
    figure: Markup
    switches: Sequence[Switch]
    table: Cells


def colour_of(look: int) -> str:
    """Return the colour of a model by its place in the report."""
    return PALETTE[look % len(PALETTE)]


def shape_of(look: int) -> str:
    """Return the shape of its marks."""
    return SHAPES[look % len(SHAPES)]


def chart_of(words: Words, figure: Any, switches: Sequence[Switch], table: Cells) -> Chart:
    """Return a Plotly figure as a chart of the page; its traces are named as the switches are."""
    figure.update_layout(
        template={},
        showlegend=False,
        margin={"l": 8, "r": 36, "t": 6, "b": 46},
        font={"family": "system-ui, sans-serif", "size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        dragmode=False,
        hovermode="closest",
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(fixedrange=True, ticklabelstandoff=4, title={"standoff": 8})
    figure.update_yaxes(fixedrange=True, ticklabelstandoff=6, automargin=True)
    names = ", ".join(switch.name for switch in switches)
    return Chart(
        words=words,
        label=f"Chart. {words.title}: {names}. The numbers are in the table below.",
        figure=Markup(figure.to_json().replace("<", "\\u003c")),  # so that no text can end the script element
        switches=switches if len(switches) > 1 else [],
        table=table,
    )
