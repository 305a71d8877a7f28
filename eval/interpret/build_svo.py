"""SVO-Probes (Hendricks, Nematzadeh, arXiv 2106.09141) as a table of pairs.

``svo_probes.csv`` has two pictures in a row, of two triplets that differ in the subject, the verb or the object. NOTICE
asks "is girl sit or stand grass?" and lets a language model mend the grammar. The questions here name less, and stay
English whatever words take the place of the two options: "Does the girl sit or stand?", "Does this picture show the
grass or the bench?".
"""

import ast
import csv
import logging
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.config import CsvConfig
from eval.interpret.drafts import ENDINGS, Draft, others_for, write_table
from spatial.errors import RecordError, first_line
from spatial.vocabulary import several

_log = logging.getLogger(__name__)

SLOTS = ("subject", "verb", "object")
FLAGS = ("subj_neg", "verb_neg", "obj_neg")

VAGUE = "person"
"""A word that NOTICE leaves out: whether somebody is a person or a woman has no answer."""


@dataclass(frozen=True)
class Probe:
    """Two pictures and their triplets, which differ in one slot."""

    pictures: tuple[Path, Path]
    triplets: tuple[tuple[str, ...], tuple[str, ...]]
    slot: int


def build_svo_probes(config: CsvConfig) -> None:
    """Write the table of pairs: ``config.count`` of each slot, half of them with the "negative" picture as clean one.

    Pictures lie in ``config.images`` under their ids: ``pos_image_id`` and ``neg_image_id``, with any usual ending.

    Raises:
        RecordError: the annotations cannot be read, or there is no picture for any row.
    """
    rng, root = random.Random(config.seed), Path(config.images or Path(config.path).parent)
    probes = _probes(Path(config.source), root)
    drafts: list[Draft] = []
    for slot, name in enumerate(SLOTS):
        some = [probe for probe in probes if probe.slot == slot]
        known = sorted({triplet[slot] for probe in some for triplet in probe.triplets})
        drawn = rng.sample(some, len(some))[: config.count or None]
        drafts += [_draft(probe, name, known, turned=bool(place % 2), rng=rng) for place, probe in enumerate(drawn)]
    if not drafts:
        raise RecordError(f"no row of {config.source} has both of its pictures under {root}; download them first")
    write_table(drafts, Path(config.path), root)


def _draft(probe: Probe, family: str, known: Sequence[str], turned: bool, rng: random.Random) -> Draft:
    order = (1, 0) if turned else (0, 1)
    pictures, triplets = [probe.pictures[place] for place in order], [probe.triplets[place] for place in order]
    correct, incorrect = triplets[0][probe.slot], triplets[1][probe.slot]
    said = {word for triplet in triplets for word in triplet}
    free = [word for word in known if word not in said]
    if family == "verb":
        asked = f"{'Do' if several(triplets[0][0]) else 'Does'} the {triplets[0][0]} {{}} or {{}}?"
    else:
        asked = "Does this picture show the {} or the {}?"
    others = others_for((correct, incorrect), (free, free), rng)
    return Draft(pictures[0], pictures[1], asked, correct, incorrect, others, family)


def _probes(path: Path, root: Path) -> list[Probe]:
    """Return every pair of pictures once; rows that cannot be used are counted in the log."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{path} cannot be read as a table ({first_line(error)}); it is svo_probes.csv") from error
    if not root.is_dir():
        raise RecordError(f"{root} is no folder; set images to the folder of the downloaded pictures")
    stored = {picture.stem: picture for picture in sorted(root.iterdir()) if picture.suffix.lower() in ENDINGS}
    probes: dict[tuple[frozenset[Path], int], Probe] = {}
    dropped: Counter[str] = Counter()
    for row in rows:
        probe = _probe(row, stored)
        if isinstance(probe, str):
            dropped[probe] += 1
        elif probes.setdefault((frozenset(probe.pictures), probe.slot), probe) is not probe:
            dropped["the same two pictures again"] += 1
    for reason, count in dropped.most_common():
        _log.warning("%s: %d rows: %s", path, count, reason)
    return list(probes.values())


def _probe(row: dict[str, str], stored: dict[str, Path]) -> Probe | str:
    """Return what a row shows, or why it is left out."""
    flagged = [slot for slot, flag in enumerate(FLAGS) if (row.get(flag) or "").strip().lower() == "true"]
    positive, negative = (take_triplet(row.get(f"{side}_triplet") or "") for side in ("pos", "neg"))
    if len(flagged) != 1 or positive is None or negative is None:
        return "not two triplets that differ in one slot"
    if [slot for slot in range(3) if positive[slot] != negative[slot]] != flagged:
        return "its triplets do not differ in the slot that is marked, or not there alone"
    if VAGUE in (*positive, *negative):
        return f"it says {VAGUE!r}"
    pictures = [stored.get(str(row.get(f"{side}_image_id"))) for side in ("pos", "neg")]
    if pictures[0] is None or pictures[1] is None:
        return "a picture is missing"
    return Probe((pictures[0], pictures[1]), (positive, negative), flagged[0])


def take_triplet(text: str) -> tuple[str, ...] | None:
    """Return the first triplet of "girl,sit,grass" or "['girl,sit,grass', ...]"; ``None`` if it is none of words."""
    if text.startswith("["):
        try:
            listed = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        text = str(listed[0]) if isinstance(listed, list) and listed else ""
    words = tuple(word.strip().lower() for word in text.split(","))
    return words if len(words) == 3 and all(re.fullmatch(r"[a-z][a-z' -]*", word) for word in words) else None
