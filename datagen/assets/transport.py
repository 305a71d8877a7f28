"""Vehicles, boards and street furniture. What drives heads for -y, and signs are read from there."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from datagen.assets import primitives as solid
from datagen.assets.asset import Asset, Cavity
from datagen.assets.palette import COAL, DARK, GLASS, GREY, LAMP, LEAF, LIGHT, MAIN, PAPER, SOIL, STEEL, TAIL_LAMP, WOOD
from datagen.assets.primitives import Mesh, Points


def bicycle() -> Mesh:
    """A bicycle: two spoked wheels with mudguards, diamond frame, saddle, wide handlebar with a lamp in front."""
    rear, crank, seat, front = (0.0, 0.56, 0.35), (0.0, 0.08, 0.32), (0.0, 0.22, 0.82), (0.0, -0.56, 0.35)
    top, bottom, stem = (0.0, -0.36, 0.88), (0.0, -0.41, 0.72), (0.0, -0.33, 1.0)
    bars = [(seat, crank), (crank, bottom), (seat, top), (seat, rear), (crank, rear), (stem, bottom)]
    frame = [solid.tube(pair, 0.037, 6) for pair in bars]
    fork = solid.tube([bottom, (0.0, -0.5, 0.5), front], 0.034, 6)
    post = solid.tube([seat, (0.0, 0.25, 0.93)], 0.025, 6, STEEL)
    saddle = solid.taper((0.07, 0.30), (0.10, 0.32), 0.06, SOIL).moved(y=0.24, z=0.92).named("saddle")
    bend = [(0.30, -0.18, 1.06), (0.27, -0.32, 1.07), (0.0, -0.34, 1.02), (-0.27, -0.32, 1.07), (-0.30, -0.18, 1.06)]
    handlebar = solid.tube(bend, 0.026, 6, COAL).named("handlebar")
    lamps = solid.join(
        _dial(0.07, 0.08, -0.50, 0.93, LAMP, 8), solid.box((0.06, 0.03, 0.06), (0, 0.80, 0.66), TAIL_LAMP)
    )
    spokes = [solid.box((0.58, 0.016, 0.016), slot=STEEL).turned("z", 45.0 * k) for k in range(4)]
    wheel = solid.join(solid.torus(0.322, 0.028, 16, 5, slot=COAL), solid.torus(0.283, 0.02, 16, 4), *spokes).turned(
        "y", 90
    )
    wheels = [wheel.moved(y=y, z=0.35).named("wheel") for y in (-0.56, 0.56)]
    guards = [_arch(0.385, 0.06, 60, 190).moved(y=-0.56, z=0.35), _arch(0.385, 0.06, 0, 130).moved(y=0.56, z=0.35)]
    gear = solid.cylinder(0.09, 0.03, 10, GREY).turned("y", 90).moved(-0.015, 0.08, 0.32)
    arm = solid.tube([(0.05, 0, 0), (0.06, -0.12, -0.12)], 0.016, 5, GREY)
    pedal = solid.join(arm, solid.box((0.09, 0.09, 0.03), (0.10, -0.12, -0.13), COAL))
    pedals = solid.join(pedal, pedal.turned("x", 180).scaled(x=-1)).moved(y=0.08, z=0.32)
    return solid.join(*frame, fork, post, saddle, handlebar, lamps, *wheels, *guards, gear, pedals)


def motorcycle() -> Mesh:
    """A motorcycle: fat tyres, a tank before the seat, engine and exhausts, a big headlamp under the handlebar."""
    tyre = solid.join(
        solid.torus(0.24, 0.09, 14, 6, slot=COAL), solid.cylinder(0.17, 0.10, 12, STEEL).moved(z=-0.05)
    ).turned("y", 90)
    wheels = [tyre.moved(y=y, z=0.33).named("wheel") for y in (-0.72, 0.72)]
    guards = [_arch(0.35, 0.2, 50, 160).moved(y=-0.72, z=0.33), _arch(0.35, 0.2, 10, 130).moved(y=0.72, z=0.33)]
    tank = solid.spindle(
        [(-0.38, 0.86, 0.05, 0.06), (-0.3, 0.89, 0.16, 0.15), (-0.05, 0.87, 0.19, 0.16), (0.18, 0.8, 0.1, 0.1)]
    )
    hump = solid.spindle([(0.10, 0.62, 0.13, 0.12), (0.55, 0.72, 0.14, 0.11), (0.98, 0.84, 0.06, 0.05)])
    seat = solid.spindle(
        [(0.10, 0.78, 0.10, 0.06), (0.30, 0.77, 0.15, 0.08), (0.62, 0.85, 0.13, 0.07), (0.74, 0.90, 0.06, 0.05)]
    )
    engine = solid.rounded_box((0.32, 0.46, 0.34), (0, 0.0, 0.42), 0.06, 1, GREY)
    fins = [solid.box((0.37, 0.34, 0.03), (0, -0.02, 0.52 + 0.07 * k), STEEL) for k in range(3)]
    keel = solid.tube([(0, -0.40, 0.82), (0, -0.30, 0.32), (0, 0.30, 0.28), (0, 0.72, 0.33)], 0.06, 6)
    fork = solid.tube([(0.11, -0.38, 1.04), (0.12, -0.72, 0.33)], 0.035, 6, STEEL).mirrored_pair()
    pipe = solid.tube([(0.15, -0.15, 0.36), (0.21, 0.10, 0.24), (0.21, 0.95, 0.36)], [0.04, 0.055, 0.07], 7, STEEL)
    bend = [(0.42, -0.18, 1.08), (0.36, -0.32, 1.13), (0.0, -0.38, 1.05), (-0.36, -0.32, 1.13), (-0.42, -0.18, 1.08)]
    bar = solid.tube(bend, 0.03, 6, COAL).named("handlebar")
    lamps = solid.join(_dial(0.12, 0.04, -0.64, 0.96, LAMP), solid.box((0.12, 0.05, 0.07), (0, 0.97, 0.86), TAIL_LAMP))
    shell = solid.sphere((0.15, 0.14, 0.15), (0, -0.50, 0.96), 9, 6)
    body = solid.join(tank, hump, engine, *fins, keel, fork, pipe.mirrored_pair(), lamps, shell)
    return solid.join(body, *wheels, *guards, seat.painted(SOIL).named("seat"), bar)


def truck() -> Mesh:
    """A lorry: a tall cab in front, behind it an open cargo bed with a wooden floor and ribbed walls."""
    profile = [(-2.65, 0.5), (-0.95, 0.5), (-0.95, 2.55), (-2.15, 2.6), (-2.38, 2.5), (-2.65, 1.55)]
    screen = solid.box((1.9, 0.06, 0.86), slot=GLASS).turned("x", -15.9).moved(y=-2.52, z=2.02)
    windows = solid.box((0.06, 0.85, 0.75), (1.09, -1.65, 2.02), GLASS).mirrored_pair()
    doors = solid.box((0.03, 0.04, 1.6), (1.10, -1.15, 1.45), DARK).mirrored_pair()
    mirrors = solid.box((0.18, 0.08, 0.4), (1.14, -2.35, 1.9), COAL).mirrored_pair()
    grille = [solid.box((1.2, 0.06, 0.10), (0, -2.66, 0.95 + 0.17 * k), COAL) for k in range(3)]
    lamps = solid.sphere((0.20, 0.09, 0.20), (0.86, -2.65, 1.10), 9, 5, LAMP).mirrored_pair()
    bumper = solid.rounded_box((2.3, 0.2, 0.28), (0, -2.66, 0.62), 0.06, 1, GREY)
    cab = solid.join(solid.extrude(profile, 2.2), screen, windows, doors, mirrors, *grille, lamps, bumper)
    sides = solid.box((0.1, 3.5, 0.9), (1.15, 0.95, 1.45)).mirrored_pair()
    ends = [solid.box((2.4, 0.1, 0.9), (0, y, 1.45)) for y in (-0.75, 2.65)]
    ribs = [solid.box((0.12, 0.16, 0.84), (1.21, y, 1.45), DARK).mirrored_pair() for y in (-0.4, 0.5, 1.4, 2.3)]
    bed = solid.join(sides, *ends, *ribs, solid.box((2.3, 3.4, 0.14), (0, 0.95, 1.07), WOOD))
    chassis = solid.box((1.2, 5.0, 0.4), (0, 0.05, 0.8), COAL)
    tails = solid.box((0.25, 0.05, 0.2), (0.9, 2.71, 1.12), TAIL_LAMP).mirrored_pair()
    wheels = [_wheel(0.52, 0.38, STEEL).moved(0.96, y, 0.52).mirrored_pair() for y in (-1.75, 1.75)]
    return solid.join(cab.named("cab"), bed.named("bed"), chassis, tails, *wheels)


def train() -> Mesh:
    """A steam locomotive: boiler with chimney and dome, cab at the back, coupled wheels, a cowcatcher in front."""
    boiler = [_dial(0.92, 4.4, -3.2, 2.05, segments=16)]
    boiler += [_dial(0.95, 0.14, y, 2.05, DARK, 16) for y in (-2.0, -0.8, 0.4)]
    door = solid.join(
        _dial(0.82, 0.1, -3.26, 2.05, COAL, 16), solid.sphere((0.6, 0.14, 0.6), (0, -3.3, 2.05), 12, 4, GREY)
    )
    chimney = solid.revolve([(0, 0), (0.26, 0), (0.26, 0.5), (0.44, 0.9), (0.44, 1.05), (0, 1.05)], 12, COAL)
    dome = solid.revolve([(0, 0), (0.42, 0), (0.42, 0.3), (0.30, 0.5), (0, 0.6)], 12, LIGHT).moved(y=-0.6, z=2.85)
    lamp = solid.join(_dial(0.27, 0.34, -3.3, 3.05, DARK, 10), _dial(0.21, 0.3, -3.34, 3.05, LAMP, 10))
    panes = solid.box((0.06, 0.85, 0.8), (1.24, 2.25, 2.75), GLASS).mirrored_pair()
    lookouts = solid.box((0.5, 0.06, 0.6), (0.92, 1.34, 2.85), GLASS).mirrored_pair()
    opening = solid.box((1.5, 0.06, 1.7), (0, 3.34, 2.2), COAL)
    roof = solid.rounded_box((2.7, 2.5, 0.26), (0, 2.35, 3.45), 0.12, 1, DARK)
    cab = solid.join(solid.box((2.5, 2.0, 2.4), (0, 2.35, 2.2)), panes, lookouts, opening, roof).named("cab")
    frame = solid.join(solid.box((1.9, 6.5, 0.36), (0, 0.1, 0.98), COAL), solid.box((2.5, 0.22, 0.45), (0, -3.2, 0.98)))
    catcher = solid.taper((2.3, 0.9), (1.9, 0.2), 0.66, GREY, 0.3).moved(y=-3.45, z=0.1)
    steps = solid.box((0.5, 4.4, 0.16), (1.0, -0.9, 1.42)).mirrored_pair()
    big = [_wheel(0.66, 0.3, LIGHT).moved(1.02, y, 0.66).mirrored_pair() for y in (-0.75, 0.70, 2.15)]
    small = _wheel(0.42, 0.3, LIGHT).moved(1.02, -2.2, 0.42).mirrored_pair()
    rods = solid.box((0.08, 3.1, 0.17), (1.24, 0.70, 0.55), STEEL).mirrored_pair()
    top = solid.join(*boiler, door, chimney.moved(y=-2.6, z=2.85).named("chimney"), dome, lamp, cab)
    return solid.join(top, frame, catcher, steps, *big, small, rods).moved(y=0.15)


def airplane() -> Mesh:
    """A jet: swept wings with an engine under each, tail fin, a row of windows, cockpit panes in the nose."""
    spine = [(0.0, -5.8, 1.75), (0.0, -5.55, 1.77), (0.0, -4.9, 1.85), (0.0, -3.6, 1.95), (0.0, 2.4, 1.95)]
    fuselage = solid.tube([*spine, (0.0, 4.4, 2.2), (0.0, 5.6, 2.4)], [0.08, 0.36, 0.66, 0.85, 0.85, 0.52, 0.16], 14)
    cockpit = solid.rounded_box((1.0, 0.6, 0.34), radius=0.15, slot=GLASS).turned("x", -28).moved(y=-4.72, z=2.3)
    windows = [solid.box((0.05, 0.32, 0.32), (0.84, -3.3 + 0.65 * k, 2.1), GLASS).mirrored_pair() for k in range(9)]
    wing = solid.extrude([(-1.5, 0.4), (1.3, 0.4), (2.3, 5.6), (1.4, 5.6)], 0.2).turned("y", 85).moved(z=1.55)
    plane = solid.extrude([(3.9, 0.2), (5.2, 0.2), (5.9, 2.3), (5.2, 2.3)], 0.16, DARK).turned("y", 86).moved(z=2.4)
    fin = solid.extrude([(3.2, 2.6), (5.3, 2.5), (6.0, 4.6), (5.1, 4.6)], 0.18, DARK)
    pod = solid.spindle(
        [(-0.9, 0, 0.34, 0.34), (-0.7, 0, 0.42, 0.42), (0.4, 0, 0.38, 0.38), (0.8, 0, 0.22, 0.22)]
    ).painted(DARK)
    engine = solid.join(pod, _dial(0.28, 0.1, -0.94, 0.0, COAL)).moved(2.3, -0.5, 1.25)
    gear = solid.join(solid.cylinder(0.10, 1.1, 6, STEEL).moved(z=0.3), _wheel(0.32, 0.3, GREY).moved(z=0.32)).named("")
    gears = solid.join(gear.moved(0.75, 0.6, 0).mirrored_pair(), gear.moved(0, -4.2, 0))
    named = [wing.mirrored_pair().named("wing"), engine.mirrored_pair().named("engine")]
    return solid.join(fuselage, cockpit, *windows, *named, solid.join(plane.mirrored_pair(), fin).named("tail"), gears)


def boat() -> Mesh:
    """An open rowing boat: pointed raised bow, flat stern, two thwarts, an oar along each gunwale."""
    levels = [(0.74, 0.84, 0.0), (0.92, 0.94, 0.25), (1.0, 1.0, 0.65), (0.90, 0.96, 0.65), (0.72, 0.82, 0.12)]
    rings = [_deckline(*level) for level in levels]
    hull = solid.loft(rings)
    level = hull.faces.min(1) // len(rings[0])
    hull = replace(hull, slots=np.array([MAIN, MAIN, LIGHT, MAIN, DARK])[level])
    thwarts = [
        solid.box((width, 0.2, 0.06), (0, y, 0.44), WOOD).named("seat") for y, width in ((-0.55, 1.02), (1.2, 1.28))
    ]
    shaft = solid.tube([(0.66, -1.1, 0.80), (0.84, 1.0, 0.72)], 0.04, 6, WOOD)
    blade = solid.sphere((0.12, 0.36, 0.035), (0.86, 1.25, 0.71), 8, 4, WOOD)
    return solid.join(hull, *thwarts, solid.join(shaft, blade).mirrored_pair().named("oar"))


def skateboard() -> Mesh:
    """A skateboard: upturned nose and tail, dark grip on the deck, four big pale wheels on axles."""
    half = [(0.28, 0.112, 0.125), (0.36, 0.135, 0.115), (0.41, 0.158, 0.08), (0.43, 0.167, 0.04)]
    deck = _plank([*((-y, z, w) for y, z, w in half[::-1]), *half], 0.03)
    grip = _plank([(-0.25, 0.128, 0.10), (0.25, 0.128, 0.10)], 0.01, DARK)
    tyre = solid.join(solid.cylinder(0.055, 0.055, 12, PAPER), solid.cylinder(0.022, 0.065, 8, COAL).moved(z=-0.005))
    wheel = tyre.turned("y", 90).named("wheel")
    wheels = [wheel.moved(0.065, y, 0.055).mirrored_pair() for y in (-0.23, 0.23)]
    axles = [solid.box((0.16, 0.06, 0.05), (0, y, 0.055), GREY) for y in (-0.21, 0.21)]
    blocks = [solid.taper((0.06, 0.07), (0.10, 0.12), 0.05, COAL).moved(y=y, z=0.055) for y in (-0.21, 0.21)]
    return solid.join(deck, grip, *wheels, *axles, *blocks)


def surfboard() -> Mesh:
    """A surfboard lying upside down: a long leaf with a pointed nose, a stripe along it, three fins at the tail."""
    line = [(-1.05, 0.035, 0.006), (-0.98, 0.06, 0.07), (-0.80, 0.10, 0.155), (-0.45, 0.14, 0.25), (0.0, 0.15, 0.285)]
    line += [(0.45, 0.14, 0.26), (0.80, 0.10, 0.18), (0.98, 0.06, 0.11), (1.05, 0.035, 0.06)]
    stripe = _plank([(y, z + 0.036, 0.022) for y, z, _ in line[1:-1]], 0.012, PAPER)
    fin = solid.extrude([(0.60, 0.13), (0.85, 0.10), (0.98, 0.36), (0.86, 0.35)], 0.035, COAL)
    fins = solid.join(fin, fin.scaled(z=0.9).moved(0.14, -0.18, 0.02).mirrored_pair()).named("fin")
    return solid.join(_plank(line, 0.07), stripe, fins)


def traffic_light() -> Mesh:
    """A traffic light on a post: three hooded round lamps in a tall box, red above amber above green."""
    post = solid.join(solid.cylinder(0.07, 1.2, 10, GREY), solid.cone(0.20, 0.14, 10, 0.12, GREY)).named("pole")
    housing = solid.rounded_box((0.50, 0.34, 1.36), (0, 0.02, 1.80), 0.06, 1)
    plate = solid.rounded_box((0.70, 0.06, 1.56), (0, -0.10, 1.80), 0.03, 1)
    lamps = []
    for z, slot in ((2.26, TAIL_LAMP), (1.80, LAMP), (1.34, LEAF)):
        lens = solid.sphere((0.17, 0.07, 0.17), (0, -0.19, z), 12, 5, slot)
        hood = _arch(0.185, 0.14, -10, 190).painted(COAL).turned("z", 90).moved(y=-0.24, z=z)
        lamps.append(solid.join(_dial(0.215, 0.06, -0.19, z, COAL, 14), lens, hood).named("lamp"))
    back = [solid.box((0.36, 0.04, 0.36), (0, 0.18, 1.34 + 0.46 * k), DARK) for k in range(3)]
    return solid.join(post, housing, plate, *lamps, *back).moved(y=0.05)


def fire_hydrant() -> Mesh:
    """A fire hydrant: flanged barrel, domed bonnet with a nut, a large capped outlet in front and one to each side."""
    barrel = [(0, 0), (0.22, 0), (0.22, 0.07), (0.155, 0.07), (0.15, 0.58), (0.205, 0.58), (0.205, 0.65)]
    body = solid.revolve([*barrel, (0.17, 0.65), (0.16, 0.71), (0.12, 0.78), (0.06, 0.82), (0, 0.83)], 18)
    nut = solid.cylinder(0.05, 0.09, 5, DARK).moved(z=0.80)
    cap = solid.cylinder(0.10, 0.07, 10, DARK).moved(z=0.19)
    spout = solid.join(solid.cylinder(0.075, 0.24, 10), cap, solid.cylinder(0.035, 0.30, 5, STEEL))
    sides = spout.turned("y", 90).moved(z=0.45).mirrored_pair()
    front = spout.scaled(1.35, 1.35, 0.9).turned("x", 90).moved(z=0.36)
    turns = [math.pi * k / 4 for k in range(8)]
    bolts = [solid.sphere(0.024, (0.187 * math.cos(t), 0.187 * math.sin(t), 0.08), 5, 3, STEEL) for t in turns]
    return solid.join(body, nut, sides, front, *bolts).moved(y=0.025)


def stop_sign() -> Mesh:
    """A stop sign: an octagon with a pale border and the word in front, bare at the back, on a steel post."""
    post = solid.join(solid.box((0.09, 0.07, 1.9), (0, 0.10, 0.95), STEEL), solid.cylinder(0.16, 0.06, 10, GREY))
    layers = [(0.50, 0.10, 0.0, MAIN), (0.50, 0.012, -0.012, PAPER), (0.455, 0.014, -0.022, MAIN)]
    panel = [_dial(r, depth, y, 0, slot, 8).turned("y", 22.5).moved(z=1.55) for r, depth, y, slot in layers]
    band = solid.box((0.80, 0.012, 0.36), (0, -0.022, 1.55), DARK)
    rows = ("### ### ### ###", "#    #  # # # #", "###  #  # # ###", "  #  #  # # #", "###  #  ### #")
    strokes = [(row, run.start(), run.end()) for row, line in enumerate(rows) for run in re.finditer("#+", line)]
    dot = solid.box((0.048, 0.02, 0.055), (0, -0.03, 1.66), PAPER)
    word = [dot.scaled(x=end - start).moved(0.024 * (start + end - 15), 0, -0.055 * row) for row, start, end in strokes]
    return solid.join(post.named("pole"), *panel, band, *word)


def parking_meter() -> Mesh:
    """A parking meter: a round-topped head on a pole, a window with a pointer above coin slot and handle in front."""
    pole = solid.join(solid.cylinder(0.05, 0.9, 10, GREY), solid.cylinder(0.14, 0.05, 12, GREY)).named("pole")
    collar = solid.cone(0.06, 0.12, 10, 0.11, DARK).moved(z=0.69)
    turns = [math.pi * k / 12 for k in range(13)]
    outline = [(-0.12, 0.78), (0.12, 0.78), *((0.19 * math.cos(t), 1.16 + 0.19 * math.sin(t)) for t in turns)]
    rim = solid.torus(0.19, 0.014, 13, 5, arc=180, slot=DARK).turned("x", 90).moved(z=1.16)
    head = solid.join(solid.extrude(outline, 0.22).turned("z", 90), collar, rim)
    pane = [(0.145 * math.cos(t), 0.125 * math.sin(t)) for t in turns]
    window = solid.extrude(pane, 0.02, GLASS).turned("z", 90).moved(y=-0.112, z=1.17)
    dial = solid.extrude([(0.8 * x, 0.75 * z) for x, z in pane], 0.02, PAPER).turned("z", 90).moved(y=-0.12, z=1.18)
    pointer = solid.box((0.024, 0.02, 0.09), slot=TAIL_LAMP).turned("y", 35).moved(0.025, -0.13, 1.22)
    plate = solid.box((0.19, 0.02, 0.14), (0, -0.112, 1.05), STEEL)
    slot = solid.box((0.02, 0.03, 0.08), (0.05, -0.115, 1.05), COAL)
    knob = solid.join(_dial(0.035, 0.06, -0.17, 1.05, COAL, 8), solid.box((0.025, 0.04, 0.10), (0, -0.17, 1.05), COAL))
    notice = solid.box((0.15, 0.02, 0.10), (0, -0.112, 0.89), PAPER)
    hatch = solid.join(solid.box((0.20, 0.02, 0.26), (0, 0.112, 0.98), DARK), _dial(0.02, 0.02, 0.115, 1.05, STEEL, 8))
    front = solid.join(window, dial, pointer, plate, slot, knob.moved(x=-0.04), notice)
    return solid.join(pole, head, front, hatch).moved(y=0.025)


def _dial(radius: float, depth: float, y: float, z: float, slot: int = 0, segments: int = 12) -> Mesh:
    """A cylinder that lies along y, its front face at ``y``."""
    return solid.cylinder(radius, depth, segments, slot).turned("x", 90).moved(y=y + depth, z=z)


def _wheel(radius: float, width: float, hub: int) -> Mesh:
    """A wheel about the x axis through the origin, with a hub cap."""
    cap = solid.cylinder(0.6 * radius, 1.1 * width, 8, hub).moved(z=-0.55 * width)
    return solid.join(solid.cylinder(radius, width, 12, COAL).moved(z=-width / 2), cap).turned("y", 90).named("wheel")


def _arch(radius: float, width: float, start: float, stop: float) -> Mesh:
    """A thin band curved about the x axis between two angles in degrees: 0 behind, 90 on top, 180 in front."""
    turns = np.radians(np.linspace(start, stop, 8)).tolist()
    inner = [(radius * math.cos(t), radius * math.sin(t)) for t in turns]
    outer = [((radius + 0.025) * math.cos(t), (radius + 0.025) * math.sin(t)) for t in reversed(turns)]
    return solid.extrude(inner + outer, width)


def _plank(stations: Sequence[tuple[float, float, float]], thickness: float, slot: int = 0) -> Mesh:
    """A bent board with rounded rails along y: of every station y, middle height and half width."""
    rail = np.array([(0.85, -0.5), (1, -0.2), (1, 0.2), (0.85, 0.5)])
    x, z = np.concatenate([rail, rail[::-1] * (-1, 1)]).T
    rows = [np.column_stack([x * half, np.full(8, y), middle + z * thickness]) for y, middle, half in stations]
    return solid.loft(rows, slot)


def _deckline(width: float, length: float, z: float) -> Points:
    """A boat's outline seen from above, pointed at the bow, at height ``z`` that rises towards the bow."""
    along = np.linspace(0, 1, 11)
    flare = np.sin(np.minimum(1.55 * along, 1.0) * math.pi / 2) - 0.5 * np.maximum(along - 0.5, 0)
    half, y, rise = 0.9 * width * flare, (along - 0.5) * 3.4 * length, z + 0.4 * z * (1 - along) ** 3
    return np.concatenate([np.column_stack([half, y, rise]), np.column_stack([-half, y, rise])[:0:-1]])


