"""Count what is in a dataset while its samples pass by, for the card."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from spatial.records import ImageRow, Record
from spatial.stream import Sample


@dataclass
class Draws:
    """How often the sampler of a contrast had to draw: accepted groups and all draws that they took."""

    groups: int = 0
    attempts: int = 0

    def add(self, other: "Draws") -> None:
        """Count another's too."""
        self.groups += other.groups
        self.attempts += other.attempts


@dataclass
class Tally:
    """Counts of a dataset.

    Attributes:
        kinds: records by task, topic and split.
        statements: statements about relations by relation, frame and answer.
        negatives: false statements by topic and how they were made.
        choices: places of the right answer among a choice's options, counted from 0.
        draws: by relation, counterpart and kind of contrast, of groups that were drawn; one whose ``scenes`` were
            painted several times was drawn once.
        stated: images with statements about relations; ``tilted`` of them have more true or more false ones.
        captions: captions of statements about relations, counted once in a group; ``lopsided`` says by how much each is
            more often true than false there, where it is.
        boxed: statements about relations both of whose things have a box; in ``several`` of them the image has more
            than one object of a noun.
        foreign: records whose identifier is not the hash of their content.
    """

    images: int = 0
    records: int = 0
    kinds: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    statements: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    negatives: Counter[tuple[str, str]] = field(default_factory=Counter)
    choices: Counter[int] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    nouns: Counter[str] = field(default_factory=Counter)
    groups: set[str] = field(default_factory=set)
    draws: dict[tuple[str, str, str], Draws] = field(default_factory=dict)
    scenes: set[str] = field(default_factory=set)
    stated: int = 0
    tilted: int = 0
    lopsided: Counter[tuple[str, str]] = field(default_factory=Counter)
    boxed: int = 0
    several: int = 0
    foreign: int = 0

    def watch(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the samples and count them."""
        for sample in samples:
            self._count_image(sample.image, {record.group_id for record in sample.records})
            names = [item.name for item in sample.image.objects]
            truths = [self._count_record(record, names) for record in sample.records]
            balance = [truth for truth in truths if truth]
            self.stated += bool(balance)
            self.tilted += sum(balance) != 0
            self.groups.update(record.group_id for record in sample.records)
            yield sample

    @property
    def splits(self) -> Counter[str]:
        """Records by split."""
        found: Counter[str] = Counter()
        for (_, _, split), count in self.kinds.items():
            found[split] += count
        return found

    def _count_image(self, image: ImageRow, groups: set[str]) -> None:
        self.images += 1
        self.sources[image.source] += 1
        self.licences[image.licence or "unknown"] += 1
        self.nouns.update(item.name for item in image.objects)
        made, new = _provenance(image), len(groups - self.groups)
        if made and new and image.scene_id not in self.scenes:
            contrast = (made["relation"], made["counterpart"], made["contrast"])
            self.draws.setdefault(contrast, Draws()).add(Draws(new, made["attempts"] * new))
        if made:
            self.scenes.add(image.scene_id)

    def _count_record(self, record: Record, names: Sequence[str]) -> int:
        """Count a record; return 1 or -1 for a true or false statement about a relation, else 0."""
        self.records += 1
        self.kinds[record.task, record.topic, record.split] += 1
        self.foreign += replace(record, record_id="").record_id != record.record_id
        if record.task == "choice" and record.answer in record.options:
            self.choices[record.options.index(record.answer)] += 1
        if record.task != "statement":
            return 0
        if record.answer == "false":
            self.negatives[record.topic, record.negative_kind] += 1
        if record.topic != "relation":
            return 0
        self.statements[record.relation, record.frame, record.answer] += 1
        if min(record.subject, record.object) >= 0:
            self.boxed += 1
            self.several += any(names.count(noun) > 1 for noun in record.concepts)
        truth = 1 if record.answer == "true" else -1
        key = (record.group_id, record.caption)
        self.lopsided[key] += truth
        if not self.lopsided[key]:
            del self.lopsided[key]  # so that only what does not balance stays in memory
        return truth


def _provenance(image: ImageRow) -> dict[str, Any] | None:
    """Return how a drawn image came about, or nothing if it was not drawn by a sampler."""
    try:
        made = json.loads(image.provenance)
        known = {name: str(made[name]) for name in ("relation", "counterpart", "contrast")}
        return known | {"attempts": int(made["attempts"])}
    except (ValueError, KeyError, TypeError):
        return None
