"""Rows of VSR with their photos, ready to be repainted as VSRE did; the rows of one caption are a group.

VSR shows most captions with a photo of which they are true and with one of which they are not. Such a pair lives or
dies together, as a scene and its counterfactual do, so that neither the words nor the look of an engine decide
anything. What an engine cannot repaint, a false caption from words or a subject without a box, is no member of the
attempts with that engine; an attempt of which one side alone is left is not painted, unless that is asked for.
"""

import json
import os
import socket
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datagen.config import DatagenConfig, ImportVsrConfig
from datagen.engines.photo_orders import PhotoJob, photo_jobs, photo_order
from datagen.import_vsr import describe_source
from datagen.paint.specs import Attempt, Spec, Turn, is_readable, painted_group_id
from datagen.run import shard_groups
from datagen.verify.base import Intent
from datagen.vsr_rows import SourceRow, select_rows
from spatial.boxes import is_known
from spatial.dataset import FailedRow
from spatial.errors import CheckpointError, RecordError
from spatial.observation import Box
from spatial.records import ImageRow, image_id_of
from spatial.scene import digest
from spatial.vsr import pair_groups, statement
from spatial.vsr_photos import LICENCE


class NamedMasks(Protocol):
    """A ``MaskModel`` that says which weights it has."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Name, revision and sha256 of its files."""

    def __call__(self, pixels: NDArray[np.uint8], box: Box) -> NDArray[np.bool_]:
        """Return the mask (H, W) of the object in a box of pixels (H, W, 3)."""


LoadMasks = Callable[[str], NamedMasks]

ONE_SIDED = "its caption is true alone or false alone of the photos; paint.photos.one_sided lets it in"

REMEMBERED = 256
"""Masks that are kept: a row is repainted several times over, and its photo does not change."""


@dataclass(frozen=True)
class PhotoSource:
    """Repaints the rows of a run.

    Attributes:
        config: of the run; its ``groups`` is the number of captions there are.
        turns: engines in the order in which they take the seeds of a group.
        groups: identifier and rows of each caption.
        load_masks: see ``datagen.paint.stages.Parts``.
        known_masks: provenance of the masks where the run was started, which must be that of all of its processes.
    """

    config: DatagenConfig
    turns: tuple[Turn, ...]
    groups: tuple[tuple[str, tuple[PhotoJob, ...]], ...]
    load_masks: LoadMasks
    known_masks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nouns(self) -> list[str]:
        """All nouns that captions are about."""
        return sorted({thing.name for _, jobs in self.groups for job in jobs for thing in job.things})

    def attempts(self, shard: int) -> list[Attempt]:
        """Return what is to be painted of a shard, caption by caption.

        Raises:
            RecordError: a photo can no longer be read.
        """
        found = [
            self._attempt(*self.groups[index], number)
            for index in shard_groups(self.config, shard)
            for number in range(self.config.paint.seeds_per_spec)
        ]
        return [attempt for attempt in found if attempt.specs]

    def masks(self) -> NamedMasks | None:
        """Return what finds objects in boxes; it is loaded once in a process, and ``None`` if none is named.

        Raises:
            CheckpointError: it is missing or another model, or has other weights than where the run was started.
        """
        name = self.config.paint.photos.masks
        if not name:
            return None
        masks = _masks(self.load_masks, name)
        if self.known_masks and masks.provenance["sha256"] != self.known_masks["sha256"]:
            raise CheckpointError(
                f"paint.photos.masks {name} has other weights on {socket.gethostname()} than where the run was "
                "started; copy the same files to all machines"
            )
        return masks

    def _attempt(self, group_id: str, jobs: Sequence[PhotoJob], number: int) -> Attempt:
        turn = self.turns[number % len(self.turns)]
        masks = self.masks() if turn.mode == "box-inpaint" else None
        able = [job for job in jobs if can_repaint(job, turn.mode)]
        if not (self.config.paint.photos.one_sided or has_both_sides([job.source for job in able])):
            able = []
        asked = [photo_order(job, turn.mode, self.config.seed, group_id, number, masks) for job in able]
        return Attempt(
            painted_group_id(group_id, turn.engine, number),
            number,
            turn.engine,
            turn.control,
            tuple(_spec(it.job, group_id, it.intent, bool(self.config.verify.depth)) for it in asked),
            tuple(it.order for it in asked),
        )


