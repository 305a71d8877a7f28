"""Write docs/commands.md, the reference of all commands, of what ``vsre COMMAND --help`` knows.

    python scripts/write_commands.py

``tests/vsre/test_docs.py`` fails where the page says something else than the code.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from docstring_parser import parse

from vsre.commands import COMMANDS, Command
from vsre.roots import ROOT

PAGE = ROOT / "docs" / "commands.md"

HOMES = {
    "doctor": ("troubleshooting", "build-model"),
    "fetch": ("data", "benchmarks"),
    "datagen": ("datasets", "relations", "looks", "painting"),
    "card": ("datasets",),
    "yield": ("painting",),
    "export": ("datasets",),
    "import": ("datasets",),
    "import-vsr": ("vsr", "leakage"),
    "objects": ("objects",),
    "compare": ("evaluation",),
    "sweep": ("evaluation",),
    "gallery": ("gallery",),
    "review": ("painting",),
    "passes": ("looks",),
    "calibrate": ("verification",),
    "build-model": ("build-model", "encoders", "fusion", "pixels"),
    "cache-features": ("feature-cache",),
    "train": ("training", "stages", "launch"),
    "merge": ("merge",),
    "push": ("push",),
    "audit": ("audit",),
    "study": ("feature-study",),
    "eval": ("evaluation", "benchmarks", "other-models"),
    "ask": ("ask",),
    "demo": ("ask",),
    "attend": ("attention",),
    "interpret": ("interpret", "pairs"),
    "report": ("report",),
    "matrix": ("matrix",),
    "run": ("recipes",),
}
"""The pages that tell what a command is for, by command; the first is its home."""

OPENING = """# Commands

Every command takes a settings file and overrides: `vsre COMMAND [CONFIG.yaml] [--key VALUE] [--group.key VALUE]`.
Its settings are below, with the value that holds where nothing is said. `vsre COMMAND --help` shows the same,
`--print_config` the settings of a run as YAML, and `--config FILE` is another way to name the file. Settings files may
[extend others](recipes.md#settings-files-that-extend-others). A list is written as in YAML:
`--templates '[question, clause]'`.

An exit code of 0 says that it is done, 2 that there is something for you to mend, which one line names, and 130 that it
was interrupted: the same command then goes on where it can.

This page is written by `scripts/write_commands.py` from the code.
"""


def page() -> str:
    """Return the page as it should be."""
    return "\n".join([OPENING, *(_section(name, command) for name, command in COMMANDS.items())]).rstrip() + "\n"


def _section(name: str, command: Command) -> str:
    homes = ", ".join(f"[{_title(home)}]({home}.md)" for home in HOMES.get(name, ()))
    shown = f"vsre {name} {command.subject.upper()}"
    subject = f" `{shown}` names `{command.subject}` without its name." if command.subject else ""
    rows = [f"| `{key}` | {default} | {text} |" for key, default, text in settings(command.config_class())]
    summary = command.summary.partition(":")[0]
    told = f" Told on: {homes}." if homes else ""
    table = ["| setting | without it | what it is |", "|---|---|---|", *rows]
    return "\n".join([f"## {name}", "", f"{summary[0].upper()}{summary[1:]}.{subject}{told}", "", *table, ""])


def settings(cls: type[Any], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of every setting of a dataclass, those of inner ones under dotted names."""
    meanings = {
        entry.arg_name: " ".join((entry.description or "").split()) for entry in parse(cls.__doc__ or "").params
    }
    hints = get_type_hints(cls)
    for entry in fields(cls):
        if is_dataclass(hints[entry.name]):
            yield from settings(hints[entry.name], f"{above}{entry.name}.")
        else:
            yield f"{above}{entry.name}", _default(entry), _cell(meanings[entry.name])


def _default(entry: "Field[Any]") -> str:
    if entry.default is MISSING and entry.default_factory is MISSING:
        return "must be given"
    value = entry.default if entry.default_factory is MISSING else entry.default_factory()
    if value in ("", [], {}):
        return ""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    return f"`{text}`".replace("|", "\\|")


def _cell(text: str) -> str:
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    text = re.sub(r"\(docs/([\w-]+)\.md\)", r"([more](\1.md))", text)
    return text.replace("|", "\\|").replace("<", "&lt;")


def _title(name: str) -> str:
    path = ROOT / "docs" / f"{name}.md"
    return path.read_text().partition("\n")[0].removeprefix("# ")


if __name__ == "__main__":
    Path(PAGE).write_text(page())
    sys.stdout.write(f"{PAGE}\n")
