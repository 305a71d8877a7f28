"""Vehicles: car and bus. Headlights are at -y, tail lamps at +y."""

from datagen.assets.palette import COAL, DARK, GLASS, GREY, LAMP, PAPER, STEEL, TAIL_LAMP
from datagen.assets.primitives import Mesh, box, cylinder, extrude, join, rounded_box, sphere, taper


def car() -> Mesh:
    """A hatchback with a long bonnet in front."""
    bonnet = [(-1.1, 0.95), (-2.0, 0.80), (-2.15, 0.62)]
    body = extrude([(-2.15, 0.3), (2.1, 0.3), (2.15, 0.55), (2.08, 0.88), (1.9, 0.95), *bonnet], 1.7)
    hips = rounded_box((1.8, 4.1, 0.42), (0, 0, 0.52), 0.12, 2)
    cabin = taper((1.6, 2.95), (1.24, 1.65), 0.50, GLASS, -0.02).moved(y=0.32, z=0.94)
    roof = rounded_box((1.26, 1.75, 0.08), (0, 0.30, 1.44), 0.03, 1)
    pillar = box((0.04, 0.14, 0.5), (0, 0, 0.25)).turned("y", -20)
    leaning = ((0.30, 0.0), (-1.12, -50.0), (1.76, 50.0))
    pillars = [pillar.turned("x", lean).moved(0.79, y, 0.93).mirrored_pair() for y, lean in leaning]
    bumpers = [rounded_box((1.74, 0.18, 0.2), (0, y, 0.38), 0.06, 1, GREY) for y in (-2.1, 2.1)]
    grille = box((0.8, 0.06, 0.16), (0, -2.13, 0.62), COAL)
    lamps = sphere((0.21, 0.09, 0.12), (0.62, -2.08, 0.68), 10, 6, LAMP).mirrored_pair()
    rear = box((0.34, 0.06, 0.16), (0.62, 2.11, 0.72), TAIL_LAMP).mirrored_pair()
    plate = box((0.5, 0.04, 0.13), (0, 2.13, 0.55), PAPER)
    doors = box((0.01, 0.03, 0.5), (0.905, 0.25, 0.62), DARK).mirrored_pair()
    return join(
        body,
        hips,
        cabin,
        roof,
        *pillars,
        *bumpers,
        grille,
        lamps,
        rear,
        plate,
        doors,
        *_wheels(0.34, 0.24, 0.80, (-1.3, 1.3)),
    )


def bus() -> Mesh:
    """A city bus: a window band, doors on its own left side, and a big windscreen in front."""
    body = rounded_box((2.4, 7.0, 2.45), (0, 0, 1.65), 0.16, 2)
    band = [box((2.44, 0.78, 0.78), (0, -2.35 + 0.95 * k, 2.05), GLASS) for k in range(6)]
    stripe = box((2.43, 6.6, 0.16), (0, 0, 1.28), PAPER)
    screen = box((2.1, 0.06, 1.05), (0, -3.49, 1.95), GLASS)
    sign = box((1.5, 0.08, 0.24), (0, -3.49, 2.63), LAMP)
    rear = box((1.5, 0.06, 0.55), (0, 3.49, 2.2), GLASS)
    grid = [box((1.6, 0.06, 0.07), (0, 3.49, 0.8 + 0.16 * k), COAL) for k in range(4)]
    bumpers = [rounded_box((2.42, 0.16, 0.24), (0, y, 0.5), 0.06, 1, GREY) for y in (-3.45, 3.45)]
    lamps = sphere((0.2, 0.07, 0.15), (0.82, -3.48, 0.88), 10, 6, LAMP).mirrored_pair()
    tails = box((0.22, 0.06, 0.4), (0.98, 3.49, 1.0), TAIL_LAMP).mirrored_pair()
    door = box((0.04, 0.7, 1.75), (1.205, -2.9, 1.4), GLASS)
    roof = rounded_box((1.4, 1.6, 0.16), (0, 0.8, 2.92), 0.06, 1, DARK)
    return join(
        body,
        *band,
        stripe,
        screen,
        sign,
        rear,
        *grid,
        bumpers[0],
        bumpers[1],
        lamps,
        tails,
        door,
        roof,
        *_wheels(0.48, 0.3, 1.05, (-2.2, 2.1)),
    )


def _wheels(radius: float, width: float, x: float, axles: tuple[float, float]) -> list[Mesh]:
    """Four tyres with hub caps; ``x`` is the middle of the right tyres and ``axles`` the two y positions."""
    tyre = cylinder(radius, width, 16, COAL).turned("y", 90).moved(x=-width / 2)
    hub = cylinder(radius * 0.55, width * 1.1, 10, STEEL).turned("y", 90).moved(x=-width * 0.55)
    return [join(tyre, hub).moved(side * x, y, radius) for side in (-1, 1) for y in axles]
