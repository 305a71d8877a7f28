"""A person, whose clothes take the object's colour. Looks towards -y."""

from datagen.assets.asset import Asset
from datagen.assets.palette import COAL, DARK, LIGHT, SKIN, SOIL, TAIL_LAMP
from datagen.assets.primitives import Mesh, capsule, cylinder, join, revolve, rounded_box, sphere, tube


def person() -> Mesh:
    """A standing person: a face in front, hair behind, forearms held forwards, buttons on the shirt, shoes."""
    shirt = revolve([(0.0, 0.84), (0.18, 0.84), (0.18, 1.0), (0.225, 1.30), (0.21, 1.41), (0.08, 1.46)], 12)
    shirt = shirt.scaled(y=0.62)
    belt = cylinder(0.185, 0.05, 12, COAL).scaled(y=0.63).moved(z=0.86)
    buttons = tube([(0, -0.10, 0.92), (0, -0.115, 1.05), (0, -0.136, 1.30), (0, -0.11, 1.42)], 0.025, 6, LIGHT)
    legs = tube([(0.09, 0, 0.92), (0.10, -0.01, 0.5), (0.11, 0.01, 0.07)], [0.105, 0.085, 0.075], 8, DARK)
    shoes = rounded_box((0.12, 0.29, 0.10), (0.115, -0.06, 0.05), 0.04, 1, COAL)
    bend = [(0.19, 0, 1.40), (0.25, 0, 1.36), (0.31, 0.03, 1.10), (0.32, -0.12, 0.97)]
    sleeves = tube(bend, [0.05, 0.075, 0.062, 0.055], 8)
    hands = sphere((0.055, 0.065, 0.055), (0.32, -0.18, 0.93), 7, 4, SKIN)
    arms = join(sleeves, hands).mirrored_pair().named("arm")
    return join(shirt, belt, buttons, join(legs, shoes).mirrored_pair().named("leg"), arms, _head()).moved(y=0.02)


def _head() -> Mesh:
    """Skin in front with eyes, nose and mouth; hair over the top and down the back."""
    neck = cylinder(0.07, 0.12, 8, SKIN).moved(z=1.42)
    skull = sphere((0.145, 0.15, 0.175), (0, 0, 1.65), 10, 7, SKIN)
    hair = sphere((0.165, 0.15, 0.145), (0, 0.055, 1.73), 10, 6, SOIL)
    nape = sphere((0.145, 0.09, 0.17), (0, 0.10, 1.62), 8, 5, SOIL)
    eyes = sphere((0.02, 0.016, 0.028), (0.058, -0.135, 1.675), 6, 3, COAL).mirrored_pair()
    nose = sphere((0.02, 0.03, 0.035), (0, -0.15, 1.625), 6, 3, SKIN)
    mouth = capsule((-0.04, -0.125, 1.558), (0.04, -0.125, 1.558), 0.013, 5, TAIL_LAMP, 1)
    ears = sphere((0.03, 0.035, 0.05), (0.148, -0.02, 1.64), 6, 3, SKIN).mirrored_pair()
    return join(neck, skull, hair, nape, eyes, nose, mouth, ears).named("head")


ASSETS = (Asset("person", person, (0.75, 0.441, 1.875), has_front=True, parts=("head", "arm", "leg")),)
