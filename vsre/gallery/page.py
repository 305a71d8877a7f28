"""The gallery's page: groups as pieces of HTML that were measured, put into a frame with filters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from jinja2 import Environment
from markupsafe import Markup

from spatial.dataset import DatasetFolder
from spatial.relations import CATEGORIES, RELATIONS
from vsre import __version__
from vsre.config import GalleryConfig
from vsre.gallery.groups import FACETS, MAIN, PAINTED_FACETS, SampleGroup
from vsre.gallery.painted import ordered
from vsre.gallery.passes import layers_of
from vsre.pages import template_environment
from vsre.pictures import Picture, picture

OPEN_ROWS = 8
"""Where a group has no statement about a relation, its other rows are unfolded if they are at most this many."""

COLUMN = 560
"""Groups whose images need more CSS pixels side by side take the whole width of the page."""

Pair = tuple[str, str]
"""A filter and one of its values."""


@dataclass(frozen=True)
class Shown:
    """A group as a piece of the page.

    Attributes:
        group: what is shown.
        html: the piece.
        size: its bytes.
        passes: the names of its passes.
    """

    group: SampleGroup
    html: Markup
    size: int
    passes: tuple[str, ...]


@dataclass(frozen=True)
class Counts:
    """How many groups there are.

    Attributes:
        groups: in the dataset.
        whole: in the dataset, by filter and value.
        page: on the page, by filter and value.
    """

    groups: int
    whole: Counter[Pair]
    page: Counter[Pair]


def group_fragment(group: SampleGroup, supersample: int, passes: bool) -> tuple[Shown, list[str]]:
    """Return a group as a piece of HTML, and what there is to say about its passes.

    Args:
        group: what is shown.
        supersample: of the renderer when the data was made.
        passes: whether scenes are drawn again.

    Raises:
        RecordError: an image cannot be decoded.
    """
    images = [member.image for member in group.members]
    layers, notes = layers_of(images, supersample) if passes else ([[] for _ in images], [])
    pictures = [picture(member.image, member.caption, own) for member, own in zip(group.members, layers, strict=True)]
    renders = [
        _render(drawn) if member.painted else None for member, drawn in zip(group.members, pictures, strict=True)
    ]
    main = [row for row in group.rows if row.topic == MAIN]
    others = [row for row in group.rows if row.topic != MAIN]
    html = (
        _templates()
        .get_template("_group.html.j2")
        .render(
            group=group,
            pictures=pictures,
            renders=renders,
            verdicts=[ordered(member.verdicts) for member in group.members],
            main=main,
            others=others,
            broad=sum(item.width * item.zoom for item in [*pictures, *filter(None, renders)]) > COLUMN,
            unfolded=not main and len(others) <= OPEN_ROWS,
            facets={name: list(values) for name, values in group.facets.items()},
        )
    )
    names = tuple(dict.fromkeys(layer.name for own in layers for layer in own))
    return Shown(group, Markup(html), len(html.encode()), names), notes


def _render(painted: Picture) -> Picture | None:
    """Return the render that a picture was painted over, if its scene was drawn again."""
    drawn = [layer.source for layer in painted.layers if layer.name == "rgb"]
    return replace(painted, source=drawn[0], alt=f"render of: {painted.alt}", layers=[]) if drawn else None


def compose(
    config: GalleryConfig, data: DatasetFolder, shown: Sequence[Shown], notes: Sequence[str], counts: Counts
) -> str:
    """Return the page.

    Args:
        config: the settings, of which the page tells how the groups were drawn.
        data: the dataset.
        shown: groups in the order of the page.
        notes: what a reader should know.
        counts: groups in the dataset and on the page.
    """
    licences = dict.fromkeys(member.image.licence for item in shown for member in item.group.members)
    return (
        _templates()
        .get_template("gallery.html.j2")
        .render(
            title=f"Gallery of {data.path.resolve().name}",
            sampling=_sampling(config, len(shown), counts.groups),
            notes=notes,
            facets=_facets(counts),
            counts=counts,
            passes=list(dict.fromkeys(name for item in shown for name in item.passes)),
            shown=shown,
            licences=[licence for licence in licences if licence],
            about={
                "records": len(data.records),
                "images": len(data.images),
                "content hash": data.content_hash(),
                "vsre": __version__,
            },
        )
    )


def _sampling(config: GalleryConfig, shown: int, groups: int) -> str:
    """Say in a sentence which of the groups are on the page."""
    if shown == groups:
        return f"All {groups} groups of the dataset."
    per_relation = f", up to {config.per_relation} for each relation" if config.per_relation else ""
    return f"A sample: {shown} of the {groups} groups of the dataset{per_relation}, drawn with seed {config.seed}."


def _facets(counts: Counts) -> dict[str, tuple[str, list[tuple[str, int, int]]]]:
    """Return title and values of every filter; those of painted groups only where there are some."""
    found = {name: (title, _values(name, counts)) for name, title in (FACETS | PAINTED_FACETS).items()}
    return {name: found[name] for name in found if name in FACETS or found[name][1]}


def _values(name: str, counts: Counts) -> list[tuple[str, int, int]]:
    """Return the values of a filter with their groups on the page and in the dataset (-1: not counted)."""
    order = {"relation": list(RELATIONS), "category": list(CATEGORIES)}.get(name, [])
    values = sorted({value for facet, value in counts.page | counts.whole if facet == name})
    values.sort(key=lambda value: order.index(value) if value in order else len(order))
    return [(value, counts.page[name, value], counts.whole.get((name, value), -1)) for value in values]


@lru_cache
def _templates() -> Environment:
    return template_environment()
