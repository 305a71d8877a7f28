"""``manifest.jsonl``: size, sha256 and address of every file that was fetched, one line each.

A line is added as soon as a file has its name, so a killed run loses at most a torn last line. The next run verifies
the files against it: what changed since is fetched again.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from spatial.files import atomic

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Entry:
    """A whole file: its path in the folder, its size and hash, and where it came from ("" if it was there already)."""

    file: str
    bytes: int
    sha256: str
    url: str = ""


class Manifest:
    """The entries of a folder by file name, written as they come."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / MANIFEST
        self.entries = {entry.file: entry for entry in _read(self._path)}
        if self._path.exists():
            # A torn last line would swallow the line that is added after it.
            self.save()

    def add(self, entry: Entry) -> None:
        """Add or replace the entry of a file."""
        if self.entries.get(entry.file) != entry:
            self.entries[entry.file] = entry
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(entry))

    def save(self) -> None:
        """Write the file anew: one line a file, sorted, whatever order they came in."""
        with atomic(self._path) as temporary:
            lines = (_line(entry) for _, entry in sorted(self.entries.items()))
            temporary.write_text("".join(lines), encoding="utf-8")


def _line(entry: Entry) -> str:
    return json.dumps(asdict(entry)) + "\n"


def _read(path: Path) -> Iterator[Entry]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            yield Entry(**json.loads(line))
        except (ValueError, TypeError):
            continue
