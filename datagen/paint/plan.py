"""Tell what a painted run would take: pictures, GPU-hours, disk, licences, and what is missing; nothing is written.

Seconds are, by preference, those of shards that the folder has already, or of a few pictures painted now where the
weights are here and a GPU is, or the engine is small enough to do without. Else they are an engine's planning estimate,
which nobody measured, and the plan says so. The annotations of photos are enough for a plan; the photos are not read.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from datagen.claim import REJECTED, check_claim
from datagen.complete import TABLES, whole_shards
from datagen.config import DatagenConfig, ImportVsrConfig
from datagen.import_vsr import describe_source
from datagen.paint.job import check_painted, without_conflicts
from datagen.paint.missing import missing_photos, missing_weights
from datagen.paint.photos import has_both_sides, import_settings
from datagen.paint.scenes import SceneSource
from datagen.paint.specs import Attempt, Turn
from datagen.paint.stages import Parts, load_engines, load_verifier, paint, turns_of, verify
from datagen.paint.yield_run import read_times
from datagen.run import check_settings, content_settings, prepare, shard_count, shard_size
from datagen.vsr_rows import Selection, SourceRow, select_rows
from spatial.dataset import finished_shards, shard_path
from spatial.disk import disk_line
from spatial.errors import RecordError, UserError
from spatial.vsr import pair_groups
from spatial.vsr_photos import LICENCE

IMAGES_PER_SCENES_GROUP = 2

MEASURED_GROUPS = 4
"""Groups that are drawn, and painted if that can be done here."""

SMALL = 0.2
"""Seconds on a GPU below which an engine is measured without one too."""

PNG_BYTES = 1.6
"""Bytes of a pixel of a picture with a photo's detail, as PNG; an assumption."""

PHOTO_PIXELS = 640 * 480
"""Of most of COCO's photos."""

HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """Seconds of a GPU, or of this machine, for each picture, and where the number is from."""

    paint: float
    verify: float | None
    source: str


@dataclass(frozen=True)
class Plan:
    """What a run would take.

    Attributes:
        config: with the number of groups that there really are.
        pictures: by engine.
        left: share of them that is still to be painted.
        costs: by engine.
        draw_seconds: of a processor, to draw a group of scenes; 0 for photos.
        picture_bytes: of a picture on disk, and where the number is from.
        rows: of VSR that are repainted; 0 for scenes.
        missing: what a real run needs and is not here, with the mend.
    """

    config: DatagenConfig
    pictures: Mapping[str, int]
    left: float
    costs: Mapping[str, Cost]
    draw_seconds: float
    picture_bytes: tuple[float, str]
    rows: int = 0
    missing: Sequence[str] = field(default_factory=list)


def plan(config: DatagenConfig, parts: Parts, measure: bool = True) -> Plan:
    """Plan a run.

    Args:
        config: of the run.
        parts: engines and verifier.
        measure: paint some pictures where that can be done here; else no model is loaded.

    Raises:
        ConfigError: a setting cannot be used, or the folder holds another configuration's data.
        RecordError: annotations cannot be read.
    """
    check_settings(config)
    check_painted(config)
    turns = turns_of(config, parts)
    if config.paint.over == "photos":
        return _plan_photos(config, parts, turns)
    config = without_conflicts(config)
    prepare(config)
    pictures = Counter({turn.engine: 0 for turn in turns})
    for number in range(config.paint.seeds_per_spec):
        pictures[turns[number % len(turns)].engine] += IMAGES_PER_SCENES_GROUP * config.groups
    source = SceneSource(replace(config, groups_per_shard=MEASURED_GROUPS), turns)
    started = time.process_time()
    attempts = source.attempts(0)
    draw_seconds = (time.process_time() - started) / min(MEASURED_GROUPS, config.groups)
    missing = missing_weights(config, parts)
    measured = _measured_before(config) or (_measured_now(config, parts, attempts, missing) if measure else {})
    costs = measured or _estimated(config, parts)
    pixels = config.image_size**2
    return Plan(config, pictures, _left(config), costs, draw_seconds, _bytes(config, pixels), missing=missing)


