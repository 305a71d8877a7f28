"""Does what was found stand in the relations that were claimed?

The very predicates that labelled the render answer, now from detected boxes, masks and depths, without poses. A claim
passes only where its predicate decides as claimed. "Undecided" is no pass: that is what a careless painter leaves.

Not every relation can be read without poses: that one thing rests on another, or faces it, is in no box. Which can is
not a list but a question to the same predicate: what would it say of the intended picture, with its exact boxes, masks
and depths, but without poses? Where even that is undecided, the claim is skipped here, and the picture stands or falls
with its layout and depth. How far these can be trusted for such a relation is what ``vsre calibrate`` measures; without
a calibration they are not (``verify.unread``). Where no layout was intended nothing else vouches for the picture, and
undecided stays a failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from datagen.verify.base import Claim, Detection, Intent, Verdict
from datagen.verify.depth import Depth, object_mask, region, spread
from datagen.verify.matching import Match
from datagen.verify.verdicts import failed, passed, skipped
from spatial.boxes import is_known
from spatial.observation import Observation, Seen
from spatial.predicates import holds_of_all
from spatial.records import ImageObject

CONTRADICTED, UNDECIDED = "contradicted", "undecided"
NOT_FOUND, NEEDS_POSES = "not found", "needs poses"
NOWHERE = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Reading:
    """What became of one claim: "passed", or one of the words above."""

    claim: Claim
    outcome: str


def relation(readings: Sequence[Reading], intent: Intent) -> Verdict:
    """Judge what became of all claims; what is contradicted counts before what is undecided."""
    check = "relation"
    for reason in (CONTRADICTED, UNDECIDED):
        wrong = [reading.claim for reading in readings if reading.outcome == reason]
        if wrong:
            return failed(check, reason, "; ".join(said(claim, intent) for claim in wrong))
    if any(reading.outcome == "passed" for reading in readings):
        unread = [said(reading.claim, intent) for reading in readings if reading.outcome != "passed"]
        return passed(check, f"not read: {'; '.join(unread)}" if unread else "")
    return skipped(check, readings[0].outcome if readings else "nothing was claimed")


def read_claims(match: Match) -> list[Reading]:
    """Return what becomes of each claim."""
    seen, meant = observed(match), intended(match.intent, match.evidence.depth is not None)
    return [Reading(claim, _outcome(claim, match, seen, meant)) for claim in match.intent.claims]


def said(claim: Claim, intent: Intent) -> str:
    """Return a claim for people: "cup left of book", "not: cup left of book"."""
    subject, other = (intent.objects[index].name for index in (claim.subject, claim.object))
    return f"{'' if claim.truth else 'not: '}{subject} {claim.relation} {other}"


def _outcome(claim: Claim, match: Match, seen: Observation, meant: Observation | None) -> str:
    if not all(match.places[index] for index in _involved(claim, match.intent)):
        return NOT_FOUND
    answer = holds_of_all(claim.relation, claim.subject, claim.object, seen)
    if answer is not None:
        return "passed" if answer == claim.truth else CONTRADICTED
    ideal = meant and holds_of_all(claim.relation, claim.subject, claim.object, meant)
    # An ideal answer against the claim would be the predicate's error, not the picture's.
    return UNDECIDED if meant is None or ideal == claim.truth else NEEDS_POSES


def _involved(claim: Claim, intent: Intent) -> list[int]:
    """Return the objects that a claim is about: all of either noun, as in "the cups are around the book"."""
    nouns = {intent.objects[claim.subject].name, intent.objects[claim.object].name}
    return [index for index, item in enumerate(intent.objects) if item.name in nouns]


def observed(match: Match) -> Observation:
    """Return what was found as predicates read it; what was not found is nowhere."""
    intent, depth = match.intent, match.evidence.depth
    objects = [_seen(found, item, intent, depth) for found, item in zip(match.places, intent.objects, strict=True)]
    return Observation(tuple(objects), intent.width, intent.height)


def _seen(found: Detection | None, item: ImageObject, intent: Intent, depth: Depth | None) -> Seen:
    if found is None:
        return Seen(item.name, NOWHERE)
    depths = spread(depth, region(found, item, intent)) if depth is not None else None
    span = (depths.nearest, depths.median, depths.farthest) if depths else None
    return Seen(item.name, found.box, found.mask, span)


def intended(intent: Intent, with_depth: bool = True) -> Observation | None:
    """Return what a perfect detector would find in the intended picture; ``None`` where a place is not known.

    Args:
        intent: what was meant.
        with_depth: whether depth is estimated too.
    """
    if not all(is_known(item.box_xyxy) for item in intent.objects):
        return None
    objects = []
    for item in intent.objects:
        mask = object_mask(item, intent)
        depths = None
        if with_depth and intent.depth is not None and mask is not None:
            depths = spread(intent.depth, mask)
        span = (depths.nearest, depths.median, depths.farthest) if depths else None
        objects.append(Seen(item.name, item.box_xyxy, mask, span))
    return Observation(tuple(objects), intent.width, intent.height)
