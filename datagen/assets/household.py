"""Small things of a household: cup, bottle, book, laptop, tv, suitcase, potted plant (front towards -y)."""

import math
from dataclasses import replace

import numpy as np

from datagen.assets.palette import COAL, DARK, GREY, LEAF, LIGHT, MAIN, PAPER, SCREEN, SOIL, STEEL
from datagen.assets.primitives import Mesh, box, circle, cylinder, join, loft, revolve, rounded_box, sphere, torus


def cup() -> Mesh:
    """A mug, hollow, with a handle on its own right side."""
    outer = [(0.0, 0.0), (0.034, 0.0), (0.038, 0.006), (0.042, 0.05), (0.044, 0.1)]
    inner = [(0.040, 0.1), (0.038, 0.05), (0.033, 0.012), (0.0, 0.012)]
    body = revolve(outer + inner, 20)
    heights = body.vertices[body.faces][..., 2].mean(1)
    reach = np.linalg.norm(body.vertices[body.faces][..., :2], axis=2).max(1)
    inside = (heights > 0.011) & (reach < 0.0405)
    body = replace(body, slots=np.where(inside, DARK, MAIN))
    handle = torus(0.027, 0.0065, 11, 6, arc=180).turned("z", -90).turned("x", 90).moved(x=0.040, z=0.052)
    return join(body, handle)


def bottle() -> Mesh:
    """A bottle with a label and a screw cap."""
    flask = [(0, 0), (0.034, 0), (0.038, 0.006), (0.038, 0.15), (0.034, 0.175)]
    neck = [(0.022, 0.20), (0.014, 0.22), (0.013, 0.26), (0, 0.26)]
    glass = revolve(flask + neck, 20)
    label = cylinder(0.0388, 0.075, 20, PAPER).moved(z=0.045)
    cap = revolve([(0, 0.25), (0.0165, 0.25), (0.0165, 0.277), (0.014, 0.281), (0, 0.281)], 14, GREY)
    return join(glass, label, cap)


def book() -> Mesh:
    """A thick closed book lying flat, spine on its own left side."""
    cover = rounded_box((0.175, 0.245, 0.008), radius=0.003)
    pages = [box((0.155 - 0.002 * (k % 2), 0.228, 0.008), (0.004, 0, 0.012 + 0.008 * k), PAPER) for k in range(5)]
    turn = [math.pi / 2 + math.pi * k / 8 for k in range(9)]
    arc = [(-0.08 + 0.014 * math.cos(t), 0.028 + 0.028 * math.sin(t)) for t in turn]
    rings = [np.array([(x, y, z) for x, z in arc]) for y in (-0.1225, 0.1225)]
    label = box((0.006, 0.11, 0.028), (-0.0925, 0.03, 0.028), LIGHT)
    title = box((0.10, 0.05, 0.003), (0.01, 0.055, 0.057), LIGHT)
    author = box((0.07, 0.012, 0.003), (0.01, -0.06, 0.057), LIGHT)
    return join(cover.moved(z=0.004), cover.moved(z=0.052), loft(rings), *pages, label, title, author)


def laptop() -> Mesh:
    """An open laptop: the screen looks towards -y, the lid's back carries a round mark."""
    base = rounded_box((0.34, 0.235, 0.02), (0, 0, 0.01), 0.008, 2)
    deck = box((0.30, 0.115, 0.004), (0, 0.03, 0.0205), COAL)
    key = box((0.034, 0.022, 0.004), slot=GREY)
    keys = [key.moved(-0.12 + 0.04 * c, 0.066 - 0.03 * r, 0.0245) for r in range(3) for c in range(7)]
    pad = box((0.10, 0.055, 0.003), (0, -0.068, 0.0205), GREY)
    lid = rounded_box((0.34, 0.014, 0.23), (0, 0, 0.115), 0.006, 1)
    panel = box((0.305, 0.004, 0.19), (0, -0.008, 0.12), SCREEN)
    window = box((0.15, 0.003, 0.10), (-0.045, -0.010, 0.13), PAPER)
    lines = [box((0.10, 0.002, 0.009), (-0.05, -0.012, 0.155 - 0.022 * k), GREY) for k in range(3)]
    mark = sphere((0.03, 0.006, 0.03), (0, 0.007, 0.125), 12, 4, LIGHT)
    screen = join(lid, panel, window, *lines, mark).turned("x", -16).moved(y=0.108, z=0.015)
    return join(base, deck, *keys, pad, screen)


