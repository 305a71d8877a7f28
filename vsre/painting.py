"""What a report says of painted data: the yield table and its chart, and pictures with their verdicts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from datagen.assets.folder import assets_of, copy_in
from datagen.claim import REJECTED
from datagen.control_run import supersample_of
from datagen.paint.yield_run import count_yield
from datagen.paint.yield_show import by_engine, chart, head_of, row_of, seconds_text
from datagen.paint.yields import ALL, Yield
from datagen.passes import render_passes
from datagen.verify.verdicts import from_json, why_refused
from spatial.dataset import DatasetFolder
from spatial.errors import UserError
from spatial.records import ImageRow, encode_png
from spatial.scene import Scene
from vsre.charts import svg_of
from vsre.gallery.painted import ACCEPTED, Pool, pool_of
from vsre.gallery.sample import draw
from vsre.pictures import Picture, data_uri, picture


@dataclass(frozen=True)
class Shown:
    """A painted picture of the report.

    Attributes:
        painted: the picture.
        render: data URI of what it was painted over; "" where that is not known.
        prompt: what was asked for.
        verdict: "accepted", or why it was rejected.
        accepted: whether it is in the data.
    """

    painted: Picture
    render: str
    prompt: str
    verdict: str
    accepted: bool


@dataclass(frozen=True)
class Table:
    """The yield table of one engine: heads, rows of cells, and why pictures were rejected with their numbers."""

    engine: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class Painting:
    """The section about painting.

    Attributes:
        tables: one for each engine.
        chart: SVG.
        pictures: accepted and rejected ones in turns.
        attempts: pictures that were painted.
        accepted: of them.
    """

    tables: Sequence[Table]
    chart: Markup
    pictures: Sequence[Shown]
    attempts: int
    accepted: int


def read_painting(folder: Path, examples: int) -> Painting:
    """Count the yield of a painted dataset folder and choose pictures of it.

    Args:
        folder: of the dataset.
        examples: pictures to show, half of them rejected ones.

    Raises:
        RecordError: the folder cannot be read, or nothing in it was painted.
    """
    lines = count_yield([folder])
    totals = [line for line in lines if line.relation == ALL]
    data = DatasetFolder(folder)
    with assets_of(copy_in(folder)):
        pictures = _pictures(pool_of(data), examples, supersample_of(folder))
    return Painting(
        tables=[_table(name, own) for name, own in by_engine(lines).items()],
        chart=Markup(svg_of(chart(lines))),
        pictures=pictures,
        attempts=sum(line.attempts for line in totals),
        accepted=sum(line.accepted.count for line in totals),
    )


def _table(engine: str, lines: Sequence[Yield]) -> Table:
    heads = head_of(lines)
    rows = [[*row_of(line, heads), seconds_text(line)] for line in lines]
    return Table(engine, [*heads, "s/accepted"], rows, lines[-1].reasons)


def _pictures(pool: Pool, count: int, supersample: int) -> list[Shown]:
    """Return pictures of groups in which every relation has its turn, those accepted first."""
    shown = []
    for verdict, number in ((ACCEPTED, count - count // 2), (REJECTED, count // 2)):
        relations = {key: group.relations for key, group in pool.painted.items() if group.verdict == verdict}
        for key in draw(relations, 0, number, 0):
            group = pool.painted[key]
            rows = [group.images[name] for name in group.names]
            # Of a rejected group, the picture that failed.
            shown.append(_shown(min(rows, key=lambda row: _reason(row) == ""), verdict == ACCEPTED, supersample))
    return shown


def _reason(row: ImageRow) -> str:
    return why_refused(from_json(row.verdicts))


def _shown(row: ImageRow, accepted: bool, supersample: int) -> Shown:
    made = json.loads(row.provenance)
    prompt = str(made.get("painting", {}).get("prompt") or made.get("caption", ""))
    verdict = "accepted" if accepted else _reason(row) or "its partner was rejected"
    return Shown(picture(row, prompt), _render(row, supersample), prompt, verdict, accepted)


def _render(row: ImageRow, supersample: int) -> str:
    """Return the render of a picture's scene as a data URI; "" where it has none that can be drawn."""
    if not row.scene:
        return ""
    try:
        return data_uri(encode_png(render_passes(Scene.from_json(row.scene), supersample).rgb))
    except (UserError, ValueError, KeyError, TypeError, AttributeError):
        return ""
