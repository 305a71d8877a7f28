"""What a fault is, what may come of it, and the bench on which it is put into a command.

A fault ends well where the command is refused with one line that a user can act on, where it goes on to the result that
it would have had, or where what is damaged is named and passed over. Everything else is a defect, of one of four kinds.
"""

import hashlib
import json
import random
import re
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.forked import Ended, Running, start

REFUSED, RESUMED, READ, NAMED, WAITED = "refused in one line", "resumed", "read right", "named, rest kept", "waited"

LOST, WRONG, TRACED, HUNG = "lost", "wrong", "stack trace", "hangs"
DEFECTS = (LOST, WRONG, TRACED, HUNG)

HANGS = -signal.SIGALRM
"""Exit code by which ``tests.forked`` tells of a command that it had to end."""


class Defect(Exception):
    """A fault was not survived; ``kind`` is one of ``DEFECTS``."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


@dataclass(frozen=True)
class Fault:
    """One fault that can be tried.

    Attributes:
        stage: command that meets it.
        kind: for the table: "kill", "damaged file", ...
        name: what is done, unique with stage and kind.
        run: does it on a bench and returns how it was survived.
        given: to ``run`` after the bench.
    """

    stage: str
    kind: str
    name: str
    run: Callable[..., str]
    given: tuple[object, ...] = ()

    @property
    def key(self) -> str:
        """Return what names it in results and for ``--only``."""
        return f"{self.kind}/{self.stage}/{self.name}"


@dataclass
class Bench:
    """A folder of its own for one fault, and what all faults start from.

    Attributes:
        folder: working directory of the commands.
        made: folder of what was made once for all (``tests.chaos.made``).
        random: draws what is left to chance, from the seed and the fault's name.
    """

    folder: Path
    made: Path
    random: random.Random
    _commands: int = field(default=0)

    def start(self, *arguments: object, folder: Path | None = None, **options: Any) -> Running:
        """Start a command line of ``vsre``; options are those of ``tests.forked.start``."""
        self._commands += 1
        log = self.folder / f".log-{self._commands}.txt"
        return start([str(it) for it in arguments], folder or self.folder, log, **options)

    def run(self, *arguments: object, **options: Any) -> Ended:
        """Run a command line to its end; one that hangs is a defect."""
        ended = self.start(*arguments, **options).result()
        if ended.code == HANGS:
            raise Defect(HUNG, last_lines(ended.text))
        return ended

    def done(self, *arguments: object, **options: Any) -> Ended:
        """Run a command line that must do its work."""
        ended = self.run(*arguments, **options)
        if ended.traced:
            raise Defect(TRACED, last_lines(ended.text))
        if ended.code != 0:
            raise Defect(LOST, f"exit code {ended.code}: {last_lines(ended.text)}")
        return ended

    def refused(self, *arguments: object, says: str = "", **options: Any) -> str:
        """Run a command line that must be refused, in one line that names what is wrong (a regular expression)."""
        return check_refused(self.run(*arguments, **options), says)

    def copy(self, name: str, to: str = "") -> Path:
        """Return a copy, in the folder of this fault, of something made."""
        target = self.folder / (to or Path(name).name)
        source = self.made / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        return target


def check_refused(ended: Ended, says: str = "") -> str:
    """Hold that a command was refused as users may expect it."""
    if ended.traced:
        raise Defect(TRACED, last_lines(ended.text))
    if ended.code == 0:
        raise Defect(WRONG, f"it was not refused: {last_lines(ended.text)}")
    lines = [line for line in re.split(r"[\r\n]", ended.text) if line.startswith("vsre: ")]
    if ended.code != 2 or len(lines) != 1:
        raise Defect(WRONG, f"exit code {ended.code} with {len(lines)} lines of ours: {last_lines(ended.text)}")
    if not re.search(says, lines[0], re.IGNORECASE):
        raise Defect(WRONG, f"the line does not say {says!r}: {lines[0]}")
    tail = ended.text[ended.text.rindex(lines[0]) + len(lines[0]) :]
    if tail.strip():
        raise Defect(WRONG, f"the error is more than one line: {lines[0]}{tail}")
    return REFUSED


def last_lines(text: str, count: int = 6) -> str:
    """Return the end of what a command printed, on one line."""
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
    return " | ".join(lines[-count:])[-1500:]


TIMES = ("started", "versions", "throughput")
"""Keys of JSON files that say when or how fast something was made; so do those that begin with "seconds"."""

UNCOMPARED = ("environment.json", "log.txt", "log.jsonl", "config.yaml")


def contents(folder: Path, leave: Sequence[str] = ()) -> dict[str, str]:
    """Return a hash of each file of an output folder, of what it says and not of when it was made.

    Args:
        folder: of the output, or one file.
        leave: patterns of paths that may differ.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    found = {}
    for path in paths:
        name = path.relative_to(folder).as_posix() if folder.is_dir() else path.name
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or path.name in UNCOMPARED or any(Path(name).match(pattern) for pattern in leave):
            continue
        found[name] = hashlib.blake2b(_content(path), digest_size=12).hexdigest()
    return found


def _content(path: Path) -> bytes:
    if path.suffix == ".json":
        return json.dumps(_timeless(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True).encode()
    content = path.read_bytes()
    if path.suffix == ".safetensors":  # what its header says besides the tensors is written in any order
        end = 8 + int.from_bytes(content[:8], "little")
        return json.dumps(json.loads(content[8:end]), sort_keys=True).encode() + content[end:]
    return re.sub(rb"&#34;started&#34;: .*", b"", content) if path.suffix == ".html" else content


def _timeless(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _timeless(item) for key, item in value.items() if key not in TIMES and not key.startswith("seconds")
        }
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def check_same(found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Hold that two outputs say the same.

    Raises:
        Defect: a file is missing (lost), or another (wrong).
    """
    missing = sorted(set(expected) - set(found))
    if missing:
        raise Defect(LOST, f"missing: {', '.join(missing[:5])}")
    other = sorted(name for name in found if found[name] != expected.get(name))
    if other:
        raise Defect(WRONG, f"not what an unharmed run writes: {', '.join(other[:5])}")
