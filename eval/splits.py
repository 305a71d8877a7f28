"""Splits of a benchmark into a part to choose settings on and a part to report: the published one, and a safe one.

AdaptVis (arXiv 2503.01773) draws a fifth of the *rows* for validation. That cuts the sets of four pictures that
What'sUp is made of, while its pair and set accuracies keep the denominators N/2 and N/4: even a model without a mistake
gets 80.0 % of the pairs and 58.2 % of the sets of Controlled A. ``ceilings`` computes these limits for any part, and
``group_split`` never cuts a group.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from spatial.errors import ConfigError
from spatial.records import Record
from spatial.scene import digest

OPPOSITES = (("left of", "right of"), ("on", "under"), ("in front of", "behind"))
"""The two relations of a What'sUp pair: the same two objects, once so and once so."""


@dataclass(frozen=True)
class Ceilings:
    """The highest pair and set accuracy, in percent, that the released formulas give on a part of What'sUp."""

    pair: float
    set: float


def adaptvis_split(count: int, seed: int = 1, share: float = 0.2) -> tuple[list[int], list[int]]:
    """Return the row numbers of AdaptVis's validation and test part, index for index those of its released code.

    The code keeps the numbers it once drew in a file and uses them whatever seed is asked for later; here the seed
    decides.

    Args:
        count: rows of the whole set.
        seed: of Python's generator; AdaptVis has 1.
        share: of the rows, for validation; AdaptVis has a fifth.
    """
    validation = sorted(random.Random(seed).sample(range(count), int(share * count)))
    drawn = set(validation)
    return validation, [row for row in range(count) if row not in drawn]


class Grouped(Protocol):
    """What belongs to a group: a record, or a prediction."""

    @property
    def group_id(self) -> str:
        """Name of the group."""


Member = TypeVar("Member", bound=Grouped)


def some_groups(records: Sequence[Member], least: float, key: str = "") -> set[str]:
    """Return groups, a fixed pseudo-random choice, that hold ``least`` records or more together, if there are so many.

    Args:
        records: of all groups.
        least: number of records.
        key: another one gives another order of groups.
    """
    sizes = Counter(record.group_id for record in records)
    chosen: set[str] = set()
    count = 0
    for group in sorted(sizes, key=lambda group: digest(key + group)):
        if count >= least:
            break
        chosen.add(group)
        count += sizes[group]
    return chosen


def group_split(records: Sequence[Member], share: float, seed: int) -> tuple[list[Member], list[Member]]:
    """Split records, or predictions, into validation and test so that no group is in both; both keep their order.

    Args:
        records: of a benchmark.
        share: of the records for validation, at least; the last group is taken whole.
        seed: orders the groups.

    Raises:
        ConfigError: ``share`` is no share, or one part would be empty.
    """
    if not 0 < share < 1:
        raise ConfigError(f"the share of validation is {share}; use a number between 0 and 1")
    chosen = some_groups(records, share * len(records), f"{seed}/")
    groups = len({record.group_id for record in records})
    if len(chosen) in (0, groups):
        raise ConfigError(f"{groups} groups cannot be split with a share of {share}; raise data.limit")
    validation = [record for record in records if record.group_id in chosen]
    return validation, [record for record in records if record.group_id not in chosen]


def ceilings(part: Sequence[Record]) -> Ceilings:
    """Return what the released pair and set accuracies give on a part of What'sUp if every answer is right.

    A pair counts if both of its pictures are in the part, a set if all four are; they are divided by half and a quarter
    of the part's rows. On complete sets both are 100.

    Raises:
        ConfigError: there are no records.
    """
    if not part:
        raise ConfigError("there are no records to compute ceilings of; name a part that has some")
    relations: dict[str, set[str]] = defaultdict(set)
    for record in part:
        relations[record.group_id].add(record.relation)
    pairs = sum(found.issuperset(pair) for found in relations.values() for pair in OPPOSITES)
    sets = sum(len(found) == 4 for found in relations.values())
    return Ceilings(100 * pairs / (len(part) / 2), 100 * sets / (len(part) / 4))
