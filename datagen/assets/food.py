"""Food: baked, fruit and vegetables. The colour word takes dough, cheese, icing, bread or peel."""

import math

import numpy as np

from datagen.assets.asset import Asset
from datagen.assets.palette import COAL, DARK, LAMP, LEAF, LIGHT, MAIN, PAPER, SKIN, SOIL, TAIL_LAMP, WOOD
from datagen.assets.primitives import (
    Mesh,
    box,
    capsule,
    cone,
    cylinder,
    join,
    loft,
    prism,
    revolve,
    sphere,
    torus,
    tube,
)


def pizza() -> Mesh:
    """A round pizza with a raised brown crust; one slice is pulled out towards -y."""
    whole = _part_of_pizza(-60.0, 240.0, 13)
    toppings = [_salami(r, turn) for r, turn in ((0.105, -35), (0.10, 25), (0.11, 85), (0.105, 145), (0.10, 210))]
    toppings.append(_salami(0.03, 95))
    leaves = [
        _basil(r, turn) for r, turn in ((0.06, 0), (0.13, 55), (0.07, 150), (0.13, 178), (0.11, 115), (0.06, 215))
    ]
    slice_ = join(_part_of_pizza(-115.0, -65.0, 4), _salami(0.105, -90), _basil(0.055, -90)).moved(y=-0.045)
    return join(whole, *toppings, *leaves, slice_).moved(y=0.0215)


def cake() -> Mesh:
    """A tall cake without one wedge: coloured icing runs down, layers show in the cut, three candles burn on top."""
    plate = revolve([(0, 0), (0.10, 0), (0.143, 0.008), (0.143, 0.012), (0, 0.012)], 20, PAPER)
    body = prism(_sector(0.122, -60.0, 240.0, 17), 0.010, 0.125, LIGHT)
    icing = prism(_sector(0.130, -59.0, 239.0, 17), 0.115, 0.145)
    lengths = (0.09, 0.065, 0.085, 0.055, 0.08, 0.06, 0.09, 0.07, 0.058)
    drips = [
        tube([(0.121, 0, 0.125), (0.121, 0, low), (0.119, 0, low - 0.013)], [0.015, 0.015, 0.006], 6).turned(
            "z", -45 + 34.0 * k
        )
        for k, low in enumerate(lengths)
    ]
    sponge = join(
        box((0.110, 0.006, 0.10), (0.060, 0, 0.064), WOOD),
        *[box((0.112, 0.009, 0.012), (0.060, 0, z), PAPER) for z in (0.045, 0.08)],
    )
    candle = join(cylinder(0.009, 0.06, 8, PAPER), sphere((0.011, 0.011, 0.019), (0, 0, 0.077), 7, 4, LAMP))
    candles = [candle.moved(x, y, 0.143).named("candle") for x, y in ((-0.065, 0.0), (0.065, 0.0), (0.0, 0.075))]
    return join(plate, body, icing, *drips, sponge.turned("z", -60), sponge.turned("z", 240), *candles)


def donut() -> Mesh:
    """A ring of dough under thick icing with sprinkles."""
    dough = torus(0.034, 0.0185, 20, 8, slot=WOOD).moved(z=0.0185)
    icing = torus(0.034, 0.0197, 20, 10).scaled(z=0.9).moved(z=0.024)
    sprinkles = []
    for k in range(13):
        reach = 0.024 + 0.021 * ((5 * k) % 4) / 3
        z = 0.0235 + 0.9 * math.sqrt(0.0197**2 - (reach - 0.034) ** 2)
        grain = box((0.009, 0.0035, 0.003), slot=(PAPER, TAIL_LAMP, LEAF)[k % 3]).turned("z", 71.0 * k)
        sprinkles.append(grain.turned("y", 1900 * (reach - 0.034)).moved(reach, 0, z).turned("z", 67.0 * k))
    return join(dough, icing, *sprinkles)


def banana() -> Mesh:
    """A strongly bent, edged fruit lying on its side, with a thick stem and a dark tip."""
    bend = np.radians(np.linspace(10.0, 165.0, 11))
    radii = [0.007, 0.013, 0.0175, 0.020, 0.021, 0.0215, 0.021, 0.020, 0.017, 0.012, 0.0085]
    path = [(0.09 * math.cos(t), 0.09 * math.sin(t), 0.0) for t in bend]
    body = tube(path, radii, 6)
    x, y, _ = path[-1]
    stem = tube([path[-1], (x - 0.004, y - 0.016, 0), (x - 0.002, y - 0.034, 0)], [0.0085, 0.007, 0.0085], 6, WOOD)
    tip = sphere((0.0085, 0.011, 0.0085), (path[0][0], path[0][1] - 0.003, 0), 8, 5, COAL)
    return _standing(join(body, stem, tip).turned("x", 3))


