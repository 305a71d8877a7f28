"""Vehicles: car and bus. Headlights are at -y, tail lamps at +y."""

from datagen.assets.asset import Asset
from datagen.assets.palette import COAL, DARK, GLASS, GREY, LAMP, PAPER, STEEL, TAIL_LAMP
from datagen.assets.primitives import Mesh, box, cylinder, extrude, join, rounded_box, sphere, taper


def car() -> Mesh:
    """A hatchback: a long sloping bonnet and large lamps in front, a steep tail with dark-red lamps."""
    bonnet = [(-1.0, 0.97), (-1.95, 0.78), (-2.13, 0.60)]
    body = extrude([(-2.13, 0.3), (2.1, 0.3), (2.13, 0.55), (2.1, 0.9), (2.0, 0.97), *bonnet], 1.7)
    hips = rounded_box((1.8, 4.1, 0.42), (0, 0, 0.52), 0.12, 2)
    cabin = taper((1.6, 3.05), (1.24, 2.15), 0.50, GLASS, 0.20).moved(y=0.50, z=0.94).named("window")
    roof = rounded_box((1.30, 2.30, 0.08), (0, 0.72, 1.44), 0.03, 1).named("roof")
    pillar = box((0.05, 0.16, 0.5), (0, 0, 0.25)).turned("y", -19)
    leaning = ((0.42, 0.0), (-0.98, -52.0), (1.32, 20.0), (1.92, 16.0))
    pillars = [pillar.turned("x", lean).moved(0.79, y, 0.93).mirrored_pair() for y, lean in leaning]
    bumpers = [rounded_box((1.74, 0.18, 0.2), (0, y, 0.38), 0.06, 1, GREY) for y in (-2.1, 2.1)]
    grille = [box((0.86, 0.06, 0.07), (0, -2.12, z), COAL) for z in (0.51, 0.62)]
    lamps = sphere((0.24, 0.20, 0.14), (0.66, -1.96, 0.67), 12, 6, LAMP).mirrored_pair().named("headlight")
    rear = box((0.26, 0.16, 0.30), (0.74, 2.06, 0.76), TAIL_LAMP).mirrored_pair()
    plate = box((0.5, 0.04, 0.13), (0, 2.13, 0.55), PAPER)
    doors = [box((0.01, 0.03, 0.46), (0.903, y, 0.62), DARK).mirrored_pair() for y in (-0.75, 0.35)]
    mirrors = rounded_box((0.16, 0.10, 0.13), (0.85, -0.78, 1.04), 0.03, 1).mirrored_pair()
    wheels = _wheels(0.34, 0.24, 0.80, (-1.3, 1.3))
    return join(body, hips, cabin, roof, *pillars, *bumpers, *grille, lamps, rear, plate, *doors, mirrors, *wheels)


def bus() -> Mesh:
    """A city bus: a raked windscreen, mirrors, grille and large lamps in front, tail lamps on a plain rear."""
    nose = [(-3.20, 2.80), (-3.42, 1.30), (-3.42, 0.45)]
    body = extrude([(3.36, 0.45), (3.40, 2.72), (3.30, 2.86), (-3.06, 2.88), *nose], 2.36)
    band = [box((2.43, 0.80, 0.84), (0, -1.85 + 0.96 * k, 2.02), GLASS) for k in range(5)]
    cab = extrude([(-3.24, 2.44), (-2.45, 2.44), (-2.45, 1.45), (-3.38, 1.45)], 2.43, GLASS)
    stripe = box((2.41, 6.0, 0.16), (0, 0.3, 1.22), PAPER)
    screen = box((2.16, 0.05, 1.18), (0, 0, 0), GLASS).turned("x", -8.2).moved(y=-3.345, z=1.92)
    wiper = box((0.05, 0.06, 1.18), (0, 0, 0), COAL).turned("x", -8.2).moved(y=-3.352, z=1.92)
    sign = box((1.5, 0.10, 0.22), (0, -3.22, 2.67), LAMP)
    grille = [box((1.1, 0.06, 0.09), (0, -3.42, 0.78 + 0.17 * k), COAL) for k in range(3)]
    lamps = sphere((0.24, 0.09, 0.22), (0.84, -3.41, 0.94), 12, 6, LAMP).mirrored_pair().named("headlight")
    mirrors = rounded_box((0.20, 0.14, 0.50), (1.125, -3.43, 2.20), 0.05, 1, COAL).mirrored_pair()
    bumpers = [rounded_box((2.40, 0.20, 0.26), (0, y, 0.5), 0.06, 1, GREY) for y in (-3.38, 3.36)]
    tails = [box((0.26, 0.08, 0.30), (0.96, 3.38, z), TAIL_LAMP).mirrored_pair() for z in (0.85, 1.30)]
    plate = box((0.6, 0.06, 0.16), (0, 3.39, 0.82), PAPER)
    flap = [box((1.3, 0.06, 0.05), (0, 3.39, z), DARK) for z in (1.15, 1.75)]
    door = box((0.04, 0.72, 1.75), (1.205, -2.88, 1.38), GLASS).named("door")
    roof = rounded_box((1.4, 1.6, 0.16), (0, 1.3, 2.92), 0.06, 1, DARK)
    windows = join(*band, cab, screen).named("window")
    front = join(wiper, sign, *grille, lamps, mirrors)
    rear = join(*tails, plate, *flap)
    wheels = _wheels(0.48, 0.3, 1.05, (-2.0, 2.0))
    return join(body, windows, stripe, front, rear, *bumpers, door, roof, *wheels)


def _wheels(radius: float, width: float, x: float, axles: tuple[float, float]) -> list[Mesh]:
    """Four tyres with hub caps; ``x`` is the middle of the right tyres and ``axles`` the two y positions."""
    tyre = cylinder(radius, width, 16, COAL).turned("y", 90).moved(x=-width / 2)
    hub = cylinder(radius * 0.55, width * 1.1, 10, STEEL).turned("y", 90).moved(x=-width * 0.55)
    wheel = join(tyre, hub).named("wheel")
    return [wheel.moved(side * x, y, radius) for side in (-1, 1) for y in axles]


ASSETS = (
    Asset(
        "car",
        car,
        (1.86, 4.38, 1.48),
        has_front=True,
        long_axis=1,
        top=1.0,
        surface=(-0.3, -0.08, 0.3, 0.4),
        parts=("wheel", "window", "headlight", "roof"),
    ),
    Asset(
        "bus",
        bus,
        (2.45, 7.0, 3.0),
        has_front=True,
        long_axis=1,
        parts=("wheel", "window", "headlight", "door"),
    ),
)
