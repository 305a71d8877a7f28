"""``vsre yield DIR``: count what was painted, what was right of it, and why the rest is not in the data.

The dataset folder gets ``yield.json`` and ``yield.png``; nothing is painted or verified again.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datagen.claim import IMPORTED, REJECTED
from datagen.config import YieldConfig
from datagen.paint.corrected import calibrations_of, with_precision
from datagen.paint.rows import TIMES
from datagen.paint.yield_show import console, draw, tables
from datagen.paint.yields import ALL, Attempted, Key, Yield, attempted, yields
from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import ConfigError, RecordError
from spatial.exposure import description_of
from spatial.files import write_json

YIELD = "yield.json"
CHART = "yield.png"
TIMED = {"relation", "engine", "control", "paint", "verify"}


def show_yield(config: YieldConfig) -> Path:
    """Print the table of one or several dataset folders and write it into the first.

    Returns:
        The path of ``yield.json``.

    Raises:
        ConfigError: a folder is named twice, or the calibration is of another verifier.
        RecordError: a folder cannot be read, or nothing in it was painted.
    """
    return write_yield([Path(config.dataset), *map(Path, config.beside)], config.calibration)


def write_yield(folders: Sequence[Path], calibration: str = "") -> Path:
    """Count folders together, print the table and write it into the first.

    Args:
        folders: dataset folders.
        calibration: file of the verifier; "" takes those that the folders keep.

    Raises:
        ConfigError: a folder is named twice, or the calibration is of another verifier.
        RecordError: a folder cannot be read, or nothing in it was painted.
    """
    lines = count_yield(folders, calibration)
    console().print(*tables(lines))
    out = folders[0]
    write_json(out / YIELD, as_json(lines, folders))
    draw(lines, out / CHART)
    return out / YIELD


def count_yield(folders: Sequence[Path], calibration: str = "") -> list[Yield]:
    """Return the lines of the table; of several folders each has lines of its own.

    Raises:
        ConfigError: a folder is named twice, or the calibration is of another verifier.
        RecordError: a folder cannot be read, or nothing in it was painted.
    """
    for folder in folders:
        if IMPORTED in description_of(folder):
            raise RecordError(
                f"{folder} was imported without the pictures that were rejected, so nobody knows its yield; name the "
                "folder that 'vsre datagen' painted"
            )
    lines = corrected_yields(named_runs(folders), calibration)
    if not lines:
        named = ", ".join(map(str, folders))
        raise RecordError(f"no image of {named} was painted; name a folder of 'vsre datagen' with engine.name set")
    return lines


def corrected_yields(runs: Mapping[str, Path], calibration: str = "") -> list[Yield]:
    """Return the lines of the table of folders by the names of their runs; none where nothing was painted.

    Raises:
        ConfigError: the calibration is of another verifier.
        RecordError: a folder cannot be read.
    """
    rows = [row for run, folder in runs.items() for row in painted_rows(folder, run)]
    if not rows:
        return []
    seconds = {key: value for run, folder in runs.items() for key, value in _seconds(folder, run).items()}
    return with_precision(yields(rows, seconds), calibrations_of(runs, calibration))


def named_runs(folders: Sequence[Path]) -> dict[str, Path]:
    """Return folders by what tells them apart in a table: the last parts of their paths; "" of a single one.

    Raises:
        ConfigError: a folder is named twice.
    """
    parts = [folder.resolve().parts for folder in folders]
    twice = next((folder for folder, own in zip(folders, parts, strict=True) if parts.count(own) > 1), None)
    if twice:
        raise ConfigError(f"{twice} is named twice, and its pictures would be counted twice; leave one away")
    if len(folders) == 1:
        return {"": folders[0]}
    length = next(n for n in range(1, max(map(len, parts)) + 1) if len({own[-n:] for own in parts}) == len(parts))
    return {"/".join(own[-length:]): folder for folder, own in zip(folders, parts, strict=True)}


def painted_rows(folder: Path, run: str = "") -> Iterator[Attempted]:
    """Yield all pictures that were painted for a dataset folder, accepted and rejected; none where none was.

    None of an imported folder either: an export leaves the rejected ones behind, and without them all look accepted.

    Args:
        folder: of the dataset.
        run: see ``Attempted``.

    Raises:
        RecordError: a shard is damaged.
    """
    if IMPORTED in description_of(folder):
        return
    for part, kept in ((folder, True), (folder / REJECTED, False)):
        if not kept and not part.is_dir():
            continue
        data = DatasetFolder(part)
        # What was rejected of a shard that was never finished is painted again.
        for shard in sorted(finished_shards(part) & finished_shards(folder)):
            columns = (data.read_column(shard, "images", name) for name in ("provenance", "verdicts"))
            for provenance, verdicts in zip(*columns, strict=True):
                row = attempted(provenance, verdicts, kept, run)
                if row:
                    yield row


def _seconds(folder: Path, run: str) -> dict[Key, float]:
    """Return the seconds of a run by relation, engine and control; a shard whose times are lost makes all unknown."""
    found: Counter[Key] = Counter()
    for shard in finished_shards(folder):
        entries = read_times(folder, shard)
        if entries is None:
            return {}
        for entry in entries:
            found[run, entry["relation"], entry["engine"], entry["control"]] += entry["paint"] + entry["verify"]
    return dict(found)


def read_times(folder: Path, shard: int) -> list[dict[str, Any]] | None:
    """Return what ``datagen.paint.rows.times_of`` wrote of a shard; ``None`` if it is lost or damaged."""
    try:
        found: list[dict[str, Any]] = json.loads((folder / TIMES / f"shard-{shard:05d}.json").read_text("utf-8"))
        whole = all(entry.keys() >= TIMED for entry in found)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return found if whole else None


def as_json(lines: Sequence[Yield], folders: Sequence[Path]) -> dict[str, Any]:
    """Return the content of ``yield.json``."""
    totals = [line for line in lines if line.relation == ALL]
    return {
        "data": [DatasetFolder(folder).content_hash() for folder in folders],
        "attempts": sum(line.attempts for line in totals),
        "accepted": sum(line.accepted.count for line in totals),
        "intervals": "Wilson, 95 %; pictures taken as independent",
        "rows": [line.as_json() for line in lines],
    }
