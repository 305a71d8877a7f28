"""Whether a dataset folder has all of its shards, whole: one that was deleted or cut off afterwards is made again.

A shard's files appear whole or not at all (``spatial.files``), so that what lacks its end was damaged later. What is
looked at is the frame of a Parquet file, which a file that was cut off no longer has; changed bytes inside it are found
where they are read.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from datagen.claim import IMPORTED, PAINTED, REJECTED, SHARDS
from spatial.dataset import SHARD_NAME, finished_shards
from spatial.errors import RecordError
from spatial.exposure import DESCRIPTION, description_of

TABLES = ("images", "records")

MAGIC = b"PAR1"
"""What a Parquet file begins and ends with; the four bytes before its end tell the length of its footer."""

MISSING, DAMAGED = "missing", "damaged"


def is_whole(path: Path) -> bool:
    """Tell whether a Parquet file is there from its beginning to its end."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(MAGIC)) == MAGIC
            size = file.seek(0, 2)
            file.seek(max(0, size - 8))
            end = file.read(8)
    except OSError:
        return False
    return begins and end[4:] == MAGIC and int.from_bytes(end[:4], "little") + 12 <= size


def whole_shards(folder: Path) -> set[int]:
    """Return the shards that are finished and whole, of painted data also with what was rejected of them."""
    tables = _tables(description_of(folder))
    return {shard for shard in finished_shards(folder) if not any(_faults(folder, tables, [shard]))}


def shards_of(folder: Path) -> int:
    """Return how many shards a dataset folder is to have: as it says, or up to the last one that is there."""
    held = description_of(folder)
    if isinstance(held.get(SHARDS), int):
        return int(held[SHARDS])
    groups, each = held.get("groups"), held.get("groups_per_shard")
    photos = (held.get("paint") or {}).get("over") == "photos"  # of which there may be fewer than ``groups``
    if isinstance(groups, int) and isinstance(each, int) and each > 0 and not photos and IMPORTED not in held:
        return -(-groups // each)
    names = (path.stem.removeprefix("shard-") for part in TABLES for path in (folder / part).glob("shard-*.parquet"))
    return max((int(name) + 1 for name in names if name.isdigit()), default=0)


def incomplete(folder: Path) -> tuple[str, bool]:
    """Return in one line what a dataset folder lacks, "" if nothing, and whether a file of it is damaged."""
    held, shards = description_of(folder), shards_of(folder)
    faults = list(_faults(folder, _tables(held), range(shards)))
    if not faults:
        return "", False
    left = shards - len({shard for shard, _, _ in faults})
    kinds = {kind: [file for _, file, fault in faults if fault == kind] for kind in (DAMAGED, MISSING)}
    told = ", ".join(_told(files, kind) for kind, files in kinds.items() if files)
    return f"{left} of {shards} shards; {told}: {_mend(held)}", bool(kinds[DAMAGED])


def say_incomplete(folder: Path) -> None:
    """Say it where a dataset folder lacks shards; nothing where it does not, or is none.

    Raises:
        RecordError: a shard is damaged, so that it cannot be read.
    """
    if not (folder / DESCRIPTION).is_file():
        return
    line, damaged = incomplete(folder)
    if damaged:
        raise RecordError(f"{folder}: {line}")
    if line:
        _say(f"{folder}: {line}")


@cache
def _say(line: str) -> None:
    """Say a line once in a process: several parts of a command open the same folder."""
    logging.getLogger(__name__).warning("%s", line)


def say_made_again(folder: Path, shards: Sequence[int]) -> None:
    """Say which of the shards that are about to be made were there before, in parts."""
    faults = [it for it in _faults(folder, _tables(description_of(folder)), shards) if it[2] == DAMAGED]
    for _, file, fault in faults:
        logging.getLogger(__name__).warning("%s is %s; its shard is made again", folder / file, fault)


def _tables(held: dict[str, Any]) -> tuple[str, ...]:
    """Return the folders that have a file for each shard."""
    painted = PAINTED in held and IMPORTED not in held
    return (*TABLES, *(f"{REJECTED}/{part}" for part in TABLES)) if painted else TABLES


def _faults(folder: Path, tables: Sequence[str], shards: Sequence[int]) -> Iterator[tuple[int, str, str]]:
    """Yield each file that is not there or not whole: its shard, its path in the folder, and what is wrong."""
    for shard in shards:
        for part in tables:
            file = f"{part}/{SHARD_NAME.format(index=shard)}"
            if not (folder / file).is_file():
                yield shard, file, MISSING
            elif not is_whole(folder / file):
                yield shard, file, DAMAGED


def _told(files: Sequence[str], fault: str) -> str:
    return f"{files[0]} is {fault}" if len(files) == 1 else f"{files[0]} and {len(files) - 1} more are {fault}"


def _mend(held: dict[str, Any]) -> str:
    if IMPORTED in held:
        return "delete the folder and run 'vsre import' again"
    return f"run 'vsre {'datagen' if 'groups' in held else 'import-vsr'} CONFIG' again"
