"""What the models saw in a picture, and which of it is which of the intended objects.

The two are kept apart, because a picture is looked at once and may be held against several intentions.

Shapes: H, W picture; O intended objects.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from datagen.verify.base import Detection, Intent, Pixels, Verdict
from datagen.verify.verdicts import skipped
from spatial.boxes import cover, is_known, mean_box, offset, overlap

SAME_PLACE = 0.5
"""Share of the smaller box in the larger from which two boxes of different nouns are about one thing."""

NO_SAFETY = skipped("safety", "no model")


@dataclass(frozen=True)
class Evidence:
    """What the models saw in one picture.

    Attributes:
        pixels: uint8 (H, W, 3).
        found: by detector, what it found, one per thing and noun.
        asked: by detector, the nouns that it was asked for; a noun that it does not know is not asked for.
        depth: (H, W), larger is farther, in a unit of its own; ``None`` where no model estimates it.
        safe: the verdict on whether it is fit to be published.
    """

    pixels: Pixels
    found: Mapping[str, Sequence[Detection]]
    asked: Mapping[str, frozenset[str]]
    depth: NDArray[np.float32] | None = None
    safe: Verdict = NO_SAFETY


@dataclass(frozen=True)
class Sight:
    """What one detector found of what was intended.

    Attributes:
        objects: (O,) the detection of each intended object; ``None`` where it is missing or its noun was not asked.
        surplus: further detections of the nouns that were intended.
        strays: detections of other nouns.
    """

    objects: tuple[Detection | None, ...]
    surplus: tuple[Detection, ...]
    strays: tuple[Detection, ...]

    def mistaken(self) -> list[tuple[int, Detection]]:
        """Return which objects are taken for something else with more certainty, and the stray that says so."""
        return [
            (index, stray)
            for index, found in enumerate(self.objects)
            for stray in self.strays
            if found is not None and stray.score > found.score and cover(stray.box, found.box) > SAME_PLACE
        ]

    def extras(self) -> list[Detection]:
        """Return the strays that stand where no intended object was found."""
        found = [detection for detection in self.objects if detection is not None]
        return [s for s in self.strays if not any(cover(s.box, other.box) > SAME_PLACE for other in found)]


@dataclass(frozen=True)
class Match:
    """An intention beside what was seen.

    Attributes:
        intent: what was meant.
        evidence: what was seen.
        sights: by detector.
    """

    intent: Intent
    evidence: Evidence
    sights: Mapping[str, Sight]

    @cached_property
    def places(self) -> tuple[Detection | None, ...]:
        """Where each object is (O,), if every detector that was asked for its noun found it.

        The box is the mean of theirs; mask and depth are those of the first that has them.
        """
        return tuple(self._place(index, item.name) for index, item in enumerate(self.intent.objects))

    def _place(self, index: int, name: str) -> Detection | None:
        asked = [detector for detector, nouns in self.evidence.asked.items() if name in nouns]
        given = [self.sights[detector].objects[index] for detector in asked]
        known = [detection for detection in given if detection is not None]
        if not known or len(known) < len(given):
            return None
        mask = next((detection.mask for detection in known if detection.mask is not None), None)
        depth = next((detection.depth for detection in known if detection.depth is not None), None)
        score = min(detection.score for detection in known)
        return Detection(name, mean_box([detection.box for detection in known]), score, mask, depth)


def match(intent: Intent, evidence: Evidence) -> Match:
    """Tell which detection is which intended object, by noun and then by place."""
    sights = {
        detector: _sight(intent, evidence.found[detector], evidence.asked[detector]) for detector in evidence.found
    }
    return Match(intent, evidence, sights)


def _sight(intent: Intent, found: Sequence[Detection], asked: frozenset[str]) -> Sight:
    meant: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(intent.objects):
        if item.name in asked:
            meant[item.name].append(index)
    objects: list[Detection | None] = [None] * len(intent.objects)
    surplus: list[Detection] = []
    for name, indices in meant.items():
        candidates = [detection for detection in found if detection.name == name]
        chosen = _assigned(intent, indices, candidates)
        for index, place in chosen.items():
            objects[index] = candidates[place]
        surplus += [it for place, it in enumerate(candidates) if place not in chosen.values()]
    return Sight(tuple(objects), tuple(surplus), tuple(it for it in found if it.name not in meant))


def _assigned(intent: Intent, indices: Sequence[int], candidates: Sequence[Detection]) -> dict[int, int]:
    """Return the candidate of each object: those that fit the intended places best, else the surest."""
    if not candidates:
        return {}
    if not all(is_known(intent.objects[index].box_xyxy) for index in indices):
        return dict(zip(indices, range(len(candidates)), strict=False))
    cost = [[_misfit(intent, index, candidate) for candidate in candidates] for index in indices]
    rows, columns = linear_sum_assignment(np.array(cost))
    return {indices[row]: int(column) for row, column in zip(rows, columns, strict=True)}


def _misfit(intent: Intent, index: int, candidate: Detection) -> float:
    meant = intent.objects[index].box_xyxy
    return offset(meant, candidate.box) / max(intent.width, intent.height) - overlap(meant, candidate.box)
