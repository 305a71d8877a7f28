"""What a format's own fields leave out: the rest of a row, as JSON under the key ``vsre``.

A format gives back some fields of a row from its own fields: these are *carried*. The rest is every other field that is
not at its default, and every carried one whose value did not survive. So a round trip loses nothing, whatever a format
can carry, and no value is written twice without need.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from functools import cache
from typing import Any, TypeVar

from spatial.errors import RecordError
from spatial.records import ImageObject, ImageRow, Record, json_ready

Fields = dict[str, Any]
"""Values of a row by name, as JSON has them: lists for tuples, null for NaN."""

Row = TypeVar("Row", Record, ImageRow, ImageObject)

KEY = "vsre"
"""Where the rest is kept in every format."""

MANIFEST = f"{KEY}.json"
"""File of an export that says what it is."""


def plain(row: Record | ImageRow | ImageObject) -> Fields:
    """Return all fields of a row as JSON has them; an image without its bytes."""
    values = {entry.name: getattr(row, entry.name) for entry in fields(row) if entry.name != "image"}
    if isinstance(row, ImageRow):
        values["objects"] = [asdict(item) for item in row.objects]
    found: Fields = _without_nan(json_ready(values))
    return found


def rest(row: Record | ImageRow | ImageObject, carried: Mapping[str, Any]) -> Fields:
    """Return the fields that ``carried`` and the defaults do not give back."""
    kind: Any = type(row)
    given = {**_defaults(kind), **carried}
    return {name: value for name, value in plain(row).items() if name not in given or given[name] != value}


def restore(kind: type[Row], carried: Mapping[str, Any], kept: Any, where: str, **more: Any) -> Row:
    """Return the row of carried fields and the rest.

    Args:
        kind: the class of the row.
        carried: what the format's own fields say.
        kept: what ``rest`` returned, read from a file.
        where: the place in the file, for messages.
        more: fields that are no JSON.

    Raises:
        RecordError: ``kept`` is not what an export writes.
    """
    if not isinstance(kept, dict):
        raise RecordError(
            f"{where} has not the fields that 'vsre export' writes under {KEY!r}; export the dataset again"
        )
    values = {**carried, **kept}
    if kind is ImageRow and "objects" not in more:
        values["objects"] = [restore(ImageObject, {}, item, where) for item in values.get("objects", ())]
    try:
        return kind(**{name: _typed(kind, name, value) for name, value in values.items()}, **more)
    except TypeError as error:
        raise RecordError(f"{where} does not fit {kind.__name__} ({error}); export the dataset again") from error


@cache
def _defaults(kind: type[Any]) -> Fields:
    """Return the defaults of a row; an identifier has none, so that it is always written."""
    values = {entry.name: entry.default for entry in fields(kind) if entry.default is not MISSING}
    values.pop("record_id", None)
    defaults: Fields = _without_nan(json_ready(values))
    return defaults


def _typed(kind: type[Any], name: str, value: Any) -> Any:
    if value is None and name == "depth":
        return math.nan
    if isinstance(value, list):
        return tuple(math.nan if item is None else item for item in value)
    return value


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
