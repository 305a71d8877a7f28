"""Rows on disk: one small Parquet file per pair while a run goes on, one table in the end.

A pair is done if its file is there, and files appear whole (``spatial.files``), so a killed run goes on with the next
pair and computes none twice. Files lie in a folder that is named by a hash of all that decides them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from spatial.files import atomic, write_json
from spatial.scene import digest

Row = TypeVar("Row")

_TYPES = {str(kind): name for kind, name in ((int, "int32"), (float, "float64"), (bool, "bool"), (str, "string"))}


class Parts(Generic[Row]):
    """The pairs of one run that are done, with rows of one kind; a pair is named by ``Pair.content``.

    Args:
        folder: of the run.
        kind: dataclass of the rows; its fields are numbers and strings.
        settings: all that decides the numbers beside the pairs: model, sites.
    """

    def __init__(self, folder: Path, kind: type[Row], settings: Mapping[str, Any]) -> None:
        name = digest(json.dumps(settings, sort_keys=True))[:16]
        self.kind, self.folder = kind, folder / "parts" / f"{kind.__name__.lower()}-{name}"
        if not (self.folder / "settings.json").exists():
            write_json(self.folder / "settings.json", dict(settings))

    def has(self, pair: str) -> bool:
        """Tell whether a pair is done."""
        return self._path(pair).exists()

    def add(self, pair: str, rows: Sequence[Row]) -> None:
        """Keep the rows of a pair; there may be none."""
        write_rows(self._path(pair), self.kind, rows)

    def read(self, pairs: Iterable[str]) -> list[Row]:
        """Return the rows of pairs that are done, in their order."""
        return [row for pair in pairs for row in read_rows(self._path(pair), self.kind)]

    def _path(self, pair: str) -> Path:
        return self.folder / f"{pair}.parquet"


def write_rows(path: Path, kind: type[Row], rows: Sequence[Row]) -> None:
    """Write a table, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    described: Any = kind
    schema = pa.schema([(item.name, pa.type_for_alias(_TYPES[str(item.type)])) for item in fields(described)])
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pydict(columns, schema=schema), temporary)


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read a table.

    Raises:
        OSError: it cannot be read.
    """
    import pyarrow.parquet as pq

    return [kind(**row) for row in pq.read_table(path).to_pylist()]
