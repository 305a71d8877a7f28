"""What can be seen of a picture, whatever its source.

Relation predicates read this one type. A rendered scene fills everything; COCO annotations fill boxes and
masks; a detector with a depth model fills boxes and relative depth. What is unknown is ``None``, and a
predicate that needs it answers ``None``.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from spatial.scene import Camera, ObjectSpec, Scene, Vector

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pose:
    """Where an object is in the world, and what it offers (see ``spatial.scene.ObjectSpec`` for the fields)."""

    position: Vector
    size: Vector
    yaw: float
    has_front: bool = False
    long_axis: int = -1
    top: float = -1.0
    under: float = 0.0
    cavity: tuple[float, ...] = ()
    opening: str = ""
    path: tuple[Vector, ...] = ()
    joins: tuple[int, ...] = ()

    @property
    def heading(self) -> tuple[float, float]:
        """Unit vector (x, y) of the front, in the floor plane."""
        yaw = math.radians(self.yaw)
        return (math.sin(yaw), -math.cos(yaw))

    @property
    def side(self) -> tuple[float, float]:
        """Unit vector (x, y) of the object's own +x axis, in the floor plane."""
        yaw = math.radians(self.yaw)
        return (math.cos(yaw), math.sin(yaw))

    @property
    def bottom(self) -> float:
        """Height of the lowest point in metres."""
        return self.position[2]

    @property
    def ceiling(self) -> float:
        """Height of the highest point in metres."""
        return self.position[2] + self.size[2]

    def world(self, x: float, y: float, z: float) -> Vector:
        """Return the world point at x to the object's own right, y to its own back and z above ``position``."""
        (sx, sy), (hx, hy) = self.side, self.heading
        px, py, pz = self.position
        return (px + x * sx - y * hx, py + x * sy - y * hy, pz + z)

    def footprint(self) -> NDArray[np.float64]:
        """Return the four corners (4, 2) of the floor rectangle, counter-clockwise, in metres."""
        (sx, sy), (hx, hy) = self.side, self.heading
        half_width, half_depth = self.size[0] / 2, self.size[1] / 2
        corners = [(-1, 1), (1, 1), (1, -1), (-1, -1)]
        x, y, _ = self.position
        return np.array(
            [
                (x + a * half_width * sx + b * half_depth * hx, y + a * half_width * sy + b * half_depth * hy)
                for a, b in corners
            ]
        )

    def corners(self) -> NDArray[np.float64]:
        """Return the eight corners (8, 3) of the oriented box in metres, bottom four first."""
        flat = self.footprint()
        return np.concatenate(
            [np.column_stack([flat, np.full(4, self.bottom)]), np.column_stack([flat, np.full(4, self.ceiling)])]
        )


@dataclass(frozen=True)
class Seen:
    """One object in one picture.

    Attributes:
        name: its noun.
        box: (x0, y0, x1, y1) in pixels.
        mask: boolean (height, width) of the visible pixels, or ``None``.
        depth: (nearest, median, farthest) distance along the view axis, in metres or any monotone unit, or ``None``.
        pose: its pose in the world, or ``None``.
    """

    name: str
    box: Box
    mask: NDArray[np.bool_] | None = None
    depth: tuple[float, float, float] | None = None
    pose: Pose | None = None


@dataclass(frozen=True)
class Observation:
    """All objects of one picture of ``width`` x ``height`` pixels."""

    objects: tuple[Seen, ...]
    width: int
    height: int
    camera: Camera | None = None


def pose_of(spec: ObjectSpec) -> Pose:
    """Return the pose that a placed object has by construction."""
    known = {field.name: getattr(spec, field.name) for field in fields(Pose)}
    return Pose(**known)


def observe(scene: Scene) -> Observation:
    """Return what geometry alone says of a scene: projected boxes, depth ranges and poses, before any occlusion."""
    return Observation(tuple(_see(spec, scene) for spec in scene.objects), scene.width, scene.height, scene.camera)


def _see(spec: ObjectSpec, scene: Scene) -> Seen:
    pose = pose_of(spec)
    points = [scene.camera.project((x, y, z), scene.width, scene.height) for x, y, z in pose.corners().tolist()]
    columns, rows, depths = zip(*points, strict=True)
    middle = scene.camera.to_view((spec.position[0], spec.position[1], spec.position[2] + spec.size[2] / 2))[2]
    box = (min(columns), min(rows), max(columns), max(rows))
    return Seen(spec.name, box, None, (min(depths), middle, max(depths)), pose)
