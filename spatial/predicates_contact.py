"""Predicates of height and contact: above, under, on, touching, outside and their kin.

They need poses: that one thing rests on another is not in its outline. Only what a picture does prove is read
from it: objects that lie apart do not touch, and at equal depth higher is above.
"""

from collections.abc import Callable

from spatial import geometry
from spatial.geometry import CLEAR, OVERLAP_MOST
from spatial.pair import Pair, Predicate, beyond
from spatial.predicates_containment import encircles, share_inside
from spatial.predicates_joint import joined
from spatial.predicates_several import enclosed_by

LEANING = 0.2
"""Share of the smaller footprint up to which one thing is aside of another: boxes of round things meet first."""


def above(pair: Pair) -> bool | None:
    """A, hardly aside of B, begins over what B offers beneath it; false where A starts within B's lowest quarter."""
    if not pair.poses:
        return _above_in_picture(pair)
    a, b = pair.poses.a, pair.poses.b
    underside, roof = geometry.underside(a, b), geometry.roof(b, a)
    if underside is None or roof is None:
        return None
    if underside >= roof - geometry.contact_tolerance(a, b):
        return True if geometry.footprint_gap(a, b) < 0.25 * pair.s else None
    return False if underside <= b.bottom + 0.25 * b.size[2] else None


def over(pair: Pair) -> bool | None:
    """A is above B with footprints sharing over 0.3, and does not rest on it."""
    if pair.poses and geometry.support(pair.poses.a, pair.poses.b) is not False:
        return None
    return _in_column(pair, 0.3)


def under(pair: Pair) -> bool | None:
    """B is above A and most of the smaller footprint is shared; contact is allowed."""
    return _in_column(pair.swapped, OVERLAP_MOST)


def on(pair: Pair) -> bool | None:
    """A rests on the declared surface of B."""
    return geometry.support(pair.poses.a, pair.poses.b) if pair.poses else None


def on_top_of(pair: Pair) -> bool | None:
    """A rests on B; false where A is not over B at all, undecided where it hovers."""
    rests = on(pair)
    return rests if rests else (False if _in_column(pair, OVERLAP_MOST) is False else None)


def off(pair: Pair) -> bool | None:
    """B offers a surface and A, beside it, touches nothing of it."""
    rests = on(pair)
    if not pair.poses or rests is None:
        return None
    if rests:
        return False
    beside = not pair.stacked and pair.gap.low > CLEAR
    return True if beside and pair.poses.b.top >= 0 else None


def in_the_middle_of(pair: Pair) -> bool | None:
    """A rests on B with its centre in the middle 0.3 of both extents; false outside the middle 0.6."""
    return _placed(pair, lambda eccentricity: True if eccentricity < 0.15 else False if eccentricity > 0.3 else None)


def at_the_edge_of(pair: Pair) -> bool | None:
    """A rests on B with its centre within 0.12 of an extent from the border; false beyond 0.25."""
    return _placed(pair, lambda eccentricity: True if eccentricity > 0.38 else False if eccentricity < 0.25 else None)


def touching(pair: Pair) -> bool | None:
    """Surfaces meet within the contact tolerance; false from 0.1 s."""
    if pair.gap.low > max(_clear(pair), 0.1 * pair.s):
        return False
    return True if _contact(pair) and not _ringed(pair) else None


def detached_from(pair: Pair) -> bool | None:
    """Surfaces are over 0.25 s apart and nothing joins the two; false in contact and where something does."""
    if joined(pair):
        return False
    if _ringed(pair):
        return None
    return False if _contact(pair) else beyond(pair.gap, max(_clear(pair), 0.25 * pair.s), -1.0)


def against(pair: Pair) -> bool | None:
    """A and B touch sideways at one level, neither over the other; false from 0.2 s."""
    if pair.gap.low > max(_clear(pair), 0.2 * pair.s):
        return False
    aside = pair.column is None or pair.column <= LEANING
    return True if _contact(pair) and not _ringed(pair) and aside and pair.level > 0.5 else None


def outside(pair: Pair) -> bool | None:
    """No part of A is in B's box and A is visibly apart, nor amid several B; false where half of A is in B's cavity.

    Where B declares no cavity its box counts, unless a declared surface or an open underside makes it no inside.
    """
    if not pair.poses:
        return None
    if pair.gap.low > CLEAR:
        return None if enclosed_by(pair) else True
    a, b = pair.poses.a, pair.poses.b
    share = share_inside(a, b)
    if share is None:
        share = 0.0 if b.top >= 0 or b.under > 0 or b.cavity else geometry.containment(a, b)
    return False if share >= 0.5 else None


def _clear(pair: Pair) -> float:
    return CLEAR if pair.poses else 0.0


def _contact(pair: Pair) -> bool:
    if not pair.poses:
        return False
    return pair.gap.high <= geometry.contact_tolerance(pair.poses.a, pair.poses.b)


def _ringed(pair: Pair) -> bool:
    """Tell whether one thing stands in the hole of the other, where boxes meet though nothing touches."""
    if not pair.poses:
        return False
    a, b = pair.poses.a, pair.poses.b
    return encircles(a, b) or encircles(b, a)


def _in_column(pair: Pair, share: float) -> bool | None:
    higher = above(pair)
    if higher is False or (pair.column is not None and pair.column < 0.1):
        return False
    return True if higher and pair.column is not None and pair.column > share else None


def _placed(pair: Pair, rule: Callable[[float], bool | None]) -> bool | None:
    rests = on(pair)
    if not pair.poses or rests is None:
        return None
    if rests:
        return rule(geometry.eccentricity(pair.poses.a, pair.poses.b))
    return None if pair.stacked else False


def _above_in_picture(pair: Pair) -> bool | None:
    # Nearer things stand lower in the picture, so height can be read only between things at one depth.
    if pair.a.depth is None or pair.b.depth is None:
        return None
    reach = (pair.a.depth[2] - pair.a.depth[0] + pair.b.depth[2] - pair.b.depth[0]) / 2
    if abs(pair.a.depth[1] - pair.b.depth[1]) > 0.25 * reach:
        return None
    (ax0, a_top, ax1, a_bottom), (bx0, b_top, bx1, b_bottom) = pair.a.box, pair.b.box
    if a_bottom <= b_top:
        return True if min(ax1, bx1) > max(ax0, bx0) else None
    return False if a_bottom >= b_bottom and a_top >= b_top else None


CONTACT_AND_HEIGHT: dict[str, Predicate] = {
    "above": above,
    "below": lambda pair: above(pair.swapped),
    "over": over,
    "under": under,
    "beneath": under,
    "on": on,
    "on top of": on_top_of,
    "off": off,
    "in the middle of": in_the_middle_of,
    "at the edge of": at_the_edge_of,
    "touching": touching,
    "detached from": detached_from,
    "against": against,
    "outside": outside,
}
