"""``vsre yield DIR``: count what was painted, what was right of it, and why the rest is not in the data.

The dataset folder gets ``yield.json`` and ``yield.png``; nothing is painted or verified again.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from datagen.config import YieldConfig
from datagen.paint.corrected import calibration_of, with_precision
from datagen.paint.rows import REJECTED, TIMES
from datagen.paint.yield_show import console, draw, tables
from datagen.paint.yields import ALL, Attempted, Key, Yield, attempted, yields
from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import RecordError
from spatial.files import write_json

YIELD = "yield.json"
CHART = "yield.png"


def show_yield(config: YieldConfig) -> Path:
    """Print the table of one or several dataset folders and write it into the first.

    Returns:
        The path of ``yield.json``.

    Raises:
        ConfigError: the calibration is of another verifier.
        RecordError: a folder cannot be read, or nothing in it was painted.
    """
    return write_yield([Path(config.dataset), *map(Path, config.beside)], config.calibration)


def write_yield(folders: Sequence[Path], calibration: str = "") -> Path:
    """Count folders together, print the table and write it into the first.

    Args:
        folders: dataset folders.
        calibration: file of the verifier; "" takes that of the first folder, if it keeps one.

    Raises:
        ConfigError: the calibration is of another verifier.
        RecordError: a folder cannot be read, or nothing in it was painted.
    """
    lines = with_precision(count_yield(folders), calibration_of(folders[0], calibration))
    console().print(*tables(lines))
    out = folders[0]
    write_json(out / YIELD, as_json(lines, folders))
    draw(lines, out / CHART)
    return out / YIELD


def count_yield(folders: Sequence[Path]) -> list[Yield]:
    """Return the lines of the table.

    Raises:
        RecordError: a folder cannot be read, or nothing in it was painted.
    """
    rows = [row for folder in folders for row in painted_rows(folder)]
    if not rows:
        named = ", ".join(map(str, folders))
        raise RecordError(f"no image of {named} was painted; name a folder of 'vsre datagen' with engine.name set")
    return yields(rows, _seconds(folders))


def painted_rows(folder: Path) -> Iterator[Attempted]:
    """Yield all pictures that were painted for a dataset folder, accepted and rejected; none where none was.

    Raises:
        RecordError: a shard is damaged.
    """
    for part, kept in ((folder, True), (folder / REJECTED, False)):
        if not kept and not part.is_dir():
            continue
        data = DatasetFolder(part)
        # What was rejected of a shard that was never finished is painted again.
        for shard in sorted(finished_shards(part) & finished_shards(folder)):
            columns = (data.read_column(shard, "images", name) for name in ("provenance", "verdicts"))
            for provenance, verdicts in zip(*columns, strict=True):
                row = attempted(provenance, verdicts, kept)
                if row:
                    yield row


def _seconds(folders: Sequence[Path]) -> dict[Key, float]:
    """Return the seconds by relation, engine and control; shards whose times are lost make all of them unknown."""
    found: Counter[Key] = Counter()
    for folder in folders:
        for shard in finished_shards(folder):
            entries = read_times(folder, shard)
            if entries is None:
                return {}
            for entry in entries:
                found[entry["relation"], entry["engine"], entry["control"]] += entry["paint"] + entry["verify"]
    return dict(found)


def read_times(folder: Path, shard: int) -> list[dict[str, Any]] | None:
    """Return what ``datagen.paint.rows.times_of`` wrote of a shard; ``None`` if it is lost."""
    try:
        found: list[dict[str, Any]] = json.loads((folder / TIMES / f"shard-{shard:05d}.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found


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
