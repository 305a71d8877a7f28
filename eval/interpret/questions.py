"""Questions of others as prompts: which characters are the options, and which words stand where they stood.

Words are found whole, never inside others ("a" is not in "man"), and the options where the question lists them, "a or
b", before anywhere else.
"""

import re
from collections.abc import Mapping

from spatial.templates import Prompt

Span = tuple[int, int]
WORD = re.compile(r"[\w'-]+")
"""A word, less the marks around it."""

ARTICLE = r"(?:(?:the|an?)\s+)?"


def question(text: str, answers: tuple[str, str], right: str, words: Mapping[str, str]) -> Prompt:
    """Return a question as a prompt, with the spans of what is known of it.

    Roles are those of ``words``, and where the text lists the answers "options" ("a or b"), "correct" and "incorrect".

    Args:
        text: of the user.
        answers: those of the clean side.
        right: the right one.
        words: by role; what the text does not hold gets no span.
    """
    spans = _options(text, answers)
    for role, word in words.items():
        place = _place(text, word)
        if place:
            spans[role] = place
    listed = "options" in spans
    order = (spans["correct"] < spans["incorrect"]) if listed else (answers[0] < answers[1])
    return _prompt(text, answers if order else answers[::-1], right, spans)


def replaced(clean: Prompt, text: str, right: str) -> Prompt:
    """Return the corrupt question, whose words stand for those in the same place of the clean one.

    Its options are the words that it lists, of which the right answer of its side need not be one. Where it has another
    number of words, only roles whose words it still holds get a span.
    """
    before, words = ([match.span() for match in WORD.finditer(said)] for said in (clean.text, text))
    spans: dict[str, Span] = {}
    for role, (start, end) in clean.spans.items():
        held = [place for place, (left, last) in enumerate(before) if left < end and last > start]
        if len(words) == len(before) and held:
            spans[role] = (words[held[0]][0], words[held[-1]][1])
        elif place := _place(text, clean.text[start:end]):
            spans[role] = place
    listed = sorted(spans[role] for role in ("correct", "incorrect") if role in spans)
    options = tuple(text[start:end] for start, end in listed) if len(listed) == 2 else clean.options
    return _prompt(text, options, right, spans)


def _prompt(text: str, options: tuple[str, ...], right: str, spans: dict[str, Span]) -> Prompt:
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return Prompt([{"role": "user", "content": content}], options, right, spans)


def _options(text: str, answers: tuple[str, str]) -> dict[str, Span]:
    for roles, (one, other) in ((("correct", "incorrect"), answers), (("incorrect", "correct"), answers[::-1])):
        listed = rf"(?<!\w)({re.escape(one)})\s+or\s+{ARTICLE}({re.escape(other)})(?!\w)"
        match = re.search(listed, text, re.IGNORECASE)
        if match:
            return {"options": match.span(), roles[0]: match.span(1), roles[1]: match.span(2)}
    return {}


def _place(text: str, word: str) -> Span | None:
    match = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
    return match.span() if match else None
