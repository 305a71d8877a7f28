"""The table of what was tried and what became of it, for people and for programs."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.bench import DEFECTS


def read(file: Path, seed: int, kind: type[Any]) -> dict[str, Any]:
    """Return what was tried with this seed and survived; what was not is tried again."""
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if held["seed"] != seed:
        return {}
    return {key: kind(**it) for key, it in held["tried"].items() if not it["defect"]}


def write(file: Path, seed: int, tried: Mapping[str, Any]) -> None:
    """Write what was tried so far."""
    counts = Counter(it["defect"] for it in tried.values())
    content = {"seed": seed, "faults": len(tried), **{kind: counts[kind] for kind in DEFECTS}, "tried": tried}
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(partial, file)


def markdown(tried: Sequence[Any], seed: int) -> str:
    """Return a table by kind of fault, one by kind and command, and what was not survived below them."""
    failed = [f"- {it.kind}/{it.stage}/{it.name}: {it.told}" for it in tried if it.defect]
    lines = [
        f"Seed {seed}, {len(tried)} faults, {sum(it.seconds for it in tried) / 60:.0f} minutes.",
        "",
        *_table(tried, lambda it: (it.kind,), ("kind",)),
        _row(("**all**",), tried),
        "",
        *_table(tried, lambda it: (it.kind, it.stage), ("kind", "command")),
    ]
    return "\n".join([*lines, "", *failed] if failed else lines) + "\n"


def _table(tried: Sequence[Any], key: Callable[[Any], tuple[str, ...]], names: Sequence[str]) -> list[str]:
    groups: dict[tuple[str, ...], list[Any]] = {}
    for it in tried:
        groups.setdefault(key(it), []).append(it)
    titles = (*names, "tried", "survived", "how", *DEFECTS)
    head = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    return head + [_row(name, group) for name, group in groups.items()]


def _row(names: Sequence[str], group: Sequence[Any]) -> str:
    how = ", ".join(f"{name} {count}" for name, count in Counter(it.survived for it in group if it.survived).items())
    counts = Counter(it.defect for it in group)
    cells = [*names, len(group), counts[""], how, *(counts[kind] for kind in DEFECTS)]
    return f"| {' | '.join(map(str, cells))} |"
