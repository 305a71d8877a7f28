"""Read a settings file, and refuse what YAML allows but nobody means.

A key that stands twice would silently take its last value. Aliases of aliases can grow a few lines to billions of
values, and a value can hold itself; whatever walks through such content then never ends. All of it is seen in the
parser's events, before anything is built of them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader

from spatial.errors import ConfigError

DEEPEST = 50
"""Mappings and lists within each other; the deepest setting of ours has eight."""

MOST_VALUES = 1_000_000
"""Values in a file with all its aliases written out; a table of 10,000 pairs of settings has a tenth of that."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class _Open:
    """A mapping or list whose end has not been read: its anchor, how many values it has, and its keys."""

    anchor: str | None
    is_mapping: bool
    values: int = 1
    entries: int = 0
    keys: set[str] = field(default_factory=set)


def load_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping (or nothing).

    Raises:
        ConfigError: it is something else, or one of what this module refuses.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _check(text, path)
        content = get_loader("yaml")(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict | None):
        raise ConfigError(f"{path} must hold 'key: value' lines, not a {type(content).__name__}")
    return content or {}


def _check(text: str, path: Path) -> None:
    """Raise ConfigError for keys that stand twice, and for content without bounds."""
    sizes: dict[str, int] = {}
    opened: list[_Open] = []
    for event in yaml.parse(text, Loader=_LOADER):
        place = f"{path}:{event.start_mark.line + 1}" if event.start_mark else str(path)
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            opened.append(_Open(event.anchor, isinstance(event, yaml.MappingStartEvent)))
            if len(opened) > DEEPEST:
                raise ConfigError(f"{place}: more than {DEEPEST} mappings and lists within each other; simplify them")
            continue
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            ended = opened.pop()
            anchor, values = ended.anchor, ended.values
        elif isinstance(event, yaml.AliasEvent):
            if any(it.anchor == event.anchor for it in opened):
                raise ConfigError(f"{place}: '*{event.anchor}' stands within '&{event.anchor}' itself; write it out")
            anchor, values = None, sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            anchor, values = event.anchor, 1
            _check_key(event.value, opened, place)
        else:
            continue
        if anchor:
            sizes[anchor] = values
        if opened:
            opened[-1].entries += 1
            opened[-1].values += values
            if opened[-1].values > MOST_VALUES:
                raise ConfigError(f"{place}: with its aliases written out it has more than {MOST_VALUES:,} values")


def _check_key(value: str, opened: list[_Open], place: str) -> None:
    """Raise ConfigError if a scalar is a key that its mapping has already."""
    if not opened or not opened[-1].is_mapping or opened[-1].entries % 2:
        return
    if value in opened[-1].keys:
        raise ConfigError(f"{place}: {value!r} stands here twice; keep one of them")
    opened[-1].keys.add(value)
