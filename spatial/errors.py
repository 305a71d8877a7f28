"""Mistakes that a user can mend.

The front door prints them as one line and exits with code 2; anything else is a bug and keeps its stack trace.
"""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """What is wrong, where, and the command or edit that mends it, in one line."""


class ConfigError(UserError):
    """A setting that cannot be used."""


class RecordError(UserError):
    """A data file, row or image that cannot be used."""


class CheckpointError(UserError):
    """A model directory that cannot be used."""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest known name, or an empty string where none is like ``cutoff``."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Check that a name is one of those that are known.

    Args:
        what: kind of thing that it names, for the error: "canvas mode".
        name: as the user wrote it.
        known: all names, in the order in which they are told.

    Raises:
        ConfigError: it is not; the nearest is named.
    """
    names = list(known)
    if name not in names:
        raise ConfigError(f"unknown {what} {name!r}; known: {', '.join(names)}{nearest(name, names)}")


def first_line(error: Exception) -> str:
    """Return the first line of an error that says anything."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
