"""Predicates of things that are fixed to each other: attached to, connected to, part of, has as a part.

Fixing is seen by what does it. A *connector* (cable, rope, strap) is an object with a path; it joins two things
where it names them and its path meets both. A *part* is an object that names the whole it sits on.
"""

import math

from spatial import geometry
from spatial.geometry import CLEAR
from spatial.observation import Pose
from spatial.pair import Pair, Predicate
from spatial.scene import Vector

STEPS = 5
"""Points at which a stretch of a path is looked at, beside its first."""


def connected_to(pair: Pair) -> bool | None:
    """A connector that names both meets both; false where the two are apart and no connector meets both."""
    if not pair.poses:
        return None
    connectors = _connectors(pair)
    if any(_ties(connector, pair) for connector in connectors):
        return True
    loose = any(_meets(connector, pair.poses.a) and _meets(connector, pair.poses.b) for connector in connectors)
    return False if pair.apart and not loose else None


def attached_to(pair: Pair) -> bool | None:
    """A and B touch, neither rests on the other, and a connector or a part's own seat joins them; false apart."""
    if not pair.poses:
        return None
    if joined(pair) and pair.gap.low <= geometry.contact_tolerance(pair.poses.a, pair.poses.b):
        rests = [geometry.support(*order) for order in _orders(pair)]
        return None if any(rests) else True
    return False if pair.apart else None


def part_of(pair: Pair) -> bool | None:
    """A is a part that sits on B; false where the two are visibly apart."""
    if pair.poses and not pair.poses.a.path and pair.object in pair.poses.a.joins and not pair.apart:
        return True
    return False if pair.apart else None


def joined(pair: Pair) -> bool:
    """Tell whether a connector ties A to B, or one is a part that sits on the other."""
    return bool(connected_to(pair) or part_of(pair) or part_of(pair.swapped))


def _orders(pair: Pair) -> tuple[tuple[Pose, Pose], tuple[Pose, Pose]]:
    assert pair.poses is not None
    return (pair.poses.a, pair.poses.b), (pair.poses.b, pair.poses.a)


def _connectors(pair: Pair) -> list[Pose]:
    poses = [seen.pose for seen in pair.observation.objects]
    return [pose for pose in poses if pose is not None and pose.path]


def _ties(connector: Pose, pair: Pair) -> bool:
    assert pair.poses is not None
    named = {pair.subject, pair.object} <= set(connector.joins)
    return named and _meets(connector, pair.poses.a) and _meets(connector, pair.poses.b)


def _meets(connector: Pose, thing: Pose) -> bool:
    """Whether the path comes nearer to a thing's box than what is visibly apart."""
    stretches = zip(connector.path, connector.path[1:], strict=False)
    points = [_share(a, b, step / STEPS) for a, b in stretches for step in range(STEPS + 1)]
    return any(_distance(connector.world(*point), thing) < CLEAR for point in points)


def _share(a: Vector, b: Vector, share: float) -> Vector:
    return (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2]))


def _distance(point: Vector, box: Pose) -> float:
    away = (point[0] - box.position[0], point[1] - box.position[1])
    return math.hypot(
        max(0.0, abs(geometry.dot(away, box.side)) - box.size[0] / 2),
        max(0.0, abs(geometry.dot(away, box.heading)) - box.size[1] / 2),
        max(0.0, box.bottom - point[2], point[2] - box.ceiling),
    )


JOINT: dict[str, Predicate] = {
    "connected to": connected_to,
    "attached to": attached_to,
    "part of": part_of,
    "has as a part": lambda pair: part_of(pair.swapped),
}
