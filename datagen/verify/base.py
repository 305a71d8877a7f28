"""What the checks of a painted picture are given, and what they answer.

Shapes: H, W picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from spatial.observation import Box
from spatial.records import ImageObject

Pixels = NDArray[np.uint8]
Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Verdict:
    """What one check says of one picture.

    Attributes:
        check: a name of ``datagen.verify.verdicts.CHECKS``.
        status: "skipped" where its model is absent, or what it needs is not known of the picture.
        reason: one of a check's few fixed words where it failed, such as "missing"; why, where it was skipped.
        detail: for people: which object, which value against which threshold.
        score: the number that decided, if there is one.
    """

    check: str
    status: Status
    reason: str = ""
    detail: str = ""
    score: float | None = None


@dataclass(frozen=True)
class Claim:
    """A relation that the picture must show: ``relation`` of the objects numbered ``subject`` and ``object``."""

    relation: str
    subject: int
    object: int
    truth: bool = True


@dataclass(frozen=True)
class Intent:
    """What a picture was meant to show.

    Attributes:
        objects: with box, mask and median depth where the geometry is known.
        claims: about them.
        width: of the picture in pixels.
        height: likewise.
        depth: float32 (H, W) metres, inf where nothing is; ``None`` where it is not known.
    """

    objects: tuple[ImageObject, ...]
    claims: tuple[Claim, ...]
    width: int
    height: int
    depth: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Detection:
    """A thing that a detector found; ``mask`` bool (H, W) and ``depth`` (any unit, larger is farther) if it tells."""

    name: str
    box: Box
    score: float
    mask: NDArray[np.bool_] | None = None
    depth: float | None = None

    def with_depth(self, depth: float) -> "Detection":
        """Return the detection with its median depth known."""
        return replace(self, depth=depth)


class Detector(Protocol):
    """Finds things by their nouns. It is never told a relation."""

    name: str
    vocabulary: frozenset[str] | None
    """Nouns that it knows; ``None`` for any."""

    def detect(self, pictures: Sequence[Pixels], nouns: Sequence[Sequence[str]]) -> list[list[Detection]]:
        """Return what of the nouns asked for each picture is found in it, the surest first."""


class DepthModel(Protocol):
    """Estimates depth."""

    name: str

    def depth(self, pictures: Sequence[Pixels]) -> list[NDArray[np.float32]]:
        """Return (H, W) relative depth of each picture; larger is farther, the unit means nothing."""


class Judge(Protocol):
    """Answers yes or no to questions about a picture."""

    name: str

    def margins(self, picture: Pixels, questions: Sequence[str]) -> list[float]:
        """Return log P(yes) - log P(no) of each question."""
