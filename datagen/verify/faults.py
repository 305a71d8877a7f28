"""Faults put into renders on purpose: what painters do wrong, with the intention left as it was.

The scene is changed and drawn again, so that shadows and occlusion are right and only the content is wrong. The first
four kinds must be rejected. Of the softer ones a verifier may miss what its models cannot see: a detector that knows
nouns does not tell a red cup from a blue one.

Shapes: H, W picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from datagen.assets import ASSETS, COLOURS, CORE
from datagen.claims import DEPTHS, SIDES
from datagen.families import Rng
from datagen.layout import collide, specify, stand
from datagen.render import Rendered, render
from datagen.verify.base import Claim, Pixels
from datagen.visibility import MIN_PIXELS
from spatial.boxes import area, bounds_of, cover
from spatial.observation import observe
from spatial.predicates import holds
from spatial.scene import Scene

Change = Callable[[Scene, Claim, Rng], Scene | None]
"""Returns the changed scene, or ``None`` where a scene and claim do not lend themselves to it."""

TRIES = 40
"""Places that are tried for a copy."""

CLEAR_OF = 0.1
"""A copy's box shares at most this with any other."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        meaning: for people.
        change: of the scene.
        spoil: of the drawn picture (H, W, 3), given the mask (H, W) of the claim's subject or object.
        hard: whether it must be rejected.
    """

    meaning: str
    change: Change
    spoil: Callable[[Pixels, NDArray[np.bool_]], Pixels] | None = None
    hard: bool = True


@dataclass(frozen=True)
class Faulty:
    """A picture with a fault."""

    pixels: Pixels
    scene: Scene


def make_faulty(fault: Fault, scene: Scene, claim: Claim, rng: Rng, supersample: int) -> Faulty | None:
    """Return the picture of a scene with a fault; ``None`` where it cannot have it, or not visibly."""
    if any(spec.joins for spec in scene.objects):
        return None  # its objects name each other by number
    changed = fault.change(scene, claim, rng)
    if changed is None:
        return None
    drawn = render(changed, supersample)
    if not _shown(changed, drawn):
        return None
    pixels = drawn.rgb
    if fault.spoil:
        pixels = fault.spoil(pixels, drawn.ids == _either(claim, rng))
    return Faulty(pixels, changed)


def _either(claim: Claim, rng: Rng) -> int:
    return (claim.subject, claim.object)[int(rng.integers(2))]


def _shown(scene: Scene, drawn: Rendered) -> bool:
    """Tell whether every object can be seen: a fault that hides itself is another one."""
    seen = np.bincount(drawn.ids[drawn.ids >= 0], minlength=len(scene.objects))
    return bool((seen >= MIN_PIXELS * drawn.ids.size).all())


def _missing(scene: Scene, claim: Claim, rng: Rng) -> Scene | None:
    gone = _either(claim, rng)
    return replace(scene, objects=tuple(spec for i, spec in enumerate(scene.objects) if i != gone))


def _exchanged(relations: Sequence[str]) -> Change:
    """Build the exchange of the two objects of a claim that is one of ``relations`` and then no longer holds."""

    def change(scene: Scene, claim: Claim, rng: Rng) -> Scene | None:
        one, other = scene.objects[claim.subject], scene.objects[claim.object]
        if claim.relation not in relations or one.position[2] != other.position[2]:
            return None
        placed = {
            claim.subject: replace(one, position=other.position),
            claim.object: replace(other, position=one.position),
        }
        moved = replace(scene, objects=tuple(placed.get(i, spec) for i, spec in enumerate(scene.objects)))
        still = holds(claim.relation, claim.subject, claim.object, observe(moved))
        crowded = any(
            collide(spec, other) for i, spec in placed.items() for j, other in enumerate(moved.objects) if i != j
        )
        return moved if still is False and not crowded else None

    return change


def _duplicate(scene: Scene, claim: Claim, rng: Rng) -> Scene | None:
    """Stand a second thing of a claimed noun on the floor, clear of all others in space and in the picture."""
    source = scene.objects[_either(claim, rng)]
    boxes = [seen.box for seen in observe(scene).objects]
    for _ in range(TRIES):
        copy = stand(rng, source.mesh or source.name, source.colour, lean=False)
        copy = replace(
            copy,
            material=source.material,
            gloss=source.gloss,
            position=(round(float(rng.uniform(-1.4, 1.4)), 4), round(float(rng.uniform(-0.8, 1.4)), 4), 0.0),
        )
        box = observe(replace(scene, objects=(copy,))).objects[0].box
        inside = box[0] >= 0 and box[1] >= 0 and box[2] <= scene.width and box[3] <= scene.height
        large = area(box) >= 2 * MIN_PIXELS * scene.width * scene.height
        free = not any(cover(box, other) > CLEAR_OF for other in boxes)
        if inside and large and free and not any(collide(copy, other) for other in scene.objects):
            return replace(scene, objects=(*scene.objects, copy))
    return None


def _noun(scene: Scene, claim: Claim, rng: Rng) -> Scene | None:
    """Put a thing of another noun of the same world in a claimed object's place."""
    place = _either(claim, rng)
    spec, there = scene.objects[place], {spec.name for spec in scene.objects}
    nouns = [noun for noun in (CORE if spec.name in CORE else sorted(ASSETS)) if noun not in there]
    if not nouns:
        return None
    other = specify(nouns[int(rng.integers(len(nouns)))], spec.colour, 1.0)
    largest = max(spec.size) / max(other.size)
    size = tuple(round(extent * largest, 4) for extent in other.size)
    other = replace(other, size=(size[0], size[1], size[2]), position=spec.position, yaw=spec.yaw)
    return replace(scene, objects=tuple(other if i == place else it for i, it in enumerate(scene.objects)))


def _colour(scene: Scene, claim: Claim, rng: Rng) -> Scene | None:
    place = _either(claim, rng)
    spec = scene.objects[place]
    other = str(rng.choice(sorted(set(COLOURS) - {it.colour for it in scene.objects})))
    changed = replace(spec, colour=other)
    return replace(scene, objects=tuple(changed if i == place else it for i, it in enumerate(scene.objects)))


def _blurred(pixels: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """Blur an object until its shape is gone."""
    if not mask.any():
        return pixels
    x0, y0, x1, y1 = bounds_of(mask)
    blurred = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(max(x1 - x0, y1 - y0) / 3)))
    spoiled = pixels.copy()
    spoiled[y0:y1, x0:x1] = blurred[y0:y1, x0:x1]
    return spoiled


FAULTS: dict[str, Fault] = {
    "missing": Fault("one of the two objects is not there", _missing),
    "swapped": Fault("the two objects have changed sides", _exchanged(SIDES)),
    "duplicate": Fault("one of the two objects is there twice", _duplicate),
    "depth": Fault("what should be in front is behind", _exchanged(DEPTHS)),
    "noun": Fault("another thing stands in the place of one", _noun, hard=False),
    "blurred": Fault("one of the two objects is a smudge", lambda scene, claim, rng: scene, _blurred, hard=False),
    "colour": Fault("one of the two objects has another colour", _colour, hard=False),
}
"""Kinds of faults by name."""
