"""Animals, the stuffed one included: dog, cat and teddy bear. All look towards -y."""

from datagen.assets.asset import Asset
from datagen.assets.palette import COAL, DARK, LIGHT, PAPER, SKIN
from datagen.assets.primitives import Mesh, capsule, cone, join, sphere, tube


def dog() -> Mesh:
    """A standing dog: long snout, hanging ears, raised tail."""
    body = capsule((0, -0.17, 0.38), (0, 0.17, 0.37), 0.12, 10, steps=3)
    neck = capsule((0, -0.20, 0.43), (0, -0.28, 0.56), 0.088, 8)
    head = sphere((0.125, 0.125, 0.12), (0, -0.32, 0.60), 10, 6)
    snout = capsule((0, -0.40, 0.565), (0, -0.49, 0.555), 0.066, 8, LIGHT)
    nose = sphere((0.036, 0.03, 0.03), (0, -0.553, 0.58), 6, 4, COAL)
    eyes = sphere(0.024, (0.06, -0.42, 0.645), 6, 4, COAL).mirrored_pair()
    ears = sphere((0.03, 0.065, 0.12), (0.13, -0.31, 0.575), 8, 4, DARK).mirrored_pair()
    fore = [(0.068, -0.20, 0.40), (0.085, -0.20, 0.30), (0.08, -0.19, 0.15), (0.08, -0.20, 0.03)]
    hind = [(0.05, 0.17, 0.42), (0.088, 0.17, 0.33), (0.085, 0.16, 0.22), (0.085, 0.24, 0.14), (0.085, 0.225, 0.03)]
    legs = [tube(fore, [0.06, 0.066, 0.042, 0.04], 8), tube(hind, [0.06, 0.070, 0.060, 0.036, 0.038], 8)]
    paw = sphere((0.05, 0.07, 0.034), (0, 0, 0.034), 8, 4, LIGHT)
    legs += [paw.moved(0.082, y) for y in (-0.225, 0.20)]
    tail = tube([(0, 0.25, 0.42), (0, 0.34, 0.50), (0, 0.38, 0.63)], [0.04, 0.034, 0.016], 8, DARK)
    face = join(head, snout, nose, eyes).named("head")
    limbs = join(*legs).mirrored_pair().named("leg")
    return join(body, neck, face, ears.named("ear"), limbs, tail.named("tail"))


def cat() -> Mesh:
    """A sitting cat: upright pointed ears, tail curled up beside it."""
    haunch = sphere((0.105, 0.12, 0.115), (0, 0.06, 0.11), 10, 6)
    torso = capsule((0, 0.03, 0.15), (0, -0.035, 0.25), 0.078, 10)
    head = sphere((0.092, 0.08, 0.075), (0, -0.07, 0.365), 10, 6)
    muzzle = sphere((0.042, 0.03, 0.028), (0, -0.142, 0.345), 8, 4, LIGHT)
    nose = sphere(0.012, (0, -0.172, 0.355), 6, 3, SKIN)
    eyes = sphere((0.017, 0.012, 0.02), (0.037, -0.138, 0.385), 6, 4, COAL).mirrored_pair()
    ears = cone(0.046, 0.078, 6).scaled(y=0.55).turned("y", 16).moved(0.052, -0.06, 0.415).mirrored_pair()
    inner = cone(0.028, 0.05, 4, slot=SKIN).scaled(y=0.4).turned("y", 16).moved(0.053, -0.077, 0.418).mirrored_pair()
    legs = capsule((0.042, -0.07, 0.20), (0.042, -0.105, 0.028), 0.028, 8).mirrored_pair()
    chest = sphere((0.055, 0.04, 0.075), (0, -0.085, 0.235), 8, 5, LIGHT)
    path = [(0.02, 0.15, 0.035), (0.11, 0.19, 0.035), (0.17, 0.14, 0.06), (0.185, 0.07, 0.13), (0.17, 0.05, 0.20)]
    tail = tube(path, [0.026, 0.026, 0.025, 0.023, 0.012], 7, DARK)
    face = join(head, muzzle, nose, eyes).named("head")
    return join(haunch, torso, face, join(ears, inner).named("ear"), legs, chest, tail.named("tail"))


def teddy_bear() -> Mesh:
    """A sitting teddy bear: round ears, pale muzzle and soles."""
    belly = sphere((0.13, 0.11, 0.135), (0, 0, 0.14), 12, 7)
    patch = sphere((0.08, 0.04, 0.09), (0, -0.085, 0.14), 8, 5, LIGHT)
    head = sphere((0.105, 0.095, 0.095), (0, -0.01, 0.33), 12, 7)
    muzzle = sphere((0.052, 0.045, 0.042), (0, -0.09, 0.31), 8, 5, PAPER)
    nose = sphere((0.02, 0.014, 0.016), (0, -0.134, 0.325), 6, 4, COAL)
    eyes = sphere(0.014, (0.04, -0.094, 0.36), 6, 4, COAL).mirrored_pair()
    ears = sphere((0.043, 0.026, 0.043), (0.085, 0.0, 0.405), 8, 5).mirrored_pair()
    inner = sphere((0.026, 0.016, 0.026), (0.085, -0.016, 0.405), 6, 4, LIGHT).mirrored_pair()
    arms = capsule((0.115, -0.01, 0.21), (0.165, -0.075, 0.115), 0.042, 8).mirrored_pair()
    legs = capsule((0.075, -0.06, 0.055), (0.115, -0.17, 0.055), 0.052, 8).mirrored_pair()
    soles = sphere((0.036, 0.012, 0.036), (0.121, -0.218, 0.057), 8, 4, PAPER).mirrored_pair()
    face = join(head, muzzle, nose, eyes).named("head")
    limbs = [arms.named("arm"), join(legs, soles).named("leg")]
    return join(belly, patch, face, join(ears, inner).named("ear"), *limbs)


ASSETS = (
    Asset("dog", dog, (0.32, 0.98, 0.72), has_front=True, long_axis=1, parts=("head", "ear", "leg", "tail")),
    Asset("cat", cat, (0.31, 0.39, 0.51), has_front=True, parts=("head", "ear", "tail")),
    Asset("teddy bear", teddy_bear, (0.41, 0.34, 0.445), has_front=True, parts=("head", "ear", "arm", "leg")),
)
