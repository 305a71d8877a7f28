"""Ways to damage a file of any kind."""

import random
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, random.Random], None]


def _cut(path: Path, draw: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(1, max(2, len(data) * 9 // 10))])


def _empty(path: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def _noise(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(max(64, min(path.stat().st_size, 4096))))


def _zeros(path: Path, draw: random.Random) -> None:
    path.write_bytes(bytes(max(64, path.stat().st_size)))


def _flipped(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for place in (*range(min(4, len(data))), *(draw.randrange(len(data)) for _ in range(len(data) // 500 + 3))):
        data[place] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _html(path: Path, draw: random.Random) -> None:
    path.write_text("<!DOCTYPE html><html><body>404: not found</body></html>", encoding="utf-8")


def _folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _list(path: Path, draw: random.Random) -> None:
    path.write_text("[1, 2, 3]\n", encoding="utf-8")


def _nulls(path: Path, draw: random.Random) -> None:
    path.write_text('{"a": null}\n', encoding="utf-8")


DAMAGES: dict[str, Damage] = {
    "cut short": _cut,
    "empty": _empty,
    "noise": _noise,
    "zeros": _zeros,
    "bits flipped": _flipped,
    "an HTML page": _html,
    "a folder": _folder,
}
"""For every kind of file."""

OF_JSON: dict[str, Damage] = {"a list": _list, "other keys": _nulls}
"""For JSON, which can be whole and still be something else."""
