"""What the tables of NOTICE's three sets have in common (arXiv 2406.16320): drafts of rows, their order, and the file.

Where the released code differs, ours does not follow it: nothing is drawn twice, everything is drawn from a seed, both
orders of the two options are as frequent, and the corrupt question of a row is made of that row.
"""

import csv
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spatial.errors import ConfigError
from spatial.files import atomic

_log = logging.getLogger(__name__)

HEADER = (
    *("id", "clean_image", "corrupt_image", "clean_prompt", "corrupt_prompt"),
    *("correct", "incorrect", "family", "group"),
)
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Draft:
    """A row before it is known which option comes first.

    Attributes:
        clean: picture of which ``correct`` is true.
        corrupt: picture of which ``incorrect`` is true.
        asked: the question, with {} twice for the options.
        correct: the right option.
        incorrect: the other one.
        others: the words that take the place of the two in the corrupt question; empty if there are none.
        family: what pairs are averaged by.
        group: ties rows together; "" those with the same clean picture.
    """

    clean: Path
    corrupt: Path
    asked: str
    correct: str
    incorrect: str
    others: tuple[str, ...]
    family: str
    group: str = ""


def write_table(drafts: Sequence[Draft], path: Path, root: Path) -> None:
    """Write drafts as a table of pairs; in half of the rows of each family, and of each right option, it comes first.

    Args:
        drafts: in the order in which they are numbered.
        path: of the table.
        root: that the paths of pictures are relative to.

    Raises:
        ConfigError: a picture is not under the root.
    """
    by_option = sorted(range(len(drafts)), key=lambda place: (drafts[place].family, drafts[place].correct, place))
    first = {place: turn % 2 == 0 for turn, place in enumerate(by_option)}
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(HEADER)
        for place, draft in enumerate(drafts):
            options = (draft.correct, draft.incorrect) if first[place] else (draft.incorrect, draft.correct)
            others = draft.others if first[place] else draft.others[::-1]
            corrupt = draft.asked.format(*others) if others else ""
            pictures = [_relative(picture, root) for picture in (draft.clean, draft.corrupt)]
            said = [draft.asked.format(*options), corrupt, draft.correct, draft.incorrect]
            table.writerow([f"{draft.family}-{place}", *pictures, *said, draft.family, draft.group])
    _log.info("wrote %d rows to %s", len(drafts), path)


def _relative(picture: Path, root: Path) -> str:
    try:
        return picture.resolve().relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise ConfigError(f"{picture} is not under {root}; set images to a folder that holds all pictures") from error


def others_for(options: Sequence[str], words: Sequence[Sequence[str]], rng: random.Random) -> tuple[str, ...]:
    """Draw the two words that take the place of two options, each from its own list; () if there are not two.

    Args:
        options: for which words are drawn; they are not drawn themselves.
        words: what may take the place of each.
        rng: draws.
    """
    drawn: list[str] = []
    for some in words:
        left = [word for word in some if word not in (*options, *drawn)]
        if not left:
            return ()
        drawn.append(rng.choice(left))
    return tuple(drawn)
