"""Relation sentences: "The cup is left of the book.", put together and taken apart again.

Captions of others are read too: with "are", with another article or none, with or without a capital and a full stop.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from spatial.relations import VERBS
from spatial.vocabulary import PAIRS

BASE_FORMS = {"contains": "contain", "consists of": "consist of", "has as a part": "have as a part"}
"""What a relation that is a verb looks like in a question: "Does the bowl contain the apple?"."""


PERSPECTIVE = r"(?P<view>\s+from\s+[\w\s]+'s\s+perspective)?"
"""How a sentence says whose left and right it means."""


@dataclass(frozen=True)
class Parts:
    """A relation sentence taken apart.

    Attributes:
        subject: phrase without article, "red cup".
        be: "is", "are", or "" where the sentence has neither.
        relation: as the caption writes it.
        article: before the object: "the", "a", "an" or "".
        object: phrase without article.
        view: whose left and right is meant, where the sentence says so: " from the viewer's perspective"; else "".
        spans: role to (start, end) characters of the caption, in the order subject, relation, object.
    """

    subject: str
    be: str
    relation: str
    article: str
    object: str
    view: str
    spans: dict[str, tuple[int, int]]

    @property
    def is_verb(self) -> bool:
        """Whether the relation is the sentence's verb."""
        return self.relation.lower() in VERBS


def sentence(subject: str, relation: str, other: str, several: bool = False, perspective: str = "") -> str:
    """Return "The <subject> is <relation> the <other>.", without "is" where the relation is a verb.

    Args:
        subject: phrase without article.
        relation: a name of ``RELATIONS``.
        other: phrase without article.
        several: whether the subject is a plural, such as "cups"; "skis" and "scissors" are plurals by themselves.
        perspective: whose left and right is meant, "the viewer" or "the car", if the sentence is to say so.
    """
    verb = "" if relation in VERBS else "are " if several else f"{be(subject)} "
    view = f" from {perspective}'s perspective" if perspective else ""
    return f"The {subject} {verb}{relation} the {other}{view}."


def be(noun: str) -> str:
    """Return "is", or "are" for a noun that is plural by itself."""
    return "are" if noun.endswith(PAIRS) else "is"


def is_a(noun: str) -> str:
    """Return what follows "There": "is a cup", "is an oven", "are skis"."""
    if noun.endswith(PAIRS):
        return f"are {noun}"
    return f"is an {noun}" if noun[0] in "aeiou" else f"is a {noun}"


def with_article(phrase: str) -> str:
    """Return a phrase with its article: "a red cup", "an oven", "scissors"."""
    return is_a(phrase).partition(" ")[2]


def listed(phrases: Sequence[str], conjunction: str = "and") -> str:
    """Return "a", "a and b" or "a, b and c"."""
    *first, last = phrases
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def split_caption(caption: str, relation: str) -> tuple[str, str, str]:
    """Take a relation sentence apart into subject phrase, relation and object phrase, without articles.

    Raises:
        ValueError: the caption is not such a sentence.
    """
    parts = take_apart(caption, relation)
    if parts is None:
        raise ValueError(f"caption {caption!r} is not of the form 'The A is {relation} the B.'")
    return (parts.subject, parts.relation, parts.object)


def take_apart(caption: str, relation: str) -> Parts | None:
    """Return the parts of a relation sentence, or ``None`` if the caption is not one with this relation."""
    article = r"(?:the|an|a)\s+"
    between = rf"(?:\s+(?P<be>is|are))?\s+(?P<relation>{re.escape(relation)})\s+"
    pattern = (
        rf"\s*(?:{article})?(?P<subject>\S.*?){between}(?P<article>{article})?(?P<object>\S.*?){PERSPECTIVE}\s*\.?\s*"
    )
    match = re.fullmatch(pattern, caption, re.IGNORECASE) if relation else None
    if match is None:
        return None
    be, before_object = ((match[name] or "").strip() for name in ("be", "article"))
    spans = {role: match.span(role) for role in ("subject", "relation", "object")}
    view = match["view"] or ""
    return Parts(match["subject"], be.lower(), match["relation"], before_object, match["object"], view, spans)
