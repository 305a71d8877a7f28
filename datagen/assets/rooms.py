"""Things of bedroom, bathroom, hall and desk: bed, toilet, clock, umbrella, keyboard, mouse, scissors and so on."""

import math
from dataclasses import replace

import numpy as np

from datagen.assets.asset import Asset, Cavity
from datagen.assets.palette import COAL, DARK, GREY, LIGHT, MAIN, PAPER, SCREEN, STEEL, TAIL_LAMP, WOOD
from datagen.assets.primitives import (
    Mesh,
    Points,
    box,
    capsule,
    circle,
    cone,
    cylinder,
    extrude,
    join,
    loft,
    revolve,
    rounded_box,
    sphere,
    taper,
    torus,
    tube,
)


def bed() -> Mesh:
    """A double bed: tall headboard and pale pillows at +y, a blanket that hangs over the sides, short legs."""
    frame = box((1.42, 1.96, 0.12), (0, 0, 0.28), WOOD)
    mattress = rounded_box((1.40, 1.94, 0.22), (0, 0, 0.43), 0.06, 1, PAPER)
    blanket = rounded_box((1.50, 1.50, 0.35), (0, -0.25, 0.385), 0.06, 2)
    fold = rounded_box((1.52, 0.26, 0.20), (0, 0.46, 0.467), 0.05, 1, LIGHT)
    pillows = sphere((0.31, 0.20, 0.09), (0.345, 0.74, 0.60), 12, 6, PAPER).mirrored_pair()
    rails = [box((1.44, 0.06, height), (0, 1.0, z), DARK) for z, height in ((0.95, 0.14), (0.50, 0.12))]
    bars = [box((0.09, 0.05, 0.45), (-0.6 + 0.2 * k, 1.0, 0.70), DARK) for k in range(7)]
    posts = rounded_box((0.11, 0.11, 1.05), (0.725, 1.0, 0.525), 0.03, 1, DARK).mirrored_pair()
    board = join(*rails, *bars, posts).named("headboard")
    feet = taper((0.08, 0.08), (0.11, 0.11), 0.24, WOOD).moved(0.64, -0.9).mirrored_pair().named("leg")
    return join(frame, mattress, blanket, fold, pillows.named("pillow"), board, feet)


def toilet() -> Mesh:
    """A toilet: an oval bowl with water under an open, upright lid, and a cistern at the back."""
    outer = [(0.0, 0.12, 0.17, 0.02), (0.04, 0.12, 0.17, 0.02), (0.16, 0.095, 0.14, 0.03)]
    outer += [(0.28, 0.16, 0.21, -0.01), (0.37, 0.205, 0.265, -0.03), (0.40, 0.205, 0.265, -0.03)]
    inner = [(0.40, 0.155, 0.205, -0.045), (0.30, 0.135, 0.18, -0.04), (0.24, 0.07, 0.09, -0.02)]
    bowl = loft([_oval(z, x, y, shift) for z, x, y, shift in outer + inner])
    water = loft([_oval(z, 0.12, 0.16, -0.04) for z in (0.25, 0.27)], SCREEN)
    seat = torus(0.18, 0.032, 20, 6, slot=LIGHT).scaled(1.0, 1.27, 0.65).moved(y=-0.04, z=0.41).named("seat")
    lid = loft([_oval(z, 0.195, 0.235, 0.0, 20) for z in (-0.015, 0.015)], LIGHT)
    lid = lid.turned("x", 82).moved(y=0.185, z=0.63).named("lid")
    base = rounded_box((0.22, 0.22, 0.40), (0, 0.22, 0.20), 0.04, 1)
    tank = rounded_box((0.38, 0.17, 0.42), (0, 0.305, 0.58), 0.04, 2)
    cover = rounded_box((0.41, 0.20, 0.05), (0, 0.30, 0.805), 0.02, 1, DARK)
    lever = capsule((0.13, 0.21, 0.72), (0.06, 0.20, 0.71), 0.014, 6, STEEL)
    return join(bowl, water, seat, lid, base, join(tank, cover, lever).named("tank")).moved(y=-0.045)


def _oval(z: float, half_x: float, half_y: float, shift: float, segments: int = 20) -> Points:
    """Return a ring, an ellipse at height ``z`` whose middle is shifted along y."""
    return circle(1.0, segments, z) * np.array([half_x, half_y, 1.0]) + np.array([0.0, shift, 0.0])