class _Remembered:
    """Masks that are made once for a photo and a box."""

    def __init__(self, model: NamedMasks) -> None:
        self.model = model
        self.known: OrderedDict[tuple[str, Box], NDArray[np.bool_]] = OrderedDict()

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.model.provenance

    def __call__(self, pixels: NDArray[np.uint8], box: Box) -> NDArray[np.bool_]:
        key = (image_id_of(pixels), box)
        if key not in self.known:
            self.known[key] = self.model(pixels, box)
            if len(self.known) > REMEMBERED:
                self.known.popitem(last=False)
        return self.known[key]


@lru_cache(maxsize=1)
def _masks(load: LoadMasks, name: str) -> NamedMasks:
    return _Remembered(load(name))


@dataclass(frozen=True)
class Photos:
    """The rows that can be repainted.

    Attributes:
        groups: identifier and rows of each caption, in the order of the files.
        failed: rows that no engine is to repaint, with the reason.
        description: what the dataset folder says of them: settings and the content of what was read, but no places.
    """

    groups: tuple[tuple[str, tuple[PhotoJob, ...]], ...]
    failed: list[FailedRow]
    description: dict[str, Any]


def find_photos(config: DatagenConfig) -> Photos:
    """Read the annotations and look at every photo once.

    Raises:
        ConfigError: a setting that cannot be used.
        RecordError: annotations or instances cannot be read, or no row is left.
    """
    asked = import_settings(config)
    # No mode can repaint more rows than this one; what a box or words alone cannot do is left out of each attempt.
    jobs, failed = photo_jobs(asked, "img2img")
    by_group: dict[str, list[PhotoJob]] = {}
    for job, group_id in zip(jobs, pair_groups([job.source.row for job in jobs], "vsr/train"), strict=True):
        by_group.setdefault(group_id, []).append(job)
    if not config.paint.photos.one_sided:
        failed += [FailedRow(job.source.name, ONE_SIDED) for own in by_group.values() for job in _left_out(own)]
        by_group = {group_id: own for group_id, own in by_group.items() if not _left_out(own)}
    if not by_group:
        raise RecordError(f"no row can be repainted; of the first, {failed[0].name}: {failed[0].reason}")
    groups = tuple((group_id, tuple(by_group[group_id])) for group_id in list(by_group)[: config.groups])
    usable = sorted(job.source.name for _, members in groups for job in members)
    description = {**describe_source(asked, select_rows(asked)), "rows": digest("\n".join(usable))}
    return Photos(groups, failed, description)


def _left_out(jobs: Sequence[PhotoJob]) -> Sequence[PhotoJob]:
    """Return all rows of a caption, or none if it is true of one photo and false of another."""
    return () if has_both_sides([job.source for job in jobs]) else jobs


def has_both_sides(sources: Sequence[SourceRow]) -> bool:
    """Tell whether some rows are true and others false."""
    return len({source.row.truth for source in sources}) == 2


def import_settings(config: DatagenConfig) -> ImportVsrConfig:
    """Return what ``vsre import-vsr`` would be told to read the same rows."""
    photos = config.paint.photos
    folder = photos.annotations or os.environ.get("VSR_ANNOTATIONS") or "data/vsr"
    return ImportVsrConfig(
        annotations=folder,
        images=photos.images,
        instances=photos.instances,
        splits=photos.splits,
        part="train",
        leakage=photos.leakage,
    )


def can_repaint(job: PhotoJob, mode: str) -> bool:
    """Tell whether a row can be repainted in a mode: true captions alone become pictures, and a box must be known."""
    if mode == "txt2img":
        return job.source.row.truth
    return mode != "box-inpaint" or is_known(job.things[0].box_xyxy)


def _spec(job: PhotoJob, group_id: str, intent: Intent, with_depth: bool) -> Spec:
    """Return what is asked of one row."""
    row, photo = job.source.row, job.photo
    known = [index for index, thing in enumerate(intent.objects) if is_known(thing.box_xyxy)]
    places = [known.index(index) if index in known else -1 for index in (0, 1)]
    facts = {"file": row.photo, "caption": row.caption, "row": job.source.name}
    return Spec(
        name=f"{row.photo}/{row.caption}/{row.truth}",
        role="true" if row.truth else "false",
        relation=row.relation,
        intent=intent,
        row=ImageRow(
            image_id="",
            image=b"",
            width=photo.width,
            height=photo.height,
            source="",
            objects=tuple(intent.objects[index] for index in known),
            licence=LICENCE,
            provenance=json.dumps(facts, sort_keys=True),
        ),
        records=(statement(row, photo, group_id, "train", (places[0], places[1])),),
        readable=is_readable(intent, with_depth),
    )
