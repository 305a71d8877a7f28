"""The table of what was tried and what became of it, for people and for programs."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.bench import DEFECTS, HUNG, LOST, TRACED, WRONG


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
    """Return a table with one row per kind of fault and command, and what was not survived below it."""
    rows: dict[tuple[str, str], list[Any]] = {}
    for it in tried:
        rows.setdefault((it.kind, it.stage), []).append(it)
    lines = [
        f"Seed {seed}, {len(tried)} faults, {sum(it.seconds for it in tried) / 60:.0f} minutes.",
        "",
        "| kind | command | tried | survived | how | lost | wrong | stack trace | hangs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(kind, stage, group) for (kind, stage), group in rows.items()]
    lines.append(_row("**all**", "", list(tried)))
    failed = [it for it in tried if it.defect]
    lines += ["", *(f"- {it.kind}/{it.stage}/{it.name}: {it.told}" for it in failed)] if failed else []
    return "\n".join(lines) + "\n"


def _row(kind: str, stage: str, group: Sequence[Any]) -> str:
    how = ", ".join(f"{name} {count}" for name, count in Counter(it.survived for it in group if it.survived).items())
    counts = Counter(it.defect for it in group)
    survived = sum(not it.defect for it in group)
    cells = [kind, stage, len(group), survived, how, *(counts[name] for name in (LOST, WRONG, TRACED, HUNG))]
    return f"| {' | '.join(map(str, cells))} |"