def apple() -> Mesh:
    """A round fruit, broad above and narrow below, with a hollow for its stem and one leaf."""
    low = [(0, 0.006), (0.014, 0.0), (0.026, 0.006), (0.036, 0.024), (0.0405, 0.044), (0.039, 0.060)]
    high = [(0.031, 0.073), (0.020, 0.077), (0.010, 0.071), (0, 0.062)]
    flesh = revolve([*low, *high], 18)
    stem = tube([(0, 0, 0.062), (0.001, 0, 0.080), (0.007, 0, 0.096)], [0.003, 0.003, 0.004], 6, SOIL).named("stem")
    leaf = _blade(0.042, 0.012, 0.004).turned("y", -25).turned("z", 200).moved(0.0, 0.0, 0.079).named("leaf")
    return join(flesh, stem, leaf)


def orange() -> Mesh:
    """An orange with its top cut off: a wheel of segments inside a pale rind."""
    turns = np.radians(np.linspace(-68.0, 22.0, 8))
    peel = revolve([(0, 0.0), *[(0.04 * math.cos(t), 0.037 + 0.04 * math.sin(t)) for t in turns], (0, 0.052)], 20)
    rind = cylinder(0.0345, 0.01, 20, SKIN).moved(z=0.043)
    wedge = prism(_sector(0.0265, 5.0, 40.0, 4), 0.05, 0.0545).moved(x=0.0033, y=0.0013)
    return join(peel, rind, *[wedge.turned("z", 45.0 * k) for k in range(8)])


def sandwich() -> Mesh:
    """A triangular half sandwich: two thick slices of bread with crust, and leaves, ham and cheese between them."""
    slices = [
        join(_triangle(1.0, z, z + 0.020, DARK), _triangle(0.93, z - 0.001, z + 0.021, MAIN, -0.007))
        for z in (0.001, 0.052)
    ]
    cheese = _triangle(1.03, 0.031, 0.038, LAMP, -0.003)
    curl = sphere((0.011, 0.008, 0.0065), segments=6, rings=3, slot=LEAF)
    edge = [(0.018 * k, -0.055) for k in range(-4, 5)]
    edge += [(side * (0.082 - 0.015 * k), -0.036 + 0.018 * k) for side in (-1, 1) for k in range(5)]
    frill = [curl.moved(x, y, 0.043 + 0.003 * (k % 2)) for k, (x, y) in enumerate(edge)]
    filling = join(_triangle(1.04, 0.020, 0.031, TAIL_LAMP, -0.001), cheese, _triangle(1.0, 0.038, 0.052, LEAF))
    return join(*slices, filling, *frill)


def hot_dog() -> Mesh:
    """A split bun with a longer sausage in it and a wave of mustard on top."""
    halves = [capsule((-0.062, y, 0.026), (0.062, y, 0.026), 0.026, 10, steps=3) for y in (-0.020, 0.020)]
    path = [(x, 0.0, 0.042 + 1.2 * x * x) for x in np.linspace(-0.098, 0.098, 9)]
    sausage = tube(path, [0.009, 0.016, 0.018, 0.018, 0.018, 0.018, 0.018, 0.016, 0.009], 9, TAIL_LAMP)
    wave = [(x, 0.009 * math.sin(115 * x), 0.061 + 1.2 * x * x) for x in np.linspace(-0.075, 0.075, 25)]
    return join(*halves, sausage, tube(wave, 0.0045, 5, LAMP))


def broccoli() -> Mesh:
    """A thick pale branching stalk under a wide dome of many small heads."""
    stalk = tube([(0, 0, 0), (0, 0, 0.03), (0, 0, 0.085)], [0.027, 0.022, 0.03], 8, LIGHT)
    arms = [tube([(0, 0, 0.026), (0.046, 0, 0.078)], [0.013, 0.018], 6, LIGHT).turned("z", 72.0 * k) for k in range(5)]
    core = sphere((0.062, 0.062, 0.036), (0, 0, 0.093), 8, 5, DARK)
    circles = ((9, 0.056, 0.086, 0.0215), (6, 0.036, 0.112, 0.022), (1, 0.0, 0.124, 0.024))
    heads = [
        sphere(radius, (reach, 0, z + 0.006 * (k % 2)), 7, 4).turned("z", 360.0 * (k + 2 * z) / count)
        for count, reach, z, radius in circles
        for k in range(count)
    ]
    return _standing(join(stalk, *arms, core, *heads))


