"""Minimal pairs of records: the two pictures of a counterfactual group, or two questions about one picture.

The groups of our datasets are minimal pairs by construction, and What'sUp's sets of four photos are some of two objects
that were really moved. Both give *image* pairs in the same words, and *text* pairs about one picture (``wording``).

A set of pairs is balanced: relations come in turn, and of each half of the pairs have a clean side whose answer stands
first among the options ("yes"). What a model says more often is then no effect.
"""

import random
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from eval.interpret.pairs import MODES, Pair, PairSet, Side
from eval.interpret.wording import Asked, ask, image_pairs, text_pairs
from eval.turns import in_turn
from spatial.dataset import FailedRow, RecordSet
from spatial.errors import check_known
from spatial.records import Record
from spatial.relations import RELATIONS
from spatial.templates import choose_templates

Item = TypeVar("Item")


@dataclass(frozen=True)
class Candidate:
    """A pair in one of its two directions."""

    mode: str
    clean: Asked
    corrupt: Asked

    @property
    def unit(self) -> str:
        """What is balanced: the relation of the clean statement, or the two answers of a choice."""
        if self.clean.record.task == "statement":
            return self.clean.record.relation
        return " or ".join(sorted((self.clean.record.answer, self.corrupt.record.answer)))

    @property
    def is_first(self) -> bool:
        """Whether the clean answer stands before the other one among the options."""
        options = self.clean.prompt.options
        return options.index(self.clean.prompt.answer) < options.index(self.corrupt.prompt.answer)

    @property
    def both(self) -> frozenset[tuple[str, str]]:
        """What is shown, whatever its direction."""
        return frozenset((self.clean.shown, self.corrupt.shown))

    def pair(self) -> Pair:
        """Return it as a pair."""
        record = self.clean.record
        answers = (self.clean.prompt.answer, self.corrupt.prompt.answer)
        family = RELATIONS[record.relation].category
        return Pair(self.mode, side(self.clean), side(self.corrupt), answers, record.relation, family, record.group_id)


def side(asked: Asked) -> Side:
    """Return a record in words as one side of a pair."""
    return Side(asked.record.image_id, asked.prompt, asked.record.record_id)


def pairs_of_records(
    records: RecordSet, templates: Sequence[str] = (), modes: Sequence[str] = MODES, count: int = 0, seed: int = 0
) -> PairSet:
    """Draw balanced pairs from the groups of a set of records.

    Args:
        records: statements and choices about relations; of others nothing is made.
        templates: names of ``TEMPLATES`` and ``SELECTIONS``; empty takes the core ones. Each group draws one.
        modes: of ``MODES``.
        count: at most so many pairs of each mode; 0 draws as many as can be balanced.
        seed: draws templates, the order of options, pairs and their direction.

    Returns:
        The pairs, those of a mode together. What is not drawn although it could be does not count as dropped.

    Raises:
        ConfigError: an unknown template or mode.
    """
    for mode in modes:
        check_known("mode", mode, MODES)
    names, failed = choose_templates(list(templates)), list(records.failed)
    found: dict[str, list[Candidate]] = {mode: [] for mode in modes}
    for group in by_group(records.records):
        asked: list[Asked] = _split(ask(group, records.images, names, seed), failed)
        for mode in modes:
            made = image_pairs(asked) if mode == "image" else text_pairs(asked, records.images, seed)
            found[mode] += [Candidate(mode, *both) for both in _split(made, failed)]
    drawn = [each for mode in modes for each in balanced(found[mode], count, seed)]
    return PairSet([each.pair() for each in drawn], records.images, failed)


def by_group(records: Iterable[Record]) -> list[list[Record]]:
    """Return the records of each group, in the order in which groups appear."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.group_id, []).append(record)
    return list(groups.values())


def _split(made: Iterable[Item | FailedRow], failed: list[FailedRow]) -> list[Item]:
    """Return what was made, and put what was not to ``failed``."""
    kept = []
    for each in made:
        if isinstance(each, FailedRow):
            failed.append(each)
        else:
            kept.append(each)
    return kept


def balanced(candidates: Sequence[Candidate], count: int, seed: int) -> list[Candidate]:
    """Draw pairs: in turn of every unit, and of a unit in turn of those whose clean answer is first and is not.

    A unit ends where one more would unbalance it, and each pair is drawn in one of its directions only.

    Args:
        candidates: each in any of its directions.
        count: at most so many; 0 draws until every unit has ended.
        seed: of the order.
    """
    queues = _queues(candidates, random.Random(seed))
    taken: set[frozenset[tuple[str, str]]] = set()
    lead = dict.fromkeys(queues, 0)  # of a unit, how many more are first than are not
    drawn: list[Candidate] = []
    units = deque(queues)
    while units and (not count or len(drawn) < count):
        unit = units.popleft()
        wanted = (True, False) if lead[unit] == 0 else (lead[unit] < 0,)
        if lead[unit] == 0 and random.Random(f"{seed}/{unit}").random() < 0.5:
            wanted = (False, True)
        following = next(filter(None, (_next(queues[unit][first], taken) for first in wanted)), None)
        if following is not None:
            taken.add(following.both)
            lead[unit] += 1 if following.is_first else -1
            drawn.append(following)
            units.append(unit)
    return drawn


def _queues(candidates: Sequence[Candidate], rng: random.Random) -> dict[str, dict[bool, deque[Candidate]]]:
    """Return candidates in both directions by unit and by whether the clean answer is first.

    A group comes again only after all others have come.
    """
    shuffled = rng.sample(list(candidates), len(candidates))
    listed: dict[str, dict[bool, list[Candidate]]] = defaultdict(lambda: {True: [], False: []})
    for each in shuffled:
        for directed in (each, Candidate(each.mode, each.corrupt, each.clean)):
            listed[directed.unit][directed.is_first].append(directed)
    units = rng.sample(sorted(listed), len(listed))

    def group(each: Candidate) -> str:
        return each.clean.record.group_id

    return {unit: {first: deque(in_turn(some, group)) for first, some in listed[unit].items()} for unit in units}


def _next(queue: deque[Candidate], taken: set[frozenset[tuple[str, str]]]) -> Candidate | None:
    while queue:
        each = queue.popleft()
        if each.both not in taken:
            return each
    return None
