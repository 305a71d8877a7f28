"""Two things in a picture of noise, what a detector finds of them, and what the verifier says."""

from typing import Any

import numpy as np

from datagen.config import VerifySettings
from datagen.verify.base import Claim, Detection, Intent, Verdict
from datagen.verify.matching import Evidence
from datagen.verify.models import Models
from datagen.verify.verdicts import refusal
from datagen.verify.verifier import Verifier
from spatial.records import ImageObject

NOWHERE = (0.0, 0.0, 0.0, 0.0)


def judged(verifier: Verifier, pixels: Any, intent: Intent) -> dict[str, Verdict]:
    return {verdict.check: verdict for verdict in verifier.verify([pixels], [intent])[0]}


def why(verdicts: dict[str, Verdict]) -> str:
    verdict = refusal(verdicts.values())
    return f"{verdict.check}: {verdict.reason}" if verdict else ""


def sketch(intent: Intent, *detections: Detection, asked: frozenset[str] | None = None, **others: Any) -> Evidence:
    """Return evidence of one detector, of a picture of noise."""
    nouns = asked or frozenset(item.name for item in intent.objects)
    return Evidence(NOISE, {"a": detections}, {"a": nouns}, **others)


NOISE = np.random.default_rng(0).integers(0, 256, (50, 100, 3), dtype=np.uint8)
CUP, BOOK = (10.0, 10.0, 30.0, 30.0), (60.0, 10.0, 80.0, 30.0)
PAIR = Intent((ImageObject("cup", CUP), ImageObject("book", BOOK)), (Claim("left of", 0, 1),), 100, 50)


def judge(evidence: Evidence, intent: Intent = PAIR) -> dict[str, Verdict]:
    return {it.check: it for it in Verifier(VerifySettings(), Models([])).judge(evidence, intent).verdicts}
