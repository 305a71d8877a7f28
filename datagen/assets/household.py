"""Small things of a household: cup, bottle, book, laptop, tv, suitcase, potted plant (front towards -y)."""

import math
from dataclasses import replace

import numpy as np

from datagen.assets.asset import Asset, Cavity
from datagen.assets.palette import COAL, DARK, GREY, LEAF, LIGHT, MAIN, PAPER, SCREEN, SOIL, STEEL
from datagen.assets.primitives import Mesh, box, circle, cylinder, join, loft, revolve, rounded_box, sphere, tube


def cup() -> Mesh:
    """A mug, hollow, with a handle on its own right side."""
    outer = [(0.0, 0.0), (0.029, 0.0), (0.028, 0.008), (0.037, 0.024), (0.040, 0.055), (0.044, 0.1)]
    inner = [(0.0395, 0.1), (0.036, 0.055), (0.033, 0.028), (0.026, 0.013), (0.0, 0.013)]
    body = revolve(outer + inner, 20)
    inside = body.faces.min(1) >= 20 * len(outer)
    body = replace(body, slots=np.where(inside, LIGHT, MAIN))
    bend = [(0.034, 0.022), (0.050, 0.021), (0.062, 0.030), (0.0655, 0.050), (0.064, 0.070), (0.056, 0.084)]
    return join(body, tube([(x, 0.0, z) for x, z in (*bend, (0.040, 0.087))], 0.0085, 8).named("handle"))


def bottle() -> Mesh:
    """A bottle with a label and a screw cap."""
    flask = [(0, 0), (0.034, 0), (0.038, 0.006), (0.038, 0.15), (0.034, 0.175)]
    neck = [(0.022, 0.20), (0.014, 0.22), (0.013, 0.26), (0, 0.26)]
    glass = revolve(flask + neck, 20)
    label = cylinder(0.0388, 0.075, 20, PAPER).moved(z=0.045)
    cap = revolve([(0, 0.25), (0.0165, 0.25), (0.0165, 0.277), (0.014, 0.281), (0, 0.281)], 14, GREY)
    return join(glass, label.named("label"), cap.named("cap"))


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
    base = rounded_box((0.34, 0.26, 0.02), (0, 0, 0.01), 0.008, 2)
    deck = box((0.30, 0.115, 0.004), (0, 0.03, 0.0205), COAL)
    key = box((0.034, 0.022, 0.004), slot=GREY)
    keys = [key.moved(-0.12 + 0.04 * c, 0.066 - 0.03 * r, 0.0245) for r in range(3) for c in range(7)]
    pad = box((0.10, 0.065, 0.003), (0, -0.076, 0.0205), GREY)
    lid = rounded_box((0.34, 0.014, 0.23), (0, 0, 0.115), 0.006, 1)
    panel = box((0.305, 0.004, 0.19), (0, -0.008, 0.12), SCREEN)
    window = box((0.15, 0.003, 0.10), (-0.045, -0.010, 0.13), PAPER)
    lines = [box((0.10, 0.002, 0.009), (-0.05, -0.012, 0.155 - 0.022 * k), GREY) for k in range(3)]
    mark = sphere((0.042, 0.006, 0.042), (0, 0.007, 0.125), 14, 4, STEEL)
    band = box((0.335, 0.005, 0.03), (0, 0.0065, 0.02), DARK)
    screen = join(lid, join(panel, window, *lines).named("screen"), mark, band).turned("x", -12).moved(y=0.105, z=0.010)
    hinge = cylinder(0.012, 0.085, 8, COAL).turned("y", 90).moved(0.045, 0.120, 0.014).mirrored_pair()
    ports = [box((0.04, 0.006, 0.010), (x, 0.129, 0.011), COAL) for x in (-0.14, 0.0, 0.145)]
    return join(base, deck, *keys, pad, screen, hinge, *ports)


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
    return join(frame, join(screen, *picture).named("screen"), bulge, *vents, join(neck, foot).named("stand"))


