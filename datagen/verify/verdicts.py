"""Verdicts: made, counted, and kept as JSON in ``ImageRow.verdicts``.

{"presence": {"status": "passed", "score": 0.83}, "layout": {"status": "failed", "reason": "moved", ...}}
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from datagen.verify.base import Verdict
from spatial.errors import RecordError

CHECKS = (
    "quality",
    "safety",
    "duplicate",
    "presence",
    "uniqueness",
    "layout",
    "depth",
    "relation",
    "question",
    "trust",
)
"""Names of the checks, in the order in which a picture's verdicts stand: the first that failed is why it is refused."""

STATUSES = ("passed", "failed", "skipped")

REFUSED_ALREADY = "refused already"
"""Why a check was not made of a picture that another one refuses."""


def passed(check: str, detail: str = "", score: float | None = None) -> Verdict:
    """Return the verdict that a check found nothing wrong."""
    return Verdict(check, "passed", "", detail, _rounded(score))


def failed(check: str, reason: str, detail: str = "", score: float | None = None) -> Verdict:
    """Return the verdict that a picture is refused; ``reason`` is one of the check's few fixed words."""
    return Verdict(check, "failed", reason, detail, _rounded(score))


def skipped(check: str, reason: str) -> Verdict:
    """Return the verdict that a check could not be made, and why."""
    return Verdict(check, "skipped", reason)


def accepted(verdicts: Iterable[Verdict]) -> bool:
    """Tell whether a picture is accepted: no check failed, and its objects were really looked for."""
    listed = list(verdicts)
    looked = any(verdict.check == "presence" and verdict.status == "passed" for verdict in listed)
    return looked and refusal(listed) is None


def refusal(verdicts: Iterable[Verdict]) -> Verdict | None:
    """Return the first failed verdict, which is why a picture is refused, or ``None``."""
    return next((verdict for verdict in verdicts if verdict.status == "failed"), None)


def why_refused(verdicts: Iterable[Verdict]) -> str:
    """Return check and reason of the first verdict that failed, "layout: moved"; "" where none did."""
    verdict = refusal(verdicts)
    return f"{verdict.check}: {verdict.reason}" if verdict else ""


def in_order(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return verdicts in the order of ``CHECKS``."""
    return tuple(sorted(verdicts, key=lambda verdict: CHECKS.index(verdict.check)))


def to_json(verdicts: Iterable[Verdict]) -> str:
    """Return verdicts as ``ImageRow.verdicts`` takes them; what is empty is left out."""
    rows = [asdict(verdict) for verdict in verdicts]
    named = {row.pop("check"): {key: value for key, value in row.items() if value not in ("", None)} for row in rows}
    return json.dumps(named, separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> tuple[Verdict, ...]:
    """Return the verdicts of ``ImageRow.verdicts``, none for "{}".

    Raises:
        RecordError: the text is not what ``to_json`` writes.
    """
    try:
        found = tuple(_verdict(check, fields) for check, fields in json.loads(text).items())
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise RecordError(f"verdicts {text[:60]!r} cannot be read ({error}); make the data again") from error
    return found


def _verdict(check: str, fields: dict[str, Any]) -> Verdict:
    if fields["status"] not in STATUSES:
        raise ValueError(f"status {fields['status']!r} is unknown")
    return Verdict(check, **fields)


def _rounded(score: float | None) -> float | None:
    return None if score is None or not math.isfinite(score) else round(float(score), 4)
