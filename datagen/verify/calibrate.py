"""``vsre calibrate``: measure the verifier on renders, whose truth is exact.

Each render of a group is held against what it shows, and against what the other render of its group shows: it was
"meant" to be that one, has its objects in its colours under its light, and yet shows the counterpart of its relation.
That is as near as a wrong picture comes to a right one. Then faults are put into renders on purpose.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datagen.assets.folder import assets_of, copy_in
from datagen.config import CalibrateConfig
from datagen.control_run import supersample_of
from datagen.render import Rendered, render
from datagen.verify.base import Claim, Intent, Pixels
from datagen.verify.calibration import FILE, judging
from datagen.verify.faults import FAULTS, make_faulty
from datagen.verify.intents import claims_of, intent_of
from datagen.verify.matching import Evidence
from datagen.verify.models import weights_of
from datagen.verify.summary import summarise
from datagen.verify.trials import RIGHT, WRONG, Store, Trial
from datagen.verify.verifier import ACCEPT, BATCH, Verifier
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError, UserError, nearest
from spatial.files import write_json
from spatial.records import ImageRow, Record
from spatial.scene import Scene, digest

GROUPS_PER_PART = 16
"""A run that is stopped loses the work on at most so many groups."""


@dataclass(frozen=True)
class Shown:
    """A render of a group, and what is stated of it, true and false."""

    row: ImageRow
    claims: tuple[Claim, ...]

    @property
    def true(self) -> list[Claim]:
        """One true claim of each relation: two about one image would succeed and fail together."""
        return list({claim.relation: claim for claim in reversed(self.claims) if claim.truth}.values())

    def lacks(self, other: "Shown") -> bool:
        """Tell whether all that is true of another render is false of this one."""
        return all(replace(claim, truth=False) in self.claims for claim in other.claims if claim.truth)


Group = tuple[Shown, ...]


def calibrate(config: CalibrateConfig) -> Path:
    """Measure the verifier of ``config`` and write its rates, a table and a picture.

    Returns:
        The folder, with ``calibration.json``, which ``verify.calibration`` takes.

    Raises:
        ConfigError: a setting cannot be used, or the folder holds another run.
        CheckpointError: a model of the verifier is missing or wrong.
        RecordError: the data cannot be used.
    """
    faults = _check(config)
    data = DatasetFolder(config.data)
    _check_rendered(data)
    groups = _groups(data, config)
    verifier = Verifier(replace(config.verify, calibration="", unread=ACCEPT))
    verifier.check_nouns(item.name for group in groups for shown in group for item in shown.row.objects)
    folder = Path(config.out)
    settings = {
        "data": data.content_hash(),
        "verify": judging(config.verify),
        "weights": weights_of(verifier.models),
        "seed": config.seed,
    }
    run = _Run(verifier, Store(folder / "trials", settings), supersample_of(data.path), config)
    with assets_of(copy_in(data.path)):
        started = time.perf_counter()
        trials = [*run.relations(groups), *(trial for name in faults for trial in run.faults(name, groups))]
        seconds = time.perf_counter() - started
    content = summarise(trials, config, settings)
    write_json(folder / FILE, content)
    from datagen.verify.show import draw, print_tables

    draw(content, folder / "calibration.png")
    print_tables(content)
    if run.looked_at:
        print(f"{run.looked_at:,} pictures in {seconds:.0f} s, {run.looked_at / seconds:.1f} images/s")
    print(f"calibration: {folder / FILE}")
    return folder


def _check(config: CalibrateConfig) -> list[str]:
    """Return the names of the faults."""
    for name, least in (("images", 0), ("faults_each", 0), ("least_images", 1)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} must be at least {least}, not {getattr(config, name)}")
    if not 0 < config.most_wrong <= 1:
        raise ConfigError(f"most_wrong must be above 0 and at most 1, not {config.most_wrong}")
    for name in config.faults:
        if name != "all" and name not in FAULTS:
            raise ConfigError(f"no fault is called {name!r}{nearest(name, FAULTS)}; known: {', '.join(FAULTS)}")
    return list(FAULTS) if "all" in config.faults else list(dict.fromkeys(config.faults))


def _check_rendered(data: DatasetFolder) -> None:
    """Refuse pictures of which nobody knows for sure what they show.

    Raises:
        RecordError: some are no renders.
    """
    others = sorted(data.sources() - {"render"})
    if others:
        raise RecordError(
            f"{data.path} holds pictures by {', '.join(others)}, whose truth nobody knows for sure; name a folder of "
            "renders, as 'vsre datagen configs/datagen/calibration.yaml' writes it"
        )


def _groups(data: DatasetFolder, config: CalibrateConfig) -> list[Group]:
    """Return the groups whose renders can be drawn again, in an order that depends on the seed alone."""
    by_group: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in data.records:
        by_group[record.group_id][record.image_id].append(record)
    found: list[Group] = []
    count = 0
    for group_id in sorted(by_group, key=lambda name: digest(f"{config.seed}/{name}")):
        if config.images and count >= config.images:
            break
        group = tuple(
            Shown(data.images[name], claims_of(records)) for name, records in sorted(by_group[group_id].items())
        )
        if all(shown.row.scene and shown.true for shown in group):
            found.append(group)
            count += len(group)
    if not found:
        raise RecordError(
            f"{data.path} has no rendered group with statements about relations; make one with 'vsre datagen'"
            " and 'statements: true'"
        )
    return found


class _Run:
    """What the trials of one run need."""

    def __init__(self, verifier: Verifier, store: Store, supersample: int, config: CalibrateConfig) -> None:
        self.verifier = verifier
        self.store = store
        self.supersample = supersample
        self.config = config
        self.looked_at = 0

    def relations(self, groups: Sequence[Group]) -> Iterator[Trial]:
        """Yield the trials of all groups, from disk where they are there."""
        with tqdm(total=sum(map(len, groups)), desc="relations", unit="image") as bar:
            for start in range(0, len(groups), GROUPS_PER_PART):
                part = groups[start : start + GROUPS_PER_PART]
                name = f"relations-{start:06d}-{len(part):02d}"
                stored = self.store.read(name)
                if stored is None:
                    stored = (self._held(part), 0)
                    self.store.write(name, stored[0])
                bar.update(sum(map(len, part)))
                yield from stored[0]

    def faults(self, name: str, groups: Sequence[Group]) -> Iterator[Trial]:
        """Yield the trials of one kind of fault, one per render, until there are as many as asked or no more."""
        chosen = [shown for group in groups for shown in group]
        chosen.sort(key=lambda shown: digest(f"{self.config.seed}/{name}/{shown.row.image_id}"))
        place = done = part = 0
        with tqdm(total=self.config.faults_each, desc=name, unit="image") as bar:
            while done < self.config.faults_each and place < len(chosen):
                # A place is one in this choice of renders, and of more renders another choice is made.
                file = f"fault-{name}-of-{len(chosen)}-{part:05d}"
                stored = self.store.read(file)
                if stored is None:
                    stored = self._spoiled(name, chosen, place)
                    self.store.write(file, *stored)
                trials, place = stored[0][: self.config.faults_each - done], stored[1]
                done, part = done + len(trials), part + 1
                bar.update(len(trials))
                yield from trials

    def _held(self, groups: Sequence[Group]) -> list[Trial]:
        """Hold every render against what it shows, and against what it does not but another one of its group does.

        All are looked at together: models take whole batches, and a group has two renders only.
        """
        drawn = {shown.row.image_id: _draw(shown.row, self.supersample) for group in groups for shown in group}
        pictures = [drawn[shown.row.image_id].rgb for group in groups for shown in group]
        nouns = [sorted({item.name for shown in group for item in shown.row.objects}) for group in groups]
        asked = [its for group, its in zip(groups, nouns, strict=True) for _ in group]
        seen = iter(self._look(pictures, asked))
        return [
            trial
            for group in groups
            for shown in group
            for evidence in [next(seen)]
            for meant in group
            if meant is shown or shown.lacks(meant)
            for trial in self._trials(
                RIGHT if meant is shown else WRONG,
                shown,
                evidence,
                intent_of(meant.row, meant.claims, drawn[meant.row.image_id].depth),
                meant.true,
            )
        ]

    def _look(self, pictures: Sequence[Pixels], nouns: Sequence[Sequence[str]]) -> list[Evidence]:
        self.looked_at += len(pictures)
        return self.verifier.look(pictures, nouns)

    def _trials(
        self, kind: str, shown: Shown, evidence: Evidence, intent: Intent, claims: Iterable[Claim]
    ) -> list[Trial]:
        """Hold what was seen of a render against an intention, one trial for each of some claims."""
        judged = self.verifier.judge(evidence, intent)
        outcomes = {reading.claim: reading.outcome for reading in judged.readings}
        return [Trial(kind, shown.row.image_id, claim.relation, judged.verdicts, outcomes[claim]) for claim in claims]

    def _spoiled(self, name: str, chosen: Sequence[Shown], place: int) -> tuple[list[Trial], int]:
        """Return a batch of trials of a fault, and the place in ``chosen`` to go on from."""
        pictures: list[Pixels] = []
        taken: list[tuple[Shown, Claim, NDArray[np.float32]]] = []
        while len(taken) < BATCH and place < len(chosen):
            shown, place = chosen[place], place + 1
            rng = np.random.Generator(np.random.Philox(key=int(digest(f"{name}/{shown.row.image_id}"), 16)))
            for claim in shown.true:
                made = make_faulty(FAULTS[name], _scene(shown.row), claim, rng, self.supersample)
                if made:
                    pictures.append(made.pixels)
                    taken.append((shown, claim, _draw(shown.row, self.supersample).depth))
                    break
        seen = self._look(pictures, [[item.name for item in shown.row.objects] for shown, _, _ in taken])
        trials: list[Trial] = []
        for (shown, claim, depth), evidence in zip(taken, seen, strict=True):
            trials += self._trials(name, shown, evidence, intent_of(shown.row, shown.claims, depth), [claim])
        return trials, place


def _scene(row: ImageRow) -> Scene:
    try:
        return Scene.from_json(row.scene)
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"the scene of image {row.image_id} cannot be read: {error}") from error


def _draw(row: ImageRow, supersample: int) -> Rendered:
    try:
        return render(_scene(row), supersample)
    except (UserError, ValueError) as error:
        raise RecordError(f"the scene of image {row.image_id} cannot be drawn again: {error}") from error
