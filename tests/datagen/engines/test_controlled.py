"""SDXL and Z-Image, of diffusers' own classes but tiny and random, paint by words, controls and noise."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen.config import EngineSettings
from datagen.engines.base import Engine, Order, Painting
from datagen.engines.controls import Canvas, depth_control, edge_control, hash_of, mask_image, object_masks
from datagen.engines.prompts import object_prompt
from datagen.engines.registry import ENGINES, load_engine
from spatial.errors import ConfigError

from .conftest import Spy

Settings = Callable[..., EngineSettings]

WHOLE = {"sdxl-controlnet": "StableDiffusionXLControlNetUnionPipeline", "z-image": "ZImageControlNetPipeline"}
BY_OBJECT = {
    "sdxl-controlnet": "StableDiffusionXLControlNetUnionInpaintPipeline",
    "z-image": "ZImageControlNetInpaintPipeline",
}
PLAIN = {"sdxl-controlnet": "StableDiffusionXLPipeline", "z-image": "ZImagePipeline"}

CANVAS = Canvas(64, 64)
NAMES = tuple(WHOLE)


@pytest.fixture(scope="session")
def settings_of(sdxl: Path, union: Path, zimage: Path, zimage_control: Path) -> Settings:
    """Return a function from an engine's name and changes to settings with two steps."""
    folders = {"sdxl-controlnet": (sdxl, union), "z-image": (zimage, zimage_control)}

    def make(name: str, **changed: Any) -> EngineSettings:
        model, control = folders[name]
        settings = EngineSettings(name=name, model=str(model), control=str(control), steps=2, size=64, device="cpu")
        return replace(settings, **changed)

    return make


