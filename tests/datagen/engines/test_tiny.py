"""The small painter behind the interface of engines: same orders, same pictures, and all of it in the provenance."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from datagen.assets import CORE
from datagen.config import EngineSettings
from datagen.engines.base import Order, Painting, Prompts
from datagen.engines.controls import Canvas, depth_control, edge_control, hash_of
from datagen.engines.registry import ENGINES, load_engine
from datagen.engines.tiny import TinyEngine, phrases
from encoders.painter import NOUNS, WEIGHTS, PainterPipeline, build_painter
from encoders.painter_inputs import Geometry, Words, control_maps
from spatial.errors import CheckpointError, ConfigError

from ...painters import mini

MINI = mini(64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("painter") / "own"
    build_painter(["cup", "bowl"], MINI).to(torch.float16).save_pretrained(place)
    return place


@pytest.fixture
def settings(folder: Path) -> EngineSettings:
    return EngineSettings(name="tiny-depth", model=str(folder), steps=2, batch_size=2, device="cpu")


@pytest.fixture
def engine(settings: EngineSettings) -> TinyEngine:
    loaded = load_engine(settings)
    assert isinstance(loaded, TinyEngine)
    return loaded


def same(one: Painting, two: Painting) -> bool:
    return bool((one.pixels == two.pixels).all())


def with_words(order: Order, whole: str = "", objects: tuple[str, ...] = ()) -> Order:
    prompts = order.prompts
    return replace(order, prompts=replace(prompts, whole=whole or prompts.whole, objects=objects or prompts.objects))


def test_a_painting_has_the_orders_size_and_is_the_same_every_time(engine: TinyEngine, group: list[Order]) -> None:
    order = group[0]
    first, again, other = engine.paint([order, order, replace(order, seed=order.seed + 1)])
    assert first.pixels.shape == (48, 48, 3) and first.pixels.dtype == np.uint8 and first.pixels.std() > 1
    assert same(first, again) and not same(first, other)


def test_a_batch_of_three_gives_what_three_batches_of_one_give(engine: TinyEngine, group: list[Order]) -> None:
    orders = [group[0], replace(group[1], seed=5), with_words(replace(group[1], seed=6), "a red bowl")]
    together = engine.paint(orders)
    alone = [engine.paint([order])[0] for order in orders]
    assert all(same(one, two) for one, two in zip(together, alone, strict=True))
    assert [painting.provenance for painting in together] == [painting.provenance for painting in alone]
    assert engine.paint([]) == []


def test_geometry_phrases_and_prompt_each_change_the_picture(engine: TinyEngine, group: list[Order]) -> None:
    order = with_words(group[0], "a cup")
    base, moved, recoloured, said = engine.paint(
        [
            order,
            replace(order, passes=group[1].passes),
            with_words(order, objects=("green cup", "blue bowl")),
            with_words(order, "a blue bowl"),
        ]
    )
    assert not any(same(base, other) for other in (moved, recoloured, said))
    assert base.provenance["seed"] == moved.provenance["seed"]
    assert base.provenance["controls"] != moved.provenance["controls"]


def test_words_beyond_its_vocabulary_say_nothing(engine: TinyEngine, group: list[Order]) -> None:
    plain, adorned = engine.paint(
        [
            with_words(group[0], "A red cup and a blue bowl."),
            with_words(group[0], "Photo of a red cup, a blue bowl, snow."),
        ]
    )
    assert same(plain, adorned)


def test_the_maps_are_those_that_training_reads(
    engine: TinyEngine, group: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = group[0].passes
    assert passes is not None
    seen: list[torch.Tensor] = []
    pipeline = engine.paint_batch.__self__.pipeline  # type: ignore[attr-defined]
    run = type(pipeline).__call__
    monkeypatch.setattr(type(pipeline), "__call__", lambda own, maps, *rest: seen.append(maps) or run(own, maps, *rest))
    engine.paint(group[:1])
    canvas = Canvas(64, 64)
    near = np.array(depth_control(passes, canvas).convert("L"))
    edges = np.array(edge_control(passes, canvas).convert("L")) > 0
    rows = [pipeline.words.row("cup", "red"), pipeline.words.row("bowl", "blue")]
    told = seen[0][0]
    assert torch.equal(
        told[:32], control_maps(Geometry(near, edges, np.full((64, 64), -1)), rows, len(pipeline.words))[:32]
    )
    painted = torch.nn.functional.pixel_shuffle(told[32:], 2)
    share = [(passes.ids == index).mean() for index in (0, 1)]
    for word, index in (("cup", 0), ("bowl", 1)):
        assert float(painted[pipeline.words.nouns.index(word)].mean()) == pytest.approx(share[index], abs=0.02)


def test_without_control_it_paints_from_the_prompt_alone(settings: EngineSettings, group: list[Order]) -> None:
    engine = load_engine(replace(settings, without_control=True))
    first, second = engine.paint([with_words(order, "a red cup", ("zebra", "kite")) for order in group])
    assert same(first, second) and first.provenance["controls"] == {}
    assert engine.provenance["control"] is None and engine.provenance["controls"] == []
    assert not same(first, load_engine(settings).paint([with_words(group[0], "a red cup")])[0])


PROMPTS = [
    ("Photo of a red cup and a blue bowl. The cup is left of the bowl.", ["red cup", "blue bowl"]),
    ("Photo of a red cup and a blue cup. The cup is left of the cup.", ["red cup", "blue cup"]),
    ("Photo of two red cups and a blue bowl. The bowl is behind the cup.", ["red cup", "red cup", "blue bowl"]),
    ("Photo of a cup and a bowl. The bowl is behind the cup.", ["cup", "bowl"]),
]


@pytest.mark.parametrize(("whole", "objects"), PROMPTS)
def test_the_prompt_has_a_phrase_for_each_object_as_in_training(whole: str, objects: list[str]) -> None:
    words = Words(["cup", "bowl"])
    found = phrases(words, Prompts(whole, tuple(objects)))
    assert sorted(row.tolist() for row in found) == sorted(words.object_row(phrase).tolist() for phrase in objects)


def test_the_prompt_is_the_same_with_control_and_without(
    settings: EngineSettings, group: list[Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[torch.Tensor] = []
    run = PainterPipeline.__call__
    monkeypatch.setattr(
        PainterPipeline, "__call__", lambda own, maps, words, *rest: told.append(words) or run(own, maps, words, *rest)
    )
    for without in (False, True):
        load_engine(replace(settings, without_control=without)).paint([with_words(group[0], PROMPTS[0][0])])
    assert torch.equal(*told) and int(told[0][0].any(dim=-1).sum()) == 2


def test_without_control_pictures_of_other_words_are_not_copies_of_each_other(
    settings: EngineSettings, group: list[Order]
) -> None:
    """The relation says nothing to it; with the same noise the two would be one picture, and fail as duplicates."""
    orders = [
        with_words(group[0], f"Photo of a red cup and a blue bowl. The cup is {side} of the bowl.")
        for side in ("left", "right")
    ]
    without = load_engine(replace(settings, without_control=True))
    one, other = without.paint(orders)
    assert not same(one, other) and one.provenance["seed"] == other.provenance["seed"] == group[0].seed
    assert one.provenance["noise_seed"] != other.provenance["noise_seed"]
    assert same(one, without.paint(orders[:1])[0])
    assert same(*load_engine(settings).paint([orders[0], replace(orders[0], prompts=orders[1].prompts)]))


def test_control_ceases_when_it_is_asked_to(settings: EngineSettings, group: list[Order]) -> None:
    always, half, silent = (
        load_engine(replace(settings, **given)).paint(group[:1])[0]
        for given in ({}, {"control_end": 0.5}, {"without_control": True})
    )
    assert not same(always, half) and not same(half, silent)


def test_provenance_tells_what_made_a_picture(engine: TinyEngine, folder: Path, group: list[Order]) -> None:
    told = engine.provenance
    path = folder / "unet" / WEIGHTS
    assert told["weights"] == {
        "name": "own",
        "revision": "",
        "sha256": {f"unet/{WEIGHTS}": hashlib.sha256(path.read_bytes()).hexdigest()},
    }
    assert told["engine"] == "tiny-depth" and told["steps"] == 2 and told["guidance"] >= 1
    assert told["scheduler"]["class"] == "DDIMScheduler" and told["scheduler"]["prediction_type"] == "sample"
    assert {"torch", "diffusers"} <= set(told["versions"]) and told["licence"] == "own: not stated"
    (painting,) = engine.paint(group[:1])
    order, passes = group[0], group[0].passes
    assert passes is not None
    assert painting.provenance["key"] == order.key and painting.provenance["seed"] == order.seed
    assert painting.provenance["objects"] == ["red cup", "blue bowl"]
    controls = painting.provenance["controls"]
    assert set(controls) == {"depth", "edge", "ids"}
    assert controls["depth"] == hash_of(depth_control(passes, Canvas(64, 64)))
    assert str(folder.parent) not in json.dumps([told, painting.provenance])


def test_another_scheduler_of_diffusers_can_walk(settings: EngineSettings, group: list[Order]) -> None:
    engine = load_engine(replace(settings, scheduler="DPMSolverMultistepScheduler"))
    assert engine.provenance["scheduler"]["class"] == "DPMSolverMultistepScheduler"
    paintings = engine.paint(group)
    assert not same(paintings[0], load_engine(settings).paint(group)[0])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"loras": ["some"]}, "engine.loras does nothing with tiny-depth; leave it away"),
        ({"control": "some"}, "engine.control does nothing with tiny-depth"),
        ({"control_strength": 0.5}, "engine.control_strength does nothing with tiny-depth"),
        ({"per_object": True}, "engine.per_object does nothing with tiny-depth"),
        ({"offload": "model"}, "engine.offload does nothing with tiny-depth"),
        ({"scheduler": "FlowMatchEulerDiscreteScheduler"}, "does not fit"),
        ({"scheduler": "PNDMScheduler"}, "does not fit tiny-depth"),
        ({"scheduler": "DDIMSchedular"}, "did you mean 'DDIMScheduler'"),
        ({"batch_size": 0}, "batch_size must be a positive number"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_before_any_work(
    settings: EngineSettings, changed: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_engine(replace(settings, **changed))  # type: ignore[arg-type]


def test_missing_weights_are_refused_before_any_work(settings: EngineSettings, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not exist.*vsre train"):
        load_engine(replace(settings, model=str(tmp_path / "nowhere")))
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        load_engine(replace(settings, model=str(tmp_path)))


def test_orders_that_it_cannot_paint_are_refused(engine: TinyEngine, group: list[Order]) -> None:
    with pytest.raises(ConfigError, match="no noun in 'green zebra'"):
        engine.paint([with_words(group[0], objects=("green zebra", "blue bowl"))])
    photo = np.zeros((48, 48, 3), np.uint8)
    with pytest.raises(ConfigError, match="geometry"):
        engine.paint([replace(group[0], passes=None, photo=photo)])


def test_the_shipped_painter_knows_the_core_nouns_of_renders() -> None:
    assert set(NOUNS) == set(CORE)
    assert ENGINES["tiny-depth"].takes == {"depth", "edge", "prompt"}
    assert ENGINES["tiny-depth"].default_model == "tiny-depth"