def carrot() -> Mesh:
    """A lying cone with dark rings and a tuft of leaves at its thick end."""
    root = revolve([(0, -0.15), (0.006, -0.147), (0.019, -0.085), (0.031, -0.01), (0.024, 0.006), (0, 0.008)], 12)
    grooves = ((0.0113, -0.125), (0.0178, -0.095), (0.0222, -0.07), (0.027, -0.04))
    rings = [cone(r, 0.005, 12, r + 0.001, DARK).moved(z=z) for r, z in grooves]
    leaves = [_blade(0.06, 0.010, 0.005).turned("y", -68).turned("z", 60.0 * k).moved(z=0.002) for k in range(6)]
    return _standing(join(root, *rings, *leaves, _blade(0.065, 0.01, 0.01).turned("y", -90)).turned("x", -83))


def _sector(radius: float, start: float, stop: float, points: int) -> list[tuple[float, float]]:
    """A slice of a disc between two directions in degrees."""
    turns = np.radians(np.linspace(start, stop, points))
    return [(0.0, 0.0), *[(radius * math.cos(t), radius * math.sin(t)) for t in turns]]


def _part_of_pizza(start: float, stop: float, points: int) -> Mesh:
    """Dough, cheese and the crust of a part of a pizza between two directions in degrees."""
    dough = prism(_sector(0.150, start, stop, points), 0.0, 0.010, WOOD)
    cheese = prism(_sector(0.147, start + 0.6, stop - 0.6, points), 0.006, 0.019)
    rim = [(x, y, 0.0125) for x, y in _sector(0.150, start, stop, points)[1:]]
    return join(dough, cheese, tube(rim, 0.012, 6, WOOD))


def _triangle(grow: float, low: float, high: float, slot: int = MAIN, shift: float = 0.0) -> Mesh:
    """A layer of the half sandwich with rounded corners, its long side towards -y."""
    corners = (((-0.078, -0.045), 195.0), ((0.078, -0.045), 285.0), ((0.0, 0.052), 45.0))
    turns = [(x, y, math.radians(start + 45 * k)) for (x, y), start in corners for k in range(3)]
    outline = [(grow * (x + 0.007 * math.cos(t)), grow * (y + 0.007 * math.sin(t)) + shift) for x, y, t in turns]
    return prism(outline, low, high, slot)


def _salami(reach: float, turn: float) -> Mesh:
    return cylinder(0.018, 0.006, 10, TAIL_LAMP).moved(reach, 0, 0.018).turned("z", turn)


def _basil(reach: float, turn: float) -> Mesh:
    leaf = prism([(-0.013, 0.0), (0.0, -0.008), (0.013, 0.0), (0.0, 0.008)], 0.017, 0.022, LEAF)
    return leaf.turned("z", 40).moved(reach, 0, 0).turned("z", turn)


def _blade(length: float, width: float, thick: float) -> Mesh:
    """A leaf from the origin along +x."""
    sections = ((0.0, 0.25), (0.4, 1.0), (0.75, 0.75), (1.0, 0.1))
    rings = [
        np.array(
            [
                (length * t, w * width, 0),
                (length * t, 0, w * thick),
                (length * t, -w * width, 0),
                (length * t, 0, -w * thick),
            ]
        )
        for t, w in sections
    ]
    return loft(rings, LEAF)


def _standing(mesh: Mesh) -> Mesh:
    """Put a mesh on z = 0 with its footprint centred."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    return mesh.moved(-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2])


ASSETS = (
    Asset("pizza", pizza, (0.319, 0.367, 0.024)),
    Asset("cake", cake, (0.286, 0.286, 0.239), parts=("candle",)),
    Asset("donut", donut, (0.1073, 0.1073, 0.0432)),
    Asset("banana", banana, (0.1945, 0.123, 0.0385), long_axis=0),
    Asset("apple", apple, (0.081, 0.08, 0.0975), parts=("stem", "leaf")),
    Asset("orange", orange, (0.08, 0.08, 0.0545)),
    Asset("sandwich", sandwich, (0.186, 0.122, 0.073), long_axis=0),
    Asset("hot dog", hot_dog, (0.20, 0.09, 0.072), long_axis=0),
    Asset("broccoli", broccoli, (0.152, 0.152, 0.148)),
    Asset("carrot", carrot, (0.062, 0.2135, 0.0616), long_axis=1, toy_boost=1.3),
)
