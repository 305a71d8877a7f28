"""What people carry, wear and play with: backpack, handbag, tie, cell phone, balls, bats, boards and a kite."""

import math
from collections.abc import Sequence

import numpy as np

from datagen.assets.asset import Asset, Cavity
from datagen.assets.palette import COAL, DARK, GREY, LEAF, LIGHT, MAIN, PAPER, SCREEN, STEEL, WOOD
from datagen.assets.primitives import (
    Mesh,
    Points,
    Vector,
    box,
    circle,
    cylinder,
    join,
    loft,
    outward,
    prism,
    revolve,
    rounded_box,
    taper,
    torus,
    tube,
)


def backpack() -> Mesh:
    """A school backpack: a domed bag with pockets in front, a loop on top, two shoulder straps behind."""
    bag = _dome(0.33, 0.19, 0.46, 0.13)
    pocket = rounded_box((0.25, 0.09, 0.20), (0, -0.105, 0.13), 0.035, 2, LIGHT).named("pocket")
    zips = [box((0.19, 0.008, 0.012), (0, -0.151, 0.185), COAL)]
    zips += [box((0.012, 0.012, 0.035), (0.085, -0.152, 0.17), STEEL)]
    arc = torus(0.12, 0.008, 9, 6, 180, COAL).turned("x", 90).moved(y=-0.097, z=0.28)
    sides = rounded_box((0.06, 0.13, 0.17), (0.175, 0, 0.11), 0.025, 1, DARK).mirrored_pair()
    loop = torus(0.04, 0.013, 9, 6, 180, COAL).turned("x", 90).moved(y=0.04, z=0.45)
    path = [(0.06, 0.08, 0.42), (0.085, 0.14, 0.40), (0.10, 0.165, 0.30), (0.11, 0.15, 0.18), (0.13, 0.09, 0.06)]
    strap = _ribbon(path, 0.032, 0.014, GREY).mirrored_pair().named("strap")
    return join(bag, pocket, *zips, arc, sides, loop, strap).moved(y=-0.0105)


def _dome(width: float, depth: float, height: float, shoulder: float) -> Mesh:
    """Return an upright bag whose top is rounded like an arch, with bevelled front and back edges."""
    turn = [math.pi * k / 10 for k in range(11)]
    arch = [(width / 2 * math.cos(t), height - shoulder + shoulder * math.sin(t)) for t in turn]
    outline = np.array([(width / 2 - 0.02, 0.0), (width / 2, 0.03), *arch, (-width / 2, 0.03), (0.02 - width / 2, 0.0)])
    middle = np.array([0.0, height * 0.45])
    rings = []
    for y, share in ((-0.5, 0.86), (-0.42, 0.96), (-0.3, 1.0), (0.3, 1.0), (0.42, 0.97), (0.5, 0.9)):
        flat = middle + (outline - middle) * share
        flat[:, 1] = np.maximum(flat[:, 1] - flat[:, 1].min(), 0.0)
        rings.append(np.column_stack([flat[:, 0], np.full(len(flat), y * depth), flat[:, 1]]))
    return loft(rings)


def _ribbon(path: Sequence[tuple[float, float, float]], half: float, thick: float, slot: int = 0) -> Mesh:
    """Return a band along a path in about one y-z plane, ``half`` wide to each side of it along x."""
    points = np.array(path)
    along = np.gradient(points[:, 1:], axis=0)
    along /= np.sqrt((along * along).sum(1, keepdims=True))
    section = circle(1.0, 8)
    rings = []
    for (x, y, z), (dy, dz) in zip(points, along, strict=True):
        across, out = section[:, 0] * half, section[:, 1] * thick
        rings.append(np.column_stack([x + across, y - dz * out, z + dy * out]))
    return loft(rings, slot)