def tv() -> Mesh:
    """A flat television on a stand; the bright screen looks towards -y, vents and a bulge are at the back."""
    frame = rounded_box((1.1, 0.07, 0.68), (0, 0, 0.44), 0.025, 2)
    screen = box((0.94, 0.02, 0.51), (0, -0.031, 0.455), SCREEN)
    picture = [
        box((0.94, 0.012, 0.13), (0, -0.037, 0.265), LEAF),
        sphere((0.075, 0.012, 0.075), (0.26, -0.038, 0.58), 12, 4, PAPER),
        sphere((0.16, 0.010, 0.10), (-0.2, -0.036, 0.33), 12, 4, GREY),
    ]
    bulge = rounded_box((0.6, 0.12, 0.36), (0, 0.06, 0.40), 0.04, 1, DARK)
    vents = [box((0.4, 0.012, 0.018), (0, 0.122, 0.34 + 0.05 * k), COAL) for k in range(4)]
    neck = box((0.16, 0.06, 0.14), (0, 0.02, 0.09), DARK)
    foot = rounded_box((0.52, 0.26, 0.035), (0, 0.02, 0.0175), 0.015, 1)
    return join(frame, screen, *picture, bulge, *vents, neck, foot)


def suitcase() -> Mesh:
    """A trolley case standing on four wheels, its telescopic handle at the back edge."""
    shell = rounded_box((0.48, 0.27, 0.60), (0, 0, 0.35), 0.05, 2)
    ribs = [rounded_box((0.03, 0.285, 0.52), (x, 0, 0.35), 0.012, 1, DARK) for x in (-0.14, 0.0, 0.14)]
    zip_line = box((0.484, 0.012, 0.5), (0, -0.03, 0.35), COAL)
    wheel = cylinder(0.03, 0.03, 10, COAL).turned("y", 90)
    wheels = [wheel.moved(x - 0.015, y, 0.03) for x in (-0.18, 0.18) for y in (-0.09, 0.09)]
    rods = [box((0.018, 0.014, 0.18), (x, 0.10, 0.73), STEEL) for x in (-0.1, 0.1)]
    grip = rounded_box((0.25, 0.03, 0.035), (0, 0.10, 0.82), 0.012, 1, COAL)
    strap = rounded_box((0.16, 0.03, 0.02), (0, -0.03, 0.655), 0.008, 1, COAL)
    return join(shell, *ribs, zip_line, *wheels, *rods, grip, strap)


def potted_plant() -> Mesh:
    """A large pot, in the object's colour, with arching leaves."""
    rim = [(0.185, 0.24), (0.185, 0.30), (0.16, 0.30), (0.155, 0.27), (0, 0.27)]
    pot = revolve([(0, 0), (0.12, 0), (0.165, 0.24), *rim], 18)
    soil = cylinder(0.155, 0.01, 14, SOIL).moved(z=0.27)
    leaves = [_leaf(0.27 + 0.05 * (k % 2), 0.50 if k % 2 else 0.38).turned("z", 45.0 * k) for k in range(8)]
    top = [_leaf(0.10, 0.56).turned("z", 20 + 120.0 * k) for k in range(3)]
    return join(pot, soil, *[leaf.moved(z=0.27) for leaf in leaves + top])


def _leaf(reach: float, rise: float) -> Mesh:
    """An arching blade from the origin outwards along +x: ``reach`` metres out, ``rise`` metres up at its highest."""
    bend, rings = 0.62 * math.pi, []
    for t in (0.0, 0.3, 0.6, 0.85, 1.0):
        x, z, slope = reach * t, rise * math.sin(bend * t), rise * bend * math.cos(bend * t) / reach
        width = 0.012 + 0.055 * math.sin(math.pi * t)
        thick, side, _ = (circle(1.0, 4) * np.array([0.010 / math.hypot(1.0, slope), width, 0.0])).T
        rings.append(np.column_stack([x - slope * thick, side, z + thick]))
    return loft(rings, LEAF)
