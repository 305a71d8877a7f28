"""The shipped verifier with its calibration accepts faithful renders, and neither their counterparts nor noise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from datagen.config import DatagenConfig, VerifySettings
from datagen.render import render
from datagen.run import generate
from datagen.verify.base import Intent, Pixels
from datagen.verify.intents import claims_of, intent_of
from datagen.verify.verdicts import accepted
from datagen.verify.verifier import Verifier
from spatial.dataset import DatasetFolder
from spatial.records import Record, decode_image
from spatial.scene import Scene
from spatial.shipped import ASSETS

pytestmark = pytest.mark.skipif(not (ASSETS / "tiny-verifier").is_dir(), reason="tiny-verifier is not shipped here")


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier(VerifySettings(["tiny"], "tiny", calibration="tiny-verifier", device="cpu"))


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    config = DatagenConfig(
        str(tmp_path_factory.mktemp("renders") / "data"),
        groups=24,
        seed=41,
        split="test",
        relations=["left of", "right of", "above", "below"],
        contrasts=["direct"],
        frames="viewer",
        nouns=["core"],
        exclude_nouns=[],
        looks="plain",
        workers=1,
    )
    return DatasetFolder(Path(generate(config)))


@pytest.fixture(scope="module")
def intents(renders: DatasetFolder) -> dict[str, Intent]:
    """Return what each render is meant to show, with the depth of its scene."""
    stated: dict[str, list[Record]] = {}
    for record in renders.records:
        stated.setdefault(record.image_id, []).append(record)
    rows = {name: renders.images[name] for name in sorted(stated)}
    depths = {name: render(Scene.from_json(row.scene), 1).depth for name, row in rows.items()}
    return {name: intent_of(row, claims_of(stated[name]), depths[name]) for name, row in rows.items()}


def taken(verifier: Verifier, pictures: Sequence[Pixels], intents: Sequence[Intent]) -> int:
    return sum(accepted(verdicts) for verdicts in verifier.verify(pictures, intents))


def test_faithful_renders_are_accepted_and_their_counterparts_are_not(
    verifier: Verifier, renders: DatasetFolder, intents: dict[str, Intent]
) -> None:
    pixels = {name: np.asarray(decode_image(renders.images[name].image, name)) for name in intents}
    groups: dict[str, list[str]] = {}
    for record in renders.records:
        names = groups.setdefault(record.group_id, [])
        if record.image_id not in names:
            names.append(record.image_id)
    pairs = [(one, other) for names in groups.values() for one in names for other in names]
    right = [(one, other) for one, other in pairs if one == other]
    wrong = [(one, other) for one, other in pairs if one != other]
    assert len(right) >= 40 and len(wrong) >= 40
    found = [
        taken(verifier, [pixels[one] for one, _ in kind], [intents[other] for _, other in kind])
        for kind in (right, wrong)
    ]
    assert found[0] >= 0.8 * len(right) and found[1] <= 0.05 * len(wrong)


def test_noise_is_accepted_for_nothing(verifier: Verifier, intents: dict[str, Intent]) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (it.height, it.width, 3)).astype(np.uint8) for it in intents.values()]
    assert taken(verifier, noise, list(intents.values())) == 0
