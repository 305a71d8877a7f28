"""Painted groups in the gallery: accepted and rejected ones, with what the checks said of each picture.

Rejected pictures lie in a folder beside the data, and nothing is stated about most of them; which of them belong
together is known from their provenance. Those of shards that were never finished are not shown: they are painted again.
"""

import json
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from datagen.claim import REJECTED
from datagen.paint.yields import PARTNER
from datagen.verify.base import Verdict
from datagen.verify.verdicts import from_json, why_refused
from spatial.dataset import DatasetFolder, FolderImages, finished_shards, shard_path
from spatial.records import ImageRow, Record
from vsre.gallery.groups import ORIGINAL, Member, SampleGroup

ACCEPTED = "accepted"


@dataclass(frozen=True)
class PaintedGroup:
    """What provenance and verdicts tell of a group before its pictures are read.

    Attributes:
        names: of its images, the original first.
        relations: that they show.
        verdict: "accepted" or "rejected".
        reasons: why pictures were rejected, as "check: reason", each once.
        images: its images by identifier. Another group may have the same pixels with other verdicts.
    """

    names: tuple[str, ...]
    relations: tuple[str, ...]
    verdict: str
    reasons: tuple[str, ...]
    images: Mapping[str, ImageRow] = field(compare=False)

    @property
    def facets(self) -> dict[str, tuple[str, ...]]:
        """Its values of the filters."""
        return {"verdict": (self.verdict,), "reason": self.reasons}


@dataclass(frozen=True)
class Pool:
    """Everything that a page can show.

    Attributes:
        records: of the data, and of rejected pictures that were right themselves.
        images: by identifier, accepted ones before rejected ones with the same pixels.
        painted: painted groups by identifier; none where nothing was painted.
    """

    records: Sequence[Record]
    images: Mapping[str, ImageRow]
    painted: Mapping[str, PaintedGroup]


def pool_of(data: DatasetFolder) -> Pool:
    """Return what a dataset folder holds, with what was rejected for it.

    Raises:
        RecordError: a shard is damaged.
    """
    if not (data.path / REJECTED).is_dir():
        return Pool(data.records, data.images, {})
    rejected = DatasetFolder(data.path / REJECTED)
    finished = finished_shards(data.path)
    painted = _painted(data, sorted(finished), data.images, ACCEPTED)
    shards = sorted(finished & finished_shards(rejected.path))
    if not shards:
        return Pool(data.records, data.images, painted)
    images = FolderImages([shard_path(rejected.path, "images", shard) for shard in shards])
    painted |= _painted(rejected, shards, images, REJECTED)
    records = [*data.records, *(record for shard in shards for record in rejected.read_records(shard))]
    return Pool(records, ChainMap(_fixed(data.images), _fixed(images)), painted)


def _fixed(images: Mapping[str, ImageRow]) -> Any:
    """Return a mapping for a ``ChainMap``, which asks for one that could be written to but does not write."""
    return images


class _GroupImages(Mapping[str, ImageRow]):
    """Some rows of a folder's images, read on demand."""

    def __init__(self, images: FolderImages, rows: Mapping[str, int]) -> None:
        self._images, self._rows = images, rows

    def __getitem__(self, image_id: str) -> ImageRow:
        return self._images.at(self._rows[image_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _painted(data: DatasetFolder, shards: Sequence[int], images: FolderImages, verdict: str) -> dict[str, PaintedGroup]:
    """Return the painted groups of a folder, without reading pixels.

    Args:
        data: accepted or rejected pictures.
        shards: of it, in order.
        images: of these shards.
        verdict: on all of them.
    """
    found: dict[str, list[_Found]] = {}
    names = ("image_id", "provenance", "verdicts")
    columns = (zip(*(data.read_column(shard, "images", name) for name in names), strict=True) for shard in shards)
    for row, (image_id, provenance, verdicts) in enumerate(chain.from_iterable(columns)):
        made = json.loads(provenance).get("painted")
        if made:
            why = why_refused(from_json(verdicts))
            member = (made["role"] != ORIGINAL, image_id, str(made["relation"]), why, row)
            found.setdefault(str(made["group"]), []).append(member)
    return {key: _group(sorted(members), images, verdict) for key, members in found.items()}


_Found = tuple[bool, str, str, str, int]
"""Whether it is a change of the original, identifier, relation, why it was rejected, and its row."""


def _group(members: Sequence[_Found], images: FolderImages, verdict: str) -> PaintedGroup:
    names, relations, reasons = (tuple(dict.fromkeys(str(it[place]) for it in members)) for place in (1, 2, 3))
    reasons = tuple(why or PARTNER for why in reasons) if verdict == REJECTED else ()
    rows = {name: row for _, name, _, _, row in reversed(members)}
    return PaintedGroup(names, relations, verdict, reasons, _GroupImages(images, rows))


def with_painted(groups: Mapping[str, list[Record]], painted: Mapping[str, PaintedGroup]) -> dict[str, list[Record]]:
    """Return the records of every group, of painted ones also where nothing is stated."""
    members = set(chain.from_iterable(group.names for group in painted.values()))
    kept = {key: records for key, records in groups.items() if key not in members}
    return kept | {key: kept.get(key, []) for key in painted}


def show_verdicts(group: SampleGroup, painted: PaintedGroup) -> SampleGroup:
    """Return a painted group with what was asked for and what the checks said of each of its pictures."""
    return replace(
        group,
        relations=group.relations or painted.relations,
        members=tuple(map(_checked, group.members)),
        facets=group.facets | painted.facets | {"relation": group.facets["relation"] or painted.relations},
        facts={"verdict": painted.verdict, **group.facts},
    )


def _checked(member: Member) -> Member:
    made = json.loads(member.image.provenance)
    caption = str(made.get("painting", {}).get("prompt") or made.get("caption") or member.caption)
    role = member.role or str(made["painted"]["role"])
    return replace(member, role=role, caption=caption, painted=True, verdicts=from_json(member.image.verdicts))


def ordered(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return verdicts as a reader wants them: what failed, what passed, what was not checked."""
    return sorted(verdicts, key=lambda verdict: ("failed", "passed", "skipped").index(verdict.status))
