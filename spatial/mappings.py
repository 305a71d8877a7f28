"""Settings laid over one another."""

from collections.abc import Collection, Mapping
from typing import Any


def merged(
    below: Mapping[str, Any],
    above: Mapping[str, Any],
    replaced: Collection[str] = (),
    of_commands: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Any]:
    """Lay settings over others: mappings merge, and so do lists whose entries all have a name, entry by entry.

    An entry of ``above`` is laid over that of the same name, or else added at the end. Any other list is replaced.

    Args:
        below: what is laid over.
        above: what is laid on it.
        replaced: keys whose value is given anew as a whole, here and in named entries, but not further inside.
        of_commands: the same, of the "settings" of entries that have such a "command".
    """
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if key in replaced:
            result[key] = value
        elif isinstance(value, dict) and isinstance(old, dict):
            command = above.get("command") or below.get("command")
            inside = (of_commands or {}).get(str(command), ()) if key == "settings" else ()
            result[key] = merged(old, value, inside, of_commands)
        elif isinstance(old, list) and _are_named(value) and _are_named(old):
            entries = {entry["name"]: entry for entry in old}
            entries |= {entry["name"]: _laid(entries, entry, replaced, of_commands) for entry in value}
            result[key] = list(entries.values())
        else:
            result[key] = value
    return result


def _laid(
    entries: Mapping[str, dict[str, Any]],
    entry: dict[str, Any],
    replaced: Collection[str],
    of_commands: Mapping[str, Collection[str]] | None,
) -> dict[str, Any]:
    return merged(entries.get(entry["name"], {}), entry, replaced, of_commands)


def _are_named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(it, dict) and "name" in it for it in value)
