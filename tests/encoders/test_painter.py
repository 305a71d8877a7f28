"""A painter of a few thousand weights, of diffusers' own classes: what it is told decides what it paints."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from encoders.painter import NOUNS, WEIGHTS, PainterPipeline, build_painter, load_painter
from encoders.painter_inputs import (
    MOST_PHRASES,
    Geometry,
    Words,
    control_maps,
    map_channels,
    prompt_rows,
    to_grid,
    to_pixels,
    without_words,
)
from spatial.errors import CheckpointError, ConfigError

from ..painters import mini

MINI = mini(32)
WORDS = Words(["cup", "dining table", "table"])
SIDE = 32


@pytest.fixture(scope="module")
def painter() -> PainterPipeline:
    built = build_painter(WORDS.nouns, MINI)
    built.unet.eval()
    return built


@pytest.fixture(scope="module")
def saved(painter: PainterPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("painter") / "model"
    painter.save_pretrained(folder)
    return folder


def geometry(left: int = 4, width: int = 10) -> Geometry:
    """Return a square near the viewer, in front of a floor that comes nearer downwards."""
    ids = np.full((SIDE, SIDE), -1)
    ids[8:20, left : left + width] = 0
    near = np.repeat(np.linspace(0, 200, SIDE)[:, None], SIDE, axis=1)
    near[ids == 0] = 255
    edges = (ids == 0) & (np.roll(ids, 1, axis=1) != 0)
    return Geometry(near.astype(np.uint8), edges, ids)


def maps_of(phrase: str = "red cup", left: int = 4) -> torch.Tensor:
    return control_maps(geometry(left), [WORDS.object_row(phrase)], len(WORDS))[None]


def prompt_of(text: str = "a red cup") -> torch.Tensor:
    return prompt_rows(WORDS.rows(text), len(WORDS))[None]


def paint(
    painter: PainterPipeline, maps: torch.Tensor, prompts: torch.Tensor, seed: int = 0, **given: object
) -> np.ndarray:
    generators = [torch.Generator().manual_seed(seed + index) for index in range(len(maps))]
    return painter(maps, prompts, generators, steps=2, **given)


def named(rows: list[np.ndarray]) -> list[set[str]]:
    known = [*WORDS.nouns, *WORDS.colours]
    return [{known[index] for index in np.flatnonzero(row)} for row in rows]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("A red cup is left of a blue dining table.", [{"cup", "red"}, {"dining table", "blue"}]),
        ("Photo of a cup and a table. The cup is on the table. Soft light.", [{"cup"}, {"table"}]),
        ("The cup that is red, two black tables", [{"cup"}, {"table", "black"}]),
        ("a hiccup in a cupboard, red light", []),
    ],
)
def test_a_prompt_is_its_nouns_with_their_colours(text: str, phrases: list[set[str]]) -> None:
    assert named(WORDS.rows(text)) == phrases


def test_an_object_that_has_no_known_noun_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no noun in 'a green giraffe'.*cup"):
        WORDS.object_row("a green giraffe")
    with pytest.raises(ConfigError, match="does not know 'pink'"):
        WORDS.row("cup", "pink")


def test_a_prompt_always_has_so_many_phrases() -> None:
    row = WORDS.row("cup", "red")
    for count in (0, 1, MOST_PHRASES, MOST_PHRASES + 3):
        prompt = prompt_rows([row] * count, len(WORDS))
        assert prompt.shape == (MOST_PHRASES, len(WORDS)) and prompt.sum() == 2 * min(count, MOST_PHRASES)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_pixels_survive_the_grid(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 8, 12, 3)).astype(np.uint8)
    assert (to_pixels(to_grid(pixels)) == pixels).all()


@given(st.integers(0, SIDE - 1), st.integers(1, SIDE))
@settings(max_examples=30, deadline=None)
def test_words_are_painted_into_the_mask_and_nowhere_else(left: int, width: int) -> None:
    drawn = geometry(left, width)
    maps = control_maps(drawn, [WORDS.row("table", "blue")], len(WORDS))
    assert maps.shape == (map_channels(len(WORDS)), 8, 8)
    painted = torch.nn.functional.pixel_shuffle(maps[32:], 2)
    told = {WORDS.nouns.index("table"), len(WORDS.nouns) + WORDS.colours.index("blue")}
    covered = (drawn.ids == 0).reshape(16, 2, 16, 2).mean((1, 3))
    for word in range(len(WORDS)):
        expected = covered if word in told else np.zeros_like(covered)
        assert np.allclose(painted[word], expected)


def test_words_are_taken_out_of_maps_and_shape_is_kept() -> None:
    maps = maps_of()
    bare = without_words(maps)
    assert torch.equal(bare[:, :32], maps[:, :32]) and not bare[:, 32:].any() and maps[:, 32:].any()


def test_a_seed_gives_one_picture_and_another_seed_another(painter: PainterPipeline) -> None:
    maps, prompt = maps_of(), prompt_of()
    first, again, other = (paint(painter, maps, prompt, seed) for seed in (1, 1, 2))
    assert first.shape == (1, SIDE, SIDE, 3) and first.dtype == np.uint8
    assert (first == again).all() and (first != other).any()


def test_what_it_is_told_changes_the_picture(painter: PainterPipeline) -> None:
    base = paint(painter, maps_of(), prompt_of())
    changed = {
        "place": (maps_of(left=16), prompt_of()),
        "an object's phrase": (maps_of("blue table"), prompt_of()),
        "the prompt": (maps_of(), prompt_of("a blue table")),
        "no control": (torch.zeros_like(maps_of()), prompt_of()),
    }
    for what, (maps, prompt) in changed.items():
        assert (paint(painter, maps, prompt) != base).any(), what


def test_a_picture_does_not_depend_on_its_neighbours(painter: PainterPipeline) -> None:
    maps, prompts = maps_of(), prompt_of()
    others = torch.cat([maps, maps_of("blue table", 16), maps_of("table", 20)]), prompts.expand(3, -1, -1)
    same = maps.expand(3, -1, -1, -1), prompts.expand(3, -1, -1)
    assert (paint(painter, *others)[0] == paint(painter, *same)[0]).all()


def test_control_speaks_only_in_its_share_of_the_steps(painter: PainterPipeline) -> None:
    maps, prompt = maps_of(), prompt_of()
    silent, always = paint(painter, torch.zeros_like(maps), prompt), paint(painter, maps, prompt)
    assert (paint(painter, maps, prompt, controlled=(0.1, 0.4)) == silent).all()
    for window in ((0.0, 0.5), (0.5, 1.0)):
        half = paint(painter, maps, prompt, controlled=window)
        assert (half != silent).any() and (half != always).any()


def test_guidance_of_one_asks_the_network_once_a_step(
    painter: PainterPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    forward = painter.unet.forward
    monkeypatch.setattr(painter.unet, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    plain = paint(painter, maps_of(), prompt_of(), guidance=1.0)
    assert len(calls) == 2
    guided = paint(painter, maps_of(), prompt_of(), guidance=3.0)
    assert len(calls) == 6 and (guided != plain).any()


def test_half_precision_survives_saving_and_loading(painter: PainterPipeline, tmp_path: Path) -> None:
    half = build_painter(WORDS.nouns, MINI)
    half.to(torch.float16).save_pretrained(tmp_path / "half")
    loaded = load_painter(tmp_path / "half")
    assert loaded.words.nouns == WORDS.nouns and loaded.words.colours == WORDS.colours and loaded.size == SIDE
    assert not loaded.unet.training
    for name, value in painter.unet.state_dict().items():
        assert torch.equal(loaded.unet.state_dict()[name], value.half().float()), name
    one, two = (paint(each, maps_of(), prompt_of()).astype(int) for each in (painter, loaded))
    assert abs(one - two).mean() < 1
    assert load_painter(tmp_path / "half", torch.float16).unet.dtype == torch.float16


def test_the_shipped_size_fits_eight_megabytes_in_half_precision() -> None:
    painter = build_painter()
    assert painter.size == 128 and len(painter.words.nouns) == len(NOUNS) == 16
    assert 2 * sum(parameter.numel() for parameter in painter.unet.parameters()) < 7.6e6


def _no_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def _another_pipeline(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionPipeline"}))


def _no_network(folder: Path) -> None:
    shutil.rmtree(folder / "unet")


def _cut_off(folder: Path) -> None:
    content = (folder / "unet" / WEIGHTS).read_bytes()
    (folder / "unet" / WEIGHTS).write_bytes(content[: len(content) // 2])


def _one_weight_less(folder: Path) -> None:
    tensors = load_file(folder / "unet" / WEIGHTS)
    tensors.pop("conv_out.weight")
    save_file(tensors, folder / "unet" / WEIGHTS)


def _more_words(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"nouns": index["nouns"] + ", bowl"}))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (shutil.rmtree, "does not exist"),
        (_no_index, "no model_index.json"),
        (_another_pipeline, "holds a StableDiffusionPipeline"),
        (_no_network, "cannot be loaded"),
        (_cut_off, "cannot be loaded"),
        (_one_weight_less, "lacks 1 weights, the first is conv_out.weight"),
        (_more_words, "not those of its words"),
    ],
)
def test_a_folder_that_is_no_whole_painter_is_refused_in_one_line(
    saved: Path, tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    folder = tmp_path / "harmed"
    shutil.copytree(saved, folder)
    harm(folder)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_painter(folder)
    assert "\n" not in str(caught.value) and "vsre train" in str(caught.value)
