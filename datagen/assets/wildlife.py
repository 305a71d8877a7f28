"""Animals of farm and wild: horse, cow, sheep, elephant, giraffe, zebra, bear and bird. All look towards -y."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from datagen.assets.asset import Asset
from datagen.assets.palette import COAL, DARK, LIGHT, MAIN, PAPER, SKIN, SOIL, WOOD
from datagen.assets.primitives import Mesh, Vector, cone, extrude, join, sphere, spindle, taper, tube


def horse() -> Mesh:
    """A standing horse: arched neck with a mane, long head, long flowing tail, dark hooves."""
    shape = [(-0.70, 1.14, 0.10, 0.14), (-0.62, 1.14, 0.22, 0.27), (-0.35, 1.10, 0.27, 0.31), (0.0, 1.08, 0.28, 0.29)]
    shape += [(0.35, 1.12, 0.27, 0.27), (0.60, 1.15, 0.25, 0.27), (0.76, 1.13, 0.14, 0.19)]
    body = spindle(shape)
    neck = _limb([(0, -0.45, 1.12), (0, -0.72, 1.45), (0, -0.86, 1.74), (0, -0.92, 1.84)], (0.29, 0.21, 0.15, 0.10))
    skull = _limb([(0, -0.84, 1.88), (0, -0.96, 1.81), (0, -1.18, 1.55), (0, -1.27, 1.43)], (0.09, 0.15, 0.10, 0.09))
    muzzle = sphere((0.082, 0.10, 0.10), (0, -1.27, 1.43), 8, 5, DARK)
    ears = cone(0.055, 0.17, 5).turned("x", -12).moved(0.075, -0.86, 1.93).mirrored_pair()
    blaze = tube([(0, -1.02, 1.90), (0, -1.12, 1.77), (0, -1.25, 1.57)], 0.04, 6, PAPER)
    head = join(skull, muzzle, blaze, _eyes(0.034, (0.095, -1.0, 1.80)), ears).named("head")
    crest = [(-1.04, 1.92), (-0.86, 2.0), (-0.64, 1.87), (-0.44, 1.57), (-0.32, 1.36), (-0.42, 1.30), (-0.8, 1.75)]
    mane = extrude(crest, 0.09, SOIL).named("mane")
    tail = _limb([(0, 0.70, 1.28), (0, 0.88, 1.22), (0, 0.98, 0.95), (0, 0.94, 0.5)], (0.05, 0.08, 0.11, 0.03), SOIL)
    front = _leg(0.15, [(-0.48, 1.0, 0.13), (-0.50, 0.62, 0.085), (-0.49, 0.32, 0.07)], 0.12)
    hind = _leg(0.15, [(0.56, 1.05, 0.19), (0.58, 0.68, 0.10), (0.66, 0.48, 0.075), (0.62, 0.30, 0.07)], 0.12)
    return join(body, neck, head, mane, tail.named("tail"), front, hind).moved(y=0.14)


def cow() -> Mesh:
    """A standing cow: boxy body with patches, horns and sideways ears, pink muzzle and udder."""
    shape = [(-0.82, 1.02, 0.14, 0.18), (-0.74, 1.02, 0.27, 0.32), (-0.56, 0.99, 0.32, 0.37), (-0.38, 0.97, 0.35, 0.38)]
    shape += [(-0.18, 0.96, 0.36, 0.38), (0.04, 0.96, 0.36, 0.38), (0.20, 0.98, 0.36, 0.37), (0.38, 0.99, 0.35, 0.36)]
    shape += [(0.55, 1.01, 0.34, 0.34), (0.71, 1.03, 0.30, 0.32), (0.80, 1.03, 0.20, 0.24)]
    body = spindle(shape, 14)
    body = _patched(body, [(1, -0.30, 1.12, 0.30), (1, 0.42, 1.0, 0.27), (-1, 0.08, 1.1, 0.31), (-1, 0.66, 1.0, 0.2)])
    neck = _limb([(0, -0.62, 1.05), (0, -0.95, 1.24)], (0.30, 0.18))
    skull = _limb([(0, -0.86, 1.38), (0, -0.98, 1.33), (0, -1.20, 1.10), (0, -1.27, 1.02)], (0.12, 0.19, 0.13, 0.12))
    muzzle = sphere((0.14, 0.11, 0.11), (0, -1.27, 1.03), 8, 5, SKIN)
    nostrils = sphere(0.028, (0.06, -1.365, 1.06), 6, 4, COAL).mirrored_pair()
    ears = sphere((0.15, 0.045, 0.075), (0.27, -0.90, 1.33), 8, 5, DARK).mirrored_pair()
    head = join(skull, muzzle, nostrils, ears, _eyes(0.036, (0.13, -1.05, 1.31))).named("head")
    horn = tube([(0.09, -0.90, 1.46), (0.22, -0.92, 1.52), (0.25, -0.95, 1.66)], [0.05, 0.04, 0.012], 6, PAPER)
    tail = _limb([(0, 0.78, 1.26), (0, 0.90, 1.15), (0, 0.92, 0.70)], (0.04, 0.035, 0.03))
    tuft = sphere((0.06, 0.06, 0.13), (0, 0.92, 0.60), 6, 4, COAL)
    udder = sphere((0.19, 0.20, 0.15), (0, 0.42, 0.62), 8, 5, SKIN)
    front = _leg(0.22, [(-0.55, 0.85, 0.14), (-0.56, 0.45, 0.085)], 0.12)
    hind = _leg(0.22, [(0.60, 0.90, 0.18), (0.62, 0.48, 0.09)], 0.12)
    tail = join(tail, tuft).named("tail")
    return join(body, neck, head, horn.mirrored_pair().named("horn"), tail, udder, front, hind).moved(y=0.20)


def sheep() -> Mesh:
    """A standing sheep: a cloud of wool on thin dark legs, dark face with ears hanging sideways."""
    body = sphere((0.31, 0.48, 0.31), (0, 0.06, 0.63), 10, 7)
    lump = sphere((0.14, 0.15, 0.14), segments=8, rings=4)
    flanks = [lump.moved(0.21, y, 0.75).mirrored_pair() for y in (-0.22, 0.06, 0.34)]
    sides = [lump.moved(0.24, y, 0.55).mirrored_pair() for y in (-0.10, 0.18)]
    ridge = [lump.moved(0, y, z) for y, z in ((-0.30, 0.72), (-0.06, 0.85), (0.22, 0.85), (0.46, 0.70))]
    face = [(0, -0.42, 0.88), (0, -0.50, 0.86), (0, -0.66, 0.72), (0, -0.71, 0.66)]
    skull = _limb(face, (0.09, 0.12, 0.08, 0.06), COAL)
    ears = sphere((0.11, 0.035, 0.05), (0.14, -0.47, 0.87), 6, 4, COAL).turned("y", 10).mirrored_pair()
    eyes = sphere(0.03, (0.075, -0.58, 0.84), 6, 4, PAPER).mirrored_pair()
    cap = sphere((0.12, 0.12, 0.10), (0, -0.42, 0.95), 7, 4)
    leg = [_leg(0.14, [(y, 0.45, 0.06), (y, 0.0, 0.05)], bands=(COAL,)) for y in (-0.20, 0.32)]
    return join(body, *flanks, *sides, *ridge, cap, join(skull, ears, eyes).named("head"), *leg).moved(y=0.05)


def elephant() -> Mesh:
    """An elephant: fan ears, trunk reaching down and forward, two tusks, pillar legs."""
    shape = [(-0.95, 1.85, 0.25, 0.35), (-0.80, 1.85, 0.55, 0.60), (-0.4, 1.78, 0.72, 0.72), (0.2, 1.78, 0.78, 0.78)]
    shape += [(0.75, 1.80, 0.70, 0.74), (1.12, 1.72, 0.50, 0.58), (1.28, 1.66, 0.22, 0.30)]
    body = spindle(shape, 12)
    skull = sphere((0.46, 0.50, 0.58), (0, -1.25, 2.15), 10, 7)
    head = join(skull, _eyes(0.06, (0.37, -1.55, 2.22))).named("head")
    path: list[Vector] = [(0, -1.55, 2.05), (0, -1.82, 1.6), (0, -1.92, 1.0), (0, -2.0, 0.5), (0, -2.25, 0.28)]
    trunk = tube([*path, (0, -2.45, 0.40)], [0.30, 0.24, 0.19, 0.15, 0.13, 0.11], 8).named("trunk")
    tusk = tube([(0.24, -1.6, 1.75), (0.29, -1.95, 1.45), (0.29, -2.3, 1.48)], [0.09, 0.075, 0.02], 6, PAPER)
    fan = [(0.0, 0.5), (0.40, 0.70), (0.80, 0.55), (0.95, 0.10), (0.80, -0.50), (0.45, -0.95), (0.10, -0.45)]
    ear = extrude(fan, 0.09, DARK).turned("z", -50).moved(0.36, -1.25, 2.12).mirrored_pair().named("ear")
    legs = [_leg(0.42, [(y, 1.5, 0.34), (y, 0.7, 0.26), (y, 0.0, 0.27)]) for y in (-0.55, 0.80)]
    nails = [sphere((0.08, 0.06, 0.08), (0.42 + dx, -0.80, 0.08), 6, 3, PAPER) for dx in (-0.14, 0.0, 0.14)]
    tail = _limb([(0, 1.22, 1.95), (0, 1.42, 1.6), (0, 1.46, 1.05)], (0.07, 0.05, 0.05))
    tuft = sphere((0.10, 0.10, 0.2), (0, 1.46, 0.95), 6, 4, COAL)
    tail = join(tail, tuft).named("tail")
    tusks = tusk.mirrored_pair().named("tusk")
    return join(body, head, trunk, tusks, ear, *legs, join(*nails).mirrored_pair(), tail).moved(y=0.48)


def giraffe() -> Mesh:
    """A giraffe: a very long spotted neck, sloping back, two knobbed horns, long legs."""
    shape = [(-0.72, 2.10, 0.12, 0.20), (-0.66, 2.12, 0.26, 0.38), (-0.36, 2.08, 0.37, 0.48), (-0.26, 2.06, 0.38, 0.48)]
    shape += [(0.08, 1.98, 0.38, 0.44), (0.18, 1.95, 0.38, 0.42), (0.50, 1.88, 0.33, 0.36), (0.58, 1.87, 0.30, 0.34)]
    shape += [(0.76, 1.84, 0.14, 0.18)]
    body = spindle(shape)
    steps = (0.0, 0.17, 0.22, 0.39, 0.44, 0.61, 0.66, 0.83, 0.88, 1.0)
    neck = _limb([(0, -0.42 - 0.75 * t, 2.2 + 2.0 * t) for t in steps], [0.36 - 0.19 * t for t in steps])
    spotted = join(_blotched(body, 10, 1), _blotched(neck, 8).named("neck"))
    skull = _limb([(0, -1.06, 4.30), (0, -1.20, 4.30), (0, -1.52, 4.10), (0, -1.68, 4.0)], (0.13, 0.22, 0.16, 0.12))
    muzzle = sphere((0.12, 0.15, 0.13), (0, -1.68, 4.01), 8, 5, LIGHT)
    ears = sphere((0.18, 0.05, 0.08), (0.24, -1.08, 4.36), 7, 4, DARK).mirrored_pair()
    knob = sphere(0.075, (0.09, -1.08, 4.75), 6, 4, SOIL)
    horns = join(tube([(0.07, -1.12, 4.42), (0.09, -1.08, 4.72)], 0.045, 6), knob)
    head = join(skull, muzzle, ears, horns.mirrored_pair(), _eyes(0.05, (0.14, -1.30, 4.32))).named("head")
    front = _leg(0.20, [(-0.48, 1.9, 0.18), (-0.49, 0.9, 0.095)], 0.2)
    hind = _leg(0.20, [(0.52, 1.75, 0.20), (0.58, 0.9, 0.10)], 0.2)
    rope = tube([(0, 0.72, 2.0), (0, 0.86, 1.85), (0, 0.90, 1.3)], [0.06, 0.05, 0.04], 6)
    tail = join(rope, sphere((0.08, 0.08, 0.2), (0, 0.90, 1.15), 6, 4, SOIL)).named("tail")
    return join(spotted, head, front, hind, tail).moved(y=0.41)


def zebra() -> Mesh:
    """A zebra: stripes around body, neck, head and legs, an upright mane, a tufted tail."""
    shape = [(-0.70, 1.10, 0.10, 0.14), (-0.60, 1.10, 0.23, 0.27), (-0.3, 1.06, 0.28, 0.31), (0.05, 1.05, 0.29, 0.30)]
    shape += [(0.35, 1.08, 0.28, 0.28), (0.60, 1.10, 0.25, 0.26), (0.74, 1.08, 0.14, 0.18)]
    ends = [-0.70 + 0.24 * k + step for k in range(6) for step in (0.0, 0.12, 0.20)] + [0.74]
    rows = np.column_stack([np.interp(ends, [row[0] for row in shape], [row[k] for row in shape]) for k in range(4)])
    body = _banded(spindle([(y, z, w, h) for y, z, w, h in rows.tolist()]), 10, (MAIN, COAL, LIGHT))
    steps = [0.33 * k + step for k in range(3) for step in (0.0, 0.14, 0.27)] + [1.0]
    path = [(0.0, -0.42 - 0.46 * t, 1.10 + 0.66 * t) for t in steps]
    neck = _banded(_limb(path, [0.28 - 0.15 * t for t in steps]), 8, (MAIN, COAL, LIGHT))
    face = [(0, -0.80, 1.82), (0, -0.92, 1.76), (0, -0.99, 1.68), (0, -1.05, 1.61), (0, -1.11, 1.54), (0, -1.20, 1.43)]
    skull = _banded(_limb(face, (0.10, 0.15, 0.14, 0.12, 0.11, 0.10)), 8, (MAIN, MAIN, COAL))
    muzzle = sphere((0.09, 0.105, 0.105), (0, -1.20, 1.43), 8, 5, COAL)
    ears = sphere((0.05, 0.035, 0.12), (0.09, -0.80, 1.93), 6, 5).mirrored_pair()
    head = join(skull, muzzle, _eyes(0.034, (0.10, -0.95, 1.77)), ears).named("head")
    crest = [(-0.92, 1.86), (-0.80, 1.98), (-0.62, 1.82), (-0.42, 1.52), (-0.30, 1.34), (-0.42, 1.28), (-0.8, 1.70)]
    mane = extrude(crest, 0.08, COAL).named("mane")
    rope = tube([(0, 0.70, 1.22), (0, 0.84, 1.12), (0, 0.88, 0.80)], [0.05, 0.04, 0.04], 6)
    tail = join(rope, sphere((0.07, 0.07, 0.18), (0, 0.88, 0.66), 6, 4, COAL)).named("tail")
    front = [(-0.46, 1.0, 0.13), (-0.48, 0.66, 0.09), (-0.49, 0.52, 0.085), (-0.48, 0.34, 0.07), (-0.48, 0.22, 0.07)]
    hind = [(0.54, 1.0, 0.18), (0.58, 0.68, 0.11), (0.63, 0.54, 0.09), (0.64, 0.36, 0.075), (0.62, 0.22, 0.07)]
    legs = [_leg(0.16, leg, 0.12, (COAL, MAIN)) for leg in (front, hind)]
    return join(body, neck, head, mane, tail, *legs).moved(y=0.17)


def bear() -> Mesh:
    """A bear on all fours: massive, a hump over the shoulders, low head with round ears, no tail to speak of."""
    shape = [(-0.72, 0.80, 0.16, 0.20), (-0.60, 0.82, 0.36, 0.40), (-0.35, 0.84, 0.43, 0.47), (0.05, 0.76, 0.44, 0.42)]
    shape += [(0.45, 0.74, 0.46, 0.43), (0.72, 0.72, 0.37, 0.36), (0.86, 0.70, 0.16, 0.18)]
    body = spindle(shape, 12)
    neck = tube([(0, -0.50, 0.86), (0, -0.85, 0.92)], [0.38, 0.28], 10)
    skull = sphere((0.29, 0.27, 0.27), (0, -0.93, 0.95), 10, 7)
    snout = tube([(0, -1.05, 0.89), (0, -1.26, 0.84), (0, -1.36, 0.83)], [0.18, 0.13, 0.09], 8, LIGHT)
    nose = sphere((0.07, 0.045, 0.05), (0, -1.37, 0.88), 7, 4, COAL)
    ears = sphere((0.11, 0.06, 0.11), (0.21, -0.86, 1.20), 8, 5).mirrored_pair().named("ear")
    inner = sphere((0.065, 0.04, 0.065), (0.21, -0.905, 1.20), 7, 4, LIGHT).mirrored_pair().named("ear")
    head = join(skull, snout, nose, _eyes(0.036, (0.12, -1.14, 1.05))).named("head")
    front = _leg(0.27, [(-0.46, 0.80, 0.24), (-0.50, 0.42, 0.17), (-0.52, 0.08, 0.16)])
    hind = _leg(0.27, [(0.55, 0.75, 0.29), (0.60, 0.40, 0.19), (0.60, 0.08, 0.17)])
    paws = [sphere((0.17, 0.24, 0.10), (0.27, y, 0.10), 7, 4).mirrored_pair().named("leg") for y in (-0.60, 0.52)]
    claw = cone(0.03, 0.1, 5, slot=PAPER).turned("x", 100)
    claws = [claw.moved(0.27 + dx, -0.80, 0.08).mirrored_pair().named("leg") for dx in (-0.09, 0.0, 0.09)]
    tail = sphere(0.10, (0, 0.86, 0.86), 7, 4, DARK)
    return join(body, neck, head, ears, inner, front, hind, *paws, *claws, tail).moved(y=0.20)


def bird() -> Mesh:
    """A perching bird: beak, pale breast, folded wings that meet over a long tail, thin legs with toes."""
    back = [(0, 0.06, 0.095), (0, 0.045, 0.10), (0, -0.01, 0.118), (0, -0.05, 0.14), (0, -0.08, 0.16)]
    body = _limb(back, (0.012, 0.04, 0.062, 0.06, 0.035), segments=10)
    breast = sphere((0.036, 0.04, 0.046), (0, -0.064, 0.128), 8, 5, LIGHT)
    skull = sphere((0.04, 0.045, 0.041), (0, -0.085, 0.185), 10, 6)
    eyes = join(sphere(0.012, (0.031, -0.104, 0.195), 7, 4, PAPER), sphere(0.009, (0.036, -0.108, 0.196), 6, 4, COAL))
    beak = cone(0.018, 0.055, 6, slot=WOOD).turned("x", 96).moved(y=-0.118, z=0.182).named("beak")
    head = join(skull, eyes.mirrored_pair()).named("head")
    wing = [(-0.05, 0.15), (-0.01, 0.162), (0.05, 0.13), (0.12, 0.075), (0.04, 0.085), (-0.03, 0.105)]
    wings = extrude(wing, 0.018, DARK).turned("z", -9).moved(x=0.048).mirrored_pair().named("wing")
    tail = taper((0.03, 0.014), (0.055, 0.008), 0.13, DARK).turned("x", -112).moved(y=0.04, z=0.10).named("tail")
    leg = tube([(0.022, 0.0, 0.085), (0.024, 0.005, 0.006)], 0.0065, 6, WOOD)
    ends = [(0.006, -0.035), (0.024, -0.042), (0.042, -0.035), (0.024, 0.035)]
    toes = [tube([(0.024, 0.008, 0.006), (x, y, 0.006)], 0.006, 5, WOOD) for x, y in ends]
    return join(body, breast, head, beak, wings, tail, join(leg, *toes).mirrored_pair().named("leg"))


def _limb(path: Sequence[Vector], radii: Sequence[float], slot: int = 0, segments: int = 8) -> Mesh:
    """A tube in the middle plane, a quarter narrower than it is deep: necks, heads and tails."""
    return tube(path, radii, segments, slot).scaled(x=0.75)


def _leg(
    x: float, path: Sequence[tuple[float, float, float]], hoof: float = 0.0, bands: Sequence[int] = (MAIN,)
) -> Mesh:
    """A pair of legs ``x`` to either side, from the haunch down: of every joint y, z and radius, then a dark hoof."""
    (y, z, radius), (foot, _, ankle) = path[0], path[-1]
    joints = [(y, z + 0.9 * radius, 0.4 * radius), *path]
    joints += [(foot, hoof, ankle), (foot, 0.0, 1.3 * ankle)] if hoof else []
    inward = [0.75, *[1.0] * (len(joints) - 1)]
    one = tube([(x * k, y, z) for k, (y, z, _) in zip(inward, joints, strict=True)], [r for _, _, r in joints], 8)
    one = _banded(one, 8, bands)
    if hoof:
        one = replace(one, slots=np.where(one.vertices[one.faces][..., 2].max(1) < hoof + 0.3 * ankle, COAL, one.slots))
    return one.mirrored_pair().named("leg")


def _eyes(radius: float, place: Vector) -> Mesh:
    return sphere(radius, place, 6, 3, COAL).mirrored_pair()


def _banded(mesh: Mesh, segments: int, bands: Sequence[int]) -> Mesh:
    """Paint the rings of a loft in turn."""
    ring = mesh.faces.min(1) // segments
    return replace(mesh, slots=np.array(bands)[ring % len(bands)])


def _patched(mesh: Mesh, spots: Sequence[tuple[float, float, float, float]]) -> Mesh:
    """Paint spots black: the side (1 or -1) of each, its y and z, and its radius."""
    corners = mesh.vertices[mesh.faces]
    edges = np.roll(corners, -1, axis=1) - corners
    longest = (edges * edges).sum(2).argmax(1)
    # The two triangles of a quad share their longest edge, so that they are painted alike.
    middle = (corners + edges / 2)[np.arange(len(corners)), longest]
    x, y, z = middle.T
    hit = [(side * x > -0.05) & (np.hypot(y - spot_y, z - spot_z) < r) for side, spot_y, spot_z, r in spots]
    return replace(mesh, slots=np.where(np.any(hit, axis=0), COAL, mesh.slots))


def _blotched(mesh: Mesh, segments: int, start: int = 0) -> Mesh:
    """Paint every other face of every other ring of a loft brown, in staggered rows."""
    ring, around = mesh.faces.min(1) // segments, mesh.faces % segments
    # The last quad of a ring joins its last point to its first.
    place = np.where(np.ptp(around, axis=1) > 1, around.max(1), around.min(1))
    hit = (ring % 2 == start) & ((place + ring // 2) % 2 == 0)
    return replace(mesh, slots=np.where(hit, WOOD, mesh.slots))


_beast = partial(Asset, has_front=True, long_axis=1)
ASSETS = (
    _beast("horse", horse, (0.68, 2.455, 2.1), under=0.38, parts=("head", "leg", "tail", "mane")),
    _beast("cow", cow, (0.825, 2.36, 1.66), under=0.35, parts=("head", "leg", "tail", "horn")),
    _beast("sheep", sheep, (0.795, 1.366, 1.05), under=0.32, parts=("head", "leg")),
    _beast("elephant", elephant, (2.23, 4.05, 2.82), under=0.37, parts=("head", "leg", "trunk", "tusk", "ear", "tail")),
    _beast("giraffe", giraffe, (0.84, 2.79, 4.82), under=0.33, parts=("head", "neck", "leg", "tail")),
    _beast("zebra", zebra, (0.68, 2.24, 2.05), under=0.37, parts=("head", "leg", "tail", "mane")),
    _beast("bear", bear, (1.116, 2.37, 1.31), under=0.25, parts=("head", "leg", "ear")),
    _beast("bird", bird, (0.15, 0.33, 0.226), parts=("head", "leg", "tail", "wing", "beak")),
)
