"""``vsre review DIR``: write a page on which people judge statements, and with ``--answers`` read what they said.

The page is one file that loads nothing. It asks about statements of the data, true and false ones mixed, and does not
say which are which; keys answer, and a button saves the answers as JSON.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datagen.paint.yield_run import corrected_yields
from datagen.paint.yields import Yield
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError
from spatial.files import atomic, write_json
from spatial.scene import digest
from vsre.config import ReviewConfig
from vsre.pages import template_environment
from vsre.pictures import Picture, picture
from vsre.review.answers import Precision, pooled, precision, read_answers, wrong_ones
from vsre.review.items import Item, choose, statements
from vsre.review.show import print_table

PAGE, RESULT, SAVED = "review.html", "review.json", "answers.json"


@dataclass(frozen=True)
class Question:
    """A statement ready for the page; nothing in it says whether it is true.

    Attributes:
        key: identifier of the statement.
        caption: the sentence.
        picture: of which it is said.
    """

    key: str
    caption: str
    picture: Picture


def review(config: ReviewConfig) -> Path:
    """Write the page, or read answers.

    Returns:
        The path of the page, or of the result.

    Raises:
        ConfigError: a setting is out of range.
        RecordError: the dataset or the answers cannot be read, or there is no statement to ask about.
    """
    if not config.data:
        raise ConfigError("data is empty; name the dataset folder: 'vsre review DIR'")
    for name in ("per_relation", "limit"):
        if getattr(config, name) < 0:
            raise ConfigError(f"{name} must be 0 or more, not {getattr(config, name)}")
    data = DatasetFolder(config.data)
    known = statements(data.records)
    out = Path(config.out) if config.out else data.path / "review"
    return _read(config, data, known, out) if config.answers else _write(config, data, known, out)


def _write(config: ReviewConfig, data: DatasetFolder, known: Mapping[str, Item], out: Path) -> Path:
    """Write the page."""
    items = choose(known.values(), config.per_relation, config.limit, config.seed)
    if not items:
        raise RecordError(f"{data.path} holds no statement about a relation; name a folder that does")
    content_hash = data.content_hash()
    # Pictures tell what they show to those who cannot see them; here that would give the answer away.
    questions = [
        Question(item.record_id, item.caption, picture(data.images[item.image_id], "the picture to be judged"))
        for item in items
    ]
    sheet = {
        "data": content_hash,
        "seed": config.seed,
        "sheet": digest("/".join([content_hash, *(item.record_id for item in items)])),
    }
    page = template_environment().get_template("review.html.j2")
    with atomic(out / PAGE) as temporary:
        temporary.write_text(page.render(questions=questions, sheet=sheet, saved=SAVED), encoding="utf-8")
    print(f"{len(items)} statements about {len({item.relation for item in items})} relations; open the page and judge")
    print(f"then: vsre review {config.data} --answers {SAVED}")
    return out / PAGE


def _read(config: ReviewConfig, data: DatasetFolder, known: Mapping[str, Item], out: Path) -> Path:
    """Hold answers against the data, print the table and write it."""
    files = [config.answers] if isinstance(config.answers, str) else config.answers
    content_hash = data.content_hash()
    found = [read_answers(Path(file), content_hash, known) for file in files]
    together = pooled(found)
    lines = precision(together, known)
    verifier = _verifier_says(config, data)
    print_table(lines, verifier)
    write_json(
        out / RESULT,
        {
            "data": content_hash,
            "reviewers": [it.reviewer for it in found],
            "intervals": "Wilson, 95 %",
            "rows": [_row(line, verifier.get(line.relation)) for line in lines],
            "wrong": [asdict(item) for item in wrong_ones(together, known)],
        },
    )
    return out / RESULT


def _verifier_says(config: ReviewConfig, data: DatasetFolder) -> dict[str, Yield]:
    """Return the yields of relations whose label precision is known, of the engine that painted most."""
    lines = corrected_yields({"": data.path}, config.calibration)
    found: dict[str, Yield] = {}
    for line in sorted(lines, key=lambda line: line.attempts):
        if line.precision is not None:
            found[line.relation] = line
    return found


def _row(line: Precision, verifier: Yield | None) -> dict[str, Any]:
    said = None if verifier is None else verifier.as_json()["label_precision"]
    return {**line.as_json(), "verifier": said}
