"""Effects on disk: one small Parquet file per pair while a run goes on, one table in the end.

A pair is done if its file is there, and files appear whole (``spatial.files``), so a killed run goes on with the next
pair and computes none twice. Files lie in a folder that is named by a hash of all that decides them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from eval.interpret.effects import Effect
from spatial.files import atomic, write_json
from spatial.scene import digest

_TYPES = {"int": "int32", "float": "float64", "bool": "bool", "str": "string"}


class Parts:
    """The pairs of one run that are done.

    Args:
        folder: of the run.
        settings: all that decides the numbers: model, pairs' wording, sites.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        text = json.dumps(settings, sort_keys=True)
        self.folder = folder / "parts" / digest(text)[:16]
        if not (self.folder / "settings.json").exists():
            write_json(self.folder / "settings.json", dict(settings))

    def has(self, pair_id: str) -> bool:
        """Tell whether a pair is done."""
        return self._path(pair_id).exists()

    def add(self, pair_id: str, effects: Sequence[Effect]) -> None:
        """Keep the effects of a pair."""
        write_effects(self._path(pair_id), effects)

    def read(self, pair_ids: Iterable[str]) -> list[Effect]:
        """Return the effects of pairs that are done, in their order."""
        return [row for pair_id in pair_ids for row in read_effects(self._path(pair_id))]

    def _path(self, pair_id: str) -> Path:
        return self.folder / f"{pair_id}.parquet"


def write_effects(path: Path, effects: Sequence[Effect]) -> None:
    """Write a table of effects, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(item.name, pa.type_for_alias(_TYPES[_name(item.type)])) for item in fields(Effect)])
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in effects], schema=schema), temporary)


def read_effects(path: Path) -> list[Effect]:
    """Read a table of effects.

    Raises:
        OSError: it cannot be read.
    """
    import pyarrow.parquet as pq

    return [Effect(**row) for row in pq.read_table(path).to_pylist()]


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", kind))
