"""Kitchen things: vessels, cutlery and appliances (fronts towards -y, cutlery lies with its handle towards -y)."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from datagen.assets.asset import Asset, Cavity
from datagen.assets.palette import COAL, DARK, GLASS, GREY, LIGHT, MAIN, PAPER, SCREEN, STEEL, WOOD
from datagen.assets.primitives import (
    Mesh,
    Points,
    box,
    circle,
    cylinder,
    extrude,
    join,
    loft,
    revolve,
    rounded_box,
    tube,
)

Profile = Sequence[tuple[float, float]]


def bowl() -> Mesh:
    """A wide hollow bowl on a foot ring, with a thick rim."""
    outer = [(0.0, 0.0), (0.056, 0.0), (0.056, 0.008), (0.078, 0.024), (0.094, 0.056), (0.099, 0.085), (0.097, 0.089)]
    inner = [(0.092, 0.089), (0.089, 0.084), (0.084, 0.056), (0.074, 0.028), (0.062, 0.016), (0.0, 0.016)]
    return _vessel(outer, inner, 24)


def wine_glass() -> Mesh:
    """A round bowl on a long stem and a wide foot: pale glass, and wine in the lower half of the bowl."""
    foot = [(0.0, 0.0), (0.042, 0.0), (0.042, 0.004), (0.016, 0.011)]
    stem = revolve([*foot, (0.007, 0.022), (0.007, 0.084), (0.012, 0.096), (0.0, 0.096)], 18).named("stem")
    wine = revolve([(0.0, 0.088), (0.014, 0.091), (0.036, 0.104), (0.0475, 0.126), (0.0485, 0.146), (0, 0.146)], 20)
    outer, inner = [(0.0, 0.143), (0.048, 0.143), (0.046, 0.168), (0.039, 0.2)], [(0.035, 0.2), (0.042, 0.168)]
    return join(stem, wine, _vessel(outer, [*inner, (0.043, 0.150), (0.0, 0.150)], 20, DARK, LIGHT))


def vase() -> Mesh:
    """A big-bellied vase with a narrow neck, a wide lip, two handles and a painted band."""
    foot = [(0.0, 0.0), (0.060, 0.0), (0.060, 0.012), (0.052, 0.022), (0.084, 0.072)]
    belly = [(0.0965, 0.100), (0.100, 0.112), (0.1035, 0.142), (0.103, 0.154), (0.096, 0.178), (0.066, 0.212)]
    neck = [(0.040, 0.240), (0.038, 0.275), (0.066, 0.308), (0.066, 0.316)]
    body = _vessel([*foot, *belly, *neck], [(0.056, 0.316), (0.030, 0.278), (0.030, 0.250), (0.0, 0.250)], 20)
    ring = (body.faces // 20).min(1)
    band = np.select([ring == 6, (ring == 5) | (ring == 7)], [PAPER, DARK], body.slots)
    path = [(0.034, 0, 0.284), (0.070, 0, 0.292), (0.098, 0, 0.268), (0.102, 0, 0.225), (0.082, 0, 0.186)]
    return join(replace(body, slots=band), tube(path, 0.011, 7).named("handle").mirrored_pair())


def sink() -> Mesh:
    """A steel basin sunk into a counter block: bent tap and two knobs at the back, two doors in front."""
    base = [_frame(0.70, 0.48, 0.03, 0.0), _frame(0.70, 0.48, 0.03, 0.05), _frame(0.75, 0.54, 0.03, 0.05)]
    slab = [_frame(0.75, 0.54, 0.03, 0.34), *[_frame(0.80, 0.60, 0.03, z) for z in (0.34, 0.40)]]
    hole = [_frame(0.62, 0.38, 0.06, 0.40, -0.06), _frame(0.60, 0.36, 0.06, 0.15, -0.06)]
    block = loft([*base, *slab, *hole])
    within = (block.faces // 12).min(1) >= 6
    block = replace(block, slots=np.where(within, STEEL, MAIN))
    drain = cylinder(0.05, 0.01, 12, COAL).moved(y=-0.06, z=0.145)
    arc = [(0, 0.155 + 0.075 * math.cos(t), 0.63 + 0.09 * math.sin(t)) for t in np.linspace(0, math.pi, 7)]
    spout = tube([(0, 0.23, 0.395), *arc, (0, 0.08, 0.58)], 0.028, 8, STEEL)
    knobs = revolve([(0, 0), (0.022, 0), (0.022, 0.05), (0.042, 0.05), (0.042, 0.08), (0, 0.08)], 8, STEEL)
    tap = join(spout, knobs.moved(0.15, 0.22, 0.395).mirrored_pair()).named("tap")
    doors = rounded_box((0.33, 0.03, 0.24), (0.18, -0.27, 0.195), 0.012, 1).named("door").mirrored_pair()
    gap = box((0.70, 0.02, 0.26), (0, -0.264, 0.195), DARK)
    pulls = box((0.03, 0.03, 0.12), (0.05, -0.295, 0.21), GREY).mirrored_pair()
    return join(block, drain, tap, doors, gap, pulls).moved(y=0.005)


def oven() -> Mesh:
    """A kitchen range: windowed door with a bar handle, a row of knobs, four hot plates and a panel at the back."""
    body = rounded_box((0.60, 0.60, 0.84), (0, 0, 0.48), 0.015, 1)
    plinth = box((0.54, 0.52, 0.08), (0, 0.02, 0.04), COAL)
    door = rounded_box((0.54, 0.04, 0.48), (0, -0.305, 0.41), 0.015, 1)
    window = box((0.38, 0.02, 0.24), (0, -0.32, 0.38), GLASS)
    posts = box((0.03, 0.06, 0.03), (0.21, -0.34, 0.59), STEEL).mirrored_pair()
    bar = tube([(-0.25, -0.372, 0.59), (0.25, -0.372, 0.59)], 0.02, 8, STEEL)
    drawer = rounded_box((0.54, 0.03, 0.06), (0, -0.30, 0.12), 0.01, 1, DARK)
    strip = box((0.56, 0.02, 0.13), (0, -0.297, 0.775), DARK)
    knob = join(cylinder(0.036, 0.05, 8, PAPER), box((0.012, 0.06, 0.012), (0, 0, 0.05), COAL)).turned("x", 90)
    knobs = [knob.moved(-0.21 + 0.14 * k, -0.305, 0.775).named("knob") for k in range(4)]
    ring = join(cylinder(0.10, 0.014, 14, COAL), cylinder(0.055, 0.018, 10, GREY))
    rings = [ring.moved(x, y, 0.895) for x in (-0.145, 0.145) for y in (-0.15, 0.115)]
    panel = rounded_box((0.60, 0.05, 0.16), (0, 0.275, 0.96), 0.015, 1)
    clock = box((0.2, 0.02, 0.07), (0, 0.247, 0.97), GLASS)
    back = box((0.5, 0.01, 0.6), (0, 0.299, 0.48), DARK)
    vents = [box((0.34, 0.012, 0.03), (0, 0.3, 0.52 + 0.07 * k), GREY) for k in range(3)]
    handle = join(posts, bar).named("handle")
    front = join(door, window).named("door")
    return join(body, plinth, front, handle, drawer, strip, *knobs, *rings, panel, clock, back, *vents).moved(y=0.043)


def microwave() -> Mesh:
    """A low box: dark window in the door on the left, upright handle, clock and buttons on the right."""
    body = rounded_box((0.50, 0.36, 0.28), (0, 0.015, 0.165), 0.02, 1)
    seam = box((0.485, 0.03, 0.265), (0, -0.165, 0.165), COAL)
    door = join(
        rounded_box((0.375, 0.035, 0.28), (-0.0625, -0.19, 0.165), 0.012, 1),
        box((0.28, 0.02, 0.18), (-0.08, -0.20, 0.165), GLASS),
        *[box((0.16, 0.004, 0.016), (-0.08, -0.209, 0.15 + 0.04 * k), STEEL) for k in (0, 1)],
    ).named("door")
    handle = rounded_box((0.028, 0.045, 0.23), (0.098, -0.215, 0.165), 0.012, 1, STEEL).named("handle")
    panel = rounded_box((0.115, 0.035, 0.28), (0.1925, -0.19, 0.165), 0.012, 1)
    clock = box((0.085, 0.01, 0.05), (0.1925, -0.206, 0.255), SCREEN)
    key = box((0.022, 0.012, 0.022), slot=GREY)
    keys = [key.moved(0.1925 + 0.031 * c, -0.206, 0.195 - 0.034 * r) for r in range(4) for c in (-1, 0, 1)]
    feet = [cylinder(0.02, 0.03, 8, COAL).moved(x, y, 0) for x in (-0.2, 0.2) for y in (-0.12, 0.14)]
    vents = [box((0.3, 0.01, 0.015), (0, 0.193, 0.11 + 0.035 * k), GREY) for k in range(4)]
    return join(body, seam, door, handle, panel, clock, *keys, *feet, *vents).moved(y=0.02)


def refrigerator() -> Mesh:
    """A tall cabinet, freezer door above and larger door below, with long handles; dark cooling grid at the back."""
    body = rounded_box((0.68, 0.56, 1.66), (0, 0.05, 0.88), 0.02, 1)
    back = box((0.64, 0.02, 1.56), (0, 0.325, 0.88), DARK)
    doors = [
        rounded_box((0.70, 0.10, h), (0, -0.28, z), 0.03, 2).named("door") for h, z in ((0.52, 1.45), (1.08, 0.63))
    ]
    gap = box((0.685, 0.03, 1.64), (0, -0.23, 0.88), COAL)
    handles = [_bar(-0.26, -0.375, low, high).named("handle") for low, high in ((1.26, 1.52), (0.62, 1.08))]
    badge = box((0.14, 0.02, 0.05), (0.20, -0.33, 1.60), STEEL)
    feet = [cylinder(0.04, 0.06, 8, COAL).moved(x, y, 0) for x in (-0.26, 0.26) for y in (-0.22, 0.25)]
    grid = [box((0.5, 0.03, 0.025), (0, 0.335, 0.65 + 0.11 * k), GREY) for k in range(8)]
    return join(body, back, *doors, gap, *handles, badge, *feet, *grid).moved(y=0.024)


def toaster() -> Mesh:
    """A rounded box with two slices of toast sticking out of its slots and a lever at its right end."""
    body = rounded_box((0.27, 0.17, 0.175), (0, 0, 0.105), 0.045, 3)
    base = rounded_box((0.25, 0.15, 0.03), (0, 0, 0.015), 0.01, 1, COAL)
    slots = [box((0.19, 0.038, 0.02), (0, y, 0.184), COAL) for y in (-0.036, 0.036)]
    toasts = [_toast().moved(y=y, z=0.17) for y in (-0.036, 0.036)]
    track = box((0.01, 0.02, 0.10), (0.133, 0, 0.115), COAL)
    lever = rounded_box((0.04, 0.07, 0.026), (0.148, 0, 0.135), 0.01, 1, GREY).named("lever")
    return join(body, base, *slots, *toasts, track, lever).moved(x=-0.0165)


def fork() -> Mesh:
    """A handle that arches up and down again to a broad head with four tines."""
    grip = [(-0.11, 0.010, 0.005, 0.005), (-0.098, 0.014, 0.006, 0.006), (-0.04, 0.009, 0.006, 0.012)]
    neck = [(-0.005, 0.009, 0.006, 0.016), (0.012, 0.023, 0.005, 0.015), (0.028, 0.032, 0.005, 0.012)]
    stem = _strip([*grip, *neck, (0.045, 0.033, 0.005, 0.009)])
    tine = _strip([(0.040, 0.0052, 0.005, 0.009), (0.08, 0.0048, 0.004, 0.006), (0.11, 0.002, 0.003, 0.013)])
    return join(stem.named("handle"), *[tine.moved(x=x) for x in (-0.0273, -0.0091, 0.0091, 0.0273)])


def knife() -> Mesh:
    """A broad pointed blade with a paler edge, and a dark handle with two rivets."""
    outline = [(-0.02, -0.032), (0.05, -0.032), (0.10, -0.017), (0.136, 0.012), (0.138, 0.021), (-0.02, 0.021)]
    edge = extrude(outline, 0.005, LIGHT)
    cheek = extrude([(-0.021, -0.021), (0.048, -0.021), (0.09, -0.007), (0.12, 0.0215), (-0.021, 0.0215)], 0.008)
    blade = join(edge, cheek).turned("y", 90).moved(z=0.011).named("blade")
    grip = [(-0.13, 0.014, 0.008, 0.009), (-0.12, 0.018, 0.010, 0.010), (-0.07, 0.014, 0.010, 0.011)]
    handle = _strip([*grip, (-0.02, 0.018, 0.010, 0.011), (-0.012, 0.018, 0.010, 0.011)], DARK)
    rivets = [cylinder(0.0065, 0.0225, 6, PAPER).moved(y=y) for y in (-0.10, -0.04)]
    whole = join(blade, join(handle, *rivets).named("handle").moved(x=0.004)).moved(x=0.005, y=-0.004)
    return whole.scaled(x=0.8, y=1.2)


def spoon() -> Mesh:
    """A handle that arches up and down again to a large hollow oval bowl."""
    grip = [(-0.11, 0.011, 0.005, 0.005), (-0.098, 0.015, 0.006, 0.006), (-0.04, 0.010, 0.006, 0.010)]
    stem = _strip([*grip, (-0.005, 0.009, 0.006, 0.014), (0.022, 0.012, 0.004, 0.015)]).named("handle")
    rings, turn = [], np.linspace(0.0, math.pi, 8)
    for along in np.linspace(-0.97, 0.97, 9):
        across = math.sqrt(1 - along * along)
        width, depth = 0.037 * across, 0.018 * across
        low = [(width * math.cos(t), 0.018 - depth * math.sin(t)) for t in turn]
        high = [(0.84 * width * math.cos(t), 0.018 - 0.85 * depth * math.sin(t)) for t in reversed(turn)]
        rings.append(np.array([(x, 0.062 + 0.048 * along, z) for x, z in [*low, *high]]))
    scoop = loft(rings)
    inside = (scoop.faces % 16).min(1) >= 8
    return join(stem, replace(scoop, slots=np.where(inside, DARK, MAIN)))


def _vessel(outer: Profile, inner: Profile, segments: int, inside: int = DARK, outside: int = MAIN) -> Mesh:
    """A revolved hollow: (radius, z) up the outside, then down the inside, which takes another slot."""
    body = revolve([*outer, *inner], segments)
    within = (body.faces // segments).min(1) >= len(outer)
    return replace(body, slots=np.where(within, inside, outside))


def _frame(width: float, depth: float, radius: float, z: float, y: float = 0.0) -> Points:
    """A rounded rectangle of 12 points about (0, y, z)."""
    corner = [math.pi / 4 * k for k in range(3)]
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    return np.array(
        [
            (
                sx * (width / 2 - radius) + radius * math.cos(turn + k * math.pi / 2),
                y + sy * (depth / 2 - radius) + radius * math.sin(turn + k * math.pi / 2),
                z,
            )
            for k, (sx, sy) in enumerate(signs)
            for turn in corner
        ]
    )


def _bar(x: float, y: float, low: float, high: float) -> Mesh:
    """An upright handle from ``low`` to ``high``, held by two posts behind it."""
    posts = [box((0.04, 0.08, 0.04), (x, y + 0.03, z), STEEL) for z in (low + 0.05, high - 0.05)]
    return join(rounded_box((0.05, 0.045, high - low), (x, y, (low + high) / 2), 0.02, 1, STEEL), *posts)


def _toast() -> Mesh:
    """A slice of bread with the two bulges of its top, in the x-z plane."""
    turn = np.linspace(-0.25 * math.pi, 0.92 * math.pi, 6)
    half = [(0.045 + 0.038 * math.cos(t), 0.055 + 0.026 * math.sin(t)) for t in turn]
    outline = [(0.078, 0.0), *half, *[(-x, z) for x, z in reversed(half)], (-0.078, 0.0)]
    crumb = extrude([(0.86 * x, 0.94 * z) for x, z in outline], 0.028, PAPER)
    return join(extrude(outline, 0.024, WOOD), crumb).turned("z", 90)


def _strip(sections: Sequence[tuple[float, float, float, float]], slot: int = MAIN) -> Mesh:
    """A flat rod along y through (y, half width, half thickness, z)."""
    flat = circle(1.0, 8)
    rings = [np.column_stack([w * flat[:, 0], np.full(8, y), z + t * flat[:, 1]]) for y, w, t, z in sections]
    return loft(rings, slot)


ASSETS = (
    Asset("bowl", bowl, (0.198, 0.198, 0.089), cavity=Cavity((-0.21, -0.21, 0.18), (0.21, 0.21, 1.0))),
    Asset("wine glass", wine_glass, (0.097, 0.097, 0.20), parts=("stem",)),
    Asset("vase", vase, (0.224, 0.207, 0.316), parts=("handle",)),
    Asset(
        "sink",
        sink,
        (0.80, 0.61, 0.748),
        has_front=True,
        cavity=Cavity((-0.34, -0.36, 0.208), (0.34, 0.04, 0.535)),
        parts=("tap", "door"),
    ),
    Asset(
        "oven",
        oven,
        (0.60, 0.692, 1.04),
        has_front=True,
        top=0.87,
        surface=(-0.48, -0.35, 0.48, 0.39),
        parts=("door", "handle", "knob"),
    ),
    Asset(
        "microwave",
        microwave,
        (0.50, 0.435, 0.305),
        has_front=True,
        top=1.0,
        surface=(-0.45, -0.35, 0.45, 0.43),
        parts=("door", "handle"),
    ),
    Asset(
        "refrigerator",
        refrigerator,
        (0.70, 0.747, 1.71),
        has_front=True,
        top=1.0,
        surface=(-0.45, -0.37, 0.45, 0.43),
        parts=("door", "handle"),
    ),
    Asset("toaster", toaster, (0.303, 0.17, 0.25), long_axis=0, parts=("lever",)),
    Asset("fork", fork, (0.066, 0.22, 0.022), long_axis=1, parts=("handle",), toy_boost=1.3),
    Asset("knife", knife, (0.0432, 0.3216, 0.0225), long_axis=1, parts=("blade", "handle"), toy_boost=1.3),
    Asset("spoon", spoon, (0.074, 0.218, 0.02), long_axis=1, parts=("handle",), toy_boost=1.3),
)
