"""Find the shell commands of the documents, and say which of them are not run, and why.

A block of commands is a fence of the language ``bash``, or indented lines of which one begins with a program; a blank
line ends it. A block that cannot run on two cores without network is marked above it, with the reason:
``<!-- not run: needs eight GPUs -->``.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vsre.roots import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

PROGRAM = re.compile(
    r"(?:[A-Z_]+=\S* )*"
    r"(?:vsre|make|python3?|pip|hf|git|grep|cd|cp|sbatch|torchrun|accelerate|deepspeed|lmms-eval|\.ci/run"
    r"|\.venv\S*/bin/\S+)(?: |$)"
)
"""The beginning of a line that is a command."""

MARK = re.compile(r"<!-- not run: *(.*?) *-->")

OURS = re.compile(r"(?:^|/)vsre$")


@dataclass(frozen=True)
class Command:
    """One command of a document, continued lines joined: where it stands, and why it is not run, if it is not."""

    page: Path
    line: int
    text: str
    not_run: str | None

    @property
    def name(self) -> str:
        """Where it stands, for people."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def commands(page: Path) -> list[Command]:
    """Return the commands of a page in the order in which they stand."""
    return [command for block in _blocks(page.read_text().splitlines()) for command in _commands(page, *block)]


def own_calls(command: Command) -> Iterator[list[str]]:
    """Yield the arguments of every call of ``vsre`` in a command, also of one that a launcher or a scheduler makes."""
    words = shlex.split(command.text, comments=True)
    if "--wrap" in words:
        words = shlex.split(words[words.index("--wrap") + 1])
    start = 0
    for end in [*(at for at, word in enumerate(words) if word in ("&&", ";", "|", ">")), len(words)]:
        part = words[start:end]
        start = end + 1
        called = next((at for at, word in enumerate(part) if OURS.search(word)), None)
        if called is not None and (called == 0 or part[called - 1] in ("-m", "--")):
            rest = part[called + 1 :]
            yield rest[: rest.index("|")] if "|" in rest else rest


def _blocks(lines: list[str]) -> Iterator[tuple[list[tuple[int, str]], str | None]]:
    """Yield blocks of code that may hold commands, as (number, text) of each line, and the reason not to run each."""
    mark: str | None = None
    at = 0
    while at < len(lines):
        line = lines[at]
        begin = at
        if line.startswith("```"):
            at = next(number for number in range(at + 1, len(lines)) if lines[number].startswith("```")) + 1
            if line in ("```bash", "```sh", "```console"):
                yield [(number + 1, lines[number]) for number in range(begin + 1, at - 1)], mark
            mark = None
        elif line.startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            while at < len(lines) and lines[at].startswith("    "):
                at += 1
            yield [(number + 1, lines[number].strip()) for number in range(begin, at)], mark
            mark = None
        else:
            found = MARK.fullmatch(line.strip())
            mark = found[1] if found else mark if not line.strip() else None
            at += 1


def _commands(page: Path, block: list[tuple[int, str]], not_run: str | None) -> Iterator[Command]:
    if not any(PROGRAM.match(line) for _, line in block):
        return
    open_at, text = 0, ""
    for number, line in block:
        open_at, text = (open_at, f"{text}\n{line}") if text else (number, line)
        if not _continues(text):
            if text.strip() and not text.startswith("#"):
                yield Command(page, open_at, text.replace("\\\n", " "), not_run)
            text = ""
    assert not text, f"{page.name}:{open_at}: a command does not end"


def _continues(text: str) -> bool:
    if text.endswith("\\"):
        return True
    try:
        shlex.split(text, comments=True)
    except ValueError:  # a quotation is open
        return True
    return False
