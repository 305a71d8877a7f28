"""Is every object where it was meant to be: does its box agree with that of its intended visible part?"""

from datagen.config import VerifySettings
from datagen.verify.base import Verdict
from datagen.verify.matching import Match
from datagen.verify.verdicts import failed, passed, skipped
from spatial.boxes import is_known, offset, overlap

MOVED, RESIZED = "moved", "resized"


def layout(match: Match, settings: VerifySettings) -> Verdict:
    """Check each object's box: its centre first, then how much it shares with the intended one.

    The score is the least intersection over union. Objects without an intended place, or that were not found, are
    left out; a picture of which neither is known is skipped.
    """
    check, worst, left_out = "layout", 1.0, 0
    for item, found in zip(match.intent.objects, match.places, strict=True):
        if found is None or not is_known(item.box_xyxy):
            left_out += 1
            continue
        away = offset(found.box, item.box_xyxy) / match.intent.width
        shared = overlap(found.box, item.box_xyxy)
        if away > settings.most_offset:
            return failed(check, MOVED, f"{item.name}: {away:.2f} of the width away", shared)
        if shared < settings.least_overlap:
            return failed(check, RESIZED, f"{item.name}: boxes share {shared:.2f}", shared)
        worst = min(worst, shared)
    if left_out:
        known = any(is_known(item.box_xyxy) for item in match.intent.objects)
        return skipped(check, "not all found" if known else "no place was intended")
    return passed(check, score=worst)