def _plan_photos(config: DatagenConfig, parts: Parts, turns: Sequence[Turn]) -> Plan:
    asked = import_settings(config)
    selection = select_rows(asked)
    _check_claim(config, asked, selection)
    rows = selection.rows
    groups: dict[str, list[SourceRow]] = {}
    for source, group_id in zip(rows, pair_groups([source.row for source in rows], "vsr/train"), strict=True):
        groups.setdefault(group_id, []).append(source)
    if not config.paint.photos.one_sided:
        groups = {group_id: own for group_id, own in groups.items() if has_both_sides(own)}
    if not groups:
        raise RecordError("no caption is true of one photo and false of another; set paint.photos.one_sided true")
    kept = dict(islice(groups.items(), config.groups))
    members = [source for own in kept.values() for source in own]
    true = sum(source.row.truth for source in members)
    pictures = Counter({turn.engine: 0 for turn in turns})
    for number in range(config.paint.seeds_per_spec):
        turn = turns[number % len(turns)]
        pictures[turn.engine] += true if turn.mode == "txt2img" else len(members)
    config = replace(config, groups=len(kept))
    missing = [*missing_photos(config, members, turns), *missing_weights(config, parts)]
    costs = _measured_before(config) or _estimated(config, parts)
    size = _bytes(config, PHOTO_PIXELS)
    return Plan(config, pictures, _left(config), costs, 0.0, size, len(members), missing)


def _check_claim(config: DatagenConfig, asked: ImportVsrConfig, selection: Selection) -> None:
    """Refuse a folder with other data; which photos can be read is not asked.

    Raises:
        ConfigError: it holds other data.
    """
    content = content_settings(config)
    with suppress(RecordError):  # of boxes that are not here, which the plan lists as missing
        content |= describe_source(asked, selection)
    check_claim(Path(config.out), content)


def _estimated(config: DatagenConfig, parts: Parts) -> dict[str, Cost]:
    names = dict.fromkeys(turn.engine for turn in turns_of(config, parts))
    return {name: Cost(parts.kind(name).seconds, None, "estimate for an H100, not measured") for name in names}


def _measured_before(config: DatagenConfig) -> dict[str, Cost]:
    """Return what shards that are finished already took; nothing where there is none."""
    spent: dict[str, list[float]] = {}
    for shard in finished_shards(Path(config.out)):
        for entry in read_times(Path(config.out), shard) or ():
            total = spent.setdefault(entry["engine"], [0.0, 0.0, 0.0])
            for place, name in enumerate(("paint", "verify", "pictures")):
                total[place] += entry[name]
    return {
        engine: Cost(paint / pictures, verify / pictures, f"measured on {pictures:,.0f} pictures in {config.out}")
        for engine, (paint, verify, pictures) in spent.items()
    }


def _measured_now(
    config: DatagenConfig, parts: Parts, attempts: Sequence[Attempt], missing: Sequence[str]
) -> dict[str, Cost]:
    """Paint and verify some pictures, after one that is not counted; nothing where that would take long or fail."""
    slow = [turn.engine for turn in turns_of(config, parts) if parts.kind(turn.engine).seconds > SMALL]
    if missing or (slow and not _has_gpu()):
        return {}
    source = SceneSource(config, turns_of(config, parts))
    try:
        engines = load_engines(config, parts, source.nouns)
        verifier = load_verifier(config, parts, source.nouns)
    except UserError:
        return {}
    verify(paint(attempts[:1], engines, config.engine.batch_size), verifier)
    found = {}
    for name in engines:
        own = [attempt for attempt in attempts if attempt.engine == name]
        verified = verify(paint(own, engines, config.engine.batch_size), verifier)
        pictures = sum(len(it.seconds) for it in verified)
        painting = sum(sum(it.painted.seconds) for it in verified) / pictures
        checking = sum(sum(it.seconds) for it in verified) / pictures
        found[name] = Cost(painting, checking, f"measured here on {pictures} pictures")
    return found


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _left(config: DatagenConfig) -> float:
    done = sum(shard_size(config, shard) for shard in whole_shards(Path(config.out)) if shard < shard_count(config))
    return 1 - done / config.groups


