"""What is declared of an object beside its mesh: what it faces with, what can stand on, be in, or be part of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from datagen.assets.primitives import Mesh
from spatial.scene import Vector


@dataclass(frozen=True)
class Cavity:
    """A space inside an object that others can be in, as a box in the object's unit box.

    The unit box has x and y from -0.5 to 0.5 and z from 0 to 1, front towards -y.

    Attributes:
        low: corner with the smallest coordinates; its z is the floor of the cavity.
        high: corner with the largest coordinates; where the cavity opens upwards, its z is the rim.
        opening: the side through which the inside is seen: "top", or "front" (-y); a hole that is open at both ends
            is called "through" where it goes from front to back, and "ring" where it goes from top to bottom.
    """

    low: Vector
    high: Vector
    opening: Literal["top", "front", "through", "ring"] = "top"


@dataclass(frozen=True)
class Asset:
    """A kind of object.

    Attributes:
        name: COCO noun.
        builder: returns the mesh in any scale, front towards -y.
        size: realistic width, depth and height in metres.
        has_front: whether it faces somewhere.
        long_axis: 0 or 1 for the own x or y axis where it is elongated, else -1.
        top: height of the support surface as a fraction of the height; -1 where nothing can stand on it.
        surface: x0, y0, x1, y1 of that surface in the unit box, where it is not the whole footprint.
        under: clear height below the body as a fraction of the height; 0 where there is none.
        cavity: what others can be in.
        parts: names of parts that a person would name ("wheel"); each is a part of the mesh.
        toy_boost: factor on the toy size, above 1 for furniture that other objects must fit on or under.
    """

    name: str
    builder: Callable[[], Mesh]
    size: Vector
    has_front: bool = False
    long_axis: int = -1
    top: float = -1.0
    surface: tuple[float, float, float, float] = (-0.5, -0.5, 0.5, 0.5)
    under: float = 0.0
    cavity: Cavity | None = None
    parts: tuple[str, ...] = ()
    toy_boost: float = 1.0
