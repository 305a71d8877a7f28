"""The yield table: how often what was asked for is really there, by relation and engine.

A pure function of the stored rows (``attempted``) and, for the seconds, of the times beside them. Its words:

- *objects*: every object was found (VISOR's object accuracy, OA).
- *VISOR unconditional*: the relation holds among what was found, of all pictures; *conditional*: of those in which
  every object was found (Gokhale et al., arXiv 2212.10015).
- *VISOR_n*: of the specs that were painted at least ``SEEDS`` times, those of whose first ``SEEDS`` pictures ``n`` or
  more show the relation. A spec with an unread picture among these is left out, and such specs are counted.
- *passed*: all checks; *accepted*: the picture's whole group passed, so that it is in the data.

A picture whose relation could not be told even if it were painted as it was meant, since that needs poses, is left out
of the VISOR columns and counted as *unread*; the same specs are left out whatever they are painted with. Intervals are
Wilson's with pictures taken as independent; those of one spec are not quite.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datagen.verify.base import Verdict
from datagen.verify.calibration import Precision
from datagen.verify.verdicts import accepted, from_json, why_refused
from spatial.proportion import Proportion

SEEDS = 4
"""VISOR_1 to VISOR_4 are of four pictures of each spec."""

PARTNER = "partner: rejected"
"""Why a picture that passed is not in the data."""

ALL = "all relations"


@dataclass(frozen=True)
class Attempted:
    """A painted picture as the table counts it.

    Attributes:
        relation: that it was to show.
        engine: that painted it.
        control: whether geometry or a photo steered the engine.
        spec: names what was asked for.
        number: of the seed.
        verdicts: of the checks.
        kept: whether it is in the data.
        readable: whether checks could tell the relation of the intended picture.
        run: names the dataset folder where several stand in one table, else "".
    """

    relation: str
    engine: str
    control: bool
    spec: str
    number: int
    verdicts: tuple[Verdict, ...]
    kept: bool
    readable: bool = True
    run: str = ""

    @property
    def found(self) -> bool:
        """Whether every object was found."""
        return self._status("presence") == "passed"

    @property
    def right(self) -> bool | None:
        """Whether the relation holds; ``None`` where no check could tell."""
        status = self._status("relation")
        if not self.readable or (self.found and status not in ("passed", "failed")):
            return None
        return self.found and status == "passed"

    @property
    def passed(self) -> bool:
        """Whether it passed all checks."""
        return accepted(self.verdicts)

    @property
    def judged_right(self) -> bool:
        """Whether it passed all checks of what it shows, which is all but whether there is another one like it."""
        return accepted(verdict for verdict in self.verdicts if verdict.check != "duplicate")

    @property
    def reason(self) -> str:
        """Why it is not in the data, as "check: reason"; "" if it is."""
        found = why_refused(self.verdicts)
        return found or ("" if self.kept else PARTNER if self.passed else "presence: not checked")

    def _status(self, check: str) -> str:
        return next((verdict.status for verdict in self.verdicts if verdict.check == check), "skipped")


@dataclass(frozen=True)
class Visor:
    """VISOR_1, ... of specs that were painted ``SEEDS`` times.

    Attributes:
        shares: one for each n; empty where no spec is counted.
        unread: specs that are left out, since of one of their first pictures no check could tell the relation.
    """

    shares: tuple[Proportion, ...] = ()
    unread: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as ``yield.json`` has it."""
        shares = {f"visor_{n}": share.as_json() for n, share in enumerate(self.shares, 1)}
        return {**shares, "visor_specs_unread": self.unread}


@dataclass(frozen=True)
class Yield:
    """A line of the table.

    Attributes:
        relation: or ``ALL``.
        engine: that painted.
        control: whether it was steered.
        run: names the dataset folder where several stand in one table, else "".
        objects, unconditional, conditional: see the module.
        visor: VISOR_1, ...
        unread: pictures of which no check could tell the relation.
        judged_right: pictures that passed all checks but, maybe, that for duplicates.
        passed: of all pictures.
        accepted: likewise.
        reasons: why pictures are not in the data, the most frequent first.
        seconds: of painting and verifying for each accepted picture; ``None`` where there is none or no time is known.
        precision: share of right pictures among those that passed, corrected for the verifier's own errors; ``None``
            where those are not known (``datagen.paint.corrected``). Of whole groups, which are accepted, it is not.
    """

    relation: str
    engine: str
    control: bool
    run: str
    objects: Proportion
    unconditional: Proportion
    conditional: Proportion
    visor: Visor
    unread: int
    judged_right: int
    passed: Proportion
    accepted: Proportion
    reasons: Mapping[str, int]
    seconds: float | None
    precision: Precision | None = None

    @property
    def attempts(self) -> int:
        """Pictures that were painted."""
        return self.accepted.total

    def as_json(self) -> dict[str, Any]:
        """Return it as ``yield.json`` has it."""
        return {
            "relation": self.relation,
            "engine": self.engine,
            "control": self.control,
            "run": self.run,
            "attempts": self.attempts,
            "objects": self.objects.as_json(),
            "visor_unconditional": self.unconditional.as_json(),
            "visor_conditional": self.conditional.as_json(),
            **self.visor.as_json(),
            "unread": self.unread,
            "passed": self.passed.as_json(),
            "accepted": self.accepted.as_json(),
            "reasons": dict(self.reasons),
            "seconds_per_accepted": None if self.seconds is None else round(self.seconds, 3),
            "label_precision": self.precision and _precision_json(self.precision),
        }