def clock() -> Mesh:
    """An alarm clock: two bells and a hammer over a round face with hands, on splayed feet."""
    drum = revolve([(0, 0), (0.066, 0), (0.070, 0.008), (0.070, 0.05), (0.064, 0.056), (0, 0.056)], 24)
    face = cylinder(0.054, 0.006, 24, PAPER).moved(z=0.053).named("face")
    mark = box((0.007, 0.013, 0.004), (0, 0.044, 0.060), COAL)
    marks = [mark.turned("z", 30.0 * k) for k in range(0, 12, 3)]
    hands = [box((0.008, 0.034, 0.004), (0, 0.014, 0.062), COAL).turned("z", 50)]
    hands += [box((0.007, 0.046, 0.004), (0, 0.019, 0.0645), COAL).turned("z", -60), cylinder(0.007, 0.068, 8, COAL)]
    body = join(drum, face, *marks, *hands).turned("x", 90).moved(y=0.028, z=0.088)
    bell = revolve([(0.034, 0.0), (0.032, 0.014), (0.022, 0.026), (0, 0.031)], 14)
    bell = join(bell, sphere(0.007, (0, 0, 0.034), 6, 4, COAL)).turned("y", 33).moved(0.040, 0, 0.150)
    foot = tube([(0.03, 0, 0.05), (0.062, 0, 0.007)], [0.013, 0.012], 8, DARK).mirrored_pair()
    hammer = join(box((0.008, 0.008, 0.04), (0, 0, 0.17), COAL), box((0.026, 0.014, 0.012), (0, 0, 0.188), COAL))
    arch = torus(0.020, 0.006, 9, 6, 180, COAL).turned("x", 90).moved(z=0.185)
    key = join(cylinder(0.006, 0.02, 6, COAL), box((0.036, 0.012, 0.012), (0, 0, 0.02), STEEL))
    key = key.turned("x", -90).moved(y=0.025, z=0.085)
    return join(body, bell.mirrored_pair().named("bell"), foot, hammer, arch, key).moved(y=-0.0055)


def umbrella() -> Mesh:
    """An open umbrella upright on its hooked handle, panels in three shades of its colour."""
    canopy = _canopy()
    tip = cone(0.020, 0.08, 8, 0.008, COAL).moved(z=0.92)
    pole = cylinder(0.018, 0.80, 8, STEEL).moved(z=0.13)
    ribs = [tube([(0.02, 0, 0.66), (0.30, 0, 0.84)], 0.008, 4, GREY).turned("z", 45.0 * k) for k in range(8)]
    bend = [math.pi * k / 8 for k in range(9)]
    hook = [(0.0, 0.0, 0.28), *((0.065 - 0.065 * math.cos(t), 0.0, 0.093 - 0.065 * math.sin(t)) for t in bend)]
    handle = tube([*hook, (0.13, 0.0, 0.12)], 0.028, 8, COAL).named("handle")
    return join(canopy, tip, pole, *ribs, handle)


def _canopy() -> Mesh:
    """Return a scalloped dome of eight panels, a thin shell."""
    scallop = np.array([0.0, 0.7, 1.0, 0.7] * 8)
    profile = [(0.0, 0.945), (0.19, 0.925), (0.33, 0.865), (0.42, 0.785), (0.455, 0.705)]
    under = [(0.97 * radius, z - 0.018) for radius, z in profile[::-1]]
    rings = []
    for radius, z in [*under, *profile]:
        edge = (radius / 0.455) ** 3
        ring = circle(radius, 32, z)
        ring[:, :2] *= (1 - 0.07 * edge * scallop)[:, None]
        ring[:, 2] += 0.03 * edge * scallop
        rings.append(ring)
    shell = loft([*rings[4::-1], *rings[:4:-1]])
    middle = shell.vertices[shell.faces].mean(1)
    panel = np.floor(np.arctan2(middle[:, 1], middle[:, 0]) / (math.pi / 4)).astype(int) % 4
    return replace(shell, slots=np.array([MAIN, DARK, MAIN, LIGHT])[panel])


