"""Where a scene takes place, as data: a plain floor and wall, a room, or open ground."""

from dataclasses import dataclass, replace
from typing import Any

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Panel:
    """A window or picture flat on the back wall.

    Attributes:
        kind: "window" or "picture".
        box: x0, z0, x1, z1 of the pane in world metres.
        frame: colour of the frame around it.
        inside: colour of what is seen in it.
    """

    kind: str
    box: tuple[float, float, float, float]
    frame: Colour
    inside: Colour


@dataclass(frozen=True)
class Room:
    """The walls of a room; their colours are ``Backdrop.wall`` and ``trim``.

    Attributes:
        depth: world y of the back wall in metres.
        paper: pattern of the walls (``datagen.materials.WALLS``).
        trim: second colour of that pattern.
        skirting: height in metres of the strip along the foot of the walls; 0 where there is none.
        skirting_colour: its colour.
        corner: world x of a side wall: left of the objects if negative, right if positive, none at 0.
        panels: windows and pictures.
    """

    depth: float
    paper: str
    trim: Colour
    skirting: float = 0.0
    skirting_colour: Colour = (0.9, 0.9, 0.9)
    corner: float = 0.0
    panels: tuple[Panel, ...] = ()


@dataclass(frozen=True)
class Outdoors:
    """What lies around and over open ground; the sky at the horizon has the colour ``Backdrop.wall``.

    Attributes:
        sky: colour of the sky high up.
        clouds: share of the sky that is clouded, 0..1.
        skyline: shape of what stands on the horizon ("hills", "trees", "mountains", "roofs"), or "".
        skyline_colour: its colour.
        haze: share of the horizon's colour that ground far away takes on, 0..1.
        beyond: texture of a second ground behind the first (``datagen.materials.GROUNDS``), or "".
        beyond_colour: its colour.
        border: world y in metres, at x = 0, where the second ground begins.
        slant: metres of y by which the border moves per metre of x.
    """

    sky: Colour
    clouds: float = 0.0
    skyline: str = ""
    skyline_colour: Colour = (0.4, 0.45, 0.4)
    haze: float = 0.0
    beyond: str = ""
    beyond_colour: Colour = (0.5, 0.5, 0.5)
    border: float = 0.0
    slant: float = 0.0


@dataclass(frozen=True)
class Backdrop:
    """What lies behind the objects: a floor before a wall without depth, a room, or open ground.

    Attributes:
        floor: RGB colour in 0..1.
        wall: RGB colour in 0..1 of the walls, or of the sky at the horizon.
        texture: "plain", "checker", "noise" or "planks"; in a room or outdoors one of ``datagen.materials.GROUNDS``.
        accent: second colour of the floor: joints, dry blades.
        room: walls, where the scene is in a room.
        outdoors: sky and skyline, where it is in the open.
    """

    floor: Colour = (0.62, 0.58, 0.52)
    wall: Colour = (0.78, 0.82, 0.86)
    texture: str = "plain"
    accent: tuple[float, ...] = ()
    room: Room | None = None
    outdoors: Outdoors | None = None

    @property
    def is_place(self) -> bool:
        """Whether this is a room or open ground, where light is drawn with more care."""
        return self.room is not None or self.outdoors is not None


def backdrop_of(data: dict[str, Any]) -> Backdrop:
    """Rebuild a backdrop from its JSON, which is used up."""
    room, outdoors = data.pop("room", None), data.pop("outdoors", None)
    if room:
        panels = tuple(Panel(**tuples(panel)) for panel in room.pop("panels"))
        room = Room(**tuples(room), panels=panels)
    if outdoors:
        outdoors = Outdoors(**tuples(outdoors))
    return Backdrop(**tuples(data), room=room, outdoors=outdoors)


def mirrored(backdrop: Backdrop) -> Backdrop:
    """Reflect a backdrop left to right (x -> -x)."""
    if backdrop.room:
        panels = tuple(
            replace(panel, box=(-panel.box[2], panel.box[1], -panel.box[0], panel.box[3]))
            for panel in backdrop.room.panels
        )
        return replace(backdrop, room=replace(backdrop.room, corner=-backdrop.room.corner, panels=panels))
    if backdrop.outdoors:
        return replace(backdrop, outdoors=replace(backdrop.outdoors, slant=-backdrop.outdoors.slant))
    return backdrop


def tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields read from JSON with tuples instead of lists, all the way down."""
    return {key: _tuple(value) for key, value in fields.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value