def _precision_json(found: Precision) -> dict[str, Any]:
    return {"of": "passed", "share": round(found.share, 4), "ci95": [round(bound, 4) for bound in found.interval]}


Key = tuple[str, str, str, bool]
"""Run, relation, engine, control."""


def attempted(provenance: str, verdicts: str, kept: bool, run: str = "") -> Attempted | None:
    """Return a stored picture as the table counts it; ``None`` for one that no engine painted.

    Args:
        provenance: as ``ImageRow`` has it.
        verdicts: likewise.
        kept: whether it is in the data.
        run: see ``Attempted``.

    Raises:
        RecordError: the verdicts cannot be read.
    """
    try:
        made = json.loads(provenance)["painted"]
        names = (str(made["relation"]), str(made["engine"]), bool(made["control"]), str(made["spec"]))
        number, readable = int(made["number"]), bool(made["readable"])
    except (ValueError, KeyError, TypeError):
        return None
    return Attempted(*names, number, from_json(verdicts), kept, readable, run)


def yields(rows: Sequence[Attempted], seconds: Mapping[Key, float] | None = None) -> list[Yield]:
    """Return the lines of the table: every relation of an engine in a run, and then all of them together.

    Args:
        rows: all pictures that were painted.
        seconds: of painting and verifying, by run, relation, engine and control.
    """
    runs = list(dict.fromkeys(row.run for row in rows))
    by_engine: dict[tuple[int, str, bool], dict[str, list[Attempted]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_engine[runs.index(row.run), row.engine, not row.control][row.relation].append(row)
    lines = []
    for (run, engine, without), relations in sorted(by_engine.items()):
        known = {name: (seconds or {}).get((runs[run], name, engine, not without)) for name in relations}
        lines += [_line(name, relations[name], known[name]) for name in sorted(relations)]
        together = [row for name in sorted(relations) for row in relations[name]]
        spent = [value for value in known.values() if value is not None]
        lines.append(_line(ALL, together, sum(spent) if len(spent) == len(known) else None))
    return lines


def _line(relation: str, rows: Sequence[Attempted], seconds: float | None) -> Yield:
    read = [row for row in rows if row.right is not None]
    found = [row for row in read if row.found]
    kept = sum(row.kept for row in rows)
    reasons = Counter(row.reason for row in rows if not row.kept)
    return Yield(
        relation=relation,
        engine=rows[0].engine,
        control=rows[0].control,
        run=rows[0].run,
        objects=_share(row.found for row in rows),
        unconditional=_share(bool(row.right) for row in read),
        conditional=_share(bool(row.right) for row in found),
        visor=visor(rows),
        unread=len(rows) - len(read),
        judged_right=sum(row.judged_right for row in rows),
        passed=_share(row.passed for row in rows),
        accepted=Proportion(kept, len(rows)),
        reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        seconds=seconds / kept if seconds is not None and kept else None,
    )


def visor(rows: Iterable[Attempted]) -> Visor:
    """Return VISOR_1 to VISOR_4 of the specs that were painted ``SEEDS`` times."""
    by_spec: dict[str, dict[int, bool | None]] = defaultdict(dict)
    for row in rows:
        by_spec[row.spec][row.number] = row.right
    first = [[found[number] for number in sorted(found)[:SEEDS]] for found in by_spec.values() if len(found) >= SEEDS]
    read = [sum(map(bool, answers)) for answers in first if None not in answers]
    shares = (Proportion(sum(count >= n for count in read), len(read)) for n in range(1, SEEDS + 1))
    return Visor(tuple(shares) if read else (), len(first) - len(read))


def _share(answers: Iterable[bool]) -> Proportion:
    listed = list(answers)
    return Proportion(sum(listed), len(listed))