def hair_drier() -> Mesh:
    """A hair drier upright on its handle: a thick barrel, a narrow dark nozzle in front, a cord."""
    profile = [(0.030, -0.125), (0.034, -0.07), (0.047, 0.0), (0.052, 0.05), (0.048, 0.085), (0.03, 0.10), (0, 0.10)]
    barrel = revolve([(0, -0.125), *profile], 18).turned("x", -90)
    flare = [(0.0, 0.034, 0.034), (0.03, 0.03, 0.03), (0.07, 0.052, 0.016)]
    nozzle = loft([_oval(z, x, y, 0.0, 12) for z, x, y in flare], COAL).turned("x", 90).moved(y=-0.115).named("nozzle")
    vents = [torus(r, 0.004, 14, 4, slot=COAL).turned("x", 90).moved(y=y) for r, y in ((0.018, 0.101), (0.034, 0.097))]
    collar = cylinder(0.037, 0.02, 16, STEEL).turned("x", 90).moved(y=-0.098)
    head = join(barrel, nozzle, collar, *vents).moved(z=0.205)
    stick = [(0, 0.03, 0.19), (0, 0.028, 0.10), (0, 0.034, 0.012), (0, 0.034, 0.0)]
    grip = tube(stick, [0.028, 0.026, 0.028, 0.024], 12)
    switch = rounded_box((0.022, 0.014, 0.05), (0, 0.003, 0.115), 0.006, 1, COAL)
    path = [(0.0, 0.04, 0.03), (0.0, 0.085, 0.014), (0.02, 0.12, 0.009), (0.05, 0.115, 0.009), (0.055, 0.08, 0.009)]
    cord = tube(path, 0.009, 6, COAL)
    return join(head, join(grip, switch).named("handle"), cord).moved(-0.006, 0.0286)


def toothbrush() -> Mesh:
    """A toothbrush lying on its back: a thick handle, a thin neck, a block of upright bristles."""
    stations = [(-0.095, 0.009, 0.012), (-0.085, 0.014, 0.012), (-0.052, 0.013, 0.012), (-0.035, 0.007, 0.013)]
    stations += [(-0.01, 0.008, 0.014), (0.02, 0.013, 0.013), (0.06, 0.014, 0.012), (0.09, 0.012, 0.011)]
    stem = loft([_section(x, half, z) for x, half, z in (*stations, (0.095, 0.006, 0.011))])
    tuft = taper((0.008, 0.022), (0.010, 0.025), 0.024).moved(-0.088, 0, 0.015).named("bristle")
    tufts = [tuft.painted(LIGHT if k in (0, 4) else PAPER).moved(0.0095 * k) for k in range(5)]
    grips = [rounded_box((0.010, 0.026, 0.02), (0.025 + 0.017 * k, 0, 0.0125), 0.006, 1, DARK) for k in range(3)]
    return join(stem, *tufts, *grips).moved(z=-0.0015)


def _section(x: float, half: float, z: float) -> Points:
    """Return a ring across the x axis, an ellipse ``half`` wide to each side whose middle is at height ``z``."""
    ring = circle(1.0, 10) * np.array([half, min(half, 0.010), 0.0])
    return np.column_stack([np.full(10, x), ring[:, 0], ring[:, 1] + z])


def scissors() -> Mesh:
    """Open scissors lying flat: two crossed steel blades, two large loops in the object's colour."""
    return join(_half(22.0, 0.009), _half(-22.0, 0.017), cylinder(0.009, 0.026, 10, COAL)).moved(y=0.007, z=0.0025)


def _half(lean: float, z: float) -> Mesh:
    """Return one blade and its loop, crossing the origin; ``lean`` turns it about the pivot."""
    side = 1.0 if lean > 0 else -1.0
    blade = taper((0.030, 0.009), (0.005, 0.007), 0.125, STEEL).turned("x", -90).moved(z=z).named("blade")
    shank = tube([(0, 0.012, z), (0, -0.02, z), (side * 0.004, -0.05, 0.0115)], [0.009, 0.0115, 0.011], 8)
    loop = torus(0.027, 0.0115, 18, 8).scaled(y=1.25).moved(side * 0.008, -0.086, 0.0115)
    return join(blade, join(shank, loop).named("handle")).turned("z", lean)


def keyboard() -> Mesh:
    """A computer keyboard: rows of pale keys, a space bar at the near edge, a number pad on its own left."""
    body = extrude([(-0.085, 0.0), (-0.085, 0.012), (0.085, 0.034), (0.085, 0.0)], 0.46)
    keys = [_key(-0.197 + 0.0325 * c + 0.005 * (r % 2), 0.063 - 0.032 * r, 0.03) for r in range(4) for c in range(9)]
    keys += [_key(0.135 + 0.0325 * c, 0.063 - 0.032 * r, 0.03) for r in range(4) for c in range(3)]
    keys += [_key(-0.18, -0.065, 0.06), _key(-0.065, -0.065, 0.15), _key(0.05, -0.065, 0.06), _key(0.165, -0.065, 0.09)]
    return join(body, *[key.turned("x", 7.4).moved(z=0.019) for key in keys])


def _key(x: float, y: float, width: float) -> Mesh:
    return taper((width, 0.029), (width - 0.006, 0.022), 0.016, LIGHT).moved(x, y).named("key")