def handbag() -> Mesh:
    """An open tote: flared walls around an empty inside, an arched handle on each side of the opening."""
    outer = [(0.0, 0.14, 0.055), (0.015, 0.15, 0.065), (0.12, 0.165, 0.08), (0.23, 0.18, 0.09)]
    inner = [(0.23, 0.168, 0.078), (0.12, 0.152, 0.068), (0.02, 0.137, 0.053)]
    bag = loft([_squared(z, x, y) for z, x, y in outer + inner])
    handle = _arch(0.085, 0.20, 0.36, 0.011).moved(y=-0.088)
    clasp = rounded_box((0.05, 0.02, 0.04), (0, -0.085, 0.17), 0.008, 1, STEEL)
    return join(bag, handle.named("handle"), handle.scaled(y=-1).named("handle"), clasp)


def _squared(z: float, half_x: float, half_y: float, power: float = 0.4) -> Points:
    """Return a ring, a rectangle with round corners at height ``z``; a small ``power`` leaves them less round."""
    ring = circle(1.0, 20, z)
    flat = ring[:, :2]
    ring[:, :2] = np.sign(flat) * np.abs(flat) ** power * np.array([half_x, half_y])
    return ring


def _arch(half: float, low: float, high: float, radius: float, slot: int = DARK) -> Mesh:
    """Return a rod that rises from ``low``, bends over at ``high`` and comes down again, in the x-z plane."""
    bend = [math.pi * k / 8 for k in range(9)]
    top = [(-half * math.cos(t), 0.0, high - radius - half * (1 - math.sin(t))) for t in bend]
    return tube([(-half * 1.25, 0.0, low), *top, (half * 1.25, 0.0, low)], radius, 8, slot)


def tie() -> Mesh:
    """A necktie lying flat: a striped blade that widens to a point, the knot, the loop for the neck above it."""
    blade = [(0.13, 0.030), (0.05, 0.041), (-0.24, 0.088), (-0.33, 0.004)]
    front = loft([_flat(y, half, 0.022, 0.012) for y, half in blade])
    stripes = []
    for k, y in enumerate((0.05, -0.03, -0.11, -0.19)):
        half = [0.9 * (0.041 + 0.162 * (0.05 - y - rise)) for rise in (-0.03, -0.005, 0.022, 0.047)]
        corners = [(-half[0], y - 0.03), (half[2], y + 0.022), (half[3], y + 0.047), (-half[1], y - 0.005)]
        stripes.append(prism(corners, 0.02, 0.0355, (LIGHT, DARK)[k % 2]))
    tail = loft([_flat(y, half, 0.010, 0.008) for y, half in ((0.10, 0.02), (-0.25, 0.035), (-0.29, 0.004))], DARK)
    knot = taper((0.085, 0.04), (0.05, 0.034), 0.075).turned("x", 90).moved(y=0.195, z=0.026).named("knot")
    loop = torus(0.095, 0.02, 20, 6).scaled(1.05, 0.72, 0.55).moved(y=0.23, z=0.011)
    return join(front, *stripes, tail.turned("z", 9), knot, loop).moved(z=-0.0015)


def _flat(y: float, half: float, z: float, thick: float) -> Points:
    """Return a flat ring across the y axis: ``half`` wide to each side, from z - thick to z + thick."""
    section = np.array([(1, -0.5), (1, 0.5), (0.9, 1), (-0.9, 1), (-1, 0.5), (-1, -0.5), (-0.9, -1), (0.9, -1)])
    return np.column_stack([section[:, 0] * half, np.full(8, y), z + section[:, 1] * thick])