def _bytes(config: DatagenConfig, pixels: int) -> tuple[float, str]:
    """Return the bytes of a picture: of finished shards, or assumed."""
    folder = Path(config.out)
    times = {shard: read_times(folder, shard) or [] for shard in finished_shards(folder)}
    counts = {shard: sum(entry["pictures"] for entry in entries) for shard, entries in times.items()}
    counted = [shard for shard, count in counts.items() if count]
    if not counted:
        return pixels * PNG_BYTES, f"{PNG_BYTES} bytes a pixel assumed"
    files = (
        shard_path(part, table, shard) for part in (folder, folder / REJECTED) for table in TABLES for shard in counted
    )
    return sum(path.stat().st_size for path in files) / sum(counts.values()), "as in the shards that are there"


def describe(found: Plan, parts: Parts) -> str:
    """Return a plan as lines for people."""
    config = found.config
    total = sum(found.pictures.values())
    over = f"{found.rows:,} rows of VSR, {config.groups:,} captions" if found.rows else f"{config.groups:,} groups"
    lines = [
        f"dry run of {config.out}: nothing written",
        f"groups    {over} in {shard_count(config):,} shards, {config.paint.seeds_per_spec} seeds each"
        + (f"; {1 - found.left:.1%} are there already" if found.left < 1 else ""),
        f"pictures  {total:,} to paint and verify; accepted and rejected ones are both kept",
        "",
        *_engine_lines(found, parts),
        "",
    ]
    if found.draw_seconds:
        hours = found.left * config.groups * found.draw_seconds / HOUR
        lines.append(f"drawing   about {hours:,.2f} core hours ({found.draw_seconds:.2f} s a group, measured here)")
    size, why = found.picture_bytes
    lines.append(f"disk      {disk_line(found.left * total * size, Path(config.out))} ({why})")
    checks = [*config.verify.detectors, *filter(None, [config.verify.depth]), *config.verify.judges]
    lines.append(f"verifier  {', '.join(checks) or 'no model'}")
    if found.rows:
        lines.append(f"photos    {LICENCE}")
    lines += ["", "missing for a real run:", *(f"  - {line}" for line in found.missing)] if found.missing else []
    return "\n".join(lines)


def _engine_lines(found: Plan, parts: Parts) -> list[str]:
    lines, hours = [], 0.0
    for name, count in found.pictures.items():
        cost = found.costs.get(name)
        if cost is None:
            lines.append(f"engine    {name}: {count:,} pictures, no time known; {parts.kind(name).licence}")
            continue
        painting = found.left * count * cost.paint / HOUR
        checking = None if cost.verify is None else found.left * count * cost.verify / HOUR
        hours += painting + (checking or 0.0)
        verifying = "verifying not known" if checking is None else f"{checking:,.2f} h to verify"
        lines.append(
            f"engine    {name}: {count:,} pictures, {cost.paint:.3g} s each ({cost.source}), "
            f"{painting:,.2f} h to paint, {verifying}; licence {parts.kind(name).licence}"
        )
    measured = all("measured" in cost.source and "not measured" not in cost.source for cost in found.costs.values())
    partly = "" if all(cost.verify is not None for cost in found.costs.values()) else ", verifying not counted"
    how = "" if measured else " (planning estimates, not measured)"
    return [*lines, f"GPU-hours about {hours:,.1f}{how}{partly}; divide by the number of devices"]
