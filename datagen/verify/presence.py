"""Is everything there, and is it there once?

Every detector must find every intended object, all must agree where it is, and none may find more: no second thing of
the noun, and nothing of the other nouns that were asked for beside it. A detector that is asked for a thing that is not
there tends to find something (GroundingDINO does, its issues 84 and 252), so an object also counts as mistaken where
another noun fits its place with more certainty. Relations are never asked for.

What was intended may be found with less certainty than what was not: a painted cup where a cup was meant to be is
likely a cup, and a detector finds many unlikely ones elsewhere.
"""

from collections.abc import Iterable

from datagen.config import VerifySettings
from datagen.verify.base import Detection, Verdict
from datagen.verify.boxes import SAME_THING
from datagen.verify.matching import Match
from datagen.verify.verdicts import failed, passed
from spatial.boxes import overlap

MISSING, MISTAKEN, DISAGREEMENT, UNKNOWN = "missing", "mistaken", "disagreement", "unknown noun"
DUPLICATE, EXTRA = "duplicate", "extra"


def presence(match: Match) -> Verdict:
    """Check that every object is found by every detector that knows its noun, in one place.

    The score is that of the least certain object.
    """
    check = "presence"
    for index, item in enumerate(match.intent.objects):
        sights = {name: match.sights[name] for name, nouns in match.evidence.asked.items() if item.name in nouns}
        if not sights:
            return failed(check, UNKNOWN, f"no detector knows {item.name!r}")
        blind = [name for name, sight in sights.items() if sight.objects[index] is None]
        if blind:
            return failed(check, MISSING, f"{item.name}: not found by {', '.join(blind)}")
    for name, sight in match.sights.items():
        for index, stray in sight.mistaken():
            meant = match.intent.objects[index].name
            return failed(check, MISTAKEN, f"{meant}: {name} takes it for {stray.name}", stray.score)
    for index, item in enumerate(match.intent.objects):
        least = _agreement(sight.objects[index] for sight in match.sights.values())
        if least < SAME_THING:
            return failed(check, DISAGREEMENT, f"{item.name}: boxes of two detectors share {least:.2f}", least)
    return passed(check, score=min((place.score for place in match.places if place), default=None))


def uniqueness(match: Match, settings: VerifySettings) -> Verdict:
    """Check that no detector surely finds a thing more often than it was meant, or one of the other nouns."""
    for name, sight in match.sights.items():
        most = max(sight.surplus, key=lambda it: it.score, default=None)
        if most and most.score >= settings.surplus_score:
            return failed("uniqueness", DUPLICATE, f"{most.name}: {name} finds one more {_at(most)}", most.score)
    for name, sight in match.sights.items():
        most = max(sight.extras(), key=lambda it: it.score, default=None)
        if most and most.score >= settings.surplus_score:
            return failed("uniqueness", EXTRA, f"{name} finds {most.name} {_at(most)}", most.score)
    return passed("uniqueness")


def _agreement(found: Iterable[Detection | None]) -> float:
    """Return the least intersection over union of any two detectors' boxes; 1 for one detector."""
    boxes = [detection.box for detection in found if detection is not None]
    return min((overlap(a, b) for i, a in enumerate(boxes) for b in boxes[:i]), default=1.0)


def _at(detection: Detection) -> str:
    x0, y0, x1, y1 = detection.box
    return f"at ({(x0 + x1) / 2:.0f}, {(y0 + y1) / 2:.0f})"
