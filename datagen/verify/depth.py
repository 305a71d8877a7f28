"""Is the order in depth of the painted things that of the intended ones?

An estimate has no unit, and only its order within the objects means anything (Depth-Anything-V2 estimates inverse depth
up to scale and shift; background and floor may be anything). So two things are asked, which no growing function of the
estimate changes:

- Of every two objects that the intended depth puts clearly one behind the other: are the pixels of the farther one also
  farther in the estimate? The agreement of the ranks is Somers' D, the share of pixel pairs in the right order less
  that of pairs in the wrong one (Somers 1962; the statistic of a Mann-Whitney test on another scale).
- Of the two objects of a claim such as "in front of": do the medians of the estimate differ, in the right order, by
  more than twice their spread (median absolute deviation)?

Shapes: H, W picture; O objects.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from datagen.verify.base import Claim, Detection, Intent, Verdict
from datagen.verify.matching import Match
from datagen.verify.verdicts import failed, passed, skipped
from spatial.boxes import clipped
from spatial.observation import Box
from spatial.records import ImageObject, decode_mask

Depth = NDArray[np.float32]
Mask = NDArray[np.bool_]

LEAST_AGREEMENT = 0.0
"""Agreement of ranks, -1 to 1, that the estimate of two objects must exceed; at 0 it does not tell them apart."""

CLEARLY, LEAST_STEP = 0.9, 0.1
"""Two objects are clearly one behind the other if their intended depths agree so well with that, and if the medians
differ by this share of the nearer one."""

CLEAR_STEP = 2.0
"""Medians of two objects must differ by this many median absolute deviations."""

EDGE = 5.0
"""Percentile cut off at both ends of an object's depths, whose borders are blurred into what is behind."""

ORDER, UNCLEAR, RANKS = "order", "unclear", "ranks"

NEARER = {"in front of": True, "behind": False, "beyond": False}
"""Relations that say which of two things is nearer to the viewer: whether the subject is."""

HIGHER = {"above": True, "over": True, "below": False, "under": False, "beneath": False}
"""Relations that say which of two things is higher: whether the subject is. What hangs in the air shows no place where
it meets the floor, off which depth could be read, so a faithful picture's estimate is often the wrong way round."""


@dataclass(frozen=True)
class Spread:
    """The depths of one object: nearest, median and farthest without the borders, and their absolute deviation."""

    nearest: float
    median: float
    farthest: float
    deviation: float


def spread(depth: Depth, mask: Mask) -> Spread | None:
    """Return the depths within a mask; ``None`` where it shows nothing with a depth."""
    values = depth[mask]
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    nearest, median, farthest = (float(value) for value in np.percentile(values, [EDGE, 50, 100 - EDGE]))
    return Spread(nearest, median, farthest, float(np.median(np.abs(values - median))))


def rank_agreement(depth: Depth, farther: Mask, nearer: Mask) -> float:
    """Return Somers' D of a depth and the order of two masks: 1 where every pixel of the one is farther, -1 if nearer.

    Any growing function of the depth gives the same; so does a depth without a value at some pixels. 0 without any.
    """
    one, other = (depth[mask][np.isfinite(depth[mask])] for mask in (farther, nearer))
    if not len(one) or not len(other):
        return 0.0
    ranks = rankdata(np.concatenate([one, other]))[: len(one)]
    pairs = len(one) * len(other)
    return float(2 * (ranks.sum() - len(one) * (len(one) + 1) / 2) / pairs - 1)


def object_mask(item: ImageObject, intent: Intent) -> Mask | None:
    """Return the mask of the intended visible part of an object, if it is known."""
    return decode_mask(item.mask_rle, intent.height, intent.width) if item.mask_rle else None


def region(found: Detection, item: ImageObject, intent: Intent) -> Mask:
    """Return the pixels that show a detected object: its mask, the intended one within its box, or its box's middle."""
    if found.mask is not None and found.mask.any():
        return found.mask
    meant = object_mask(item, intent)
    box = clipped(found.box, intent.width, intent.height)
    if meant is not None:
        inside = meant & box_mask(box, intent)
        if np.count_nonzero(inside) >= np.count_nonzero(meant) / 2:
            return inside
    x0, y0, x1, y1 = box
    return box_mask(((3 * x0 + x1) / 4, (3 * y0 + y1) / 4, (x0 + 3 * x1) / 4, (y0 + 3 * y1) / 4), intent)


