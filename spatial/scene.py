"""A scene as data: what stands where, which way it faces, and from where it is seen.

The scene is the source of truth of every synthetic image: relations are computed from it, pixels are drawn
from it, and its hash names it. World axes: x to the viewer's right, y away from the viewer, z up; metres;
the floor is z = 0. A yaw of 0 turns an object's front to the viewer (heading -y); yaw grows counter-clockwise
seen from above, so that yaw 90 heads to the viewer's right (+x), 180 away from the viewer, 270 to the left.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from spatial.place import Backdrop as Backdrop
from spatial.place import Colour as Colour
from spatial.place import backdrop_of, mirrored, tuples

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class ObjectSpec:
    """One placed object.

    Attributes:
        name: asset name, a COCO noun such as ``"cup"``.
        colour: colour word of the main colour slot, such as ``"red"``.
        position: centre of the footprint at the object's lowest point (x, y, z) in metres.
        size: extent along the object's own width (x), depth (y, front to back) and height (z) in metres.
        yaw: heading in degrees.
        has_front: whether the asset declares a front; without one, facing relations are undefined.
        long_axis: 0 or 1 for the object's own x or y where it is elongated, else -1.
        top: height, in metres above ``position``, of the declared support surface; -1 where there is none.
        under: clear height below the object's body (a table), in metres; 0 where there is none.
        mesh: catalogue key of the mesh where it is not the name: ``"cup/handle"``, ``"cup without handle"``.
        cavity: the inside that others can be in, or the hole that others can pass, as the box x0, y0, z0, x1, y1, z1
            in metres in the object's own frame: from ``position``, x to its own right side, y to its own back, z up.
        opening: where the cavity is open: "top", "front", "through" (front to back) or "ring" (top to bottom).
        path: points in the object's own frame, in metres, that a cable, rope or strap runs along.
        joins: indices in the scene of the objects that this one is fixed to: the two that a cable joins, or the
            whole that a part sits on.
        material: surface pattern of the parts that have the colour (``datagen.materials.SURFACES``); "" is faint noise.
        gloss: how much the surface reflects beside its colour, from 0 (matt) to 1 (polished).
    """

    name: str
    colour: str
    position: Vector
    size: Vector
    yaw: float = 0.0
    has_front: bool = False
    long_axis: int = -1
    top: float = -1.0
    under: float = 0.0
    mesh: str = ""
    cavity: tuple[float, ...] = ()
    opening: str = ""
    path: tuple[Vector, ...] = ()
    joins: tuple[int, ...] = ()
    material: str = ""
    gloss: float = 0.0


MECHANISM = ("mesh", "cavity", "opening", "path", "joins")
"""Fields that few objects have; where one is empty it is left out of the JSON, so older scenes keep their ids."""

LOOKS = ("material", "gloss", "softness", "accent", "room", "outdoors", "blur", "jpeg")
"""Fields of objects, lights, backdrop and scene that scenes of plain looks do not have; left out where empty, too."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at ``target`` from ``distance`` metres, ``elevation`` degrees above the floor.

    It always looks along +y in the floor plane, so the viewer's left and right are -x and +x.
    """

    target: Vector = (0.0, 0.0, 0.3)
    distance: float = 4.0
    elevation: float = 30.0
    fov: float = 40.0

    @property
    def origin(self) -> Vector:
        """Camera position in world metres."""
        elevation = math.radians(self.elevation)
        x, y, z = self.target
        return (x, y - self.distance * math.cos(elevation), z + self.distance * math.sin(elevation))

    def to_view(self, point: Vector) -> Vector:
        """Return (right, up, forward) coordinates of a world point in metres."""
        ox, oy, oz = self.origin
        dx, dy, dz = point[0] - ox, point[1] - oy, point[2] - oz
        cos, sin = math.cos(math.radians(self.elevation)), math.sin(math.radians(self.elevation))
        return (dx, dy * sin + dz * cos, dy * cos - dz * sin)

    def project(self, point: Vector, width: int, height: int) -> Vector:
        """Return (column, row, forward depth) of a world point; columns and rows in pixels, depth in metres."""
        right, up, forward = self.to_view(point)
        scale = 0.5 * height / math.tan(math.radians(self.fov) / 2)
        forward_safe = max(forward, 1e-6)
        return (width / 2 + scale * right / forward_safe, height / 2 - scale * up / forward_safe, forward)


@dataclass(frozen=True)
class Light:
    """A directional light. The first one of a scene casts shadows.

    Attributes:
        direction: unit-length direction *towards* the light.
        strength: 1 = full.
        softness: radius in metres over which the edge of a shadow is blurred.
    """

    direction: Vector = (-0.4, -0.5, 0.77)
    strength: float = 0.7
    softness: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Everything that decides the pixels of one rendered image.

    Attributes:
        lights: the first casts shadows, the others brighten.
        ambient: light that comes from everywhere.
        width: of the image in pixels.
        height: of the image in pixels.
        seed: of textures.
        blur: standard deviation in pixels of a blur of the whole image; 0 for none.
        jpeg: quality of a JPEG compression that the pixels went through; 0 for none. The pixels then depend on the
            version of the JPEG library.
    """

    objects: tuple[ObjectSpec, ...]
    camera: Camera = Camera()
    lights: tuple[Light, ...] = (Light(),)
    backdrop: Backdrop = field(default_factory=Backdrop)
    ambient: float = 0.4
    width: int = 128
    height: int = 128
    seed: int = 0
    blur: float = 0.0
    jpeg: int = 0

    def canonical_json(self) -> str:
        """Return the scene as JSON with sorted keys, no spaces and shortest round-trip floats."""
        data = _lean(asdict(self))
        data["objects"] = [_lean(fields) for fields in data["objects"]]
        data["lights"] = [_lean(fields) for fields in data["lights"]]
        data["backdrop"] = _lean(data["backdrop"])
        return json.dumps(data, sort_keys=True, separators=(",", ":"))

    @property
    def scene_id(self) -> str:
        """blake2b of the canonical JSON, 32 hex digits."""
        return digest(self.canonical_json())

    @classmethod
    def from_json(cls, text: str) -> "Scene":
        """Rebuild a scene from its canonical JSON; the result hashes to the same ``scene_id``."""
        data: dict[str, Any] = json.loads(text)
        return cls(
            objects=tuple(ObjectSpec(**tuples(o)) for o in data.pop("objects")),
            camera=Camera(**tuples(data.pop("camera"))),
            lights=tuple(Light(**tuples(light)) for light in data.pop("lights")),
            backdrop=backdrop_of(data.pop("backdrop")),
            **data,
        )


def _lean(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is empty and did not exist when the first scenes were named."""
    return {key: value for key, value in fields.items() if value or key not in (*MECHANISM, *LOOKS)}


def digest(text: str | bytes) -> str:
    """blake2b of text or bytes as 32 hex digits; the one hash behind every identifier of the project."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def mirror(scene: Scene) -> Scene:
    """Reflect a scene left to right (x -> -x); every yaw changes sign."""

    def flip(v: Vector) -> Vector:
        return (-v[0], v[1], v[2])

    return replace(
        scene,
        objects=tuple(
            replace(
                o,
                position=flip(o.position),
                yaw=(-o.yaw) % 360,
                cavity=_flip_box(o.cavity),
                path=tuple(map(flip, o.path)),
            )
            for o in scene.objects
        ),
        camera=replace(scene.camera, target=flip(scene.camera.target)),
        lights=tuple(replace(light, direction=flip(light.direction)) for light in scene.lights),
        backdrop=mirrored(scene.backdrop),
    )


def _flip_box(box: tuple[float, ...]) -> tuple[float, ...]:
    return (-box[3], *box[1:3], -box[0], *box[4:]) if box else ()
