"""What sentences call an object: its noun, with its colour where that is known, in the plural if there are several."""

from spatial.scene import ObjectSpec
from spatial.vocabulary import plural

Objects = tuple[ObjectSpec, ...]


def mention(specs: Objects, spec: ObjectSpec, coloured: bool) -> str:
    """Return "red cup", "two red cups" or "red cups", by how many objects of the noun there are."""
    text, count = phrase(spec.name, paint(spec), coloured), instances(specs, spec)
    return text if count == 1 else f"two {plural(text)}" if count == 2 else plural(text)


def instances(specs: Objects, spec: ObjectSpec) -> int:
    """Return how many objects have the noun of this one."""
    return sum(other.name == spec.name for other in specs)


def key(spec: ObjectSpec) -> str:
    """Return the catalogue key by which noun pairs are kept for one split: a part's names its whole."""
    return spec.mesh if "/" in spec.mesh else spec.name


def paint(spec: ObjectSpec) -> str:
    """Return the colour word of an object; a part of a thing is painted as the thing is, often in no word's colour."""
    return "" if "/" in spec.mesh else spec.colour


def phrase(name: str, colour: str, coloured: bool) -> str:
    """Return "red cup" or "cup"."""
    return f"{colour} {name}" if coloured and colour else name


def named(spec: ObjectSpec) -> str:
    """Return an object's noun with its colour word if it has one: "red cup"."""
    return phrase(spec.name, paint(spec), coloured=True)
