"""``vsre report``: one self-contained HTML page about one or several evaluations.

Tables, charts, example images with every model's answers, and where each number comes from. Nothing on the page is
loaded from elsewhere, so it can be mailed, archived and read on a phone.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from eval.predictions import Prediction
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError
from spatial.files import write_json
from spatial.json_files import read_lines
from vsre.compare import compare_all, pair_cells, rows_of
from vsre.compare_tables import Cells
from vsre.config import ReportConfig
from vsre.pages import GALLERY_PAGE, template_environment
from vsre.painting import Painting, read_painting
from vsre.pictures import Picture, describe, picture
from vsre.rundir import environment
from vsre.summary import GREEDY, IMAGE, Evaluation, headline, overview, read_evaluation

if TYPE_CHECKING:
    from vsre.mediation import Mediation

STATEMENTS_PER_EXAMPLE = 4

PAINTED_EXAMPLES = 16


@dataclass(frozen=True)
class Statement:
    """A question about an example image, its right answer, and (answer, right?) of every model."""

    caption: str
    answer: str
    given: list[tuple[str, bool]]


@dataclass(frozen=True)
class Example:
    """An image ready for the page, with statements about it."""

    picture: Picture
    statements: list[Statement]


def write_report(config: ReportConfig) -> Path:
    """Write ``index.html`` and ``summary.json``.

    Returns:
        The path of the page.

    Raises:
        ConfigError: no evaluation is named, or a folder is named that nothing was written to.
        RecordError: an evaluation has no predictions, or the dataset folder cannot be read.
    """
    if not config.evaluations:
        raise ConfigError("evaluations is empty; name the output folder of at least one 'vsre eval'")
    evaluations = [read_evaluation(name, Path(folder)) for name, folder in config.evaluations.items()]
    painting = read_painting(Path(config.painted), PAINTED_EXAMPLES) if config.painted else None
    mediation = _mediation(config)
    content = _render(config, evaluations, painting, mediation)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    patched = {"interpret": mediation.summary} if mediation else {}
    write_json(out / "summary.json", headline(evaluations) | _painted_summary(painting) | patched)
    page = out / "index.html"
    page.write_text(content, encoding="utf-8")
    return page


def choose_examples(rows: Sequence[Prediction], count: int) -> list[str]:
    """Return ``count`` image ids, going round the relations so that as many as possible are shown; always the same."""
    by_relation: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row.image_id):
        images = by_relation.setdefault(row.relation, [])
        if row.image_id not in images:
            images.append(row.image_id)
    chosen: list[str] = []
    for turn in range(max(map(len, by_relation.values()), default=0)):
        for _, images in sorted(by_relation.items()):
            if turn < len(images) and images[turn] not in chosen:
                chosen.append(images[turn])
    return chosen[:count]


def loss_curve(log: Path) -> list[tuple[int, float]]:
    """Return (step, loss) from a training log of JSON lines; empty if there is none."""
    return [(entry["step"], entry["loss"]) for entry in _entries(log) if "loss" in entry]


def passes_over_data(log: Path) -> float | None:
    """Return how often a training run saw each of its pictures; ``None`` where its log does not say."""
    return max((float(entry["epoch"]) for entry in _entries(log) if "epoch" in entry), default=None)


def _entries(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a training log, none if there is no such file; RecordError if it is damaged."""
    return [entry for entry in read_lines(log) if isinstance(entry, dict)] if log.exists() else []


def _tuning(config: ReportConfig) -> dict[str, tuple[dict[str, Any], float]]:
    """Return what ``training.json`` says of each run that has ended, and how often it saw its pictures."""
    found = {}
    for name, folder in config.training.items():
        path, passes = Path(folder) / "training.json", passes_over_data(Path(folder) / "log.jsonl")
        if path.is_file() and passes is not None:
            found[name] = (json.loads(path.read_text("utf-8")), passes)
    return found


def _painted_summary(painting: Painting | None) -> dict[str, dict[str, int]]:
    """Return what ``summary.json`` says of painting; nothing where nothing was painted."""
    return {"diffusion": {"attempts": painting.attempts, "accepted": painting.accepted}} if painting else {}


def _mediation(config: ReportConfig) -> "Mediation | None":
    if not config.interpretations:
        return None
    from vsre.mediation import read_mediation  # with it comes torch

    return read_mediation(config.interpretations, Path(config.out))


