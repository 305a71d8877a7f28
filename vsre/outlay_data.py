"""What the steps that fetch, import, render and paint would take."""

from pathlib import Path

from datagen.config import DatagenConfig, ImportVsrConfig
from datagen.fetch.config import FetchConfig, with_folder
from spatial.coco import instances_files
from spatial.errors import RecordError
from vsre.outlay import HOUR, Made, Outlay

KEPT = {
    ("zeroshot", False): (7436, 4666),
    ("zeroshot", True): (7436, 4666),
    ("random", False): (5000, 3632),
    ("random", True): (2469, 2035),
    ("both", False): (4231, 3141),
    ("both", True): (2129, 1760),
}
"""Rows and photos that (target, strict) leaves of both training files of VSR (docs/leakage.md)."""

BOXES = (
    "COCO's instances_train2017.json and instances_val2017.json ('2017 Train/Val annotations', "
    "https://cocodataset.org/#download) in "
)

STATEMENTS_PER_PAINTING = 2
"""Of each painted picture of a scene: one about its relation and one about the other's."""


def fetching(config: FetchConfig, made: Made) -> Outlay:
    """Plan ``vsre fetch``; of benchmarks but VSR only their names are told."""
    config = with_folder(config)
    if config.dataset != "vsr":
        return Outlay(
            fetches=(f"{config.dataset} into {config.out}",), notes=("sizes of benchmarks: docs/benchmarks.md",)
        )
    from datagen.fetch.outline import count_photos
    from datagen.fetch.plan import annotation_name, check, parts_there
    from datagen.fetch.sources import EXTENTS, PHOTO_BYTES

    check(config)
    there = parts_there(config)
    size = sum(EXTENTS[config.split, part].annotation_bytes for part in config.parts if part not in there)
    needed, present, _ = count_photos(config, there) if config.photos else (0, 0, True)
    size += (needed - present) * PHOTO_BYTES
    names = ", ".join(annotation_name(config.split, part) for part in config.parts)
    what = (
        f"VSR's {names} and {needed - present:,} photos (github.com, images.cocodataset.org), about {size / 1e6:.0f} MB"
    )
    return Outlay(disk=size, fetches=(what,) if size else ())


def importing(config: ImportVsrConfig, made: Made) -> Outlay:
    """Plan ``vsre import-vsr``."""
    from datagen.fetch.sources import PHOTO_BYTES

    rows, photos, missing = _rows_of_vsr(config, made)
    missing += () if made.find(config.images) else missing_photos(config.images)
    return Outlay(
        disk=photos * PHOTO_BYTES, images=photos, statements=rows, missing=(*missing, *_missing_boxes(config.instances))
    )


def generating(config: DatagenConfig, made: Made) -> Outlay:
    """Plan ``vsre datagen``: renders by making some, paintings by what is known of their engines."""
    if config.engine.name:
        return _painting(config, made)
    from datagen.assets.folder import assets_of
    from datagen.estimate import estimate
    from datagen.run import prepare

    with assets_of(config.assets):
        found = estimate(config, prepare(config))
    return Outlay(
        disk=found.disk_bytes,
        core_hours=found.core_seconds / HOUR,
        images=found.images,
        statements=sum(found.records.values()),
    )


def _painting(config: DatagenConfig, made: Made) -> Outlay:
    from datagen.paint.missing import missing_weights
    from datagen.paint.plan import PHOTO_PIXELS, PNG_BYTES, plan
    from datagen.paint.stages import installed

    parts = installed()
    over_photos = config.paint.over == "photos"
    missing = tuple(missing_weights(config, parts))
    photos = config.paint.photos
    if over_photos:
        missing += () if made.find(photos.images) else missing_photos(photos.images)
        missing += _missing_boxes(photos.instances)
    try:
        found = plan(config, parts, measure=False)
    except RecordError as error:
        if not over_photos:
            raise
        rows, _ = KEPT.get((photos.leakage.target, photos.leakage.strict), (0, 0))
        pictures = rows * config.paint.seeds_per_spec
        slowest = max(parts.kind(name).seconds for name in (config.engine.name, *config.paint.engines))
        note = (
            f"at most, as VSR's annotations are not here: 'vsre fetch vsr' brings them ({str(error).partition(';')[0]})"
        )
        return Outlay(
            disk=pictures * PHOTO_PIXELS * PNG_BYTES,
            gpu_hours=pictures * slowest / HOUR,
            images=pictures,
            statements=pictures,
            missing=missing,
            notes=(note, _TAKEN),
        )
    total = sum(found.pictures.values())
    spent = sum(found.left * count * found.costs[name].paint / HOUR for name, count in found.pictures.items())
    return Outlay(
        disk=found.left * total * found.picture_bytes[0],
        gpu_hours=spent,
        core_hours=found.left * found.config.groups * found.draw_seconds / HOUR,
        images=total,
        statements=total if over_photos else STATEMENTS_PER_PAINTING * total,
        missing=missing,
        notes=(_TAKEN, "verifying is not counted, and seconds a picture are an estimate"),
    )


_TAKEN = "training counts every picture as accepted, which the verifier decides"


def _rows_of_vsr(config: ImportVsrConfig, made: Made) -> tuple[int, int, tuple[str, ...]]:
    """Return how many rows and photos an import has: of the files if they are here, else as published."""
    from datagen.fetch.sources import EXTENTS
    from datagen.vsr_rows import select_rows
    from spatial.vsr import RELEASED

    try:
        found = select_rows(config)
        return len(found.rows), len({source.row.photo for source in found.rows}), ()
    except RecordError as error:
        missing = () if made.find(config.annotations) else (str(error),)
    known = (config.leakage.target, config.leakage.strict)
    if config.part == "train" and set(config.splits) == {"random", "zeroshot"} and known in KEPT:
        return *KEPT[known], missing
    parts = [(split, config.part) for split in config.splits if (split, config.part) in RELEASED]
    return sum(RELEASED[part].rows for part in parts), sum(EXTENTS[part].photos for part in parts), missing


def missing_photos(folder: str) -> tuple[str, ...]:
    there = any(next((Path(folder) / part).glob("*.jpg"), None) for part in ("train2017", "val2017"))
    return () if there else (f"photos in {folder}: 'vsre fetch vsr' brings them, or name COCO's folder",)


def _missing_boxes(places: list[str]) -> tuple[str, ...]:
    missing = []
    for place in places:
        try:
            instances_files(Path(place))
        except RecordError:
            missing.append(BOXES + place)
    return tuple(missing)
