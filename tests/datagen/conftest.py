"""A small rendered dataset that several tests read."""

from pathlib import Path

import pytest

from datagen.config import DatagenConfig
from datagen.run import generate


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset folder of twelve images in three shards, with records of every task."""
    return generate(
        DatagenConfig(
            out=str(tmp_path_factory.mktemp("rendered") / "data"),
            groups=6,
            groups_per_shard=2,
            image_size=48,
            supersample=1,
            workers=1,
            dense=True,
            relations=["left of", "right of"],
            contrasts=["direct"],
            frames="viewer",
            nouns=["core"],
            exclude_nouns=[],
        )
    )
