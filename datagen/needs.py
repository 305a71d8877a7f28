"""What a family of placements demands of its two nouns: features of one, and whether the two go together.

A need is named "a long" or "b top": a feature of the first or of the second object; or it is about both ("a fits").
"""

from collections.abc import Callable

from datagen.assets import ASSETS, toy_size
from datagen.families import under_scale
from datagen.surface import flat_sides
from datagen.visibility import breadth
from spatial.scene import ObjectSpec
from spatial.vocabulary import ALIVE, VEHICLES

MOVING = frozenset((*ALIVE, *VEHICLES))
"""Nouns of what goes somewhere by itself."""

FACELESS = frozenset(
    ("bus", "boat", "mouse", "sink", "skis", "bed", "backpack", "bicycle", "oven", "traffic light", "hair drier")
)
"""Nouns whose front and back look alike from the side, or from above, in a small picture."""

STUBBY = 2.2
"""Aspect up to which a thing is not seen to have a direction, though it may have one."""

BROAD = 0.17
"""Breadth from which a thing is seen well even when small."""

SOLID = 0.13
"""Breadth from which a thing is no giraffe and no bicycle: there is enough of it to be found from afar."""

FILLS = 0.025
"""Share of a container's footprint that the outline of what is in it covers at least."""


def suits(needs: tuple[str, ...], a: ObjectSpec, b: ObjectSpec) -> bool:
    """Tell whether two objects meet the needs of a family.

    Raises:
        KeyError: there is no such need.
    """
    return all(_meets(need, a, b) for need in needs)


def _meets(need: str, a: ObjectSpec, b: ObjectSpec) -> bool:
    if need in TOGETHER:
        return TOGETHER[need](a, b)
    which, feature = need.split(" ", 1)
    return FEATURES[feature]({"a": a, "b": b}[which])


def _rests(upper: ObjectSpec, lower: ObjectSpec) -> bool:
    """Tell whether a thing would stand on another in reality: it is no wider."""
    if upper.name not in ASSETS or lower.name not in ASSETS:
        return False
    return max(ASSETS[upper.name].size[:2]) <= max(ASSETS[lower.name].size[:2])


def _is_long(spec: ObjectSpec, aspect: float = STUBBY) -> bool:
    """Tell whether a thing is seen to lie in a direction: over ``aspect`` times as long as wide, and no pillar."""
    if spec.long_axis < 0:
        return False
    length, width = spec.size[spec.long_axis], spec.size[1 - spec.long_axis]
    return length > aspect * width and length >= 0.95 * spec.size[2]


def _is_bulky(spec: ObjectSpec) -> bool:
    """Tell whether a thing is seen well even when small: it is no rod, nor a frame of thin parts like a bicycle."""
    return sorted(spec.size)[1] >= 0.45 * max(spec.size) and _is_broad(spec)


def _is_broad(spec: ObjectSpec) -> bool:
    return breadth(spec.mesh or spec.name) >= BROAD


def _is_rod(spec: ObjectSpec) -> bool:
    """Tell whether a thing is long enough to stick out of a hole at both ends, and lies or stands along its length."""
    if spec.long_axis < 0:
        return False
    length, width = spec.size[spec.long_axis], spec.size[1 - spec.long_axis]
    return length >= 1.5 * width and length >= 1.2 * spec.size[2]


def _holds(holder: ObjectSpec, held: ObjectSpec) -> bool:
    """Tell whether a thing could be in another in reality, and is seen there when it is scaled to fit.

    It is 0.15 to 1.5 times as large as the cavity, and fitted it covers ``FILLS`` of what it is in.
    """
    outer, inner = holder.name, held.name
    if outer not in ASSETS or inner not in ASSETS:
        return False
    cavity = ASSETS[outer].cavity
    if cavity is None or cavity.opening in ("through", "ring"):
        return False
    (width, depth, height), size = toy_size(inner), toy_size(outer)
    x, y, z = ((high - low) * extent for low, high, extent in zip(cavity.low, cavity.high, size, strict=True))
    fit = min(z / height, max(min(x / width, y / depth), min(x / depth, y / width)))
    covered = breadth(inner) * (width**2 + depth**2 + height**2) * fit**2
    real = max(ASSETS[inner].size) / (max(x, y, z) / max(size) * max(ASSETS[outer].size))
    return 0.15 <= real <= 1.5 and covered >= FILLS * size[0] * size[1]


def _is_bar(spec: ObjectSpec) -> bool:
    """Tell whether a thing lies down by itself, long and low, and can lie across another."""
    return _is_long(spec, 2.2) and spec.size[2] <= 0.4 * spec.size[spec.long_axis] and spec.name not in MOVING


def _has_room(a: ObjectSpec, b: ObjectSpec) -> bool:
    """Tell whether a thing can stand at the middle of another so that it is seen not to be at its edge."""
    return max(a.size[:2]) <= 0.5 * max(b.size[:2]) and _rests(a, b)


def _fits(a: ObjectSpec, b: ObjectSpec) -> bool:
    return max(a.size[:2]) <= 1.15 * max(b.size[:2])


FEATURES: dict[str, Callable[[ObjectSpec], bool]] = {
    "front": lambda spec: spec.has_front,
    "face": lambda spec: spec.has_front and spec.name not in FACELESS,
    "moves": lambda spec: spec.name in MOVING,
    "alive": lambda spec: spec.name in ALIVE,
    "long": _is_long,
    "low and long": lambda spec: _is_long(spec, 2.5) and spec.size[2] <= 0.6 * spec.size[spec.long_axis],
    "bar": _is_bar,
    "rod": _is_rod,
    "small": lambda spec: max(spec.size[:2]) <= 0.55,
    "broad": _is_broad,
    "solid": lambda spec: breadth(spec.mesh or spec.name) >= SOLID,
    "bulky": _is_bulky,
    "top": lambda spec: spec.top >= 0,
    "flat top": lambda spec: spec.top >= 0.97 * spec.size[2] or spec.name == "bed",
    "flat side": lambda spec: spec.name in ASSETS and bool(flat_sides(spec.name)),
    "hoop": lambda spec: spec.name == "hoop",
    "arch": lambda spec: spec.name == "arch",
}
"""What one object may have to be."""

TOGETHER: dict[str, Callable[[ObjectSpec, ObjectSpec], bool]] = {
    "a fits": _fits,
    "b fits": lambda a, b: _fits(b, a),
    "a rests on b": _rests,
    "b has room for a": _has_room,
    "a under b": lambda a, b: b.under > 0 and under_scale(a, b) >= 0.55,
    "b holds a": lambda a, b: _holds(b, a),
    "a holds b": _holds,
    "a part of b": lambda a, b: a.mesh.startswith(f"{b.name}/"),
    "b part of a": lambda a, b: b.mesh.startswith(f"{a.name}/"),
}
"""How the two may have to go together."""
