"""Measure a detector on renders that it has not learned from, and write the scores for its card.

    .venv/bin/vsre datagen configs/datagen/tiny-stage.yaml --split test --seed 77 --groups 600 \\
        --out data/tiny-stage-test
    .venv/bin/python scripts/measure_verifier.py checkpoints/tiny-verifier data/tiny-stage-test --out runs/verifier.json

Four kinds of pictures: the renders; the same blurred, stained and recoloured; scenes in which one object has become a
second one of another's noun; and renders of which one thing was spoiled and must not be found.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datagen.render import observe_rendered, render
from datagen.verify.base import Detection, Pixels
from datagen.verify.tiny import TinyVerifier, load_detector
from spatial.boxes import overlap
from spatial.dataset import DatasetFolder
from spatial.files import write_json
from spatial.records import ImageRow
from spatial.scene import Scene
from training.detector_data import Sight, sight_of
from training.detector_mishaps import removed, shuffled, smudged
from training.photometric import weathered

THERE = 0.5
"""A thing is found by a detection of its noun whose box shares at least this of the union."""

CLEAR = 0.1
"""Medians of two objects differ clearly if one is this share farther than the other."""

PART = 48
"""Pictures in memory at once."""


@dataclass
class Tally:
    """What was found in pictures of one kind."""

    things: int = 0
    found: int = 0
    wrong: int = 0
    pictures: int = 0
    exact: int = 0
    clear: int = 0
    ordered: int = 0
    boxes: list[float] = field(default_factory=list)
    masks: list[float] = field(default_factory=list)

    def scores(self) -> dict[str, Any]:
        """Return rates and medians, with what they are of."""
        return {
            "pictures": self.pictures,
            "things": self.things,
            "recall": self.found / max(self.things, 1),
            "precision": self.found / max(self.found + self.wrong, 1),
            "exact_pictures": self.exact / max(self.pictures, 1),
            "box_iou": float(np.median(self.boxes)) if self.boxes else 0.0,
            "mask_iou": float(np.median(self.masks)) if self.masks else 0.0,
            "depth_pairs": self.clear,
            "depth_order": self.ordered / max(self.clear, 1),
        }


@dataclass(frozen=True)
class Case:
    """A picture, what is in it, and the median depth of each thing."""

    sight: Sight
    depths: tuple[float, ...]


def tally(cases: Sequence[Case], found: Sequence[Sequence[Detection]], nouns: Sequence[str]) -> Tally:
    """Compare detections with the truth; each detection counts for one thing."""
    total = Tally(pictures=len(cases))
    for case, detections in zip(cases, found, strict=True):
        left, matched = list(detections), {}
        for index, thing in enumerate(case.sight.things):
            fits = [it for it in left if it.name == nouns[thing.noun] and overlap(it.box, thing.box) >= THERE]
            if fits:
                matched[index] = best = max(fits, key=lambda it: overlap(it.box, thing.box))
                left.remove(best)
                total.boxes.append(overlap(best.box, thing.box))
                total.masks.append(float((best.mask & thing.mask).sum() / (best.mask | thing.mask).sum()))
        total.things += len(case.sight.things)
        total.found += len(matched)
        total.wrong += len(left)
        total.exact += not left and len(matched) == len(case.sight.things)
        for one, other in combinations(matched, 2):
            truth = np.log(case.depths[one] / case.depths[other])
            if abs(truth) > CLEAR:
                total.clear += 1
                total.ordered += (matched[one].depth > matched[other].depth) == (truth > 0)
    return total


def find(detector: TinyVerifier, pictures: Sequence[Pixels], least: float) -> list[list[Detection]]:
    """Return all detections of at least a score."""
    asked = [sorted(detector.vocabulary or ())] * len(pictures)
    return [[it for it in found if it.score >= least] for found in detector.detect(pictures, asked)]


def doubled(row: ImageRow, nouns: Sequence[str]) -> Case | None:
    """Return a row's scene with its second object replaced by another of the first one's noun; ``None`` if unseen."""
    scene = Scene.from_json(row.scene)
    first, second = scene.objects[:2]
    twin = replace(first, colour=second.colour, position=second.position, yaw=second.yaw)
    scene = replace(scene, objects=(first, twin, *scene.objects[2:]))
    drawn = render(scene)
    seen = observe_rendered(scene, drawn).objects
    sight = sight_of(row, nouns)
    if any(it.mask is None or it.mask.sum() < 0.008 * it.mask.size or it.depth is None for it in seen):
        return None
    if overlap(seen[0].box, seen[1].box) > 0.3:
        return None
    things = tuple(replace(sight.things[0], noun=nouns.index(it.name), mask=it.mask) for it in seen)
    return Case(replace(sight, pixels=drawn.rgb, things=things), tuple(it.depth[1] for it in seen if it.depth))


def spoiled(detector: TinyVerifier, sights: Sequence[Sight], least: float) -> dict[str, float]:
    """Return how often a thing is still found after it was spoiled, by kind."""
    nouns, rates = sorted(detector.vocabulary or ()), {}
    for name, spoil in (("removed", removed), ("smudged", smudged), ("shuffled", shuffled)):
        rng, hits = np.random.default_rng(0), 0
        victims = [int(rng.integers(len(sight.things))) for sight in sights]
        pictures = [
            spoil(sight, victim, lambda: sights[0], rng).pixels for sight, victim in zip(sights, victims, strict=True)
        ]
        for sight, victim, found in zip(sights, victims, find(detector, pictures, least), strict=True):
            thing = sight.things[victim]
            hits += any(it.name == nouns[thing.noun] and overlap(it.box, thing.box) >= 0.3 for it in found)
        rates[name] = hits / len(sights)
    return rates


def measure(detector: TinyVerifier, folder: DatasetFolder, limit: int, least: float) -> dict[str, Any]:
    """Return all scores on the first ``limit`` pictures of a dataset folder, by identifier."""
    nouns = sorted(detector.vocabulary or ())
    rows = [folder.images[image_id] for image_id in sorted(folder.images)[:limit]]
    kinds = {"renders": Tally(), "weathered": Tally(), "doubled": Tally()}
    sights = []
    for part in _parts(rows):
        cases = [Case(sight_of(row, nouns), tuple(item.depth for item in row.objects)) for row in part]
        sights += [case.sight for case in cases]
        plain = [case.sight.pixels for case in cases]
        _add(kinds["renders"], tally(cases, find(detector, plain, least), nouns))
        batch = torch.from_numpy(np.stack(plain)).permute(0, 3, 1, 2)
        worn = list(weathered(batch, len(sights)).permute(0, 2, 3, 1).contiguous().numpy())
        _add(kinds["weathered"], tally(cases, find(detector, worn, least), nouns))
        twins = [case for row in part if (case := doubled(row, nouns)) is not None]
        pictures = [case.sight.pixels for case in twins]
        _add(kinds["doubled"], tally(twins, find(detector, pictures, least), nouns))
    scores = {name: kind.scores() for name, kind in kinds.items()}
    return scores | {"spoiled_found": spoiled(detector, sights, least), "least_score": least}


def _parts(rows: Sequence[ImageRow]) -> Iterator[Sequence[ImageRow]]:
    for start in range(0, len(rows), PART):
        yield rows[start : start + PART]


def _add(total: Tally, part: Tally) -> None:
    for name, value in vars(part).items():
        setattr(total, name, getattr(total, name) + value)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path, help="dataset folder of renders that the detector has not learned from")
    parser.add_argument("--out", type=Path, help="JSON file for the card")
    parser.add_argument("--limit", type=int, default=1200)
    parser.add_argument("--least_score", type=float, default=0.3)
    arguments = parser.parse_args()
    folder = DatasetFolder(arguments.data)
    detector = load_detector(arguments.checkpoint)
    scores = measure(detector, folder, arguments.limit, arguments.least_score)
    scores["data"] = folder.content_hash()
    print(json.dumps(scores, indent=2))
    if arguments.out:
        write_json(arguments.out, scores)


if __name__ == "__main__":
    main()
