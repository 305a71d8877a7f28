"""Predicates by declared convention, of relations that a still picture does not settle.

Motion, purpose and composition are not in a picture: whether a cat goes into a bowl or out of it, whether a suitcase
belongs to a person. Each predicate here says which visible sign counts instead, as the table's geometric reading has
it (``scene-and-data-generation.md``). What it answers is a convention and no truth: records of these relations carry
a low confidence, and ``readings``, the audit of VSR and captions of what is certain leave them out.

The conventions:

- past: A heads on with B behind its back, within 35 degrees and 2 s; not while B is still before it.
- into: 0.2 to 0.8 of A's volume is in B's cavity; not while A is wholly out of it.
- out of: A is wholly out of B's cavity and within 1 s of B; not while 0.2 of it are in.
- across: an elongated A rests on B and both its ends reach B's opposite borders; not where A lies off B, or ends
  within both borders.
- down from: A stands beside B, lower than the surface that B offers, within 1 s; not while it rests there.
- at: A faces B with a gap under 0.4 s; not where it faces away or is over 1.2 s off.
- with: a person or animal has the other thing at its side, with a gap under 0.3 s; not over 2 s off.

"Consists of" has none and is refused: one part is not what a thing consists of, and scenes have no materials.
"""

from spatial import geometry
from spatial.observation import Pose
from spatial.pair import Pair, Predicate
from spatial.predicates_contact import off, on
from spatial.predicates_containment import OUT, share_inside
from spatial.predicates_heading import facing, facing_away_from
from spatial.vocabulary import ALIVE

PARTLY, MOSTLY = 0.2, 0.8
"""Shares of A's volume in B's cavity between which A is on its way in."""

BORDER = 0.1
"""An end that stays this share of B's extent inside its border does not reach across."""


def past(pair: Pair) -> bool | None:
    """A heads away from B, which it has just left behind."""
    if facing_away_from(pair) and pair.gap.high < 2.0 * pair.s:
        return True
    return False if facing(pair) else None


def into(pair: Pair) -> bool | None:
    """A is partly in B's cavity; false where it is out of it."""
    share = _share(pair)
    if share is None or share > MOSTLY:
        return None
    return True if share >= PARTLY else (False if share < OUT else None)


def out_of(pair: Pair) -> bool | None:
    """A is wholly out of B's cavity, near by; false where a fifth of it or more is in."""
    share = _share(pair)
    if share is None:
        return None
    if share >= PARTLY:
        return False
    return True if share < OUT and pair.apart and pair.gap.high < pair.s else None


def across(pair: Pair) -> bool | None:
    """A rests on B from border to border; false off B, and where both ends stay within the borders."""
    rests = on(pair)
    if not rests or not pair.poses:
        return rests
    overhangs = _overhangs(pair.poses.a, pair.poses.b)
    if overhangs is None:
        return None
    if min(overhangs) >= 0.0:
        return True
    return False if max(overhangs) < -BORDER else None


def down_from(pair: Pair) -> bool | None:
    """A is off B, beside it and lower than its surface; false where it rests there."""
    if on(pair):
        return False
    lower = pair.poses is not None and pair.poses.a.bottom < pair.poses.b.bottom + pair.poses.b.top
    return True if off(pair) and lower and pair.gap.high < pair.s else None


def at(pair: Pair) -> bool | None:
    """A stands before B and faces it; false where it faces away or is far off."""
    if facing_away_from(pair) or pair.gap.low > 1.2 * pair.s:
        return False
    return True if facing(pair) and pair.gap.high < 0.4 * pair.s and pair.level > 0.5 else None


def with_(pair: Pair) -> bool | None:
    """One of the two is alive and has the other at its side; false where they are far apart."""
    if pair.gap.low > 2.0 * pair.s:
        return False
    beside = not pair.stacked and pair.poses is not None and pair.level > 0.5
    alive = pair.a.name in ALIVE or pair.b.name in ALIVE
    return True if alive and beside and pair.gap.high < 0.3 * pair.s else None


def _share(pair: Pair) -> float | None:
    return share_inside(pair.poses.a, pair.poses.b) if pair.poses else None


def _overhangs(rod: Pose, base: Pose) -> tuple[float, float] | None:
    """How far each end of a rod reaches over the border of what it lies on, as shares of that extent.

    ``None`` where the rod is not elongated, or lies nearer than 45 degrees to the length of an elongated base.
    """
    axis, turn = geometry.long_direction(rod), geometry.axis_angle(rod, base)
    if axis is None or (turn is not None and turn < 45):
        return None
    half = _chord(base, axis)
    along, reach = geometry.dot(geometry.offset(rod, base), axis), rod.size[rod.long_axis] / 2
    return (reach + along - half) / (2 * half), (reach - along - half) / (2 * half)


def _chord(base: Pose, axis: geometry.Point) -> float:
    """Half the width of a footprint along an axis through its middle."""
    shares = zip((base.side, base.heading), base.size[:2], strict=True)
    return min(extent / 2 / max(abs(geometry.dot(own, axis)), 1e-9) for own, extent in shares)


AMBIGUOUS: dict[str, Predicate] = {
    "past": past,
    "into": into,
    "out of": out_of,
    "across": across,
    "down from": down_from,
    "at": at,
    "with": with_,
}
