"""What has arrived of a file that is not whole yet, and what is needed to go on from there.

Beside the bytes lies a note: the address, the version that the server named, and the size it announced. Bytes of
two versions, or of two addresses, are never put together.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from spatial.files import write_json


@dataclass(frozen=True)
class Origin:
    """Where bytes come from: address, version (a strong ETag or a date) and size of the whole file, where known."""

    url: str
    version: str = ""
    size: int | None = None


@dataclass(frozen=True)
class Partial:
    """The bytes of one unfinished file, at ``path``."""

    path: Path

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def size(self) -> int:
        """Return how many bytes have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def begin(self, origin: Origin) -> None:
        """Start the file afresh with bytes of ``origin``."""
        self.discard()
        write_json(self._note, asdict(origin))
        self.path.touch()

    def origin(self, url: str) -> Origin | None:
        """Return where the bytes come from, if ``url`` can continue them; otherwise the file must start again."""
        try:
            origin = Origin(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        usable = origin.url == url and self.size() and (origin.version or origin.size == self.size())
        return origin if usable else None

    def discard(self) -> None:
        """Remove the bytes and the note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
