"""Tell what a run of ``vsre datagen`` would take, by making a few of its groups and writing none of them.

The groups measured are among those that the run would make, the same number of every contrast. What they took counts
for as many groups as the run's schedule gives to their contrast.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datagen.complete import whole_shards
from datagen.config import DatagenConfig
from datagen.groups import draw_group
from datagen.recipe import Recipe
from datagen.run import group_rows, shard_count, shard_size, worker_count
from datagen.schedule import turns
from spatial.dataset import shard_bytes
from spatial.disk import disk_line
from spatial.records import ImageRow, Record

MEASURED = 3
"""Groups of each contrast that are measured, if the run has as many."""


@dataclass(frozen=True)
class Contrast:
    """What was measured of the groups of one recipe.

    Attributes:
        name: its relation and counterpart, and its kind if it is not a direct contrast.
        groups: that were measured.
        share: of the run's groups that are of this recipe.
        draws: that the measured groups took.
        seconds: of a processor, that they took.
        kinds: their records by "task/topic"; equal ones count once.
        image_bytes: size of their pictures.
    """

    name: str
    groups: int
    share: float
    draws: int
    seconds: float
    kinds: Counter[str]
    image_bytes: int


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Attributes:
        images: of the whole dataset.
        records: of the whole dataset, by "task/topic"; equal ones count once.
        groups_left: groups that are not in finished shards yet; sizes and times are of these.
        disk_bytes: to write.
        core_seconds: on this machine, whoever runs them.
        seconds: of this rank, on cores that have nothing else to do.
        contrasts: what was measured, the slowest first.
    """

    images: float
    records: Mapping[str, float]
    groups_left: int
    disk_bytes: float
    core_seconds: float
    seconds: float
    contrasts: Sequence[Contrast]


def estimate(config: DatagenConfig, recipes: list[Recipe]) -> Estimate:
    """Measure some groups of each recipe.

    Raises:
        UnsatisfiableError: a recipe cannot be satisfied with these settings.
    """
    images: list[ImageRow] = []
    records: list[Record] = []
    order = turns(recipes, config)
    draw_group(config, recipes[order[0]], 0)  # the first draw of a process also builds what later ones share
    places = tqdm(np.unique(order), desc="measure", unit="contrast", leave=False)
    contrasts = [_measure(config, recipes, order, int(place), images, records) for place in places]
    group_seconds = _mean(contrasts, [contrast.seconds for contrast in contrasts])
    # A table's bytes are of all groups together; a contrast's part of them is taken to be that of its pictures.
    picture_bytes = [contrast.image_bytes for contrast in contrasts]
    group_bytes = shard_bytes(images, records) * _mean(contrasts, picture_bytes) / sum(picture_bytes)
    kinds = sorted({kind for contrast in contrasts for kind in contrast.kinds})

    todo = set(range(shard_count(config))) - whole_shards(Path(config.out))
    mine = [shard for shard in range(config.rank, shard_count(config), config.world) if shard in todo]
    left = sum(shard_size(config, shard) for shard in todo)
    own = sum(shard_size(config, shard) for shard in mine)
    return Estimate(
        images=config.groups * len(images) / sum(contrast.groups for contrast in contrasts),
        records={kind: config.groups * _mean(contrasts, [found.kinds[kind] for found in contrasts]) for kind in kinds},
        groups_left=left,
        disk_bytes=left * group_bytes,
        core_seconds=left * group_seconds,
        seconds=own * group_seconds / worker_count(config, len(mine)),
        contrasts=sorted(contrasts, key=lambda contrast: -contrast.seconds / contrast.groups),
    )


def _mean(contrasts: Sequence[Contrast], amounts: Sequence[float]) -> float:
    """Return the mean over the run's groups of what the measured groups of each contrast took together."""
    pairs = zip(contrasts, amounts, strict=True)
    return sum(contrast.share * amount / contrast.groups for contrast, amount in pairs)


def describe(found: Estimate, config: DatagenConfig) -> str:
    """Return an estimate as lines for people."""
    done = config.groups - found.groups_left
    rank = f", for rank {config.rank} of {config.world}" if config.world > 1 else ""
    measured = sum(contrast.groups for contrast in found.contrasts)
    width = max(len(contrast.name) for contrast in found.contrasts)
    lines = [
        f"dry run of {config.out}: {measured} groups measured, nothing written",
        f"groups    {config.groups:,} in {shard_count(config):,} shards"
        + (f", {done:,} of them are there already" if done else ""),
        f"images    {found.images:,.0f}",
        f"records   about {sum(found.records.values()):,.0f}",
        *(f"          {kind:<20} {count:>12,.0f}" for kind, count in found.records.items()),
        f"disk      {disk_line(found.disk_bytes, Path(config.out))}",
        f"time      about {found.core_seconds / 3600:.2f} core hours, {found.seconds / 3600:.2f} hours here" + rank,
        "",
        f"{'contrast':<{width}} {'seconds a group':>15}   groups / draws",
    ]
    for contrast in found.contrasts:
        seconds = contrast.seconds / contrast.groups
        lines.append(f"{contrast.name:<{width}} {seconds:>15.3f}   {contrast.groups} / {contrast.draws}")
    return "\n".join(lines)


def _measure(
    config: DatagenConfig,
    recipes: list[Recipe],
    order: NDArray[np.int64],
    place: int,
    images: list[ImageRow],
    records: list[Record],
) -> Contrast:
    """Make the first groups that the run gives to the recipe at ``place``, and add their rows to the lists."""
    started = time.process_time()
    recipe, mine = recipes[place], np.flatnonzero(order == place)
    measured = [draw_group(config, recipe, int(index)) for index in mine[:MEASURED]]
    made = [group_rows(group, config, recipes) for group in measured]
    seconds = time.process_time() - started
    pictures = [row for rows, _ in made for row in rows]
    distinct = {record.record_id: record for _, statements in made for record in statements}.values()
    images += pictures
    records += distinct
    return Contrast(
        name=f"{recipe.relation} - {recipe.counterpart}" + ("" if recipe.kind == "direct" else f" ({recipe.kind})"),
        groups=len(measured),
        share=len(mine) / len(order),
        draws=sum(group.attempts for group in measured),
        seconds=seconds,
        kinds=Counter(f"{record.task}/{record.topic}" for record in distinct),
        image_bytes=sum(len(row.image) for row in pictures),
    )
