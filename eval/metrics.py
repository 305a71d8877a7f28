"""Scores as pure functions of predictions.

Every function takes the rows of one model, one decoder and one image mode, and answers ``None`` where it has nothing
to speak of. Rows that failed are left out (and counted elsewhere), never taken for wrong or right.

A *pair* is one caption on two images of a group, true of one and false of the other: a model that does not look at
the image gets at most one of the two. Pairs are disjoint, each row is in one at most. A *set* is all statements of a
group; it is complete when every caption is true as often as false and no row failed.

MME asks two questions about a picture, one to be answered with yes: its "accuracy+" is ``accuracy_plus``, and its score
the sum of both accuracies, in percent.

Of choices between relations, as in What'sUp, a pair is two images of a group with the same two objects in opposite
relations, and a set is a group with an image for each of its options. The code released with AdaptVis divides the
pairs and sets that are right by a half and a quarter of the rows, whether or not these are complete; those values are
``released_pair_accuracy`` and ``released_set_accuracy``.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from eval.predictions import Prediction
from eval.splits import OPPOSITES

Rows = Sequence[Prediction]
Metric = Callable[[Rows], float | None]

NEAR_TIE = 1e-4
"""Nats between log-probabilities; other batches move them by less than a third of it in float32 (``tiny-base``)."""


def scored(rows: Rows) -> list[Prediction]:
    """Return the rows that have a prediction."""
    return [row for row in rows if not row.failed]


def accuracy(rows: Rows) -> float | None:
    """Share of right answers."""
    return _mean([row.correct for row in scored(rows)])


def balanced_accuracy(rows: Rows) -> float | None:
    """Mean of the accuracies on true and on false statements."""
    on_true, on_false = yes_accuracy(rows), no_accuracy(rows)
    return None if on_true is None or on_false is None else (on_true + on_false) / 2


def yes_accuracy(rows: Rows) -> float | None:
    """Accuracy on true statements."""
    return _mean([row.correct for row in _statements(rows) if is_true(row)])


def no_accuracy(rows: Rows) -> float | None:
    """Accuracy on false statements."""
    return _mean([row.correct for row in _statements(rows) if not is_true(row)])


def f1(rows: Rows) -> float | None:
    """Harmonic mean of precision and recall of "true" among statements."""
    statements = _statements(rows)
    hits = sum(is_true(row) and row.correct for row in statements)
    claimed_or_true = sum(_says_true(row) for row in statements) + sum(is_true(row) for row in statements)
    return 2 * hits / claimed_or_true if claimed_or_true else None


def yes_rate(rows: Rows) -> float | None:
    """Share of statements that are said to be true."""
    return _mean([_says_true(row) for row in _statements(rows)])


def answered(rows: Rows) -> float | None:
    """Share of questions whose most probable next word begins one of the options, as free generation would need."""
    return _mean([row.answered for row in scored(rows)])


def macro_accuracy(rows: Rows) -> float | None:
    """Mean over relations of the accuracy on each."""
    return _mean_known([accuracy(part) for relation, part in by_relation(rows).items() if relation])


def worst_category(rows: Rows) -> float | None:
    """Lowest accuracy of a relation category."""
    related = [row for row in rows if row.relation]
    known = [value for part in by_category(related).values() if (value := accuracy(part)) is not None]
    return min(known, default=None)


def pair_accuracy(rows: Rows) -> float | None:
    """Share of complete pairs with both answers right."""
    return _mean([a.correct and b.correct for a, b in pairs(rows)])


def set_accuracy(rows: Rows) -> float | None:
    """Share of complete sets with all answers right."""
    return _mean([all(row.correct for row in members) for members in sets(rows)])


def accuracy_plus(rows: Rows) -> float | None:
    """Share of pictures with all of their questions right, among those that are asked several and failed none."""
    pictures: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for row in rows:
        pictures[row.template, row.image_id].append(row)
    whole = [asked for asked in pictures.values() if len(asked) > 1 and not any(row.failed for row in asked)]
    return _mean([all(row.correct for row in asked) for asked in whole])


def released_pair_accuracy(rows: Rows) -> float | None:
    """Pairs of choices that are right, over half of the rows."""
    return _over(sum(a.correct and b.correct for a, b in _choice_pairs(rows)), _choices(rows), 2)


def released_set_accuracy(rows: Rows) -> float | None:
    """Sets of choices that are right, over a quarter of the rows."""
    return _over(sum(all(row.correct for row in members) for members in _choice_sets(rows)), _choices(rows), 4)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "yes_rate": yes_rate,
    "yes_accuracy": yes_accuracy,
    "no_accuracy": no_accuracy,
    "answered": answered,
    "macro_accuracy": macro_accuracy,
    "worst_category": worst_category,
    "pair_accuracy": pair_accuracy,
    "set_accuracy": set_accuracy,
    "accuracy_plus": accuracy_plus,
    "released_pair_accuracy": released_pair_accuracy,
    "released_set_accuracy": released_set_accuracy,
}


def chance(rows: Rows) -> float | None:
    """Accuracy of a uniform guess."""
    known = [1 / len(row.options) for row in scored(rows)]
    return sum(known) / len(known) if known else None


def near_ties(rows: Rows) -> int:
    """Number of rows whose two likeliest options are closer than ``NEAR_TIE``: other hardware may choose otherwise."""
    return sum(_gap(row) < NEAR_TIE for row in scored(rows))


def is_true(row: Prediction) -> bool:
    """Whether a statement's right answer is its "true" word, the first option."""
    return row.answer == row.options[0]