def cell_phone() -> Mesh:
    """A phone leaning in a small stand: bright screen with icons in front, camera lenses on its back."""
    slab = _plaque(0.041, 0.080, 0.008)
    screen = _plaque(0.0305, 0.062, 0.002, SCREEN).moved(y=-0.0075)
    spots = [(x, z) for z in (0.042, 0.022, 0.002) for x in (-0.018, 0.0, 0.018)]
    icons = [box((0.012, 0.003, 0.012), (x, -0.010, z), (PAPER, LEAF, GREY)[k % 3]) for k, (x, z) in enumerate(spots)]
    dock = box((0.048, 0.003, 0.017), (0, -0.0095, -0.045), PAPER)
    speaker = box((0.02, 0.003, 0.004), (0, -0.009, 0.071), COAL)
    camera = rounded_box((0.032, 0.010, 0.036), (-0.017, 0.010, 0.052), 0.006, 1, DARK)
    lens = cylinder(0.0075, 0.004, 10, COAL).turned("x", -90)
    lenses = [lens.moved(-0.017, 0.014, z) for z in (0.043, 0.061)]
    phone = join(slab, screen.named("screen"), *icons, dock, speaker, camera, *lenses).turned("x", -16)
    foot = rounded_box((0.07, 0.075, 0.014), (0, 0.014, 0.007), 0.005, 1, DARK)
    lip = rounded_box((0.07, 0.012, 0.022), (0, -0.026, 0.011), 0.004, 1, DARK)
    prop = box((0.03, 0.010, 0.075), (0, 0.034, 0.045), DARK)
    return join(phone.moved(z=0.087), foot, lip, prop).moved(y=-0.0098)


def _plaque(half_x: float, half_z: float, half_y: float, slot: int = 0) -> Mesh:
    """Return an upright plate with round corners and bevelled edges about the origin."""
    bevel = half_y * 0.5
    sizes = [(-half_y, bevel), (-bevel, 0.0), (bevel, 0.0), (half_y, bevel)]
    return loft([_squared(z, half_x - cut, half_z - cut, 0.3) for z, cut in sizes], slot).turned("x", 90)


def frisbee() -> Mesh:
    """A flying disc lying flat: a thick rolled rim, ridges around a crown with a pale round print."""
    dish = [(0.0, 0.0), (0.122, 0.0), (0.136, 0.010), (0.138, 0.024), (0.128, 0.038), (0.11, 0.043), (0.0, 0.046)]
    ridges = [torus(radius, 0.0035, 24, 4, slot=DARK).moved(z=z) for radius, z in ((0.116, 0.043), (0.098, 0.045))]
    return join(revolve(dish, 28), *ridges, cylinder(0.078, 0.0475, 24, DARK), cylinder(0.048, 0.050, 20, LIGHT))


def sports_ball() -> Mesh:
    """A football: a round icosahedron with a dark pentagon at every tip."""
    golden, signs = (1 + math.sqrt(5)) / 2, [(a, b) for a in (-1, 1) for b in (-1, 1)]
    tips = np.array([np.roll((0.0, a, b * golden), k) for k in range(3) for a, b in signs])
    near = np.sqrt(((tips[:, None] - tips[None]) ** 2).sum(2)) < 2.1
    triples = [(i, j, k) for i in range(12) for j in range(i) for k in range(j)]
    sides = [(i, j, k) for i, j, k in triples if near[i, j] and near[j, k] and near[i, k]]
    shares = np.array([(a, b, 6 - a - b) for a in range(7) for b in range(7 - a)]) / 6
    at = {tuple(np.round(share * 6).astype(int)): n for n, share in enumerate(shares)}
    small = []
    for (a, b, c), n in at.items():
        if c > 0:
            small.append((n, at[a + 1, b, c - 1], at[a, b + 1, c - 1]))
        if a > 0 and c > 0:
            small.append((n, at[a, b + 1, c - 1], at[a - 1, b + 1, c]))
    dark = shares[np.array(small)].mean(1).max(1) > 2 / 3
    parts = []
    for side in sides:
        points = shares @ tips[list(side)]
        points *= 0.11 / np.sqrt((points * points).sum(1, keepdims=True))
        parts.append(outward(Mesh(points, np.array(small), np.where(dark, GREY, MAIN), np.full(len(small), ""))))
    return join(*parts).turned("y", 20).turned("x", 12).moved(z=0.11)


