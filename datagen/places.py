"""Draw a place for a scene: a room or open ground whose colours let the objects' colours stand out."""

import math
from dataclasses import replace

from datagen.assets import COLOURS
from datagen.families import Rng
from datagen.palettes import BRICKS, FLOORS, FRAMES, GROUNDS, SKIES, SKYLINE_COLOURS, WALLS, WOODS
from spatial.observation import pose_of
from spatial.place import Backdrop, Outdoors, Panel, Room
from spatial.scene import Colour, Scene

DRAWS = 8
"""So many grounds and walls are tried for one that all objects stand out against."""

CONTRAST = 0.30
"""Distance between the colours of an object and of the ground, in RGB of 0..1, from which on it does."""

INDOORS = 0.55
"""Share of scenes that are in a room."""


def draw_place(rng: Rng, scenes: tuple[Scene, Scene]) -> Backdrop:
    """Draw a room or open ground for both scenes of a group."""
    objects = sorted({spec.colour for scene in scenes for spec in scene.objects})
    if rng.random() < INDOORS:
        return _room(rng, scenes, objects)
    return _open_ground(rng, scenes, objects)


def _room(rng: Rng, scenes: tuple[Scene, Scene], objects: list[str]) -> Backdrop:
    texture, floor, accent = _ground(rng, FLOORS, objects)
    paper, wall, trim = max(
        (_wall(rng) for _ in range(3)), key=lambda drawn: min(_contrast(drawn[1], objects), CONTRAST)
    )
    camera = scenes[0].camera
    spans = [pose_of(spec).corners() for scene in scenes for spec in scene.objects]
    farthest = max(float(span[:, 1].max()) for span in spans)
    widest = max(float(abs(span[:, 0]).max()) for span in spans)
    depth = max(camera.target[1] + rng.uniform(0.9, 2.4), farthest + 0.25)
    side = rng.uniform()
    corner = 0.0 if side < 0.45 else math.copysign(max(rng.uniform(0.9, 2.2), widest + 0.3), side - 0.72)
    strip = FRAMES[int(rng.integers(2))] if rng.random() < 0.8 else floor
    room = Room(
        depth=round(depth, 3),
        paper=paper,
        trim=trim,
        skirting=round(rng.uniform(0.05, 0.12), 3) if rng.random() < 0.75 else 0.0,
        skirting_colour=strip,
        corner=round(corner, 3),
        panels=_panels(rng, corner),
    )
    return Backdrop(floor, wall, texture, accent, room=room)


def _wall(rng: Rng) -> tuple[str, Colour, Colour]:
    """Return pattern and two colours of a wall."""
    colour = _jittered(rng, WALLS[int(rng.integers(len(WALLS)))])
    kind = rng.random()
    if kind < 0.4:
        return "paint", colour, colour
    if kind < 0.65:
        shift = rng.choice([-0.09, 0.07])
        trim = (_level(colour[0] + shift), _level(colour[1] + shift), _level(colour[2] + shift))
        return ("wallpaper" if rng.random() < 0.5 else "dotted wallpaper"), colour, trim
    if kind < 0.77:
        return "wall tiles", _jittered(rng, (0.84, 0.85, 0.84)), (0.66, 0.66, 0.65)
    if kind < 0.89:
        one, two = BRICKS[int(rng.integers(len(BRICKS)))]
        return "bricks", _jittered(rng, one), two
    wood = _jittered(rng, WOODS[int(rng.integers(len(WOODS)))])
    return "panels", wood, wood


def _panels(rng: Rng, corner: float) -> tuple[Panel, ...]:
    """Hang up to three windows and pictures beside each other, well above the floor."""
    panels: list[Panel] = []
    x = rng.uniform(-1.6, -0.6)
    for _ in range(int(rng.integers(4))):
        window = rng.random() < 0.45
        width, height = (
            (rng.uniform(0.6, 0.9), rng.uniform(0.7, 1.0))
            if window
            else (
                rng.uniform(0.3, 0.6),
                rng.uniform(0.25, 0.55),
            )
        )
        low = rng.uniform(0.55, 0.75)
        box = (round(x, 3), round(low, 3), round(x + width, 3), round(low + height, 3))
        inside = SKIES[int(rng.integers(3))][int(rng.integers(2))] if window else WALLS[int(rng.integers(len(WALLS)))]
        frame = FRAMES[int(rng.integers(len(FRAMES)))]
        if corner == 0 or (box[0] > -abs(corner) + 0.1 if corner < 0 else box[2] < corner - 0.1):
            panels.append(Panel("window" if window else "picture", box, frame, inside))
        x += width + rng.uniform(0.2, 0.8)
    return tuple(panels)


def _open_ground(rng: Rng, scenes: tuple[Scene, Scene], objects: list[str]) -> Backdrop:
    texture, floor, accent = _ground(rng, GROUNDS, objects)
    horizon, sky = SKIES[int(rng.integers(len(SKIES)))]
    skyline = ["", *SKYLINE_COLOURS][int(rng.integers(1 + len(SKYLINE_COLOURS)))]
    tones = SKYLINE_COLOURS.get(skyline, (horizon,))
    around = Outdoors(
        sky=_jittered(rng, sky),
        clouds=round(rng.uniform(0.15, 0.8), 2) if rng.random() < 0.7 else 0.0,
        skyline=skyline,
        skyline_colour=_jittered(rng, tones[int(rng.integers(len(tones)))]),
        haze=round(rng.uniform(0.1, 0.75), 2),
    )
    if rng.random() < 0.5:
        farthest = max(float(pose_of(o).corners()[:, 1].max()) for scene in scenes for o in scene.objects)
        beyond, colour, _ = _ground(rng, {name: pairs for name, pairs in GROUNDS.items() if name != texture}, objects)
        border = round(farthest + rng.uniform(0.1, 1.2), 3)
        around = replace(
            around, beyond=beyond, beyond_colour=colour, border=border, slant=round(rng.uniform(-0.12, 0.12), 3)
        )
    return Backdrop(floor, _jittered(rng, horizon), texture, accent, outdoors=around)


def _ground(
    rng: Rng, known: dict[str, tuple[tuple[Colour, Colour], ...]], objects: list[str]
) -> tuple[str, Colour, Colour]:
    """Draw grounds until all objects stand out against one, or take the best; return its texture and two colours."""
    best, chosen = -1.0, None
    for _ in range(DRAWS):
        texture = list(known)[int(rng.integers(len(known)))]
        pairs = known[texture]
        one, two = pairs[int(rng.integers(len(pairs)))]
        contrast = min(_contrast(one, objects), _contrast(two, objects) + 0.08)
        if contrast > best:
            best, chosen = contrast, (texture, one, two)
        if best >= CONTRAST:
            break
    assert chosen is not None
    shift = rng.uniform(-0.03, 0.03, 3).tolist()
    texture, one, two = chosen
    return texture, _shifted(one, shift), _shifted(two, shift)


def _contrast(colour: Colour, objects: list[str]) -> float:
    """Return the distance of a colour to the nearest colour of an object."""
    return min((math.dist(colour, COLOURS[word]) for word in objects if word in COLOURS), default=1.0)


def _shifted(colour: Colour, shift: list[float]) -> Colour:
    red, green, blue = (_level(value + move) for value, move in zip(colour, shift, strict=True))
    return (red, green, blue)


def _jittered(rng: Rng, colour: Colour) -> Colour:
    red, green, blue = (_level(value + rng.uniform(-0.03, 0.03)) for value in colour)
    return (red, green, blue)


def _level(value: float) -> float:
    return round(min(max(float(value), 0.0), 1.0), 3)
