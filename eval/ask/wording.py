"""From what a person types to what a model is asked: the answers to choose from, and what cannot be asked.

The question goes to the model as it was typed. Words that the model has never seen (``eval.unseen``) are named, and no
answer is given.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from spatial.errors import ConfigError, RecordError, nearest
from spatial.pictures import read_picture

if TYPE_CHECKING:
    from eval.unseen import Vocabulary

YES_NO = ("yes", "no")

LONGEST = 1000
"""Characters of a question, and of all its options together."""

LARGEST_FILE = 64_000_000
"""Bytes of a picture's file."""

LARGEST_SIDE = 2048
"""A picture of more pixels a side is made smaller; no encoder looks at more than half as many."""

_VERB = r"(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should)"
_ASKS = re.compile(rf"(?:^|[.:,;!?]\s+){_VERB}\b[^?]*\?|\byes or no\b", re.IGNORECASE)
_ALTERNATIVE = re.compile(r"\b(?<!yes )or\b(?! not\b| no\b)", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def open_picture(name: str) -> Image.Image:
    """Return the picture in a file, upright, RGB, and not larger than ``LARGEST_SIDE``.

    Raises:
        ConfigError: no file is named, or an address.
        RecordError: there is no such file, or it is not a picture that can be used.
    """
    if not name:
        raise ConfigError("no picture is named; write vsre ask IMAGE 'Is the cup left of the laptop?'")
    if _ADDRESS.match(name):
        raise ConfigError(f"{name} is an address, and nothing is downloaded; save the picture and name its file")
    path = Path(name)
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        near = nearest(path.name, [entry.name for entry in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise RecordError(f"there is no picture {name} in {Path.cwd()}{near}; correct the path") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"{name[:80]} cannot be read ({error}); name the file of a picture") from error
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no ordinary file"
        raise RecordError(f"{name} is {kind}; name the file of one picture")
    if size > LARGEST_FILE:
        raise RecordError(f"{name} has {size:,} bytes, more than {LARGEST_FILE:,}; save the picture smaller")
    picture = read_picture(path)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return picture


def answers_to(question: str, options: Sequence[str] | str) -> tuple[str, ...]:
    """Return the answers to choose from; none where the question is to be answered in words.

    Raises:
        ConfigError: there is no question, it is too long, or the options are fewer than two different ones.
    """
    if not question.strip():
        raise ConfigError("no question is asked; write vsre ask IMAGE 'Is the cup left of the laptop?'")
    listed = options.split(",") if isinstance(options, str) else options
    named = tuple(dict.fromkeys(part.strip() for part in listed if part.strip()))
    length = len(question) + sum(map(len, named))
    if length > LONGEST:
        raise ConfigError(f"question and options have {length:,} characters, more than {LONGEST:,}; ask in fewer words")
    if len(named) == 1:
        raise ConfigError(f"options has the one answer {named[0]!r}; name two or more, as in --options left,right")
    return named or (YES_NO if is_yes_no(question) else ())


def is_yes_no(question: str) -> bool:
    """Tell whether yes or no answers a question, by its first word; of "Is it left or right?" neither does."""
    return bool(_ASKS.search(question)) and not _ALTERNATIVE.search(question)


def check_words(vocabulary: "Vocabulary", name: str, texts: Sequence[str]) -> None:
    """Refuse what the model cannot read.

    Args:
        vocabulary: of the model that is asked.
        name: of the model, for people.
        texts: the question and its options.

    Raises:
        ConfigError: a text holds a token that has a meaning of its own, or words that the model has never seen.
    """
    for token in vocabulary.tokenizer.all_special_tokens:
        if any(token in text for text in texts):
            raise ConfigError(f"{token!r} has a meaning of its own for {name}; leave it out of question and options")
    unknown = list(dict.fromkeys(word for words in vocabulary.unseen(texts) for word in words))
    if unknown:
        words = ", ".join(map(repr, unknown))
        raise ConfigError(f"{name} has never seen {words}, so that its answer would mean nothing; {vocabulary.advice}")