def kite() -> Mesh:
    """A diamond kite standing on its lower tip, bowed back at the sides, with crossed spars and a tail of bows."""
    top, low, mid, wing = (0.0, 0.10, 1.0), (0.0, -0.04, 0.03), (0.0, 0.0, 0.64), (0.44, 0.17, 0.66)
    right = [_panel(top, mid, wing, MAIN), _panel(mid, low, wing, LIGHT)]
    left = [_panel(top, mid, wing, DARK).scaled(x=-1), _panel(mid, low, wing, MAIN).scaled(x=-1)]
    spine = tube([top, mid, low], 0.014, 6, WOOD)
    cross = tube([wing, mid, (-wing[0], *wing[1:])], 0.014, 6, WOOD).moved(y=0.014)
    path = [(0.0, -0.03, 0.05), (0.10, -0.05, 0.02), (0.21, 0.02, 0.02), (0.30, 0.11, 0.02), (0.41, 0.10, 0.02)]
    half = tube([(0, 0, 0), (0.07, 0, 0)], [0.008, 0.040], 6)
    bow = join(half, half.scaled(x=-1)).turned("z", 90)
    bows = [bow.turned("z", turn).moved(x, y, 0.037) for (x, y, _), turn in zip(path[1:], (10, 35, 20, 0), strict=True)]
    tail = join(tube(path, 0.012, 6, COAL), *bows).named("tail")
    return join(*right, *left, spine, cross, tail).moved(y=-0.036, z=0.003)


def _panel(a: Vector, b: Vector, c: Vector, slot: int) -> Mesh:
    """Return a triangle of cloth about a centimetre thick."""
    corners = np.array([a, b, c])
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    normal *= 0.006 / math.sqrt((normal * normal).sum())
    return loft([corners - normal, corners + normal], slot)


def baseball_bat() -> Mesh:
    """A baseball bat lying on the floor: thick rounded barrel, slim taped handle, knob."""
    wood = [(0, -0.425), (0.024, -0.425), (0.032, -0.412), (0.030, -0.40), (0.019, -0.385), (0.019, -0.15)]
    wood += [(0.028, 0.05), (0.043, 0.22), (0.046, 0.36), (0.042, 0.405), (0.026, 0.424), (0, 0.425)]
    tape = revolve([(0.0, -0.39), (0.022, -0.385), (0.0225, -0.15), (0.0, -0.145)], 14, GREY)
    bands = [cylinder(0.047, 0.012, 16, DARK).moved(z=z) for z in (0.24, 0.34)]
    return join(revolve(wood, 16), tape, *bands).turned("y", 88.9).moved(z=0.0424)


def tennis_racket() -> Mesh:
    """A tennis racket lying flat: an oval frame with strings, an open throat, a long dark grip."""
    frame = torus(0.135, 0.014, 28, 8).scaled(1.22, 1, 1).moved(0.17, 0, 0.018)
    reach = [(k, math.sqrt(1 - (k / 4) ** 2)) for k in range(-3, 4)]
    strings = [box((0.004, 0.27 * r, 0.004), (0.17 + 0.041 * k, 0, 0.018), PAPER) for k, r in reach]
    strings += [box((0.33 * r, 0.004, 0.004), (0.17, 0.0335 * k, 0.018), PAPER) for k, r in reach]
    throat = tube([(0.045, 0.095, 0.018), (-0.04, 0.05, 0.018), (-0.11, 0.014, 0.018)], 0.012, 8)
    grip = tube([(-0.09, 0, 0.018), (-0.15, 0, 0.018), (-0.33, 0, 0.018)], [0.014, 0.018, 0.018], 8, COAL)
    butt = tube([(-0.325, 0, 0.019), (-0.35, 0, 0.019)], [0.019, 0.023], 8, DARK)
    return join(frame, *strings, throat, throat.scaled(y=-1), join(grip, butt).named("handle")).moved(z=0.004)