def suitcase() -> Mesh:
    """A trolley case standing on four wheels, its telescopic handle at the back edge."""
    shell = rounded_box((0.475, 0.27, 0.62), (0, 0, 0.37), 0.05, 2)
    ribs = [rounded_box((0.03, 0.285, 0.54), (x, 0, 0.37), 0.012, 1, DARK) for x in (-0.14, 0.0, 0.14)]
    zip_line = box((0.48, 0.012, 0.52), (0, -0.03, 0.37), COAL)
    wheel = cylinder(0.04, 0.045, 10, COAL).turned("y", 90)
    wheels = [wheel.moved(x - 0.0225, y, 0.04).named("wheel") for x in (-0.18, 0.18) for y in (-0.09, 0.09)]
    rods = [box((0.034, 0.03, 0.15), (x, 0.10, 0.74), GREY) for x in (-0.1, 0.1)]
    grip = rounded_box((0.27, 0.05, 0.05), (0, 0.10, 0.815), 0.016, 1, COAL)
    strap = rounded_box((0.16, 0.04, 0.02), (0, -0.04, 0.687), 0.008, 1, COAL)
    return join(shell, *ribs, zip_line, *wheels, join(*rods, grip).named("handle"), strap)


def potted_plant() -> Mesh:
    """A large pot, in the object's colour, with arching leaves."""
    rim = [(0.185, 0.24), (0.185, 0.30), (0.16, 0.30), (0.155, 0.27), (0, 0.27)]
    pot = revolve([(0, 0), (0.12, 0), (0.165, 0.24), *rim], 18)
    soil = cylinder(0.155, 0.01, 14, SOIL).moved(z=0.27)
    leaves = [_leaf(0.27 + 0.05 * (k % 2), 0.50 if k % 2 else 0.38).turned("z", 45.0 * k) for k in range(8)]
    top = [_leaf(0.10, 0.56).turned("z", 20 + 120.0 * k) for k in range(3)]
    return join(join(pot, soil).named("pot"), *[leaf.moved(z=0.27).named("leaf") for leaf in leaves + top])


def _leaf(reach: float, rise: float) -> Mesh:
    """An arching blade from the origin outwards along +x: ``reach`` metres out, ``rise`` metres up at its highest."""
    bend, rings = 0.62 * math.pi, []
    for t in (0.0, 0.3, 0.6, 0.85, 1.0):
        x, z, slope = reach * t, rise * math.sin(bend * t), rise * bend * math.cos(bend * t) / reach
        width = 0.012 + 0.055 * math.sin(math.pi * t)
        thick, side, _ = (circle(1.0, 4) * np.array([0.010 / math.hypot(1.0, slope), width, 0.0])).T
        rings.append(np.column_stack([x - slope * thick, side, z + thick]))
    return loft(rings, LEAF)


ASSETS = (
    Asset(
        "cup",
        cup,
        (0.118, 0.088, 0.10),
        cavity=Cavity((-0.325, -0.26, 0.32), (0.065, 0.26, 1.0)),
        parts=("handle",),
    ),
    Asset("bottle", bottle, (0.078, 0.078, 0.28), parts=("cap", "label")),
    Asset("book", book, (0.184, 0.245, 0.058), long_axis=1, top=0.965),
    Asset("laptop", laptop, (0.34, 0.29, 0.235), has_front=True, parts=("screen",)),
    Asset("potted plant", potted_plant, (0.56, 0.56, 0.84), parts=("pot", "leaf")),
    Asset(
        "suitcase",
        suitcase,
        (0.48, 0.29, 0.84),
        long_axis=0,
        top=0.81,
        surface=(-0.4, -0.4, 0.4, 0.2),
        parts=("handle", "wheel"),
    ),
    Asset("tv", tv, (1.1, 0.26, 0.78), has_front=True, long_axis=0, parts=("screen", "stand")),
)
