"""Tiny checkpoints on disk, and a group of two scenes to paint."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from datagen.engines.base import Order
from datagen.engines.orders import orders_of
from spatial.scene import Camera, ObjectSpec, Scene

from . import tiny


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_sdxl(tmp_path_factory.mktemp("sdxl") / "model")


@pytest.fixture(scope="session")
def union(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_union(tmp_path_factory.mktemp("union") / "control")


@pytest.fixture(scope="session")
def zimage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_zimage(tmp_path_factory.mktemp("zimage") / "model")


@pytest.fixture(scope="session")
def zimage_control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_zimage_control(tmp_path_factory.mktemp("zimage") / "control")


CAPTIONS = ("The red cup is left of the blue bowl.", "The red cup is right of the blue bowl.")


def scene(shift: float) -> Scene:
    """Return a cup before a bowl, so far to the right."""
    cup = ObjectSpec("cup", "red", (shift, -0.4, 0.0), (0.5, 0.5, 0.6))
    bowl = ObjectSpec("bowl", "blue", (-shift, 0.5, 0.0), (0.8, 0.8, 0.4))
    return Scene((cup, bowl), camera=Camera(distance=4.0), width=48, height=48)


@pytest.fixture(scope="session")
def group() -> list[Order]:
    return orders_of([scene(-0.5), scene(0.5)], seed=7, group_id="g", captions=CAPTIONS)


class Spy:
    """Lets a pipeline class work as it does, and keeps what it was called with."""

    def __init__(self, patch: pytest.MonkeyPatch, class_name: str) -> None:
        import diffusers

        self.calls: list[dict[str, Any]] = []
        pipeline = getattr(diffusers, class_name)
        run = pipeline.__call__

        def watched(own: Any, **given: Any) -> Any:
            kept = {name: list(value) if isinstance(value, list) else value for name, value in given.items()}
            kept["noise_seeds"] = [generator.initial_seed() for generator in given["generator"]]
            kept["devices"] = {generator.device.type for generator in given["generator"]}
            self.calls.append(kept)
            return run(own, **given)

        patch.setattr(pipeline, "__call__", watched)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an empty cache of the hub, which is switched off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def put_in_cache(cache: Path, name: str, folder: Path) -> None:
    """Lay weights where the hub's client keeps what it has fetched."""
    home = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, home / "snapshots" / COMMIT)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