@pytest.fixture(scope="session", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Loaded = Callable[..., Engine]


@pytest.fixture(scope="session")
def loaded(settings_of: Settings) -> Loaded:
    """Return a function from an engine's name and changed settings to the engine, which is loaded once."""
    known: dict[str, Engine] = {}

    def load(name: str, **changed: Any) -> Engine:
        settings = settings_of(name, **changed)
        if repr(settings) not in known:
            known[repr(settings)] = load_engine(settings)
        return known[repr(settings)]

    return load


@pytest.fixture(scope="session")
def engine(name: str, loaded: Loaded) -> Engine:
    return loaded(name)


def difference(one: Painting, two: Painting) -> int:
    return int(np.abs(one.pixels.astype(int) - two.pixels.astype(int)).max())


def with_words(order: Order, text: str) -> Order:
    """Return an order with short words; the tiny tokenizer has a token per letter."""
    return replace(order, prompts=replace(order.prompts, whole=text))


def test_words_controls_and_noise_reach_the_pipeline(
    name: str, engine: Engine, group: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch, WHOLE[name])
    paintings = engine.paint(group)
    (call,) = spy.calls
    assert call["prompt"] == [order.prompts.whole for order in group]
    assert call["negative_prompt"] == [order.prompts.negative for order in group]
    assert call["noise_seeds"] == [order.seed for order in group] and call["devices"] == {"cpu"}
    assert (call["width"], call["height"], call["num_inference_steps"]) == (64, 64, 2)
    assert call["controlnet_conditioning_scale"] == 0.8
    depths = [hash_of(depth_control(order.passes, CANVAS)) for order in group if order.passes]
    edges = [hash_of(edge_control(order.passes, CANVAS)) for order in group if order.passes]
    if name == "sdxl-controlnet":
        assert call["control_mode"] == [1, 3]
        assert [[hash_of(image) for image in images] for images in call["control_image"]] == [depths, edges]
    else:
        assert [hash_of(image) for image in call["control_image"]] == depths
    for painting, order in zip(paintings, group, strict=True):
        assert painting.pixels.shape == (48, 48, 3) and painting.pixels.dtype == np.uint8
        assert painting.pixels.std() > 5 and order.passes is not None


def test_the_same_order_gives_the_same_picture_and_another_seed_another(engine: Engine, group: list[Order]) -> None:
    order = group[0]
    first, again, other = engine.paint([order, order, replace(order, seed=order.seed + 1)])
    assert difference(first, again) <= 1 < difference(first, other)


def test_control_alone_changes_a_groups_picture(engine: Engine, group: list[Order]) -> None:
    same_words = [with_words(order, "a cup") for order in group]
    first, second = engine.paint(same_words)
    assert difference(first, second) > 1
    assert first.provenance["seed"] == second.provenance["seed"]
    assert first.provenance["controls"] != second.provenance["controls"]


def test_words_change_the_picture(engine: Engine, group: list[Order]) -> None:
    first, second = engine.paint([with_words(group[0], "a cup"), with_words(group[0], "zebras, sand, dusk")])
    assert difference(first, second) > 0


def test_a_batch_of_three_gives_what_three_batches_of_one_give(name: str, loaded: Loaded, group: list[Order]) -> None:
    orders = [group[0], with_words(replace(group[1], seed=5), "a dog"), replace(group[1], seed=6)]
    together, alone = (loaded(name, batch_size=size, per_object=True).paint(orders) for size in (3, 1))
    for one, two in zip(together, alone, strict=True):  # sums of floats, in another order
        gap = np.abs(one.pixels.astype(int) - two.pixels.astype(int))
        assert gap.max() <= 3 and gap.mean() < 0.1
    assert [painting.provenance for painting in together] == [painting.provenance for painting in alone]


def test_batches_are_no_larger_than_asked_for_and_order_is_kept(
    name: str, loaded: Loaded, group: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = loaded(name, batch_size=2)
    spy = Spy(monkeypatch, WHOLE[name])
    orders = [replace(group[0], seed=seed, key=str(seed)) for seed in range(5)]
    paintings = engine.paint(orders)
    assert [len(call["prompt"]) for call in spy.calls] == [2, 2, 1]
    assert [painting.provenance["key"] for painting in paintings] == list("01234")
    assert engine.paint([]) == []


def test_without_control_the_plain_pipeline_paints_from_the_prompt_alone(
    name: str, loaded: Loaded, group: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = loaded(name, without_control=True, per_object=True)
    spy = Spy(monkeypatch, PLAIN[name])
    first, second = engine.paint([with_words(order, "a cup") for order in group])
    assert difference(first, second) == 0 and "control_image" not in spy.calls[0]
    assert engine.provenance["control"] is None and engine.provenance["control_weights"] is None
    assert first.provenance["controls"] == {} and engine.provenance["pipelines"] == [PLAIN[name]]


def test_control_speaks_only_in_its_share_of_the_steps(name: str, loaded: Loaded, group: list[Order]) -> None:
    order = with_words(group[0], "a cup")
    silent, always = (loaded(name, **given).paint([order])[0] for given in ({"without_control": True}, {}))
    for start, end, speaks in [(0.6, 1.0, False), (0.0, 0.4, False), (0.5, 1.0, True), (0.0, 0.5, True)]:
        engine = loaded(name, control_start=start, control_end=end)
        painting = engine.paint([order])[0]
        assert (difference(painting, silent) > 0) == speaks and difference(painting, always) > 0
        assert engine.provenance["control"] == {"strength": 0.8, "start": start, "end": end}


@pytest.mark.slow
def test_the_strength_of_control_reaches_the_picture(name: str, loaded: Loaded, group: list[Order]) -> None:
    weak, strong = (loaded(name, control_strength=value).paint(group[:1])[0] for value in (0.1, 1.5))
    assert difference(weak, strong) > 1


def test_objects_are_repainted_far_to_near_each_with_its_own_words_and_mask(
    name: str, loaded: Loaded, group: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    strength = {} if name == "z-image" else {"strength": 0.5}  # Z-Image's pipeline has none, and the engine refuses it
    engine = loaded(name, per_object=True, **strength)
    spy = Spy(monkeypatch, BY_OBJECT[name])
    paintings = engine.paint(group)
    bowl, cup = 1, 0
    assert [call["prompt"] for call in spy.calls] == [
        [object_prompt(order.prompts, index) for order in group] for index in (bowl, cup)
    ]
    assert not any(re.search(r"\b(left|right)\b", text) for call in spy.calls for text in call["prompt"])
    for rank, call in enumerate(spy.calls):
        masks = [object_masks(order.passes, CANVAS)[rank][1] for order in group if order.passes]
        assert [hash_of(image) for image in call["mask_image"]] == [hash_of(mask_image(mask)) for mask in masks]
        assert call.get("strength") == (0.5 if name == "sdxl-controlnet" else None)
        assert not set(call["noise_seeds"]) & {order.seed for order in group}
    facts = paintings[0].provenance["objects"]
    assert [fact["object"] for fact in facts] == [bowl, cup]
    assert [fact["seed"] for fact in facts] == [call["noise_seeds"][0] for call in spy.calls]
    assert [fact["mask"] for fact in facts] == [hash_of(call["mask_image"][0]) for call in spy.calls]
    assert engine.provenance["pipelines"] == [WHOLE[name], BY_OBJECT[name]]


def test_repainting_objects_leaves_all_else_as_it_was(name: str, loaded: Loaded, group: list[Order]) -> None:
    order = group[0]
    assert order.passes is not None
    large = replace(order, passes=_enlarged(order))
    plain, touched = (loaded(name, per_object=by_object).paint([large])[0] for by_object in (False, True))
    assert large.passes is not None
    anywhere = np.logical_or.reduce([mask for _, mask in object_masks(large.passes, CANVAS)])
    changed = (plain.pixels != touched.pixels).any(axis=-1)
    assert changed.any() and not anywhere.all() and not changed[~anywhere].any()


def _enlarged(order: Order) -> Any:
    """Return geometry of the size that is painted, so that the picture is not scaled."""
    from datagen.passes import render_passes

    from .conftest import scene

    return render_passes(replace(scene(-0.5), width=64, height=64))


def test_provenance_says_all_that_decides_the_pixels(
    name: str, engine: Engine, settings_of: Settings, group: list[Order]
) -> None:
    shared, own = engine.provenance, engine.paint(group[:1])[0].provenance
    assert json.loads(json.dumps([shared, own])) == [shared, own]
    settings = settings_of(name)
    assert shared["engine"] == name and shared["pipelines"] == [WHOLE[name]]
    for key, folder in (("weights", Path(settings.model)), ("control_weights", Path(settings.control))):
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors"))
        assert sorted(shared[key]["sha256"]) == files and shared[key]["name"] == folder.name
    assert shared["control"] == {"strength": 0.8, "start": 0.0, "end": 1.0}
    assert shared["scheduler"]["class"].startswith(("Euler", "FlowMatchEuler"))
    assert shared["steps"] == 2 and shared["guidance"] == (5.0 if name == "sdxl-controlnet" else 0.0)
    assert {"diffusers", "torch", "transformers"} <= set(shared["versions"])
    assert (shared["batch_size"], shared["dtype"], shared["device"]) == (4, "float32", "cpu")
    assert own["key"] == group[0].key and own["seed"] == group[0].seed
    assert own["prompt"] == group[0].prompts.whole and own["negative_prompt"] == group[0].prompts.negative
    assert own["canvas"] == [64, 64] and all(len(value) == 32 for value in own["controls"].values())


def test_half_precision_paints(name: str, loaded: Loaded, group: list[Order]) -> None:
    engine = loaded(name, dtype="bfloat16")
    assert engine.provenance["dtype"] == "bfloat16" and engine.paint(group[:1])[0].pixels.std() > 5


def test_a_photo_without_geometry_is_refused(name: str, engine: Engine, group: list[Order]) -> None:
    photo = replace(group[0], key="p.jpg", passes=None, photo=np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(ConfigError, match=f"{name} paints from a scene's geometry, which p.jpg has not"):
        engine.paint([photo])


def test_engines_say_what_they_take() -> None:
    assert ENGINES["sdxl-controlnet"].takes == {"depth", "edge", "mask", "prompt"}
    assert ENGINES["z-image"].takes == {"depth", "mask", "prompt"}
    assert all(kind.licence and kind.seconds > 0 for kind in ENGINES.values())


def test_an_unknown_engine_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no engine is called 'sdxl-control'; did you mean 'sdxl-controlnet'"):
        load_engine(EngineSettings(name="sdxl-control"))
