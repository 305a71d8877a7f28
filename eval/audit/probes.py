"""Shortcuts: ways to answer a statement without reading the relation off its picture.

A probe learns from the statements of some groups and answers those of others. In data whose groups are balanced, each
caption and each image is true half of the time, so none of them can be right more often than not. Each is able to find
its shortcut where there is one, which the tests show on data made to have it.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from eval.audit.logistic import fit
from spatial.records import Record
from spatial.vocabulary import COLOURS, NUMBERS, plural, split_words

Scores = NDArray[np.float64]
Statements = Sequence[Record]

Probe = Callable[[Statements, Statements], Scores]
"""Learn from the first statements, score the second: over 0 is "true", under 0 "false", and 0 is no answer."""

Key = Callable[[Record], Hashable]

LONGEST = 3
"""Words of the longest n-gram."""

CAPTION_PENALTY = 1.0
IMAGE_PENALTY = 100.0
"""Penalties of the two regressions; image features are dense and correlated, and many for the number of images."""

FILLERS = frozenset((*COLOURS, *NUMBERS))
"""Words beside nouns and relation that are no part of a sentence's frame."""


def is_true(record: Record) -> bool:
    """Whether a statement is true of its image."""
    return record.answer == "true"


def truths(statements: Statements) -> NDArray[np.bool_]:
    """Return the answers as an array [N]."""
    return np.array([is_true(record) for record in statements], dtype=bool)


def table(*keys: Key) -> Probe:
    """Build a look-up: answer what statements with the same key mostly were; where they do not say, try the next key.

    They say something where one answer leads by at least the square root of their number, one standard deviation of a
    fair coin. Otherwise a large cell that is balanced as a whole would be answered from what chance put in other folds,
    which is the reverse of what it put in this one.
    """

    def probe(train: Statements, test: Statements) -> Scores:
        scores = np.zeros(len(test))
        for key in keys:
            cells: dict[Hashable, list[int]] = defaultdict(list)
            for record in train:
                cells[key(record)].append(1 if is_true(record) else -1)
            leads = {name: sum(cell) for name, cell in cells.items() if sum(cell) ** 2 >= len(cell)}
            found = np.array([leads.get(key(record), 0) for record in test], dtype=np.float64)
            scores = np.where(scores == 0, found, scores)
        return scores

    return probe


def reverse(probe: Probe) -> Probe:
    """Build the probe that answers the opposite."""
    return lambda train, test: -probe(train, test)


def caption_ngrams(train: Statements, test: Statements) -> Scores:
    """Score captions by a regression on which runs of one to three words they hold."""
    vocabulary: dict[str, int] = {}
    for gram in chain.from_iterable(ngrams(record.caption) for record in train):
        vocabulary.setdefault(gram, len(vocabulary))
    return fit(_counts(train, vocabulary), truths(train), CAPTION_PENALTY).scores(_counts(test, vocabulary))


@lru_cache(maxsize=100_000)  # every fold asks again
def ngrams(caption: str) -> tuple[str, ...]:
    """Return the distinct runs of one to ``LONGEST`` words of a caption, in order."""
    words = split_words(caption)
    runs = (" ".join(words[i : i + length]) for length in range(1, LONGEST + 1) for i in range(len(words) - length + 1))
    return tuple(dict.fromkeys(runs))


def sentence_frame(record: Record) -> str:
    """Return what is left of a caption when its relation, nouns, colours and numbers are taken out."""
    forms = [form for noun in record.concepts for form in (noun, plural(noun))]
    names = {tuple(split_words(name)) for name in (record.relation, *forms)} - {()}
    longest = max(map(len, names), default=1)
    words = split_words(record.caption)
    kept: list[str] = []
    place = 0
    while place < len(words):
        # The longest name that begins here, so that "on top of" is not left as "_ top of".
        runs = (length for length in range(longest, 0, -1) if tuple(words[place : place + length]) in names)
        length = next(runs, 0)
        kept.append("_" if length or words[place] in FILLERS else words[place])
        place += length or 1
    return " ".join(kept)


def nouns(record: Record) -> Hashable:
    """Return subject and object, in order."""
    return record.concepts


def relation(record: Record) -> str:
    """Return what a statement is about: its relation, or its topic where it has none."""
    return record.relation or record.topic


def image_probe(features: Mapping[str, NDArray[np.float32]], with_relation: bool) -> Probe:
    """Build a regression on the image's features [F], optionally with the statement's relation beside them.

    The relation is added, not multiplied: image *times* relation may read a relation such as "near" off the picture
    without knowing the nouns, which is looking, not a shortcut.
    """

    def probe(train: Statements, test: Statements) -> Scores:
        known = np.stack([features[record.image_id] for record in train]).astype(np.float64)
        asked = np.stack([features[record.image_id] for record in test]).astype(np.float64)
        middle, spread = known.mean(0), known.std(0)
        spread[spread < 1e-9] = 1.0
        known, asked = (known - middle) / spread, (asked - middle) / spread
        if with_relation:
            names = sorted({relation(record) for record in train})
            known, asked = np.hstack([known, _one_hot(train, names)]), np.hstack([asked, _one_hot(test, names)])
        return fit(known, truths(train), IMAGE_PENALTY).scores(asked)

    return probe


answer_prior = table(lambda record: "")

PROBES: dict[str, Probe] = {
    "answer prior": answer_prior,
    "sentence frame": table(sentence_frame),
    "caption n-grams": caption_ngrams,
    "relation x nouns": table(lambda record: (relation(record), nouns(record)), nouns, relation),
    "same label": table(lambda record: record.caption),
    "opposite label": reverse(table(lambda record: record.caption)),
}
"""The probes that read words only, by name."""


def image_probes(features: Mapping[str, NDArray[np.float32]]) -> dict[str, Probe]:
    """Return the probes that see the image but not the nouns, by name."""
    return {
        "image": image_probe(features, with_relation=False),
        "image + relation": image_probe(features, with_relation=True),
    }


def _counts(statements: Statements, vocabulary: Mapping[str, int]) -> csr_array:
    """Return which n-grams of the vocabulary each caption holds, as a sparse array [N, F]."""
    columns = [[vocabulary[gram] for gram in ngrams(record.caption) if gram in vocabulary] for record in statements]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
    indices = np.fromiter(chain.from_iterable(columns), dtype=np.int64, count=int(starts[-1]))
    return csr_array((np.ones(len(indices)), indices, starts), shape=(len(statements), len(vocabulary)))


def _one_hot(statements: Statements, names: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[float(relation(record) == name) for name in names] for record in statements])
