"""``vsre report``: a small site of HTML pages about one or several evaluations, to be opened from disk.

The overview and, where there is something to say, a page each on scores, data, training, attention, the parts of the
model that carry the answer, and where every number comes from. The folder holds all that its pages need, so it can be
moved, mailed and archived as a whole.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spatial.errors import ConfigError, RecordError
from spatial.files import write_json
from vsre.compare import Pair, compare_all, pair_cells, rows_of, score_cells
from vsre.config import ReportConfig
from vsre.pages import GALLERY_PAGE
from vsre.rundir import environment
from vsre.site import scores
from vsre.site.examples import read_examples
from vsre.site.frame import Page, write_site
from vsre.site.runs import as_text, origins
from vsre.summary import Evaluation, headline, read_evaluation

PAINTED_EXAMPLES = 16

GALLERIES = {"gallery": "Gallery", "painted_gallery": "Painted gallery"}
"""Settings that name a folder of ``vsre gallery``, and what its page is called here."""


def write_report(config: ReportConfig) -> Path:
    """Write the pages, what they need, and ``summary.json``.

    Returns:
        The path of the first page.

    Raises:
        ConfigError: no evaluation is named, or a folder is named that nothing was written to.
        RecordError: an evaluation has no predictions, no question was answered, or the dataset folder cannot be read.
    """
    if not config.evaluations:
        raise ConfigError("evaluations is empty; name the output folder of at least one 'vsre eval'")
    evaluations = [read_evaluation(name, Path(folder)) for name, folder in config.evaluations.items()]
    summary = headline(evaluations)
    pages = list(_pages(config, evaluations, summary))
    out = Path(config.out)
    write_site(out, config.title, pages)
    write_json(out / "summary.json", summary)
    return out / pages[0].file


def _pages(config: ReportConfig, evaluations: Sequence[Evaluation], summary: dict[str, Any]) -> Iterator[Page]:
    """Yield the pages that have something to say; what others count goes into the summary as well."""
    pairs = [pair for pair in compare_all(rows_of(evaluations)) if pair.found["n"]]
    rows = scores.rows_of_all(evaluations)
    if not rows:
        raise RecordError("none of these evaluations has an answer; their results.json say under 'failed' why")
    yield _overview(evaluations, rows, pairs)
    yield _scores(rows)
    yield from _answers(config, evaluations)
    yield from _data(config, evaluations, summary)
    yield from _training(config)
    yield from _attention(config)
    yield from _explanation(config, summary)
    yield _provenance(config)


def _overview(evaluations: Sequence[Evaluation], rows: Sequence[scores.Scored], pairs: Sequence[Pair]) -> Page:
    return Page(
        "index.html",
        "Overview",
        "overview",
        "",
        {
            "tiles": scores.tiles(evaluations, rows),
            "findings": scores.findings(rows, pairs),
            "chart": scores.score_chart(evaluations, rows),
            "table": score_cells({row.name: row.scores for row in rows}),
            "pairs": pair_cells(pairs) if pairs else None,
            "controls": scores.control_chart(evaluations),
        },
    )


def _scores(rows: Sequence[scores.Scored]) -> Page:
    about = "each relation and category by itself, other wordings, and whether models know when they are right"
    content = {
        "charts": [scores.relation_chart(rows), scores.category_chart(rows)],
        "wordings": scores.wording_chart(rows),
        "spread": scores.spread_cells(rows),
        "reliability": scores.reliability_chart(rows),
        "errors": scores.reliability_cells(rows),
    }
    return Page("scores.html", "Scores", "scores", about, content)


def _answers(config: ReportConfig, evaluations: Sequence[Evaluation]) -> Iterator[Page]:
    if config.answers:
        from vsre.site.answer_pictures import sources_of
        from vsre.site.answers import read_answers

        found = read_answers(rows_of(evaluations), sources_of(config), config.answers, config.seed)
        about = "picture by picture: the statement, the truth, and what every model said"
        yield Page("answers.html", "Answers", "answers", about, {"answers": found})


def _data(config: ReportConfig, evaluations: Sequence[Evaluation], summary: dict[str, Any]) -> Iterator[Page]:
    galleries = {name: _gallery(config, name) for name in GALLERIES if getattr(config, name)}
    examples = read_examples(config.data, evaluations, config.examples) if config.data else []
    painting = calibrated = None
    if config.painted:
        from vsre.painting import read_painting
        from vsre.site.calibration import read_calibrated

        painted = Path(config.painted)
        painting, calibrated = read_painting(painted, PAINTED_EXAMPLES), read_calibrated(painted)
        summary["diffusion"] = {"attempts": painting.attempts, "accepted": painting.accepted}
    if examples or painting or galleries:
        about = "pictures with statements and every model's answers" + "; what was painted and kept" * bool(painting)
        linked = {GALLERIES[name]: _page_of(name) for name in galleries}
        found = {"examples": examples, "painting": painting, "calibrated": calibrated, "galleries": linked}
        yield Page("data.html", "Data", "data", about, found)
    for name, page in galleries.items():
        yield Page(_page_of(name), GALLERIES[name], "", "groups of the data, with filters", {}, page)


def _training(config: ReportConfig) -> Iterator[Page]:
    from vsre.site.training import read_training

    looks = {name: place for place, name in enumerate(config.evaluations)}
    if training := read_training(config.training, looks):
        about = "losses step by step, and what the runs took"
        yield Page("training.html", "Training", "training", about, {"training": training})


def _attention(config: ReportConfig) -> Iterator[Page]:
    if config.attention:
        from vsre.site.attention import read_attention

        parts = read_attention(config.attention, Path(config.out))
        about = "where models look when they answer, before and after decoders change it"
        yield Page("attention.html", "Attention", "attention", about, {"parts": parts})


def _explanation(config: ReportConfig, summary: dict[str, Any]) -> Iterator[Page]:
    if config.interpretations:
        from vsre.mediation import read_mediation  # with it comes torch

        mediation = read_mediation(config.interpretations, Path(config.out))
        summary["interpret"] = mediation.summary
        about = "which layers, tokens and heads carry the answer"
        yield Page("explanation.html", "Explanation", "explanation", about, {"mediation": mediation})


def _provenance(config: ReportConfig) -> Page:
    about = "settings, hashes, machines, and the commands that make every number again"
    content = {"origins": origins(config), "environment": as_text(environment())}
    return Page("provenance.html", "Provenance", "provenance", about, content)


def _gallery(config: ReportConfig, setting: str) -> Path:
    """Return the page of a gallery.

    Raises:
        ConfigError: there is no page in the folder that the settings name.
    """
    folder = getattr(config, setting)
    page = Path(folder) / GALLERY_PAGE
    if not page.is_file():
        raise ConfigError(f"{setting}: {page} does not exist; write it with 'vsre gallery DIR --out {folder}'")
    return page


def _page_of(gallery: str) -> str:
    return f"{gallery.replace('_', '-')}.html"