def box_mask(box: Box, intent: Intent) -> Mask:
    """Return a box as a mask (H, W); it has at least one pixel."""
    mask = np.zeros((intent.height, intent.width), np.bool_)
    x0, y0, x1, y1 = (round(value) for value in box)
    x0, y0 = min(x0, intent.width - 1), min(y0, intent.height - 1)
    mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return mask


def depth(match: Match) -> Verdict:
    """Check the order of objects that claims put one before the other, then that of all that are clearly apart.

    The score is the least agreement of ranks.
    """
    check, intent, estimated = "depth", match.intent, match.evidence.depth
    if estimated is None:
        return skipped(check, "no depth model")
    asked = [claim for claim in intent.claims if claim.relation in NEARER and claim.truth]
    for claim in asked:
        wrong = _order(claim, match, estimated)
        if wrong:
            one, other = (intent.objects[index].name for index in (claim.subject, claim.object))
            return failed(check, wrong, f"{one} {claim.relation} {other}")
    least = 1.0
    ordered = clearly_ordered(intent)
    for farther, nearer in ordered:
        agreement = rank_agreement(estimated, *(_mask(intent, index) for index in (farther, nearer)))
        least = min(least, agreement)
        if agreement <= LEAST_AGREEMENT:
            names = f"{intent.objects[farther].name} behind {intent.objects[nearer].name}"
            return failed(check, RANKS, f"{names}: agreement of ranks {agreement:.2f}", agreement)
    if ordered:
        return passed(check, score=least)
    if intent.depth is None and not asked:
        return skipped(check, "no depth was intended")
    return passed(check) if asked and _all_found(asked, match) else skipped(check, "nothing clearly behind another")


def clearly_ordered(intent: Intent) -> list[tuple[int, int]]:
    """Return the pairs of objects of which the first is clearly behind the second, without what may hang in the air."""
    if intent.depth is None:
        return []
    hanging = aloft(intent)
    known = [index for index, item in enumerate(intent.objects) if item.mask_rle and index not in hanging]
    spreads = {index: spread(intent.depth, _mask(intent, index)) for index in known}
    found = []
    for farther, nearer in permutations(known, 2):
        back, front = spreads[farther], spreads[nearer]
        if not back or not front or back.median - front.median <= LEAST_STEP * front.median:
            continue
        if rank_agreement(intent.depth, _mask(intent, farther), _mask(intent, nearer)) >= CLEARLY:
            found.append((farther, nearer))
    return found


def aloft(intent: Intent) -> set[int]:
    """Return the objects that are claimed to be higher than another one."""
    told = [claim for claim in intent.claims if claim.truth and claim.relation in HIGHER]
    return {claim.subject if HIGHER[claim.relation] else claim.object for claim in told}


def _mask(intent: Intent, index: int) -> Mask:
    return decode_mask(intent.objects[index].mask_rle, intent.height, intent.width)


def _order(claim: Claim, match: Match, estimated: Depth) -> str:
    """Return what is wrong with the order of a claim's two objects; "" if nothing, or if one was not found."""
    spreads = []
    for index in (claim.subject, claim.object):
        found = match.places[index]
        if found is None:
            return ""
        spreads.append(spread(estimated, region(found, match.intent.objects[index], match.intent)))
    one, other = spreads
    if one is None or other is None:
        return UNCLEAR
    farther = (other.median - one.median) if NEARER[claim.relation] else (one.median - other.median)
    if farther <= 0:
        return ORDER
    return "" if farther > CLEAR_STEP * max(one.deviation, other.deviation) else UNCLEAR


def _all_found(claims: list[Claim], match: Match) -> bool:
    return all(match.places[index] is not None for claim in claims for index in (claim.subject, claim.object))
