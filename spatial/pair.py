"""Two objects of one picture, measured once and read by every predicate.

With both poses known, lengths are metres and exact. Without, lengths are pixels: boxes bound the gap from
below, and from above only where the depths of the two objects overlap. A predicate compares a gap with ``s``,
the mean diagonal of the two objects in the same unit, so the same numbers serve both readings.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from spatial import geometry
from spatial.geometry import Interval
from spatial.observation import Box, Observation, Pose, Seen


@dataclass(frozen=True)
class Poses:
    """The poses of subject and object."""

    a: Pose
    b: Pose


@dataclass(frozen=True)
class Pair:
    """Subject ``a`` and object ``b`` of an observation, by index."""

    subject: int
    object: int
    observation: Observation

    @property
    def a(self) -> Seen:
        """The subject."""
        return self.observation.objects[self.subject]

    @property
    def b(self) -> Seen:
        """The object."""
        return self.observation.objects[self.object]

    @property
    def swapped(self) -> "Pair":
        """The same two objects with their roles exchanged."""
        return Pair(self.object, self.subject, self.observation)

    @cached_property
    def poses(self) -> Poses | None:
        """Both poses, or ``None`` unless both are known."""
        a, b = self.a.pose, self.b.pose
        return None if a is None or b is None else Poses(a, b)

    @cached_property
    def s(self) -> float:
        """Mean diagonal: of the 3D boxes in metres, or of the 2D boxes in pixels."""
        if self.poses:
            return (geometry.diagonal(self.poses.a) + geometry.diagonal(self.poses.b)) / 2
        return (math.dist(self.a.box[:2], self.a.box[2:]) + math.dist(self.b.box[:2], self.b.box[2:])) / 2

    @cached_property
    def gap(self) -> Interval:
        """Distance between the surfaces, in the unit of ``s``."""
        if self.poses:
            return geometry.surface_gap(self.poses.a, self.poses.b)
        near = box_gap(self.a.box, self.b.box)
        return Interval(near, near if self.depths_overlap else math.inf)

    @property
    def apart(self) -> bool:
        """Whether the two are surely and visibly apart."""
        return self.gap.low > (geometry.CLEAR if self.poses else 0.0)

    @cached_property
    def column(self) -> float | None:
        """Overlap of the footprints over the smaller one; ``None`` without poses."""
        return geometry.column(self.poses.a, self.poses.b) if self.poses else None

    @property
    def stacked(self) -> bool:
        """Whether one object is known to stand at least partly over the other."""
        return self.column is not None and self.column > geometry.OVERLAP_NONE

    @cached_property
    def level(self) -> float:
        """Overlap of the heights (metres, or pixel rows) over the smaller height, 0 to 1."""
        if self.poses:
            return geometry.level(self.poses.a, self.poses.b)
        (_, a0, _, a1), (_, b0, _, b1) = self.a.box, self.b.box
        return max(0.0, min(a1, b1) - max(a0, b0)) / max(min(a1 - a0, b1 - b0), 1e-9)

    @property
    def depths_overlap(self) -> bool:
        """Whether both depth ranges are known and share a depth."""
        if self.a.depth is None or self.b.depth is None:
            return False
        return self.a.depth[0] <= self.b.depth[2] and self.b.depth[0] <= self.a.depth[2]


Predicate = Callable[[Pair], bool | None]
"""What answers whether a relation holds of a pair: yes, no, or ``None`` where it is undecided."""


def box_gap(first: Box, second: Box) -> float:
    """Return the distance between two boxes in pixels, 0 where they overlap."""
    dx = max(0.0, first[0] - second[2], second[0] - first[2])
    dy = max(0.0, first[1] - second[3], second[1] - first[3])
    return math.hypot(dx, dy)


def below(gap: Interval, yes: float, no: float) -> bool | None:
    """Return ``True`` if the gap is surely under ``yes``, ``False`` if surely over ``no``, else ``None``."""
    return True if gap.high < yes else (False if gap.low > no else None)


def beyond(gap: Interval, yes: float, no: float) -> bool | None:
    """Return ``True`` if the gap is surely over ``yes``, ``False`` if surely under ``no``, else ``None``."""
    return True if gap.low > yes else (False if gap.high < no else None)
