"""Which statements stand for a relation: true ones, at most one per image.

One per image, because "the cup is left of the book" and "the book is right of the cup" are the same picture: the same
features would count for two relations at once. Images that show few relations choose first, and each takes the
relation that has the fewest samples so far, so that relations come out as even as the data allows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eval.config import StudyConfig
from spatial.boxes import meet
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError, nearest
from spatial.records import ImageRow, Record
from spatial.scene import digest

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the picture."""


@dataclass(frozen=True)
class Sample:
    """A true statement, and the boxes of its subject and object (``None`` where the pair is not asked for)."""

    record: Record
    pair: tuple[Box, Box] | None


@dataclass(frozen=True)
class Samples:
    """What was chosen, in the order of the records; and how many true statements were left out, by reason."""

    chosen: list[Sample]
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def records(self) -> list[Record]:
        """The statements."""
        return [sample.record for sample in self.chosen]

    @property
    def relations(self) -> list[str]:
        """The relations, in the order of the alphabet."""
        return sorted({record.relation for record in self.records})


def choose_samples(folder: DatasetFolder, config: StudyConfig) -> Samples:
    """Choose the statements of a dataset folder.

    Raises:
        ConfigError: ``config.relations`` names one that the data does not have.
        RecordError: there is no true statement, none with boxes, or fewer than two relations are left.
    """
    true = _true_statements(folder)
    _check_relations(config.relations, true)
    wanted = [record for record in true if not config.relations or record.relation in config.relations]
    kept = _one_per_image(wanted, config.samples, config.seed)
    with_boxes = [Sample(record, _pair_of(record, folder.images, config.views)) for record in kept]
    if "pair" in config.views:
        with_boxes = [sample for sample in with_boxes if sample.pair]
    if not with_boxes:
        raise RecordError(
            f"none of {len(kept)} true statements in {folder.path} has boxes of its subject and object; compare whole "
            "images only, with --views '[image]'"
        )
    enough = _in_enough_groups(with_boxes, config.folds)
    left_out = {
        "relation not asked for": len(true) - len(wanted),
        "another statement of the image, or enough of the relation": len(wanted) - len(kept),
        "no box of subject or object": len(kept) - len(with_boxes),
        f"relation in fewer than {config.folds} groups": len(with_boxes) - len(enough),
    }
    samples = Samples(enough, {why: count for why, count in left_out.items() if count})
    if len(samples.relations) < 2:
        raise RecordError(
            f"{folder.path} has {len(samples.relations)} relations in {config.folds} groups or more, and at least 2 "
            "must be told apart; make more groups with 'vsre datagen', name more --relations, or lower --folds"
        )
    return samples


def pair_boxes(record: Record, image: ImageRow) -> tuple[Box, Box] | None:
    """Return the boxes of subject and object, or ``None`` where one is unknown or not in the picture."""
    places = (record.subject, record.object)
    if not all(0 <= place < len(image.objects) for place in places):
        return None
    subject, other = (image.objects[place].box_xyxy for place in places)
    picture = (0.0, 0.0, float(image.width), float(image.height))
    return (subject, other) if meet(subject, picture) and meet(other, picture) else None


def _pair_of(record: Record, images: Mapping[str, ImageRow], views: Sequence[str]) -> tuple[Box, Box] | None:
    return pair_boxes(record, images[record.image_id]) if "pair" in views else None


def _true_statements(folder: DatasetFolder) -> list[Record]:
    distinct = {record.record_id: record for record in folder.records}.values()
    true = [record for record in distinct if record.task == "statement" and record.relation and record.answer == "true"]
    if not true:
        raise RecordError(
            f"{folder.path} has no true statement about a relation; make the data with 'statements: true', or name "
            "another folder"
        )
    missing = next((record.image_id for record in true if record.image_id not in folder.images), None)
    if missing:
        raise RecordError(f"image {missing} is not in {folder.path}; make the dataset again with 'vsre datagen'")
    return true


def _check_relations(asked: Sequence[str], true: Sequence[Record]) -> None:
    found = sorted({record.relation for record in true})
    for name in asked:
        if name not in found:
            raise ConfigError(
                f"no true statement is about {name!r} in relations; the data has {', '.join(found)}"
                f"{nearest(name, found)}"
            )


def _one_per_image(records: Sequence[Record], most: int, seed: int) -> list[Record]:
    """Return at most one record per image and ``most`` per relation (0: any number), in their order."""
    by_image: dict[str, dict[str, Record]] = {}
    for record in sorted(records, key=lambda record: digest(f"{seed}/{record.record_id}")):
        by_image.setdefault(record.image_id, {}).setdefault(record.relation, record)
    counts: Counter[str] = Counter()
    chosen: set[str] = set()
    for choices in sorted(by_image.values(), key=len):
        relation = min(choices, key=counts.__getitem__)
        if not most or counts[relation] < most:
            counts[relation] += 1
            chosen.add(choices[relation].record_id)
    return [record for record in records if record.record_id in chosen]


def _in_enough_groups(samples: Sequence[Sample], groups: int) -> list[Sample]:
    """Return the samples whose relation occurs in at least so many groups."""
    found: dict[str, set[str]] = {}
    for sample in samples:
        found.setdefault(sample.record.relation, set()).add(sample.record.group_id)
    return [sample for sample in samples if len(found[sample.record.relation]) >= groups]
