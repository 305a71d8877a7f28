"""The dataset card: what is in the folder, counted from the data itself."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from datagen.config import DatagenConfig
from spatial.dataset import DatasetFolder
from spatial.records import Record


def write_card(folder: Path, config: DatagenConfig) -> Path:
    """Count the folder's records and write ``README.md`` beside them."""
    data = DatasetFolder(folder)
    lines = [
        f"# Dataset `{folder.name}`",
        "",
        f"{len(data.images)} rendered images in {len({r.group_id for r in data.records})} counterfactual groups, "
        f"{len(data.records)} records, split `{config.split}`, seed {config.seed}.",
        f"Content hash `{data.content_hash()}`. Licence of the images: CC0-1.0.",
        "",
        "Nouns that meet as subject and object here never meet so in the other split.",
        "",
        "## Tasks",
        "",
        *_table(("task", "topic", "records"), sorted(Counter((r.task, r.topic) for r in data.records).items())),
        "",
        "## Relation statements",
        "",
        "Within every group each caption is true of exactly one of the two images, and each image has as many true as",
        "false statements; a predictor that ignores the picture is right half of the time.",
        "",
        *_relations(data.records),
        "",
        "## Draws",
        "",
        "Accepted groups over all draws, per contrast (a draw fails when predicates, framing or visibility say no).",
        "",
        *_acceptance(data),
        "",
    ]
    path = folder / "README.md"
    path.write_text("\n".join(lines))
    return path


def _relations(records: list[Record]) -> list[str]:
    counts = Counter(
        (r.relation, r.frame or "-", r.answer) for r in records if (r.task, r.topic) == ("statement", "relation")
    )
    keys = sorted({key[:2] for key in counts})
    rows = [
        ((relation, frame), f"{counts[relation, frame, 'true']} | {counts[relation, frame, 'false']}")
        for relation, frame in keys
    ]
    return _table(("relation", "frame", "true", "false"), rows)


def _acceptance(data: DatasetFolder) -> list[str]:
    seen: dict[tuple[str, str], list[int]] = {}
    for row in data.images.values():
        made = json.loads(row.provenance)
        seen.setdefault((made["relation"], made["counterpart"]), []).append(made["attempts"])
    rows = [(key, f"{len(draws) // 2} | {len(draws) / sum(draws):.0%}") for key, draws in sorted(seen.items())]
    return _table(("relation", "counterpart", "groups", "accepted"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], object]]) -> list[str]:
    body = [f"| {' | '.join(map(str, key))} | {value} |" for key, value in rows]
    return [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *body]