def pairs(rows: Rows) -> list[tuple[Prediction, Prediction]]:
    """Return complete pairs: the row where the caption is true and that where it is false, or two opposite choices."""
    found = _choice_pairs(rows)
    for members in _captions(rows).values():
        holds = sorted((row for row in members if is_true(row)), key=lambda row: row.image_id)
        fails = sorted((row for row in members if not is_true(row)), key=lambda row: row.image_id)
        found += [(a, b) for a, b in zip(holds, fails, strict=False) if not (a.failed or b.failed)]
    return found


def sets(rows: Rows) -> list[list[Prediction]]:
    """Return the statements of every complete set, one set per template and group."""
    captions = defaultdict(list)
    for (template, group, _), members in _captions(rows).items():
        captions[template, group].append(members)
    whole = [parts for parts in captions.values() if all(map(_complete, parts))]
    return [[row for members in parts for row in members] for parts in whole] + _choice_sets(rows)


def by_relation(rows: Rows) -> dict[str, list[Prediction]]:
    """Partition rows by relation ("" where a record is not about one), by name."""
    return partition(rows, lambda row: row.relation)


def by_category(rows: Rows) -> dict[str, list[Prediction]]:
    """Partition rows by category: a relation's meta category, else the topic."""
    return partition(rows, lambda row: row.category)


def partition(rows: Rows, name: Callable[[Prediction], str]) -> dict[str, list[Prediction]]:
    """Return the rows by ``name(row)``, in the order of the names."""
    parts: dict[str, list[Prediction]] = defaultdict(list)
    for row in rows:
        parts[name(row)].append(row)
    return dict(sorted(parts.items()))


def matched(first: Rows, second: Rows) -> Iterator[tuple[Prediction, Prediction]]:
    """Yield the rows of two decoders or models that answer the same question and did not fail."""
    other: Mapping[tuple[str, str, str], Prediction] = {_question(row): row for row in scored(second)}
    for row in scored(first):
        if _question(row) in other:
            yield row, other[_question(row)]


def _question(row: Prediction) -> tuple[str, str, str]:
    return (row.record_id, row.template, row.image_mode)


def _statements(rows: Rows) -> list[Prediction]:
    return [row for row in scored(rows) if row.task == "statement"]


def _says_true(row: Prediction) -> bool:
    return row.predicted == row.options[0]


def _captions(rows: Rows) -> dict[tuple[str, str, str], list[Prediction]]:
    captions: dict[tuple[str, str, str], list[Prediction]] = defaultdict(list)
    for row in rows:
        if row.task == "statement" and row.options:
            captions[row.template, row.group_id, row.caption].append(row)
    return captions


def _choices(rows: Rows) -> dict[tuple[str, str], list[Prediction]]:
    """Return the choices between relations that did not fail, by template and group; no questions in other words."""
    groups: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    for row in scored(rows):
        if row.task == "choice" and row.topic != "question" and row.relation and row.relation in row.options:
            groups[row.template, row.group_id].append(row)
    return groups


def _choice_pairs(rows: Rows) -> list[tuple[Prediction, Prediction]]:
    found = []
    for members in _choices(rows).values():
        images = {row.relation: row for row in members}
        if len(images) == len(members):  # several of one relation would be no minimal pair
            found += [(images[a], images[b]) for a, b in OPPOSITES if a in images and b in images]
    return found


def _choice_sets(rows: Rows) -> list[list[Prediction]]:
    groups = _choices(rows).values()
    return [
        rows for rows in groups if len(rows) > 1 and sorted(row.relation for row in rows) == sorted(rows[0].options)
    ]


def _over(right: int, groups: Mapping[tuple[str, str], Rows], size: int) -> float | None:
    """Return what the released code divides; ``None`` where there is no pair or set to speak of."""
    count = sum(map(len, groups.values()))
    return right / (count / size) if any(len(rows) > 1 for rows in groups.values()) else None


def _complete(members: Rows) -> bool:
    balanced = 2 * sum(map(is_true, members)) == len(members)
    return balanced and not any(row.failed for row in members)


def _gap(row: Prediction) -> float:
    first, second, *_ = (*sorted(row.option_logprobs, reverse=True), -math.inf, -math.inf)
    return first - second if math.isfinite(first) else 0.0


def _mean(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
