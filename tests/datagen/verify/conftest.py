"""A detector and depth model that knows the truth of the pictures it was told of, and a few rendered groups."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datagen.assets import CORE
from datagen.config import DatagenConfig, VerifySettings
from datagen.render import Rendered, render
from datagen.run import generate
from datagen.verify.base import Claim, Detection, Intent, Pixels
from datagen.verify.intents import claims_of, intent_of
from datagen.verify.models import Models
from datagen.verify.verifier import Verifier
from spatial.dataset import DatasetFolder
from spatial.records import image_id_of
from spatial.scene import Scene

RELATIONS = [
    "left of",
    "right of",
    "in front of",
    "behind",
    "near",
    "far from",
    "on",
    "off",
    "facing",
    "facing away from",
]


@dataclass
class Oracle:
    """Finds exactly what the scene of a picture shows, and knows its depth up to a growing function.

    Attributes:
        name: of the detector.
        shake: boxes are moved by up to so many pixels.
        vocabulary: nouns that it knows.
        warp: what it makes of true depth.
    """

    name: str = "oracle"
    shake: float = 0.0
    vocabulary: frozenset[str] | None = frozenset(CORE)
    warp: Callable[[NDArray[np.float32]], NDArray[np.float32]] = np.log
    known: dict[str, tuple[list[Detection], NDArray[np.float32]]] = field(default_factory=dict)

    def learn(self, scene: Scene, drawn: Rendered, pixels: Pixels | None = None) -> Pixels:
        """Remember what a picture of a scene shows; it is looked up by its pixels."""
        shown = drawn.rgb if pixels is None else pixels
        rng = np.random.default_rng(len(self.known))
        found = []
        for index, spec in enumerate(scene.objects):
            mask = drawn.ids == index
            if mask.any():
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
                x0, y0, x1, y1 = (box + rng.uniform(-self.shake, self.shake, 4)).tolist()
                found.append(Detection(spec.name, (x0, y0, x1, y1), 0.9, mask))
        depth = np.where(np.isfinite(drawn.depth), drawn.depth, 100.0).astype(np.float32)
        self.known[image_id_of(shown)] = (found, self.warp(depth).astype(np.float32))
        return shown

    def draw(self, scene: Scene) -> Pixels:
        """Draw a scene and remember what the picture shows."""
        return self.learn(scene, render(scene, 1))

    def detect(self, pictures: Sequence[Pixels], nouns: Sequence[Sequence[str]]) -> list[list[Detection]]:
        """Return what of the nouns asked for is in each picture."""
        pairs = zip(pictures, nouns, strict=True)
        return [[it for it in self.known[image_id_of(p)][0] if it.name in asked] for p, asked in pairs]

    def depth(self, pictures: Sequence[Pixels]) -> list[NDArray[np.float32]]:
        """Return the warped depth of each picture."""
        return [self.known[image_id_of(pixels)][1] for pixels in pictures]


@pytest.fixture
def oracle() -> Oracle:
    """Return an oracle that knows no picture yet."""
    return Oracle()


@pytest.fixture
def verifier(oracle: Oracle) -> Verifier:
    """Return a verifier that looks with the oracle, and takes layout and depth for what needs poses."""
    return Verifier(VerifySettings(unread="accept"), Models([oracle], oracle))


@pytest.fixture(scope="session")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset folder of renders of ten relations."""
    return generate(
        DatagenConfig(
            out=str(tmp_path_factory.mktemp("groups") / "data"),
            groups=10,
            groups_per_shard=5,
            image_size=96,
            supersample=1,
            workers=1,
            seed=4,
            relations=RELATIONS,
            contrasts=["direct"],
            frames="viewer",
            nouns=["core"],
            exclude_nouns=[],
            looks="plain",
        )
    )


@dataclass(frozen=True)
class Case:
    """A render, what is stated of it, and its pixels."""

    scene: Scene
    intent: Intent
    drawn: Rendered

    @property
    def claim(self) -> Claim:
        """Something that is true of it."""
        return next(claim for claim in self.intent.claims if claim.truth)


@pytest.fixture(scope="session")
def cases(groups: Path) -> list[Case]:
    """Return the renders of ``groups`` with all that is stated of them as intention, groups one after the other."""
    data = DatasetFolder(groups)
    found = {}
    for record in data.records:
        row = data.images[record.image_id]
        if row.image_id not in found:
            scene = Scene.from_json(row.scene)
            drawn = render(scene, 1)
            own = [other for other in data.records if other.image_id == row.image_id]
            found[row.image_id] = Case(scene, intent_of(row, claims_of(own), drawn.depth), drawn)
    return list(found.values())


@pytest.fixture
def case_of(cases: list[Case]) -> Callable[[str], Case]:
    """Return a function from a relation to the first render that shows it."""
    return lambda relation: next(
        it for it in cases if relation in [claim.relation for claim in it.intent.claims if claim.truth]
    )
