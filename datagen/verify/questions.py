"""What a vision-language model is asked of a claim, and what its answers are worth.

Models that say yes to everything agree with every claim. So each claim is asked in two wordings, and beside it what
must be false if it is true: the same with the roles exchanged, and its opposite. All must be answered rightly, each
with more probability than the contrary; the score is the product of the probabilities of the right answers, atom by
atom (after Soft-TIFA).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from datagen.verify.base import Claim, Intent, Judge, Pixels, Verdict
from datagen.verify.relation import said
from datagen.verify.verdicts import failed, passed, skipped
from spatial.records import Record
from spatial.relations import RELATIONS, VERBS
from spatial.sentences import BASE_FORMS, be, sentence
from spatial.templates import TEMPLATES, render

WORDINGS = ("question", "clause")
"""Templates in which a claim is asked; both are of the core, whose words every model of ours knows."""

LEAST_MARGIN = 0.0
"""An answer is right above this difference of log P(right) and log P(wrong): at 0, if it is likelier than not."""

DENIED, SWAPPED, NEGATED = "denied", "swapped", "opposite"


@dataclass(frozen=True)
class Question:
    """A yes/no question, whether yes is right, and the reason of the verdict where it is answered wrongly."""

    text: str
    yes: bool
    reason: str


def questions(claim: Claim, intent: Intent) -> list[Question]:
    """Return the questions about a claim: two wordings, the roles exchanged, and the opposite, as far as they follow.

    With the roles exchanged a symmetric relation stays what it is, and one that has another inverse ("left of",
    "contains") turns false; of others ("facing") it says nothing. The opposite is the relation's antonym, which is
    false where the relation is true; a relation without one, or a claim that is false, is denied by "not".
    """
    relation = RELATIONS[claim.relation]
    one, other = (intent.objects[index].name for index in (claim.subject, claim.object))
    caption = sentence(one, claim.relation, other)
    asked = [Question(_ask(caption, claim.relation, wording), claim.truth, DENIED) for wording in WORDINGS]
    if relation.symmetric or (claim.truth and relation.inverse):
        swapped = sentence(other, claim.relation, one)
        truth = claim.truth if relation.symmetric else False
        asked.append(Question(_ask(swapped, claim.relation, WORDINGS[0]), truth, SWAPPED))
    if claim.truth and relation.antonym:
        text = _ask(sentence(one, relation.antonym, other), relation.antonym, WORDINGS[0])
    else:
        text = _ask(_denied(one, claim.relation, other), claim.relation, WORDINGS[0])
    return [*asked, Question(text, not claim.truth, NEGATED)]


def question(pixels: Pixels, intent: Intent, judges: Sequence[Judge]) -> Verdict:
    """Ask every judge about every claim."""
    check = "question"
    if not judges:
        return skipped(check, "no judge")
    if not intent.claims:
        return skipped(check, "nothing was claimed")
    least = 1.0
    for judge in judges:
        for claim in intent.claims:
            asked = questions(claim, intent)
            margins = judge.margins(pixels, [it.text for it in asked])
            sure = [margin if it.yes else -margin for it, margin in zip(asked, margins, strict=True)]
            score = math.prod(1 / (1 + math.exp(-max(margin, -700.0))) for margin in sure)
            wrong = [it for it, margin in zip(asked, sure, strict=True) if not margin > LEAST_MARGIN]
            if wrong:
                return failed(check, wrong[0].reason, f"{said(claim, intent)}: {judge.name}, {wrong[0].text!r}", score)
            least = min(least, score)
    return passed(check, score=least)


def _ask(caption: str, relation: str, wording: str) -> str:
    record = Record("", "", "", "statement", "relation", caption, "true", relation=relation)
    return render(record, TEMPLATES[wording], 0).text


def _denied(one: str, relation: str, other: str) -> str:
    """Return "The cup is not on the book.", "The bowl does not contain the apple."."""
    verb = f"does not {BASE_FORMS[relation]}" if relation in VERBS else f"{be(one)} not {relation}"
    return f"The {one} {verb} the {other}."
