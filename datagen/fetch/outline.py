"""What a download would take, told without asking a server: files and bytes, as far as they are known beforehand."""

from collections.abc import Iterator
from pathlib import Path

from datagen.fetch.config import FetchConfig
from datagen.fetch.plan import annotation_name, parts_there, wanted_photos
from datagen.fetch.sources import EXTENTS, PHOTO_BYTES


def outline(config: FetchConfig) -> str:
    """Return a line for each annotation file, one for the photos, and the sum of what is still to fetch.

    The photos are counted from the annotation files where they are in the folder; a part whose file is not counts
    with its published number, some of which another part may share.
    """
    there = parts_there(config)
    lines = list(_annotation_lines(config, there))
    files, size = len(lines) - len(there), sum(_annotation_bytes(config, there))
    if config.photos:
        needed, present, exact = count_photos(config, there)
        about = "" if exact else "up to "
        lines.append(f"  {'photos':<22} {about}{needed:,} needed, {present:,} there")
        files, size = files + needed - present, size + (needed - present) * PHOTO_BYTES
    bound = "about " if config.photos else ""
    lines.append(f"  to fetch               {files:,} files, {bound}{size / 1e6:,.1f} MB")
    heading = f"VSR {config.split} {', '.join(config.parts)} into {config.out} (dry run, nothing is fetched)"
    return "\n".join([heading, *lines])


def count_photos(config: FetchConfig, there: list[str]) -> tuple[int, int, bool]:
    """Return the photos needed, those of them in the folder (unverified), and whether the first number is exact."""
    wanted, _ = wanted_photos(config, there)
    present = sum((Path(config.out) / item.file).is_file() for item in wanted)
    unknown = [part for part in config.parts if part not in there]
    needed = len(wanted) + sum(EXTENTS[config.split, part].photos for part in unknown)
    return needed, present, not unknown or len(config.parts) == 1


def _annotation_lines(config: FetchConfig, there: list[str]) -> Iterator[str]:
    for part in config.parts:
        size = EXTENTS[config.split, part].annotation_bytes
        state = "there" if part in there else "to fetch"
        yield f"  {annotation_name(config.split, part):<22} {size:,} bytes, {state}"


def _annotation_bytes(config: FetchConfig, there: list[str]) -> Iterator[int]:
    for part in config.parts:
        if part not in there:
            yield EXTENTS[config.split, part].annotation_bytes