_TRUCK_BED = Cavity((-0.43, -0.124, 0.44), (0.43, 0.463, 0.73))
_BOAT_HOLD = Cavity((-0.235, -0.126, 0.16), (0.235, 0.27, 0.71))
_DECK, _BOARD = (-0.4, -0.29, 0.4, 0.29), (-0.35, -0.25, 0.35, 0.22)
_ride = partial(Asset, has_front=True, long_axis=1)
_post = partial(Asset, has_front=True)

ASSETS = (
    _ride("bicycle", bicycle, (0.65, 1.9, 1.1), parts=("wheel", "saddle", "handlebar")),
    _ride("motorcycle", motorcycle, (0.9, 2.16, 1.16), parts=("wheel", "seat", "handlebar")),
    _ride("truck", truck, (2.54, 5.5, 2.6), parts=("wheel", "cab", "bed"), cavity=_TRUCK_BED, toy_boost=1.3),
    _ride("train", train, (2.7, 7.5, 3.9), parts=("wheel", "cab", "chimney")),
    Asset("airplane", airplane, (11, 11.8, 4.6), has_front=True, parts=("wing", "tail", "engine")),
    _ride("boat", boat, (1.96, 3.4, 0.91), parts=("seat", "oar"), cavity=_BOAT_HOLD, toy_boost=1.4),
    Asset("skateboard", skateboard, (0.25, 0.86, 0.18), long_axis=1, top=0.73, surface=_DECK, parts=("wheel",)),
    Asset("surfboard", surfboard, (0.57, 2.1, 0.36), long_axis=1, top=0.5, surface=_BOARD, parts=("fin",)),
    _post("traffic light", traffic_light, (0.7, 0.51, 2.58), parts=("lamp", "pole")),
    Asset("fire hydrant", fire_hydrant, (0.6, 0.487, 0.89)),
    _post("stop sign", stop_sign, (0.924, 0.304, 2.012), parts=("pole",)),
    _post("parking meter", parking_meter, (0.4, 0.33, 1.36), parts=("pole",)),
)
