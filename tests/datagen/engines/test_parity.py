"""VSRE's three ways, with SDXL tiny and random: what is kept of a photo, what is repainted, and where."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen.config import EngineSettings
from datagen.engines.base import Engine, Order, Prompts
from datagen.engines.controls import Canvas, grown, hash_of, mask_image, resized
from datagen.engines.registry import ENGINES, load_engine
from spatial.errors import CheckpointError, ConfigError

from . import tiny
from .conftest import Spy

PIPELINES = {
    "img2img": "StableDiffusionXLImg2ImgPipeline",
    "txt2img": "StableDiffusionXLPipeline",
    "box-inpaint": "StableDiffusionXLInpaintPipeline",
}

LARGE = Canvas(64, 128)


@pytest.fixture(scope="module")
def load(sdxl: Path) -> Callable[..., Engine]:
    def engine(name: str, **changed: Any) -> Engine:
        return load_engine(replace(EngineSettings(name, str(sdxl), steps=2, size=90, device="cpu"), **changed))

    return engine


@pytest.fixture(scope="module")
def order() -> Order:
    """Return an order of a photo twice as high as wide, with a box in it."""
    photo = np.random.default_rng(0).integers(0, 256, (60, 30, 3), dtype=np.uint8)
    region = np.zeros((60, 30), np.bool_)
    region[20:41, 5:19] = True
    prompts = Prompts("Photo of a dog. The dog is on the bed.", ("dog", "bed"), "blurry", "photo")
    return Order("000000000001.jpg", 3, prompts, photo=photo, region=region)


@pytest.mark.parametrize("name", PIPELINES)
def test_each_way_gives_its_pipeline_words_noise_and_size(
    name: str, load: Callable[..., Engine], order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(name)
    spy = Spy(monkeypatch, PIPELINES[name])
    painting = engine.paint([order])[0]
    (call,) = spy.calls
    assert call["prompt"] == [order.prompts.whole] and call["negative_prompt"] == ["blurry"]
    assert call["noise_seeds"] == [3] and painting.pixels.shape == (60, 30, 3)
    assert painting.provenance["canvas"] == [64, 128] and engine.provenance["pipelines"] == [PIPELINES[name]]
    if name == "txt2img":
        assert (call["width"], call["height"]) == LARGE and "image" not in call
    else:
        assert [image.size for image in call["image"]] == [LARGE] and call["strength"] == 0.6
        assert painting.provenance["controls"]["reference"] == hash_of(call["image"][0])
    if name == "box-inpaint":
        mask = mask_image(grown(resized(order.region, LARGE))) if order.region is not None else None
        assert mask is not None and [hash_of(image) for image in call["mask_image"]] == [hash_of(mask)]
        assert painting.provenance["controls"]["mask"] == hash_of(mask)


@pytest.mark.parametrize("channels", [4, 9])
def test_outside_the_box_not_a_pixel_changes(
    load: Callable[..., Engine], order: Order, channels: int, tmp_path: Path
) -> None:
    changed = {} if channels == 4 else {"model": str(tiny.save_sdxl(tmp_path / "model", channels=9))}
    painting = load("box-inpaint", **changed).paint([order])[0]
    assert order.photo is not None and order.region is not None
    different = (painting.pixels != order.photo).any(axis=-1)
    assert not different[~order.region].any() and different[order.region].mean() > 0.9


def test_less_strength_keeps_more_of_the_photo(load: Callable[..., Engine]) -> None:
    """The autoencoder is random too, so what is kept is told by what another photo changes."""
    prompts = Prompts("photo", ())
    photos = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8) for seed in (0, 1)]
    spread = []
    for strength in (0.25, 1.0):
        engine = load("img2img", strength=strength, steps=4)
        one, two = engine.paint([Order("p", 0, prompts, photo=photo) for photo in photos])
        spread.append(np.abs(one.pixels.astype(int) - two.pixels.astype(int)).mean())
    assert spread[0] > spread[1]


@pytest.mark.slow
def test_batches_give_what_single_pictures_give(load: Callable[..., Engine], order: Order) -> None:
    assert order.photo is not None
    orders = [order, replace(order, seed=9), replace(order, photo=np.ascontiguousarray(order.photo[::-1]))]
    for name in PIPELINES:
        together, alone = (load(name, batch_size=size).paint(orders) for size in (3, 1))
        for one, two in zip(together, alone, strict=True):
            assert np.abs(one.pixels.astype(int) - two.pixels.astype(int)).max() <= 1


def test_pictures_of_several_sizes_come_back_in_order(load: Callable[..., Engine], order: Order) -> None:
    assert order.photo is not None
    wide = replace(
        order, key="wide", photo=np.asarray(Image.fromarray(order.photo).rotate(90, expand=True)), region=None
    )
    paintings = load("img2img").paint([order, wide, replace(order, key="third")])
    assert [painting.pixels.shape[:2] for painting in paintings] == [(60, 30), (30, 60), (60, 30)]
    assert [painting.provenance["key"] for painting in paintings] == [order.key, "wide", "third"]


def test_a_scene_can_be_started_from_or_described(load: Callable[..., Engine], group: list[Order]) -> None:
    for name in ("img2img", "txt2img"):
        first, second = load(name, size=64).paint([replace(order, prompts=group[0].prompts) for order in group])
        assert first.pixels.shape == (48, 48, 3)
        assert (first.pixels != second.pixels).any() == (name == "img2img")


def test_what_an_order_lacks_is_said(load: Callable[..., Engine], group: list[Order], order: Order) -> None:
    engine = load("box-inpaint")
    for lacking in (group[0], replace(order, region=None), replace(order, region=np.zeros((60, 30), np.bool_))):
        with pytest.raises(ConfigError, match=r"box-inpaint repaints a region of a photo, and order .* has none"):
            engine.paint([lacking])


def test_weights_for_inpainting_alone_do_not_paint_from_text(tmp_path: Path) -> None:
    model = tiny.save_sdxl(tmp_path / "model", channels=9)
    with pytest.raises(CheckpointError, match="the UNet takes 9 channels"):
        load_engine(EngineSettings("txt2img", str(model), steps=2, device="cpu"))


def test_the_three_say_what_they_take() -> None:
    assert {name: set(ENGINES[name].takes) for name in PIPELINES} == {
        "img2img": {"reference", "prompt"},
        "txt2img": {"prompt"},
        "box-inpaint": {"mask", "reference", "prompt"},
    }
