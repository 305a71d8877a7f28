"""Exact balances: counted, not estimated.

Within a group, each caption is true of exactly half of the images it is told of, each image has as many true as false
statements, and each choice has each of its options as the answer equally often. Over the set, each relation is as
often true as false, and each answer as frequent as its alternatives. What is not so is listed with its identifiers.

The words of instruction templates need no count of their own: every template takes "true" and "false" to two words of
its own, whatever the statement, and shuffles the options of a choice by a key that does not know the answer.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.audit.probes import is_true, relation
from spatial.records import Record


@dataclass
class Balance:
    """One rule: how many units it was checked on, and those that break it, as ``audit.json`` lists them."""

    rule: str
    checked: int = 0
    violations: list[dict[str, Any]] = field(default_factory=list)


Unit = Callable[[Record], dict[str, Hashable]]
"""What a rule counts within: names and values that identify the unit."""

STATEMENT_RULES: dict[str, Unit] = {
    "each caption of a group is true half of the time": lambda r: {"group_id": r.group_id, "caption": r.caption},
    "each image of a group is true half of the time": lambda r: {"group_id": r.group_id, "image_id": r.image_id},
    "each relation is true half of the time": lambda r: {"relation": relation(r)},
    'the answers "true" and "false" are equally frequent': lambda r: {"task": r.task},
}

CHOICE_RULES: dict[str, Unit] = {
    "each option of a group's choices is the answer equally often": lambda r: {
        "group_id": r.group_id,
        "options": r.options,
    },
    "each option of a choice is the answer equally often": lambda r: {"options": r.options},
}


def check_balances(records: Sequence[Record]) -> list[Balance]:
    """Check every rule on the statements and choices among ``records``; a rule without records is left out."""
    statements = [record for record in records if record.task == "statement"]
    choices = [record for record in records if record.task == "choice"]
    found = [_check(rule, unit, statements, ("true", "false")) for rule, unit in STATEMENT_RULES.items()]
    found += [_check(rule, unit, choices, None) for rule, unit in CHOICE_RULES.items()]
    return [balance for balance in found if balance.checked]


def _check(rule: str, unit: Unit, records: Sequence[Record], answers: tuple[str, ...] | None) -> Balance:
    """Count the answers within each unit; ``answers`` are the alternatives, or ``None`` for a choice's own options."""
    counts: dict[tuple[tuple[str, Hashable], ...], dict[str, int]] = defaultdict(dict)
    for record in records:
        count = counts[tuple(unit(record).items())]
        for answer in answers or record.options:
            count.setdefault(answer, 0)
        answer = ("true" if is_true(record) else "false") if answers else record.answer
        count[answer] = count.get(answer, 0) + 1
    violations = [
        {**_plain(dict(key)), "counts": count} for key, count in counts.items() if len(set(count.values())) > 1
    ]
    return Balance(rule, len(counts), violations)


def _plain(unit: dict[str, Hashable]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in unit.items()}
