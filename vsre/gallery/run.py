"""``vsre gallery DIR``: draw groups of a dataset folder, and write the page and, if asked for, contact sheets."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from tqdm import tqdm

from datagen.assets.folder import assets_of, copy_in
from datagen.control_run import supersample_of
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError
from spatial.files import atomic
from spatial.records import Record
from spatial.relations import RELATIONS
from vsre.config import GalleryConfig
from vsre.gallery.groups import SampleGroup, by_group, facets_of, relations_of, sample_group
from vsre.gallery.page import Counts, Shown, compose, group_fragment
from vsre.gallery.painted import ACCEPTED, Pool, pool_of, show_verdicts, with_painted
from vsre.gallery.sample import draw
from vsre.gallery.sheets import write_sheets
from vsre.pages import GALLERY_PAGE, writing

MIB = 2**20


def write_gallery(config: GalleryConfig) -> Path:
    """Write ``gallery.html`` and, where ``sheet`` names a folder, contact sheets.

    Returns:
        The path of the page.

    Raises:
        ConfigError: a setting is out of range, or the folder cannot be written.
        RecordError: the dataset folder is missing, damaged or empty, or none of its images can be decoded.
    """
    _check(config)
    data = DatasetFolder(config.data)
    pool = pool_of(data)
    groups, missing = by_group(pool.records, pool.images)
    groups = with_painted(groups, pool.painted)
    if not groups:
        raise RecordError(f"dataset folder {data.path} holds no image; make it again with 'vsre datagen'")
    drawn = _drawn(config, groups, pool)
    with assets_of(copy_in(data.path)):
        shown, notes = _fill(config, data, (_sample(key, groups[key], pool) for key in drawn), len(drawn))
    if missing:
        notes.append(f"Records of images that are not in the folder, left out: {missing}.")
    shown.sort(key=lambda item: _place(item.group))
    page = Path(config.out or config.data) / GALLERY_PAGE
    with writing(page.parent, "out"), atomic(page) as temporary:
        temporary.write_text(compose(config, data, shown, notes, _counts(groups, pool, shown)), encoding="utf-8")
    if config.sheet:
        samples = (_sample(key, groups[key], pool) for key in drawn)
        with writing(Path(config.sheet), "sheet"):
            write_sheets(Path(config.sheet), samples, config.per_relation)
    return page


def _drawn(config: GalleryConfig, groups: Mapping[str, Sequence[Record]], pool: Pool) -> list[str]:
    """Draw the groups to show; of those that were rejected as many for each relation as of all others."""
    relations: tuple[dict[str, tuple[str, ...]], ...] = ({}, {})
    for key, records in groups.items():
        painted = pool.painted.get(key)
        known = relations_of(records) or (painted.relations if painted else ())
        relations[painted is not None and painted.verdict != ACCEPTED][key] = known
    kept, rejected = (draw(part, config.per_relation, 0, config.seed) for part in relations)
    turns = [key for pair in zip_longest(kept, rejected) for key in pair if key is not None]
    return turns[: config.limit or None]


def _sample(key: str, records: Sequence[Record], pool: Pool) -> SampleGroup:
    painted = pool.painted.get(key)
    if painted is None:
        return sample_group(key, records, pool.images)
    return show_verdicts(sample_group(key, records, painted.images, painted.names), painted)


def _check(config: GalleryConfig) -> None:
    if not config.data:
        raise ConfigError("data is empty; name the dataset folder: 'vsre gallery DIR'")
    for name in ("per_relation", "limit"):
        if getattr(config, name) < 0:
            raise ConfigError(f"{name} must be 0 or more, not {getattr(config, name)}")
    if config.max_mib <= 0:
        raise ConfigError(f"max_mib must be more than 0, not {config.max_mib}")


def _fill(
    config: GalleryConfig, data: DatasetFolder, drawn: Iterable[SampleGroup], count: int
) -> tuple[list[Shown], list[str]]:
    """Return drawn groups until the page is full, at least one, and what there is to say about them.

    Args:
        config: the settings.
        data: the dataset.
        drawn: groups in the order in which they were drawn.
        count: their number.
    """
    supersample = supersample_of(data.path)
    shown: list[Shown] = []
    notes: list[str] = []
    room = config.max_mib * MIB
    for place, group in enumerate(tqdm(drawn, total=count, desc="gallery", unit="group", disable=None)):
        try:
            item, remarks = group_fragment(group, supersample, config.passes)
        except RecordError as error:
            notes.append(f"Group {group.key} is left out: {error}.")
            continue
        room -= item.size
        if room < 0 and shown:
            notes.append(
                f"The page is limited to {config.max_mib:g} MiB: {count - place} of the {count} groups "
                "drawn did not fit (--max_mib, --passes false)."
            )
            break
        shown.append(item)
        notes += remarks
    if not shown:
        raise RecordError(f"no group of {data.path} can be shown: {notes[0]}")
    return shown, list(dict.fromkeys(notes))


def _counts(groups: Mapping[str, Sequence[Record]], pool: Pool, shown: Sequence[Shown]) -> Counts:
    """Count groups by the values of every filter, in the dataset and on the page."""
    whole: Counter[tuple[str, str]] = Counter()
    for key, records in groups.items():
        facets, painted = facets_of(records), pool.painted.get(key)
        if painted:
            facets |= painted.facets | {"relation": facets["relation"] or painted.relations}
        whole.update(_pairs(facets))
    return Counts(len(groups), whole, Counter(pair for item in shown for pair in _pairs(item.group.facets)))


def _pairs(facets: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, values in facets.items() for value in values)


def _place(group: SampleGroup) -> tuple[int, tuple[str, ...]]:
    """Order groups as the table of relations does; those without a relation come last."""
    names = list(RELATIONS)
    known = [names.index(name) for name in group.relations if name in RELATIONS]
    return (min(known, default=len(names)), group.relations)
