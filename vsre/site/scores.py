"""What a report says of scores: in sentences, in a few numbers side by side, and as charts.

A model has one colour and one shape on all pages; what decoders change of it, and what it answers without the picture,
is drawn hollow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.wordings import family_of
from spatial.proportion import percent
from spatial.templates import HELD_OUT
from vsre.compare import Pair, interval, probability
from vsre.compare_tables import Cells
from vsre.site.chart import Chart, Words
from vsre.site.curves import line_chart
from vsre.site.intervals import Mark, Series, interval_chart
from vsre.summary import BLIND, GREEDY, IMAGE, Evaluation, overview


@dataclass(frozen=True)
class Scored:
    """The scores of a model with a decoder, with or without the picture.

    Attributes:
        name: as tables and ``summary.json`` call it, "expert+adaptvis".
        scores: see ``eval.results.summarise``.
        look: of its model.
        plain: whether it is the model as it is: greedy, with the picture.
    """

    name: str
    scores: Mapping[str, Any]
    look: int

    @property
    def plain(self) -> bool:
        return (self.scores["decoder"], self.scores["image_mode"]) == (GREEDY, IMAGE)

    @property
    def sees(self) -> bool:
        """Whether it was shown the picture."""
        return bool(self.scores["image_mode"] == IMAGE)


@dataclass(frozen=True)
class Tile:
    """A number that stands for itself: what it is of, in percent, its interval, and of how many questions."""

    name: str
    value: str
    interval: str
    n: int


def rows_of_all(evaluations: Sequence[Evaluation]) -> list[Scored]:
    """Return the rows of all models that have an accuracy."""
    return [
        Scored(name, scores, look)
        for look, evaluation in enumerate(evaluations)
        for name, scores in overview(evaluation).items()
        if scores["accuracy"] is not None
    ]


def tiles(evaluations: Sequence[Evaluation], rows: Sequence[Scored]) -> list[Tile]:
    """Return the comparison in short: the first and the last model, as they are and with their decoders."""
    ends = {0, len(evaluations) - 1}
    return [_tile(row) for row in rows if row.look in ends and row.sees]


def findings(rows: Sequence[Scored], pairs: Sequence[Pair]) -> list[str]:
    """Say in sentences what the last model reaches, how it differs from the first, and what it reaches unseeing."""
    plain = [row for row in rows if row.plain] or list(rows)
    first, last = plain[0], plain[-1]
    questions = f"{last.scores['n']:,} questions{' about relations' * bool(last.scores['per_relation'])}"
    told = [f"{last.name} answers {_told(last.scores)} of {questions} rightly."]
    chance = last.scores["chance"]
    if first is not last:
        told = [f"{told[0][:-1]}; {first.name} answers {_told(first.scores)}."]
        told += [_difference(pair) for pair in pairs if (pair.first, pair.second) == (first.name, last.name)]
    if chance is not None:
        told.append(f"Guessing reaches {percent(chance)} %.")
    blind = [row for row in rows if row.look == last.look and row.scores["image_mode"] == BLIND]
    told += [f"Asked about an empty picture, {last.name} answers {_told(row.scores)} rightly." for row in blind[:1]]
    return told


def score_chart(evaluations: Sequence[Evaluation], rows: Sequence[Scored]) -> Chart:
    """Draw the accuracy of every row, a series for each model."""
    series = [
        Series(one.name, {row.name: _mark(row.scores, not row.sees) for row in rows if row.look == look}, look)
        for look, one in enumerate(evaluations)
    ]
    note = "Share of right answers with its 95 % interval, from a bootstrap over images. Dotted: guessing."
    if not all(row.sees for row in rows):
        note += (
            " Hollow: asked about an empty picture (image_blind) or another one (shuffled), for what words alone tell."
        )
    words = Words("scores", "All models and decoders", note, ("model",))
    return interval_chart(words, [row.name for row in rows], series, rows[-1].scores["chance"])


def control_chart(evaluations: Sequence[Evaluation]) -> Chart | None:
    """Draw the accuracy on what models have to master before relations; ``None`` where nothing of it was asked."""
    series = [
        Series(one.name, {topic: _mark(part) for topic, part in _known(one.controls)}, look)
        for look, one in enumerate(evaluations)
        if one.controls
    ]
    topics = list(dict.fromkeys(topic for one in series for topic in one.marks))
    note = "What a model has to master before its answers about relations mean anything. Dotted: guessing."
    return interval_chart(Words("controls", "Controls", note, ("topic",)), topics, series, 0.5) if topics else None


def relation_chart(rows: Sequence[Scored]) -> Chart | None:
    """Draw the accuracy on each relation, those first that the last model finds hardest."""
    series = _by_part(rows, "per_relation")
    last = next((one.marks for one in reversed(series) if one.shown and one.marks), {})
    names = list(dict.fromkeys([*sorted(last, key=lambda name: (last[name].value, name)), *_names(series)]))
    note = "The hardest relation of the last model comes first. Dotted: guessing."
    note += " Decoders, hollow, can be switched on." * (not all(one.shown for one in series))
    return interval_chart(Words("relations", "By relation", note, ("relation",)), names, series, 0.5) if names else None


def category_chart(rows: Sequence[Scored]) -> Chart | None:
    """Draw the accuracy on each category of relations; ``None`` where there are less than two."""
    series = _by_part(rows, "per_category")
    names = _names(series)
    note = "Relations of one kind together, as VSR groups them."
    words = Words("categories", "By category", note, ("category",))
    return interval_chart(words, names, series, 0.5) if len(names) > 1 else None


def wording_chart(rows: Sequence[Scored]) -> Chart | None:
    """Draw the accuracy in each wording, by family; ``None`` where all were asked in the same one."""
    series = [
        Series(one.name, {_wording(name): mark for name, mark in one.marks.items()}, one.look, one.shown)
        for one in _by_part(rows, "per_template")
    ]
    names = sorted(_names(series))
    note = "The same questions in other words: family and template. *: a form that is held out of training."
    words = Words("wordings", "By wording", note, ("wording",))
    return interval_chart(words, names, series, 0.5) if len(names) > 1 else None


def spread_cells(rows: Sequence[Scored]) -> Cells | None:
    """Return the table of mean, worst and spread over templates and families, where there are several."""
    body = [
        (
            row.name,
            task,
            over.replace("_", " "),
            str(found["n"]),
            *map(percent, map(found.get, ("mean", "worst", "std"))),
        )
        for row in rows
        for task, spreads in row.scores["wordings"].items()
        for over, found in spreads.items()
        if found["n"] > 1
    ]
    return (("model", "task", "over", "n", "mean %", "worst %", "std %"), body) if body else None


def reliability_chart(rows: Sequence[Scored]) -> Chart | None:
    """Draw how often answers of a probability are right; ``None`` where probabilities were not kept."""
    known = [row for row in rows if row.plain and row.scores["calibration"]]
    lines = {
        row.name: [(100 * part["probability"], 100 * part["accuracy"]) for part in row.scores["calibration"]["bins"]]
        for row in known
    }
    note = "Each mark stands for a tenth of the questions. On the dotted line a model is right as often as it is sure; "
    note += "below it, it is surer than it should be."
    heads = ("model", "probability of the answer, %", "% right")
    words = Words("reliability", "Does it know when it is right?", note, heads)
    return line_chart(words, lines, [row.look for row in known], diagonal=True) if lines else None


def reliability_cells(rows: Sequence[Scored]) -> Cells:
    """Return the table of expected calibration error and Brier score."""
    known = [row for row in rows if row.sees and row.scores["calibration"]]
    body = [
        (row.name, f"{row.scores['n']:,}", percent(found["ece"]), f"{found['brier']:.3f}")
        for row in known
        if (found := row.scores["calibration"])
    ]
    return ("model", "n", "calibration error %", "Brier score"), body


def _by_part(rows: Sequence[Scored], key: str) -> list[Series]:
    """Return a series for each row with the picture, and its marks by the parts of the questions."""
    seeing = [row for row in rows if row.sees]
    found = [(row, {name: _mark(part, not row.plain) for name, part in _known(row.scores[key])}) for row in seeing]
    return [Series(row.name, marks, row.look, row.plain) for row, marks in found if marks]


def _known(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((name, part) for name, part in parts.items() if part["accuracy"] is not None)


def _names(series: Sequence[Series]) -> list[str]:
    return list(dict.fromkeys(name for one in series for name in one.marks))


def _wording(template: str) -> str:
    family = family_of(template)
    held_out = "*" * (family in HELD_OUT)
    return f"{family}: {template}{held_out}" if family not in ("", template) else f"{template}{held_out}"


def _mark(scores: Mapping[str, Any], hollow: bool = False) -> Mark:
    return Mark(scores["accuracy"], tuple(scores["ci95"]), scores["n"], hollow)


def _tile(row: Scored) -> Tile:
    return Tile(row.name, percent(row.scores["accuracy"]), interval(row.scores["ci95"]), row.scores["n"])


def _told(scores: Mapping[str, Any]) -> str:
    return f"{percent(scores['accuracy'])} % ({interval(scores['ci95'])})"


def _difference(pair: Pair) -> str:
    found = pair.found
    if found["difference"] is None:
        return ""
    size = f"{100 * found['difference']:+.1f} points ({interval(found['ci95'])})"
    luck = "more than luck explains" if pair.adjusted < 0.05 else "which luck could explain"
    p = probability(pair.adjusted)
    told = f"p {p}" if p.startswith("<") else f"p = {p}"
    return f"On the {found['n']:,} questions that both answered the difference is {size}, {luck} ({told})."
