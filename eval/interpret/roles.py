"""Which tokens of a prompt play which part.

Roles of words: "subject", "relation", "object" (where the question names them), "options" (the answers that it lists),
"template" (all other words after the picture), "last" (the last token, from which the answer is read) and "before"
(whatever stands before the picture). Image tokens are "image"; where boxes of the things are known, and where tokens
look, they are split into "image: subject", "image: object" and "image: background", and of the latter those whose
features are extremely long, as some encoders make them (arXiv 2309.16588), are "image: outliers".
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from eval.words import Words
from spatial.templates import Prompt

NAMED = ("subject", "relation", "object")
WORDS = (*NAMED, "options", "template", "last")
"""Roles of words after the picture, in the order of heat maps."""

IMAGE_PARTS = ("image: subject", "image: object", "image: background", "image: outliers")

BY_OBJECT = ("image: subject, by object", "image: object, by object")
"""The same, exchanged with the tokens where the other picture has the thing, instead of those at the same place."""

OUTLIER = 3.0
"""Median absolute deviations above the median length from which on an image token is an outlier."""

Roles = dict[str, tuple[int, ...]]
"""Positions by role; a role without a token is absent."""


def word_roles(
    words: Words, text: str, prompt: Prompt, image_token: int | None, image_length: int
) -> tuple[list[int], Roles]:
    """Return the token ids of a prompt, its image placeholder once per image token, and the positions of each role.

    Args:
        words: the tokenizer.
        text: as the chat template writes it.
        prompt: whose user text is in it.
        image_token: the placeholder; ``None`` for a model that is shown the picture elsewhere.
        image_length: number of image tokens.

    Raises:
        ValueError: the chat template changes the user text, or writes more than one placeholder.
    """
    start = text.find(prompt.text)
    if start < 0 or text.find(prompt.text, start + 1) >= 0:
        raise ValueError("the chat template does not write the question once, word for word")
    spans = {role: (start + a, start + b) for role, (a, b) in prompt.spans.items() if role in NAMED}
    listed = _listed(prompt, start)
    ids: list[int] = []
    roles: dict[str, list[int]] = {}
    tokens = words.encode(text)
    pictures = tokens.count(image_token) if image_token is not None else 0
    if pictures > 1:
        raise ValueError(f"the chat template writes {pictures} pictures instead of one")
    seen = not pictures
    for token, (a, b) in zip(tokens, words.places(text), strict=True):
        if token == image_token:
            roles["image"] = list(range(len(ids), len(ids) + image_length))
            ids += [token] * image_length
            seen = True
            continue
        role = _role((a, b), spans, listed) if seen else "before"
        roles.setdefault(role, []).append(len(ids))
        ids.append(token)
    last = len(ids) - 1
    found = {role: tuple(place for place in places if place != last) for role, places in roles.items()}
    found["last"] = (last,)
    return ids, {role: places for role, places in found.items() if places}


def _listed(prompt: Prompt, start: int) -> list[tuple[int, int]]:
    """Return where the question lists the answers: the last time that each of them is a word of its own."""
    found = []
    for option in prompt.options:
        matches = list(re.finditer(rf"(?<!\w){re.escape(option)}(?!\w)", prompt.text, re.IGNORECASE))
        if matches:
            found.append((start + matches[-1].start(), start + matches[-1].end()))
    return found if len(found) == len(prompt.options) else []


def _role(place: tuple[int, int], spans: Mapping[str, tuple[int, int]], listed: Sequence[tuple[int, int]]) -> str:
    def within(span: tuple[int, int]) -> bool:
        return place[0] < span[1] and place[1] > span[0]

    named = next((role for role, span in spans.items() if within(span)), None)
    return named or ("options" if any(map(within, listed)) else "template")


def image_roles(features_ND: Tensor, first: int, covered: Mapping[str, Sequence[int]]) -> Roles:
    """Return the positions of the parts of a picture.

    Args:
        features_ND: image tokens.
        first: position of the first of them.
        covered: of "subject" and "object", the numbers of the tokens that their box covers; a token of both is left
            to neither, and is in no part.
    """
    own = {name: set(covered.get(name, ())) for name in ("subject", "object")}
    both = own["subject"] & own["object"]
    outliers = set(long_tokens(features_ND)) - own["subject"] - own["object"]
    parts = {f"image: {name}": tokens - both for name, tokens in own.items()}
    parts["image: outliers"] = outliers
    parts["image: background"] = set(range(len(features_ND))) - own["subject"] - own["object"] - outliers
    return {name: tuple(first + token for token in sorted(parts[name])) for name in IMAGE_PARTS if parts[name]}


def follow(mine: Roles, other: Roles) -> tuple[Roles, Roles]:
    """Return the parts of two pictures with ``BY_OBJECT`` added: the tokens of a thing, to be exchanged one by one.

    A thing that covers more tokens in one picture than in the other has no counterpart, token by token, and gets none.
    """
    shared = [
        name
        for name in BY_OBJECT
        if len(mine.get(_part(name), ())) == len(other.get(_part(name), ())) and _part(name) in mine
    ]
    return (
        mine | {name: mine[_part(name)] for name in shared},
        other | {name: other[_part(name)] for name in shared},
    )


def _part(name: str) -> str:
    return name.removesuffix(", by object")


def long_tokens(features_ND: Tensor) -> list[int]:
    """Return the numbers of the tokens that are ``OUTLIER`` median absolute deviations longer than the median."""
    length_N = features_ND.float().norm(dim=-1)
    middle = length_N.median()
    spread = (length_N - middle).abs().median() * 1.4826  # that of a normal distribution's standard deviation
    found: list[int] = torch.nonzero(length_N > middle + OUTLIER * spread)[:, 0].tolist()
    return found if spread > 0 else []
