"""Answers one by one: a picture, a statement about it, whether it is true, and what every model said of it.

A report's scores say how often models are right. This page says where they are not: a bounded number of statements is
drawn, a share of each kind, and what models disagree on or get wrong comes first.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from eval.calibration import option_shares
from eval.predictions import Prediction
from spatial.proportion import percent
from spatial.records import ImageRow
from vsre.compare import Row
from vsre.gallery.sample import draw
from vsre.pictures import Picture, describe, picture
from vsre.site.answer_pictures import Source, file_of, find_pictures

DISAGREE, WRONG, RIGHT = "they disagree", "all wrong", "all right"
KINDS = (DISAGREE, WRONG, RIGHT)
"""Of statements, in the order of the page."""

TOLD = {DISAGREE: "the models disagree on {}", WRONG: "all are wrong on {}", RIGHT: "all are right on {}"}
TOLD_OF_ONE = {WRONG: "{} answered wrongly", RIGHT: "{} answered rightly"}
"""How the page counts statements of a kind: of several models or decoders, and of one."""

ANY_WRONG = "at least one wrong"

SIDE = 640
"""Largest width and height of a picture on this page, in pixels."""

FAILED = 20
"""Rows without an answer that are listed."""

Asked = Mapping[str, Prediction]
"""The answers to one question, by model with decoder; never empty."""


@dataclass(frozen=True)
class Said:
    """What a model with a decoder said.

    Attributes:
        name: of model and decoder.
        text: the answer; of a statement "true" or "false", in whatever words it was asked.
        probability: of the answer among the options, in percent; "" where it is not known.
        right: whether it is right.
    """

    name: str
    text: str
    probability: str
    right: bool


@dataclass(frozen=True)
class Card:
    """A statement or question about a picture, ready for the page.

    Attributes:
        picture: ``None`` where it was not found.
        file: what the source calls the picture's file; "" where that is not known.
        caption: the statement; of a choice, the sentence that is true.
        options: to choose from; empty of a statement.
        truth: the right answer.
        about: its relation, or its topic.
        said: by every model that was asked.
        facets: the values by which filters find it.
    """

    picture: Picture | None
    file: str
    caption: str
    options: Sequence[str]
    truth: str
    about: str
    said: Sequence[Said]
    facets: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Answers:
    """What the page shows.

    Attributes:
        cards: in their order.
        asked: how many statements were asked in all.
        pictures: about how many pictures.
        told: how many of them are of each kind that there is, in words.
        shown: the same of the cards.
        facets: values of each filter that some card has.
        missing: why pictures are not shown, in a line; "" where all are.
        failed: rows without an answer, and why; the first of them.
        failures: how many there are.
        seed: of the draw.
    """

    cards: Sequence[Card]
    asked: int
    pictures: int
    told: str
    shown: str
    facets: Mapping[str, Sequence[str]]
    missing: str
    failed: Mapping[str, str]
    failures: int
    seed: int


def read_answers(rows: Sequence[Row], sources: Sequence[Source], limit: int, seed: int) -> Answers:
    """Return the statements to show, with their pictures.

    Args:
        rows: the answers of every model with every decoder.
        sources: where pictures may be, tried one after the other until all are found.
        limit: largest number of cards.
        seed: which statements are drawn.
    """
    asked = ask_together(rows)
    kinds = {record: kind_of(answers) for record, answers in asked.items()}
    chosen = choose(kinds, {record: _about(_first(answers)) for record, answers in asked.items()}, limit, seed)
    images, missing = find_pictures({_first(asked[record]).image_id for record in chosen}, sources)
    cards = [_card(asked[record], images.get(_first(asked[record]).image_id)) for record in chosen]
    if len(rows) == 1:
        cards = [replace(card, facets={**card.facets, "answers": _of_one(card)}) for card in cards]
    told = TOLD_OF_ONE if len(rows) == 1 else TOLD
    why = _failures(rows)
    return Answers(
        cards,
        len(asked),
        len({_first(answers).image_id for answers in asked.values()}),
        _counted(kinds.values(), told),
        _counted([kinds[record] for record in chosen], told),
        {"relation": sorted({card.about for card in cards}), "answers": _marks(cards, rows)},
        missing,
        dict(list(why.items())[:FAILED]),
        len(why),
        seed,
    )


def ask_together(rows: Sequence[Row]) -> dict[str, dict[str, Prediction]]:
    """Return the answers by record, and by model with decoder.

    Of a record that was asked in several wordings each model's answer is to the one that most models were asked.
    """
    found: dict[str, dict[str, dict[str, Prediction]]] = {}
    for row in rows:
        for answer in row.predictions:
            if not answer.failed:
                found.setdefault(answer.record_id, {}).setdefault(row.name, {})[answer.template] = answer
    asked = {}
    for record, by_name in found.items():
        wordings = Counter(template for own in by_name.values() for template in own)
        best = sorted(wordings, key=lambda template: (-wordings[template], template))
        asked[record] = {
            name: own[next(template for template in best if template in own)] for name, own in by_name.items()
        }
    return asked


def kind_of(answers: Asked) -> str:
    """Return whether models disagree on a question, or all get it wrong, or right."""
    right = {answer.correct for answer in answers.values()}
    # Options of two wordings cannot be held side by side, but whether they are right can.
    one_wording = len({answer.template for answer in answers.values()}) == 1
    if len(right) > 1 or (one_wording and len({answer.predicted for answer in answers.values()}) > 1):
        return DISAGREE
    return RIGHT if right == {True} else WRONG


def choose(kinds: Mapping[str, str], about: Mapping[str, str], limit: int, seed: int) -> list[str]:
    """Return the records to show, in the order of ``KINDS``, going round the relations within each.

    Kinds that there are get equal shares; what one does not fill goes to the others, in that order.
    """
    present = [kind for kind in KINDS if kind in kinds.values()]
    drawn = {
        kind: draw({key: [about[key]] for key, own in kinds.items() if own == kind}, limit, limit, seed)
        for kind in present
    }
    share = limit // max(len(present), 1)
    taken = {kind: drawn[kind][:share] for kind in present}
    for kind in present:
        room = limit - sum(map(len, taken.values()))
        taken[kind] += drawn[kind][share : share + room]
    return [key for kind in present for key in taken[kind]]


def _card(answers: Asked, image: ImageRow | None) -> Card:
    first = _first(answers)
    file = first.image_file or (file_of(image) if image else "")
    wrong = [name for name, answer in answers.items() if not answer.correct]
    marks = [kind_of(answers), *([ANY_WRONG] if wrong else []), *(f"wrong: {name}" for name in wrong)]
    shown = None
    if image:
        alt = describe(image) if image.objects else f"picture {file}".strip()
        shown = picture(image, f"{alt}, asked about: {first.caption}", side=SIDE)
    return Card(
        shown,
        file,
        first.caption,
        () if first.task == "statement" else first.options,
        _meaning(first, first.answer),
        _about(first),
        [_said(name, answer, first) for name, answer in answers.items()],
        {"relation": [_about(first)], "answers": marks},
    )


def _said(name: str, answer: Prediction, first: Prediction) -> Said:
    text, truth = _meaning(answer, answer.predicted), _meaning(answer, answer.answer)
    if truth != _meaning(first, first.answer):  # options of another wording, such as letters
        text = f"{text}, where {truth} is right"
    probability = ""
    if answer.option_logprobs:
        share = option_shares(answer.option_logprobs)[answer.options.index(answer.predicted)]
        probability = percent(share)
    return Said(name, text, probability, answer.correct)


def _meaning(answer: Prediction, option: str) -> str:
    """Return what an option says; of a statement whether it is true, as the option that says so comes first."""
    if answer.task == "statement" and answer.options:
        return "true" if option == answer.options[0] else "false"
    return option


def _first(answers: Asked) -> Prediction:
    return next(iter(answers.values()))


def _about(answer: Prediction) -> str:
    return answer.relation or answer.topic or "other"


def _of_one(card: Card) -> list[str]:
    return ["right" if one.right else "wrong" for one in card.said]


def _marks(cards: Sequence[Card], rows: Sequence[Row]) -> list[str]:
    """Return the values of the filter by answers that some card has, kinds first, then models in their order."""
    found = {value for card in cards for value in card.facets["answers"]}
    order = [*KINDS, "wrong", "right", ANY_WRONG, *(f"wrong: {row.name}" for row in rows)]
    return [value for value in order if value in found]


def _counted(kinds: Collection[str], told: Mapping[str, str]) -> str:
    """Say how many there are of each kind: "the models disagree on 1,023, all are right on 410"."""
    counts = Counter(kinds)
    return ", ".join(text.format(f"{counts[kind]:,}") for kind, text in told.items() if counts[kind])


def _failures(rows: Sequence[Row]) -> dict[str, str]:
    """Return why there is no answer, by what names the question best."""
    failed = [answer for row in rows for answer in row.predictions if answer.failed]
    return {f"{answer.image_file} {answer.caption}".strip() or answer.record_id: answer.failed for answer in failed}
