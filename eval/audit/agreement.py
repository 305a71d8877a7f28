"""How far our predicates agree with people: VSR's labels against what the boxes of the same photos say.

A row of VSR (Liu, Emerson, Collier, TACL 2023) names two nouns. Where the photo has exactly one annotated instance of
each, the relation's predicate answers from the two boxes, without depth or pose; where boxes do not decide the
relation, it says so and the row counts as undecided. Boxes can only refute many relations ("touching": they lie
apart), so how often the predicate said true and said false is told apart.

Disagreement is not always our error: annotators read left and right also from the object's own point of view.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatial.coco import AnnotatedPhoto, read_instances
from spatial.errors import RecordError
from spatial.leakage import photo_key
from spatial.observation import Observation, Seen
from spatial.predicates import PREDICATES, holds
from spatial.proportion import wilson
from spatial.templates import split_caption
from spatial.vsr import RELEASED, Row, read_rows

UNDECIDED = "undecided"
NO_PREDICATE = "a picture does not decide the relation"
OTHER_FORM = "the caption is not of the form 'The A is ... the B.'"
NO_PHOTO = "the photo is not annotated"
NO_NOUN = "a noun is not annotated in the photo"
SEVERAL = "a noun has several instances in the photo"


@dataclass(frozen=True)
class Verdict:
    """What became of one row.

    Attributes:
        source: file and line.
        said: the predicate's answer; ``None`` where there is none.
        why: why there is none, ``UNDECIDED`` or a reason to leave the row out; "" where there is one.
    """

    source: str
    row: Row
    said: bool | None
    why: str

    @property
    def right(self) -> bool:
        """Whether predicate and label agree; only of a decided row."""
        return self.said == self.row.truth


def agreement(coco: Path, vsr: Path) -> dict[str, Any]:
    """Compare predicates and labels on every row whose nouns are single.

    Args:
        coco: COCO-format file, or folder of ``instances*.json``.
        vsr: folder of VSR's annotation files, or one of them.

    Returns:
        Numbers per relation and overall, rows left out by reason, and the rows on which the two disagree.

    Raises:
        RecordError: a file cannot be read, or none of VSR's photos is annotated.
    """
    rows = distinct_rows(vsr)
    annotated = read_instances([coco], {row.photo for _, row in rows})
    if not annotated:
        raise RecordError(
            f"none of the photos of {vsr} is annotated in {coco}; VSR's are of COCO train2017 and val2017"
        )
    verdicts = [compare(source, row, annotated) for source, row in rows]
    return summarise(verdicts)


def distinct_rows(vsr: Path) -> list[tuple[str, Row]]:
    """Return the rows of one annotation file, or of all released ones in a folder, with their file and line.

    The random and the zero-shot split divide the same rows, so a photo and caption that was read already is left away.

    Raises:
        RecordError: there is no annotation file, or one is damaged.
    """
    if vsr.is_file():
        files = [(vsr, "", "")]
    else:
        names = [(vsr / name.format(*key), *key) for key in RELEASED for name in ("{}.{}.jsonl", "{}/{}.jsonl")]
        files = [(path, split, part) for path, split, part in names if path.is_file()]
    if not files:
        raise RecordError(f"{vsr} has no VSR annotation file such as zeroshot.dev.jsonl; correct --vsr")
    rows: dict[tuple[str, str], tuple[str, Row]] = {}
    for path, split, part in files:
        for row in read_rows(path, split, part):
            rows.setdefault((row.photo, row.caption), (f"{path.name}:{row.line}", row))
    return list(rows.values())


def compare(source: str, row: Row, annotated: Mapping[str, AnnotatedPhoto]) -> Verdict:
    """Ask a row's predicate about the boxes of its two nouns; ``annotated`` is by ``spatial.leakage.photo_key``."""
    if row.relation not in PREDICATES:
        return Verdict(source, row, None, NO_PREDICATE)
    try:
        subject, _, other = (part.lower() for part in split_caption(row.caption, row.relation))
    except ValueError:
        return Verdict(source, row, None, OTHER_FORM)
    photo = annotated.get(photo_key(row.photo))
    if photo is None:
        return Verdict(source, row, None, NO_PHOTO)
    places = {noun: photo.places(noun) for noun in (subject, other)}
    if not all(found or noun in photo.crowds for noun, found in places.items()):
        return Verdict(source, row, None, NO_NOUN)
    if subject == other or any(len(found) > 1 for found in places.values()) or photo.crowds & {subject, other}:
        return Verdict(source, row, None, SEVERAL)
    seen = Observation(tuple(Seen(item.name, item.box_xyxy) for item in photo.objects), photo.width, photo.height)
    said = holds(row.relation, places[subject][0], places[other][0], seen)
    return Verdict(source, row, said, UNDECIDED if said is None else "")


def summarise(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the numbers of ``agreement``."""
    asked = [verdict for verdict in verdicts if verdict.why in ("", UNDECIDED)]
    wrong = [verdict for verdict in asked if verdict.said is not None and not verdict.right]
    left_out = Counter(verdict.why for verdict in verdicts if verdict.why not in ("", UNDECIDED))
    return {
        "rows": len(verdicts),
        "overall": _numbers(asked),
        "per_relation": {
            name: _numbers([verdict for verdict in asked if verdict.row.relation == name])
            for name in sorted({verdict.row.relation for verdict in asked})
        },
        "left_out": dict(left_out.most_common()),
        "disagreements": [
            {
                "row": verdict.source,
                "photo": verdict.row.photo,
                "caption": verdict.row.caption,
                "label": verdict.row.truth,
                "predicate": verdict.said,
            }
            for verdict in wrong
        ],
    }


def _numbers(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    decided = [verdict for verdict in verdicts if verdict.said is not None]
    right = sum(verdict.right for verdict in decided)
    interval = list(wilson(right / len(decided), len(decided))) if decided else None
    return {
        "decided": len(decided),
        "undecided": len(verdicts) - len(decided),
        "agreement": right / len(decided) if decided else None,
        "ci95": interval,
        "said_true": _said(decided, True),
        "said_false": _said(decided, False),
    }


def _said(decided: Iterable[Verdict], answer: bool) -> dict[str, int]:
    given = [verdict for verdict in decided if verdict.said is answer]
    return {"n": len(given), "right": sum(verdict.right for verdict in given)}
