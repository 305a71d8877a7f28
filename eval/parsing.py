"""What an answer in words says: which of the options it names, and whether it names one at all.

A model that is asked where the lamp is in relation to the table, and says "The lamp is on the floor, under the
table", has said "under". Looking for the right word anywhere in the text credits it with "on" too; taking the first
preposition reads "on" only. So every mention of an option is found with what it is said of, and where several options
are named, the one said of the object that was asked about counts. An answer that still names two is not guessed at.

``contains_answer`` is the other way, as the code released with AdaptVis (arXiv 2503.01773) does it, to compare with.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["parsed", "none", "several", "negated"]


@dataclass(frozen=True)
class Parsed:
    """What a text says.

    Attributes:
        option: the option that it names; "" where ``outcome`` is not "parsed".
        outcome: "parsed"; "none": no option is named; "several": more than one is, and what was asked does not decide
            between them; "negated": options are only denied, and what is left is not one.
    """

    option: str
    outcome: Outcome


@dataclass(frozen=True)
class _Mention:
    option: str
    start: int
    end: int
    negated: bool


OPPOSITES = {"yes": "no", "true": "false", "correct": "incorrect", "right": "wrong"}
"""Words for true and false; a negated one means the other."""

CONVERSES = {
    "left": "right",
    "on": "under",
    "above": "below",
    "over": "under",
    "front": "behind",
    "top": "bottom",
    "left of": "right of",
    "in front of": "behind",
    "inside": "around",
}
"""What the reference is to the subject where the subject is the key to the reference; and the other way round."""

_FAR = r"(?:far |very |extreme |immediate )?"
_SIDE = r"(?:(?:on|to|at|in) (?:the|its) )?" + _FAR + r"{side}(?:[- ]hand)?(?: side| part| half| corner| edge)?(?: of)?"
_NOT_AN_ADVERB = r"(?! (?:on|under|underneath|below|beneath|behind|above|over|in|next|beside|at|by|near)\b)"
_PHRASES = {
    "left": _SIDE.format(side="left"),
    "right": _SIDE.format(side="right") + _NOT_AN_ADVERB,
    "top": r"(?:(?:on|at|in|to|near) the )?" + _FAR + r"(?<!on )top(?: part| half| corner| edge)?(?: of)?",
    "bottom": r"(?:(?:on|at|in|to|near) the )?" + _FAR + r"bottom(?: part| half| corner| edge)?(?: of)?",
    "on": r"on(?: top of)?(?! (?:the|its) (?:far |very |extreme |immediate )?(?:left|right|top|bottom|front|back)\b)",
    "under": r"(?:under|underneath|beneath)",
    "front": r"(?:in front of|(?:in|at|on|to) the front(?: of)?|front)",
    "behind": r"(?:behind|in back of|(?:in|at|on|to) the back(?: of)?)",
    "left of": r"(?:(?:on|to|at) the )?left(?:[- ]hand)?(?: side)? of",
    "right of": r"(?:(?:on|to|at) the )?right(?:[- ]hand)?(?: side)? of",
}
"""How options that are single words are said in a sentence, with the small words that belong to them."""

_DENIED = re.compile(r"(?:\bnot|n['\u2019]t|\bnever|\bno longer|\bneither|\brather than|\binstead of)(?: \w+){0,2} ?$")
_CLAUSE_ENDS = re.compile(r"[.;,!?\n]|\b(?:and|but|while|with)\b")


def parse_answer(text: str, options: Sequence[str], subject: str = "", reference: str = "") -> Parsed:
    """Return which option a text names.

    Args:
        text: what the model wrote.
        options: answers that were asked for; letter case does not matter.
        subject: noun of the thing whose place was asked, if any.
        reference: noun of the thing in relation to which; decides where several options are named.
    """
    lowered = " ".join(text.lower().split())
    mentions = list(_mentions(lowered, options))
    if not mentions:
        return Parsed("", "none")
    if (first := mentions[0]).start == 0 and not first.negated and _is_whole_answer(lowered, first):
        return Parsed(first.option, "parsed")
    said = [_meant(mention, options) for mention in mentions]
    if all(option == "" for option in said):
        return Parsed("", "negated")
    kept = [(option, mention) for option, mention in zip(said, mentions, strict=True) if option]
    about = [option for option, mention in kept if _names(reference, _after(lowered, mention, mentions))]
    if not about:
        about = [_converse(o, options) for o, m in kept if _is_swapped(lowered, m, mentions, subject, reference)]
    distinct = {option for option in about if option} or {option for option, _ in kept}
    return Parsed(distinct.pop(), "parsed") if len(distinct) == 1 else Parsed("", "several")


def contains_answer(text: str, answer: str) -> bool:
    """Return whether a text counts as right in the code released with AdaptVis, for answers that are relations.

    It does if it contains the answer anywhere, as it is or in small letters, but for "on" in a text with "front".
    """
    found = answer in text or answer.lower() in text.lower()
    return found and not (answer.lower() == "on" and "front" in text.lower())


def contains_verdict(text: str, is_true: bool) -> bool:
    """Return whether a text counts as right there for a statement: "Yes" or "No" anywhere, capital letter and all."""
    return ("Yes" if is_true else "No") in text


def _mentions(text: str, options: Sequence[str]) -> Iterator[_Mention]:
    """Yield the options that a text names, from left to right; of two at one place the longer one."""
    found = [
        _Mention(option, match.start(), match.end(), bool(_DENIED.search(text[: match.start()])))
        for option in options
        for match in re.finditer(_pattern(option), text)
    ]
    end = 0
    for mention in sorted(found, key=lambda mention: (mention.start, -mention.end)):
        if mention.start >= end:
            yield mention
            end = mention.end


def _pattern(option: str) -> str:
    plain = option.lower()
    return rf"(?<![\w-]){_PHRASES.get(plain, re.escape(plain))}(?![\w-])"


def _is_whole_answer(text: str, first: _Mention) -> bool:
    """Whether a text begins with an option that stands for itself: "Yes, the ...", "Left.", "left"."""
    return first.end == len(text) or (text[first.end] in ".,;:!?\n" and first.option.lower() in OPPOSITES_OF)


def _meant(mention: _Mention, options: Sequence[str]) -> str:
    """Return the option that a mention stands for: of a denied word for true the word for false; "" if none."""
    if not mention.negated:
        return mention.option
    other = OPPOSITES_OF.get(mention.option.lower())
    return next((option for option in options if option.lower() == other), "")


def _after(text: str, mention: _Mention, mentions: Sequence[_Mention]) -> str:
    """Return what a mention is said of: the words after it, to the next mention or the end of the clause."""
    later = [other.start for other in mentions if other.start >= mention.end]
    rest = text[mention.end : min(later, default=len(text))]
    return _CLAUSE_ENDS.split(rest, maxsplit=1)[0]


def _is_swapped(text: str, mention: _Mention, mentions: Sequence[_Mention], subject: str, reference: str) -> bool:
    """Whether a mention is said of the subject: "the table is under the lamp", where the lamp was asked about."""
    before = text[: mention.start]
    return _names(subject, _after(text, mention, mentions)) and _names(reference, before)


def _converse(option: str, options: Sequence[str]) -> str:
    other = CONVERSES_OF.get(option.lower())
    return next((known for known in options if known.lower() == other), "")


def _names(noun: str, text: str) -> bool:
    return bool(noun) and re.search(rf"\b{re.escape(noun.lower())}(?:s|es)?\b", text) is not None


OPPOSITES_OF = OPPOSITES | {value: key for key, value in OPPOSITES.items()}
CONVERSES_OF = CONVERSES | {value: key for key, value in CONVERSES.items()} | {"under": "on"}