def _render(
    config: ReportConfig, evaluations: Sequence[Evaluation], painting: Painting | None, mediation: "Mediation | None"
) -> str:
    from vsre.charts import relation_chart, training_chart

    relations = {e.name: run["per_relation"] for e in evaluations if (run := e.find(GREEDY, IMAGE))}
    curves = {name: loss_curve(Path(folder) / "log.jsonl") for name, folder in config.training.items()}
    curves = {name: points for name, points in curves.items() if points}
    return (
        template_environment()
        .get_template("report.html.j2")
        .render(
            title=config.title,
            overview={name: scores for e in evaluations for name, scores in overview(e).items()},
            pairs=_pairs(evaluations),
            controls={e.name: e.controls for e in evaluations if e.controls},
            relation_chart=Markup(relation_chart(relations)) if any(relations.values()) else "",
            tuning=_tuning(config),
            training_chart=Markup(training_chart(curves)) if curves else "",
            models=[e.name for e in evaluations],
            examples=_examples(config, evaluations) if config.data else [],
            gallery=_gallery_link(config, "gallery"),
            painting=painting,
            mediation=mediation,
            painted_gallery=_gallery_link(config, "painted_gallery"),
            provenance=_provenance(config),
        )
    )


def _pairs(evaluations: Sequence[Evaluation]) -> Cells | None:
    """Return the table of every two rows that have questions in common; ``None`` where there are none."""
    pairs = [pair for pair in compare_all(rows_of(evaluations)) if pair.found["n"]]
    return pair_cells(pairs) if pairs else None


def _examples(config: ReportConfig, evaluations: Sequence[Evaluation]) -> list[Example]:
    images = DatasetFolder(config.data).images
    answers = [_plain_rows(evaluation) for evaluation in evaluations]
    first = [row for row in answers[0].values() if row.image_id in images and row.relation]
    examples = []
    for image_id in choose_examples(first, config.examples):
        row, statements = images[image_id], _statements(first, answers, image_id)
        alt = describe(row) if row.objects else f"image, asked about: {statements[0].caption}"
        examples.append(Example(picture(row, alt), statements))
    return examples


def _gallery_link(config: ReportConfig, setting: str) -> str:
    """Return where the page of a gallery lies as seen from the report, or an empty string.

    Raises:
        ConfigError: there is no page in the folder that the settings name.
    """
    folder = getattr(config, setting)
    if not folder:
        return ""
    page = Path(folder) / GALLERY_PAGE
    if not page.is_file():
        raise ConfigError(f"{setting}: {page} does not exist; write it with 'vsre gallery DIR --out {folder}'")
    return Path(os.path.relpath(page, config.out)).as_posix()


def _statements(rows: Sequence[Prediction], answers: Sequence[dict[str, Prediction]], image_id: str) -> list[Statement]:
    shown = [row for row in rows if row.image_id == image_id][:STATEMENTS_PER_EXAMPLE]
    statements = []
    for row in shown:
        found = [by_id.get(row.record_id) for by_id in answers]
        given = [(other.predicted, other.correct) if other else ("-", False) for other in found]
        statements.append(Statement(row.caption, row.answer, given))
    return statements


def _plain_rows(evaluation: Evaluation) -> dict[str, Prediction]:
    """Return the greedy answers with the image by record, in the first template that asked for it."""
    rows: dict[str, Prediction] = {}
    for row in sorted(evaluation.predictions, key=lambda row: (row.record_id, row.template)):
        if (row.decoder, row.image_mode) == (GREEDY, IMAGE) and not row.failed:
            rows.setdefault(row.record_id, row)
    return rows


def _provenance(config: ReportConfig) -> dict[str, str]:
    """Return the text of every file that tells how a number came about, by title."""
    sources: dict[str, str] = {}
    for name, folder in config.evaluations.items():
        sources |= _texts(f"evaluation of {name}", Path(folder), ("config.yaml", "environment.json"))
    for name, folder in config.interpretations.items():
        sources |= _texts(f"patching of {name}", Path(folder), ("config.yaml", "environment.json"))
    for name, folder in config.training.items():
        sources |= _texts(f"training of {name}", Path(folder), ("training.json",))
    if config.data:
        sources |= _texts("data", Path(config.data), ("README.md",))
    if config.painted:
        sources |= _texts("painted data", Path(config.painted), ("README.md", "yield.json"))
    return sources | {"this page: environment": json.dumps(environment(), indent=2)}


def _texts(title: str, folder: Path, names: Sequence[str]) -> dict[str, str]:
    paths = [folder / name for name in names if (folder / name).is_file()]
    return {f"{title}: {path.name}": path.read_text(encoding="utf-8") for path in paths}
