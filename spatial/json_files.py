"""JSON files of any length, written and read item by item: only one item is in memory at a time."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from spatial.errors import RecordError

CHUNK = 1 << 20
"""Characters read at a time."""

IN_NUMBERS = "+-.eE0123456789"
"""What may stand inside a number."""


def dump(item: Any) -> str:
    """Return an item as one line of JSON."""
    return json.dumps(item, ensure_ascii=False, allow_nan=False)


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[Any], None]]:
    """Write a JSON list, one item a line, by calling what the block is given."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("[")
        yield _separated(file)
        file.write("\n]\n")


def write_object(path: Path, members: dict[str, Any]) -> None:
    """Write a JSON object, one member after another; a member that is a path stands for the list in that file."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for index, (name, content) in enumerate(members.items()):
            file.write(f"{',' if index else '{'}\n{json.dumps(name)}: ")
            if isinstance(content, Path):
                with content.open(encoding="utf-8", newline="\n") as part:
                    for line in part:
                        file.write(line)
            else:
                file.write(dump(content))
        file.write("\n}\n")


def _separated(file: TextIO) -> Callable[[Any], None]:
    written = False

    def write(item: Any) -> None:
        nonlocal written
        file.write(f"{',' if written else ''}\n{dump(item)}")
        written = True

    return write


def read_lines(path: Path) -> Iterator[Any]:
    """Yield the items of a file with one JSON value a line.

    Raises:
        RecordError: the file cannot be read, or a line is no JSON.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield decode(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read ({error}); make or copy it again") from error


def decode(text: str | bytes, where: str) -> Any:
    """Return the value of a JSON text; RecordError names its place if it is damaged."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise RecordError(f"{where} is no JSON ({error}); make or copy it again") from error


def read_items(path: Path, member: str = "") -> Iterator[Any]:
    """Yield the items of a JSON list, or of the list that is a member of a JSON object, without reading it whole.

    Args:
        path: any JSON file, however it is laid out.
        member: name of the list in the object; empty where the file is itself a list.

    Raises:
        RecordError: the file cannot be read, is cut short, or has no such list.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from _Scanner(file).items(member)
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path} is damaged or no {member or 'JSON'} list ({error}); make or copy it again"
        ) from error


class _Scanner:
    """Decodes one value of a JSON text after another; the text is read in chunks."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def items(self, member: str) -> Iterator[Any]:
        """Yield the items of the list itself or of the member; ValueError where the text is something else."""
        if not member:
            yield from self._list()
            return
        self._expect("{")
        while self._peek() != "}":
            name = self._value()
            self._expect(":")
            if name == member:
                yield from self._list()
                return
            if self._peek() == "[":
                for _ in self._list():
                    pass
            else:
                self._value()
            if self._peek() == ",":
                self._at += 1
        raise ValueError(f"it has no {member!r}")

    def _list(self) -> Iterator[Any]:
        self._expect("[")
        while self._peek() != "]":
            yield self._value()
            if self._peek() == ",":
                self._at += 1
        self._at += 1

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number that stops where the text read so far stops, or in its middle, may go on.
                if (end < len(self._text) and self._text[end] not in IN_NUMBERS) or not self._more():
                    self._at = end
                    return value
            except ValueError:
                if not self._more():
                    raise

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise ValueError(f"{character!r} is missing")
        self._at += 1

    def _peek(self) -> str:
        """Move to the next character that is no space and return it; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at].isspace():
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise ValueError("it is cut short")

    def _more(self) -> bool:
        chunk = self._file.read(max(CHUNK, len(self._text) - self._at))
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)
