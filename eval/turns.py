"""Things of several kinds in turn, so that the first of them are of as many kinds as there are."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

Thing = TypeVar("Thing")


def in_turn(things: Iterable[Thing], kind: Callable[[Thing], str]) -> list[Thing]:
    """Return things with the first of every kind before the second of any; else in their order."""
    turns: Counter[str] = Counter()
    ranked = []
    for thing in things:
        turns[kind(thing)] += 1
        ranked.append((turns[kind(thing)], thing))
    return [thing for _, thing in sorted(ranked, key=lambda pair: pair[0])]
