"""Predicates of containment: in, within, inside, contains, and of holes: through.

An object that others can be in declares its inside as a box, the *cavity*. How far A is in B is the share of A's
volume that lies in B's cavity; what stands over the rim does not count. A hole is a cavity that is open at both
ends: nothing is in it, but a thing can pass it. The numbers are the table's (``scene-and-data-generation.md``):
in from 0.5, within and contains from 0.7, inside from 0.8; none of them below 0.05, and nothing is said between.
"""

from spatial import geometry
from spatial.geometry import Point
from spatial.observation import Pose
from spatial.pair import Pair, Predicate

IN, WITHIN, INSIDE, OUT = 0.5, 0.7, 0.8, 0.05
"""Shares of A's volume in B's cavity from which A is in, within and inside B, and below which it is out of it."""

OPENINGS = ("top", "front")
"""Openings of cavities that hold things; the other two, "through" and "ring", are those of holes."""

STICK_OUT = 0.1
"""What goes through a hole sticks out by this share of its length at both ends."""


def hollow(pose: Pose) -> Pose | None:
    """Return the cavity or hole of an object as a posed box, or ``None`` where it declares none."""
    if not pose.cavity:
        return None
    x0, y0, z0, x1, y1, z1 = pose.cavity
    return Pose(pose.world((x0 + x1) / 2, (y0 + y1) / 2, z0), (x1 - x0, y1 - y0, z1 - z0), pose.yaw)


def share_inside(inner: Pose, outer: Pose) -> float | None:
    """Return the share of ``inner``'s volume in the cavity of ``outer``, 0 to 1; ``None`` without a cavity."""
    cavity = hollow(outer)
    return geometry.containment(inner, cavity) if cavity and outer.opening in OPENINGS else None


def contained(least: float) -> Predicate:
    """Build "at least this share of A is in B's cavity"; false below 0.05, and where the two are visibly apart."""

    def predicate(pair: Pair) -> bool | None:
        share = share_inside(pair.poses.a, pair.poses.b) if pair.poses else None
        if share is None:
            return False if pair.apart else None
        return True if share >= least else (False if share < OUT else None)

    return predicate


def contains(pair: Pair) -> bool | None:
    """At least 0.7 of B is in A's cavity."""
    return contained(WITHIN)(pair.swapped)


def through(pair: Pair) -> bool | None:
    """A sticks out of B's hole at both ends; false where the two are visibly apart."""
    if pair.poses and pierces(pair.poses.a, pair.poses.b):
        return True
    return False if pair.apart else None


def pierces(rod: Pose, plate: Pose) -> bool:
    """Tell whether ``rod`` lies in the hole of ``plate`` and sticks out of it in front and at the back."""
    hole = hollow(plate)
    if hole is None or plate.opening != "through":
        return False
    away = geometry.offset(rod, hole)
    length, along = geometry.half_extent(rod, plate.heading), abs(geometry.dot(away, plate.heading))
    aside = abs(geometry.dot(away, plate.side)) + _half_width(rod, plate.side)
    fits = aside <= hole.size[0] / 2 + geometry.CONTACT
    level = rod.bottom >= hole.bottom - geometry.CONTACT and rod.ceiling <= hole.ceiling + geometry.CONTACT
    return fits and level and length - along >= hole.size[1] / 2 + STICK_OUT * 2 * length


def encircles(ring: Pose, thing: Pose) -> bool:
    """Tell whether ``thing`` stands in the hole of a lying ``ring``, or goes through that of a standing one."""
    hole = hollow(ring)
    if hole is None or ring.opening != "ring":
        return pierces(thing, ring)
    held = geometry.containment(_on_floor(thing), _on_floor(hole))
    return held > 0.98 and geometry.height_gap(thing, ring) <= 0.0


def _half_width(rod: Pose, across: Point) -> float:
    """Half of what a rod takes of a hole's width: its own width, a little more where it slants, and no length."""
    sideways, endways = (abs(geometry.dot(axis, across)) for axis in (rod.side, rod.heading))
    return (rod.size[0] / sideways if sideways > endways else rod.size[1] / endways) / 2


def _on_floor(pose: Pose) -> Pose:
    return Pose((*pose.position[:2], 0.0), (*pose.size[:2], 1.0), pose.yaw)


CONTAINMENT: dict[str, Predicate] = {
    "in": contained(IN),
    "within": contained(WITHIN),
    "inside": contained(INSIDE),
    "contains": contains,
    "through": through,
}
