"""A small painted run, on an engine and a verifier that stand in for models."""

from dataclasses import replace
from pathlib import Path

import pytest

from datagen.config import DatagenConfig
from datagen.paint.stages import Parts
from tests.stand_ins import PARTS, SMALL


@pytest.fixture(scope="session")
def parts() -> Parts:
    """Return engines and a verifier without models."""
    return PARTS


@pytest.fixture
def small(tmp_path: Path) -> DatagenConfig:
    """Return a run of 48 pictures in four shards."""
    return replace(SMALL, out=str(tmp_path / "data"))