def mouse() -> Mesh:
    """A computer mouse: a smooth hump on a dark sole, two buttons with a wheel between them, a cable from its front."""
    turns = [math.pi / 2 * k / 6 for k in range(7)]
    dome = [(math.cos(t) if t < 1.5 else 0.0, 0.12 + 0.88 * math.sin(t)) for t in turns]
    hump = revolve([(0, 0), (0.94, 0), *dome], 20).scaled(0.036, 0.06, 0.04)
    hump = replace(hump, slots=np.where(hump.vertices[hump.faces][..., 1].mean(1) < -0.012, LIGHT, MAIN))
    ridge = [(0.0, -0.06 * math.cos(t), 0.0048 + 0.0352 * math.sin(t)) for t in (0.1, 0.4, 0.7, 1.0, 1.35)]
    across = [(0.036 * math.cos(t), -0.0125, 0.0048 + 0.0345 * math.sin(t)) for t in (0.25, 0.8, 1.57, 2.34, 2.89)]
    seams = [tube(ridge, 0.0016, 4, COAL), tube(across, 0.0016, 4, COAL)]
    sole = cylinder(1.0, 1.0, 20, COAL).scaled(0.0362, 0.0602, 0.007)
    badge = sphere((0.011, 0.013, 0.003), (0, 0.027, 0.0355), 10, 4, STEEL)
    wheel = cylinder(0.013, 0.013, 10, COAL).turned("y", 90).moved(-0.0065, -0.034, 0.031).named("wheel")
    turns = [math.pi * k / 6 for k in range(7)]
    curl = [(0.012 - 0.012 * math.cos(t), -0.075 - 0.035 * t / math.pi, 0.0045) for t in turns]
    path = [(0, -0.05, 0.012), (0, -0.063, 0.007), *curl]
    cable = tube(path, 0.0045, 6, COAL).named("cable")
    return join(sole, hump, badge, *seams, wheel, cable).moved(y=0.0256)


def remote() -> Mesh:
    """A remote control lying flat: a long bar with a dark-red power key, a round pad and rows of keys."""
    body = rounded_box((0.056, 0.19, 0.026), (0, 0, 0.013), 0.011, 2)
    power = cylinder(0.0085, 0.009, 10, TAIL_LAMP).moved(-0.014, 0.077, 0.022)
    pad = join(cylinder(0.0195, 0.007, 16, GREY), cylinder(0.008, 0.010, 10, PAPER)).moved(y=0.04, z=0.023)
    key = taper((0.012, 0.013), (0.010, 0.011), 0.007, STEEL)
    keys = [key.moved(0.0155 * c, 0.003 - 0.02 * r, 0.024) for r in range(5) for c in (-1, 0, 1)]
    lens = rounded_box((0.036, 0.012, 0.016), (0, 0.091, 0.013), 0.004, 1, COAL)
    return join(body, join(power, pad, *keys).named("button"), lens)


ASSETS = (
    Asset(
        "bed",
        bed,
        (1.56, 2.055, 1.05),
        has_front=True,
        long_axis=-1,
        top=0.533,
        surface=(-0.44, -0.46, 0.44, 0.19),
        under=0.2,
        parts=("headboard", "pillow", "leg"),
        toy_boost=1.7,
    ),
    Asset(
        "toilet",
        toilet,
        (0.43, 0.71, 0.865),
        has_front=True,
        long_axis=1,
        cavity=Cavity((-0.18, -0.24, 0.315), (0.18, 0.01, 0.503)),
        parts=("lid", "seat", "tank"),
    ),
    Asset("clock", clock, (0.149, 0.091, 0.211), has_front=True, long_axis=0, parts=("face", "bell")),
    Asset("umbrella", umbrella, (0.91, 0.91, 1.0), under=0.66, parts=("handle",)),
    Asset("hair drier", hair_drier, (0.116, 0.313, 0.256), has_front=True, long_axis=1, parts=("nozzle", "handle")),
    Asset("toothbrush", toothbrush, (0.19, 0.028, 0.0375), long_axis=0, parts=("bristle",), toy_boost=1.4),
    Asset("scissors", scissors, (0.159, 0.24, 0.031), long_axis=1, parts=("blade", "handle"), toy_boost=1.3),
    Asset("keyboard", keyboard, (0.46, 0.17, 0.045), long_axis=0, parts=("key",), toy_boost=1.2),
    Asset("mouse", mouse, (0.0725, 0.171, 0.044), has_front=True, long_axis=1, parts=("wheel", "cable"), toy_boost=1.4),
    Asset("remote", remote, (0.056, 0.19, 0.033), long_axis=1, parts=("button",), toy_boost=1.3),
)
