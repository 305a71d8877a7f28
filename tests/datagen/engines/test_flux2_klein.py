"""The engine that the documents write out works, with the real pipeline class at tiny random size."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datagen.config import EngineSettings
from datagen.engines.base import Order, Prompts
from datagen.engines.controls import Canvas, hash_of, reference
from datagen.engines.registry import ENGINES, load_engine
from spatial.errors import CheckpointError
from vsre.roots import ROOT

from . import tiny
from .conftest import Spy


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineSettings:
    """Run the page's code, which registers the engine, and return settings with a checkpoint for it."""
    page = (ROOT / "docs" / "extending.md").read_text()
    (code,) = re.findall(r"## An image engine\n.*?```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.setitem(ENGINES, "flux2-klein", ENGINES["z-image"])  # to be taken away again after the test
    exec(compile(code, "extending.md", "exec"), {})
    model = tiny.save_flux2_klein(tmp_path / "model")
    return EngineSettings("flux2-klein", str(model), steps=2, size=64, device="cpu")


def test_the_pages_engine_edits_renders_and_photos(
    settings: EngineSettings, group: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(settings)
    spy = Spy(monkeypatch, "Flux2KleinPipeline")
    photo = Order("p.jpg", 5, Prompts("a dog", ()), photo=np.zeros((30, 60, 3), np.uint8))
    alike = replace(group[1], prompts=group[0].prompts)
    paintings = engine.paint([group[0], alike, photo])
    assert [painting.pixels.shape for painting in paintings] == [(48, 48, 3), (48, 48, 3), (30, 60, 3)]
    assert (paintings[0].pixels != paintings[1].pixels).any()
    for call, order, canvas in zip(spy.calls, [group[0], alike, photo], [(64, 64), (64, 64), (64, 64)], strict=True):
        assert call["prompt"] == order.prompts.whole and call["noise_seeds"] == [order.seed]
        assert hash_of(call["image"]) == hash_of(reference(order, Canvas(*canvas)))
    assert engine.provenance["weights"]["sha256"].keys() >= {"transformer/diffusion_pytorch_model.safetensors"}
    assert (engine.paint([photo])[0].pixels == paintings[2].pixels).all()


def test_another_pipelines_weights_are_refused(settings: EngineSettings, zimage: Path) -> None:
    settings.model = str(zimage)
    with pytest.raises(
        CheckpointError, match="holds a ZImagePipeline, not a Flux2KleinPipeline; fetch it: hf download"
    ):
        load_engine(settings)