def skis() -> Mesh:
    """A pair of skis side by side, tips bent up in front, bindings in the middle, a pole beside each."""
    stations = [(-0.86, 0.02, 0.15), (-0.83, 0.045, 0.11), (-0.76, 0.062, 0.05), (-0.66, 0.062, 0.016)]
    stations += [(0.0, 0.05, 0.012), (0.80, 0.058, 0.012), (0.84, 0.045, 0.014)]
    ski = loft([_flat(y, half, z, 0.012) for y, half, z in stations])
    prints = ((-0.50, LIGHT), (-0.36, DARK), (0.56, LIGHT))
    stripes = [box((0.06, 0.10, 0.006), (0, y, 0.026), slot) for y, slot in prints]
    toe = rounded_box((0.085, 0.12, 0.06), (0, -0.06, 0.05), 0.02, 1, COAL)
    heel = rounded_box((0.085, 0.14, 0.08), (0, 0.24, 0.055), 0.02, 1, COAL)
    plate = box((0.07, 0.40, 0.02), (0, 0.09, 0.03), GREY)
    one = join(ski, *stripes, join(toe, heel, plate).named("binding")).moved(x=0.095)
    pole = tube([(0, -0.55, 0.022), (0, 0.42, 0.022)], 0.014, 6, STEEL)
    grip = tube([(0, 0.40, 0.026), (0, 0.56, 0.026)], [0.022, 0.026], 8, COAL)
    basket = cylinder(0.05, 0.012, 12, COAL).turned("x", 90).moved(y=-0.46, z=0.05)
    return join(one, join(pole, grip, basket).moved(x=0.22).named("pole")).mirrored_pair()


def snowboard() -> Mesh:
    """A snowboard: one wide board with both ends bent up and two strapped bindings across it."""
    end = [(-0.76, 0.05, 0.12), (-0.73, 0.10, 0.09), (-0.65, 0.15, 0.035), (-0.55, 0.16, 0.014)]
    stations = [*end, (0.0, 0.14, 0.014), *((-y, half, z) for y, half, z in end[::-1])]
    board = loft([_flat(y, half, z, 0.014) for y, half, z in stations])
    corners = [(-0.10, -0.09), (0.10, -0.05), (0.10, 0.05), (-0.10, 0.09)]
    print_ = prism(corners, 0.02, 0.031, LIGHT)
    bands = [box((0.25, 0.05, 0.006), (0, y, 0.030), LIGHT) for y in (-0.47, 0.47)]
    base = rounded_box((0.26, 0.14, 0.035), (0, 0, 0.045), 0.015, 1, COAL)
    high = rounded_box((0.035, 0.13, 0.18), (0, 0, 0.08), 0.017, 1, COAL).turned("y", 14).moved(0.10, 0, 0.05)
    strap = torus(0.062, 0.014, 9, 6, 180, GREY).turned("x", 90).turned("z", 90)
    straps = [strap.moved(x, 0, 0.055) for x in (-0.07, 0.04)]
    binding = join(base, high, *straps).named("binding")
    whole = join(board, print_, *bands, *[binding.turned("z", t).moved(y=y) for y, t in ((-0.25, 10), (0.25, -10))])
    return whole.turned("z", 90)


ASSETS = (
    Asset("backpack", backpack, (0.41, 0.337, 0.503), has_front=True, parts=("strap", "pocket")),
    Asset(
        "handbag",
        handbag,
        (0.36, 0.198, 0.36),
        long_axis=0,
        cavity=Cavity((-0.35, -0.22, 0.065), (0.35, 0.22, 0.639)),
        parts=("handle",),
    ),
    Asset("tie", tie, (0.241, 0.643, 0.0445), long_axis=1, parts=("knot",), toy_boost=1.2),
    Asset("cell phone", cell_phone, (0.082, 0.0835, 0.165), has_front=True, parts=("screen",)),
    Asset("frisbee", frisbee, (0.276, 0.276, 0.05)),
    Asset("sports ball", sports_ball, (0.22, 0.22, 0.22)),
    Asset("kite", kite, (0.89, 0.322, 1.007), long_axis=0, parts=("tail",)),
    Asset("baseball bat", baseball_bat, (0.85, 0.094, 0.096), long_axis=0, toy_boost=1.2),
    Asset("tennis racket", tennis_racket, (0.7, 0.3, 0.046), long_axis=0, parts=("handle",), toy_boost=1.2),
    Asset("skis", skis, (0.54, 1.7, 0.16), has_front=True, long_axis=1, parts=("binding", "pole"), toy_boost=1.2),
    Asset("snowboard", snowboard, (1.52, 0.32, 0.215), long_axis=0, parts=("binding",), toy_boost=1.2),
)
