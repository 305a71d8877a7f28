"""What is asked of engines, and what came of it.

A *spec* is one picture that is asked for: a scene, or a row of VSR. An *attempt* paints the specs of a group with one
engine, one seed and one style, so that its pictures differ in nothing but what they are steered by. All of these can be
sent to other processes.
"""

from dataclasses import dataclass

from datagen.engines.base import Order, Painting
from datagen.verify.base import Intent, Verdict
from datagen.verify.relation import intended
from spatial.boxes import Bounds
from spatial.predicates import holds_of_all
from spatial.records import ImageRow, Record
from spatial.scene import digest


@dataclass(frozen=True)
class Turn:
    """What the sources of a run must know of one of its engines.

    Attributes:
        engine: name in the registry.
        control: whether it is steered by geometry or by a photo, and not by words alone.
        mode: of ``datagen.engines.photo_orders.MODES``: how it repaints a photo.
    """

    engine: str
    control: bool
    mode: str


@dataclass(frozen=True)
class Spec:
    """One picture that is asked for.

    Attributes:
        name: names the geometry, whatever it is painted with: a scene's identifier, or a photo with its caption.
        role: in its group.
        relation: that it shows, and that it counts for in the yield table.
        intent: what the verifier is told.
        row: of the render or photo, without pixels; the painted picture takes over what is still true of it.
        records: about it, still with the identifiers of ``row`` and of the group that was drawn.
        readable: see ``is_readable``.
    """

    name: str
    role: str
    relation: str
    intent: Intent
    row: ImageRow
    records: tuple[Record, ...]
    readable: bool = True


@dataclass(frozen=True)
class Attempt:
    """A group to be painted once.

    Attributes:
        group_id: of this attempt; what is painted with another seed or engine is another group.
        number: of the seed, from 0.
        engine: name in the registry.
        control: whether the engine is steered by geometry or by a photo, and not by words alone.
        specs: the members.
        orders: one for each spec; empty once they are painted.
    """

    group_id: str
    number: int
    engine: str
    control: bool
    specs: tuple[Spec, ...]
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True)
class Painted:
    """An attempt with its pictures.

    Attributes:
        attempt: without its orders.
        paintings: the pictures.
        seconds: that each took to paint.
        regions: the part of each that was painted; ``None`` for all of it.
    """

    attempt: Attempt
    paintings: tuple[Painting, ...]
    seconds: tuple[float, ...]
    regions: tuple[Bounds | None, ...]


@dataclass(frozen=True)
class Verified:
    """A painted attempt with what the checks say of each picture.

    Attributes:
        painted: the pictures.
        verdicts: of each.
        passed: whether each is right by itself; the group lives if all are.
        seconds: that each took to verify.
    """

    painted: Painted
    verdicts: tuple[tuple[Verdict, ...], ...]
    passed: tuple[bool, ...]
    seconds: tuple[float, ...]

    @property
    def accepted(self) -> bool:
        """Whether the group lives."""
        return all(self.passed)


def painted_group_id(group_id: str, engine: str, number: int) -> str:
    """Return the identifier of a group that is painted with an engine and the seed of a number."""
    return digest(f"{group_id}/{engine}/{number}")


def is_readable(intent: Intent, with_depth: bool) -> bool:
    """Tell whether a detector could tell the relation from the intended picture, if it were painted as it is meant.

    It has no poses: that one thing faces another is in no box. Where no place is known, whatever is found must tell.

    Args:
        intent: with the geometry that the picture is to have.
        with_depth: whether depth is estimated.
    """
    meant = intended(intent, with_depth)
    if meant is None:
        return True
    return any(holds_of_all(it.relation, it.subject, it.object, meant) == it.truth for it in intent.claims)
