"""Furniture: chair, couch, bench and dining table. Seats look towards -y, their backs are at +y."""

from datagen.assets.asset import Asset
from datagen.assets.palette import COAL, DARK, LIGHT
from datagen.assets.primitives import Mesh, box, capsule, cylinder, join, rounded_box, taper, tube


def chair() -> Mesh:
    """A kitchen chair with a panel back."""
    seat = rounded_box((0.46, 0.46, 0.05), (0, 0, 0.445), 0.02, 2)
    front = tube([(0.19, -0.19, 0.43), (0.205, -0.205, 0.0)], [0.024, 0.018], 8).mirrored_pair()
    rear = tube([(0.19, 0.20, 0.94), (0.19, 0.19, 0.45), (0.205, 0.215, 0.0)], [0.018, 0.024, 0.018], 8).mirrored_pair()
    panel = rounded_box((0.40, 0.03, 0.26), (0, 0.197, 0.78), 0.014, 2)
    rail = rounded_box((0.38, 0.025, 0.05), (0, 0.193, 0.56), 0.01, 1, DARK)
    bars = [tube([(x, -0.2, 0.2), (x, 0.2, 0.2)], 0.012, 6, DARK) for x in (-0.2, 0.2)]
    legs = [part.named("leg") for part in (front, rear)]
    return join(seat.named("seat"), *legs, join(panel, rail).named("backrest"), *bars)


def couch() -> Mesh:
    """A two-seat couch with cushions, arms and short feet."""
    base = rounded_box((1.8, 0.82, 0.24), (0, 0, 0.20), 0.04, 1)
    seats = rounded_box((0.70, 0.62, 0.13), (0.355, -0.10, 0.385), 0.05, 2, LIGHT).mirrored_pair()
    back = rounded_box((1.5, 0.18, 0.62), (0, 0.315, 0.46), 0.06, 2)
    pillows = rounded_box((0.68, 0.15, 0.38), (0.355, 0.0, 0.0), 0.06, 2, LIGHT).turned("x", -12).moved(y=0.18, z=0.626)
    roll = capsule((0.82, -0.33, 0.50), (0.82, 0.33, 0.50), 0.10, 10)
    arms = join(box((0.17, 0.80, 0.42), (0.82, 0, 0.30)), roll)
    ends = [cylinder(0.075, 0.02, 10, DARK).turned("x", 90).moved(0.82, y, 0.50) for y in (-0.405, 0.425)]
    seam = [box((0.02, 0.01, 0.46), (x, 0.402, 0.42), DARK) for x in (-0.25, 0.25)]
    feet = [cylinder(0.045, 0.1, 8, COAL).moved(x, y, 0) for x in (-0.8, 0.8) for y in (-0.34, 0.34)]
    cushions = join(seats, pillows.mirrored_pair()).named("cushion")
    return join(base, cushions, back, join(arms, *ends).mirrored_pair().named("armrest"), *seam, *feet)


def bench() -> Mesh:
    """A park bench: slats in the object's colour on dark iron sides."""
    seat = [rounded_box((1.5, 0.095, 0.03), (0, -0.17 + 0.115 * k, 0.425), 0.01, 1) for k in range(4)]
    slats = [rounded_box((1.5, 0.03, 0.09), (0, 0.235 + 0.022 * k, 0.55 + 0.125 * k), 0.01, 1) for k in range(3)]
    side = join(
        box((0.05, 0.44, 0.035), (0.6, 0.0, 0.393), COAL),
        taper((0.05, 0.06), (0.05, 0.05), 0.39, COAL).moved(0.6, -0.18, 0),
        tube([(0.6, 0.26, 0.0), (0.6, 0.20, 0.40), (0.6, 0.31, 0.86)], 0.028, 6, COAL),
        tube([(0.6, -0.20, 0.40), (0.6, -0.20, 0.60), (0.6, 0.24, 0.62)], 0.022, 6, COAL),
    )
    braces = [tube([(x, 0.225, 0.40), (x, 0.31, 0.84)], 0.028, 6, COAL) for x in (-0.2, 0.2)]
    return join(join(*seat).named("seat"), join(*slats).named("backrest"), *braces, side.mirrored_pair())


def dining_table() -> Mesh:
    """A rectangular table with four turned legs."""
    board = rounded_box((1.4, 0.9, 0.05), (0, 0, 0.725), 0.02, 2)
    aprons = [box((1.2, 0.03, 0.07), (0, y, 0.67), DARK) for y in (-0.36, 0.36)]
    ends = [box((0.03, 0.72, 0.07), (x, 0, 0.67), DARK) for x in (-0.6, 0.6)]
    legs = []
    for x in (-0.6, 0.6):
        for y in (-0.36, 0.36):
            legs.append(tube([(x, y, 0.70), (x, y, 0.55), (x, y, 0.3), (x, y, 0.0)], [0.045, 0.045, 0.036, 0.026], 10))
    return join(board, *aprons, *ends, join(*legs).named("leg"))


ASSETS = (
    Asset(
        "chair",
        chair,
        (0.46, 0.47, 0.94),
        has_front=True,
        top=0.50,
        surface=(-0.46, -0.46, 0.46, 0.3),
        under=0.44,
        parts=("leg", "seat", "backrest"),
        toy_boost=1.75,
    ),
    Asset(
        "couch",
        couch,
        (1.84, 0.85, 0.83),
        has_front=True,
        long_axis=0,
        top=0.54,
        surface=(-0.36, -0.45, 0.36, 0.05),
        parts=("cushion", "armrest"),
        toy_boost=1.6,
    ),
    Asset(
        "bench",
        bench,
        (1.5, 0.55, 0.86),
        has_front=True,
        long_axis=0,
        top=0.51,
        surface=(-0.36, -0.46, 0.36, 0.2),
        under=0.43,
        parts=("seat", "backrest"),
        toy_boost=1.9,
    ),
    Asset(
        "dining table",
        dining_table,
        (1.4, 0.9, 0.75),
        long_axis=0,
        top=1.0,
        under=0.84,
        parts=("leg",),
        toy_boost=2.0,
    ),
)
