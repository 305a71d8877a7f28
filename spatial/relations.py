"""What the project knows about each of VSR's 66 relations, as data.

A relation is a row here and, where a scene can decide it, a predicate in ``spatial.predicates``. The rows
stand in ``spatial.relation_table``; this file gives them a type and closes their implications.
"""

from dataclasses import dataclass

from spatial.errors import nearest
from spatial.relation_table import REFUSED, TABLE, VSR_ROWS

VERBS = frozenset({"contains", "consists of", "has as a part"})
"""Relations that are their sentence's verb: "The bowl contains the apple", without "is"."""


@dataclass(frozen=True)
class Relation:
    """One relation between a subject A and an object B.

    Attributes:
        name: as VSR spells it, "left of".
        category: VSR's meta category; the text "None" for the one relation that VSR leaves unmapped.
        inverse: the relation of (B, A) that says the same; the name itself where symmetric; ``None`` if there is none.
        antonym: the counterpart in a counterfactual group: never true together with this one of the same (A, B).
        symmetric: whether (A, B) and (B, A) agree.
        frame: "free", "viewer" (left and right as the viewer sees them) or "intrinsic" (by an object's own front).
        implies: every relation that is true wherever this one is; transitively closed.
        render_class: E exact without a frame, F exact once the frame is fixed, M needs assets with a mechanism
            (cavity, named part, connector, several instances), A ambiguous in a still picture, X refused.
        diffusion_class: how a generated picture is checked: L by boxes, D by depth order, C by contact,
            O by pose, X not at all.
        refused: why a relation is not generated; "" where it is.
        vsr_rows: how many rows VSR has of it.
    """

    name: str
    category: str
    render_class: str
    diffusion_class: str
    frame: str
    inverse: str | None
    antonym: str | None
    symmetric: bool
    implies: tuple[str, ...]
    refused: str
    vsr_rows: int


def _read_table() -> dict[str, Relation]:
    rows = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]
    steps = {row[0]: [] if row[6] == "-" else row[6].split(", ") for row in rows}
    rows_of = {name: int(count) for name, _, count in (entry.rpartition(" ") for entry in _entries(VSR_ROWS))}
    relations = {}
    for name, category, classes, frame, inverse, antonym, _ in rows:
        symmetric = inverse == "="
        relations[name] = Relation(
            name=name,
            category=category,
            render_class=classes[0],
            diffusion_class=classes[2],
            frame=frame,
            inverse=name if symmetric else _optional(inverse),
            antonym=_optional(antonym),
            symmetric=symmetric,
            implies=_closure(name, steps),
            refused=REFUSED.get(name, ""),
            vsr_rows=rows_of.get(name, 0),
        )
    return relations


def _entries(text: str) -> list[str]:
    return " ".join(text.split()).split(", ")


def _optional(cell: str) -> str | None:
    return None if cell == "-" else cell


def _closure(name: str, steps: dict[str, list[str]]) -> tuple[str, ...]:
    reached: list[str] = []
    pending = list(steps[name])
    while pending:
        step = pending.pop(0)
        if step != name and step not in reached:
            reached.append(step)
            pending.extend(steps[step])
    return tuple(reached)


RELATIONS: dict[str, Relation] = _read_table()
"""All 66 relations by name, in the order of the table."""

CATEGORIES: tuple[str, ...] = tuple(dict.fromkeys(relation.category for relation in RELATIONS.values()))
"""VSR's meta categories, in the order of the table."""


def relation_named(name: str) -> Relation:
    """Return a relation by name.

    Raises:
        ValueError: there is no such relation; the message names the nearest one.
    """
    if name not in RELATIONS:
        raise ValueError(f"unknown relation {name!r}{nearest(name, RELATIONS)}")
    return RELATIONS[name]
