"""Things beyond COCO's classes that a relation needs: an arch to go through, a hoop to lie around something."""

import math

from datagen.assets.asset import Asset, Cavity
from datagen.assets.palette import DARK
from datagen.assets.primitives import Mesh, box, join, torus, tube


def arch() -> Mesh:
    """A round arch on two legs, open from front to back."""
    turns = [math.pi * k / 14 for k in range(15)]
    bow = [(0.5 * math.cos(turn), 0.0, 0.55 + 0.5 * math.sin(turn)) for turn in turns]
    frame = tube([(0.5, 0.0, 0.0), (0.5, 0.0, 0.3), *bow, (-0.5, 0.0, 0.3), (-0.5, 0.0, 0.0)], 0.055, 10)
    return join(frame, box((0.16, 0.22, 0.05), (0.5, 0.0, 0.025), DARK).mirrored_pair())


def hoop() -> Mesh:
    """A wide ring lying flat."""
    return torus(0.5, 0.035, 32, 10).moved(z=0.035)


ASSETS = (
    Asset("arch", arch, (1.16, 0.22, 1.105), cavity=Cavity((-0.29, -0.25, 0.0), (0.29, 0.25, 0.74), "through")),
    Asset("hoop", hoop, (1.07, 1.07, 0.0666), cavity=Cavity((-0.3, -0.3, 0.0), (0.3, 0.3, 1.0), "ring")),
)
