"""A painter learns from renders and their control maps, and then paints what it is told, where it is told."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from encoders.painter import PainterPipeline, build_painter, load_painter
from encoders.painter_inputs import Geometry, Words, control_maps, prompt_rows
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import CheckpointError, ConfigError, RecordError
from spatial.records import ImageObject, ImageRow, encode_png, image_id_of
from training import painter as painter_room
from training.config import TrainConfig
from training.painter import PASSES, Example, PaintedScenes, PainterCollator, PainterTask
from training.run import train
from training.throughput import Throughput

from ..painters import mini
from .test_resume import KILL_AT_STEP_5

MINI = mini(32)
SIDE = 32
SHADES = {"red": (210, 30, 30), "blue": (30, 40, 210)}
WORDS = Words(["cup"])


def geometry(rng: np.random.Generator) -> Geometry:
    """Return a square somewhere on a flat floor."""
    ids = np.full((SIDE, SIDE), -1)
    y, x = rng.integers(2, 16, 2)
    ids[y : y + 12, x : x + 12] = 0
    return Geometry(np.where(ids == 0, 250, 80).astype(np.uint8), ids == 0, ids)


def write_squares(folder: Path, count: int = 16) -> TrainConfig:
    """Write red and blue squares, called cups, with their control maps; return settings to train on them."""
    rows = []
    for index in range(count):
        rng = np.random.default_rng(index)
        colour, drawn = list(SHADES)[index % 2], geometry(rng)
        pixels = rng.integers(120, 136, (SIDE, SIDE, 3)).astype(np.uint8)
        pixels[drawn.ids == 0] = SHADES[colour]
        image_id = image_id_of(pixels)
        cup = ImageObject("cup", (0, 0, 1, 1), colour)
        rows.append(ImageRow(image_id, encode_png(pixels), SIDE, SIDE, "render", (cup,)))
        maps = (drawn.near, drawn.edges * 255, drawn.ids + 1)
        for name, values in zip(PASSES, maps, strict=True):
            (folder / "controls" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(folder / "controls" / name / f"{image_id}.png")
    write_shard(folder / "data", 0, rows, [])
    build_painter(["cup"], MINI).save_pretrained(folder / "start")
    return TrainConfig(
        model=str(folder / "start"),
        data=[str(folder / "data")],
        controls=str(folder / "controls"),
        out=str(folder / "out"),
        stage="painter",
        trainer={
            "per_device_train_batch_size": 8,
            "max_steps": 8,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "save_steps": 3,
            "report_to": "none",
        },
    )


def painted(painter: PainterPipeline, colour: str, drawn: Geometry, controlled: bool = True) -> np.ndarray:
    row = WORDS.row("cup", colour)
    maps = control_maps(drawn, [row], len(WORDS))[None] * controlled
    prompt = prompt_rows([row], len(WORDS))[None]
    return painter(maps, prompt, [torch.Generator().manual_seed(3)], steps=6)[0]


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_it_learns_to_paint_what_where_it_is_told(tmp_path: Path) -> None:
    config = write_squares(tmp_path, 24)
    out = train(replace(config, trainer=config.trainer | {"max_steps": 100, "save_steps": 1000}))
    log = losses(out)
    assert np.mean(log[-20:]) < 0.25 * np.mean(log[:3])
    painter, drawn = load_painter(out), geometry(np.random.default_rng(99))
    for colour, other in (("red", "blue"), ("blue", "red")):
        picture = painted(painter, colour, drawn).astype(float)
        inside, outside = picture[drawn.ids == 0].mean(0), picture[drawn.ids < 0].mean(0)
        distances = {name: np.abs(inside - shade).mean() for name, shade in SHADES.items()}
        assert distances[colour] < 40 < distances[other]
        assert np.abs(outside - 128).mean() < 25


@pytest.mark.slow
def test_a_killed_run_ends_where_an_uninterrupted_one_ends(
    tmp_path: Path, train_elsewhere: Callable[..., tuple[int, str]]
) -> None:
    config = write_squares(tmp_path)
    whole = train(replace(config, out=str(tmp_path / "whole")))
    code, output = train_elsewhere(replace(config, out=str(tmp_path / "broken")), before=KILL_AT_STEP_5)
    assert code == -9, output
    resumed = train(replace(config, out=str(tmp_path / "broken")))
    name = "unet/diffusion_pytorch_model.safetensors"
    assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert losses(resumed) == losses(whole)


def test_a_finished_run_is_not_done_again_and_another_start_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_squares(tmp_path)
    train(config)
    train(config)
    assert "already trained" in capsys.readouterr().out
    build_painter(["cup"], MINI, seed=1).save_pretrained(tmp_path / "start")
    with pytest.raises(ConfigError, match="another model"):
        train(config)


def test_the_pictures_of_a_last_batch_are_counted_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(Throughput, "add", lambda self, batch, statements: counted.append(int(statements)))
    config = write_squares(tmp_path, 5)
    train(replace(config, trainer=config.trainer | {"max_steps": 2, "per_device_train_batch_size": 4}))
    assert counted == [4, 1]


def test_without_a_checkpoint_the_shipped_size_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_squares(tmp_path)
    monkeypatch.setattr(painter_room, "build_painter", lambda seed: build_painter(["cup"], MINI, seed))
    out = train(replace(config, model="", trainer=config.trainer | {"max_steps": 1}))
    assert load_painter(out).words.nouns == ("cup",)
    assert json.loads((out / "training.json").read_text())["model"] == ""


def test_what_is_left_out_is_drawn_anew_in_every_epoch_but_not_in_every_reading(tmp_path: Path) -> None:
    config = write_squares(tmp_path)
    scenes = PaintedScenes([DatasetFolder(config.data[0])], Path(config.controls), WORDS, SIDE)
    collate = PainterCollator(WORDS)

    def epoch(number: int) -> list[dict[str, torch.Tensor]]:
        scenes.set_epoch(number)
        return [collate([scenes[index]]) for index in range(len(scenes))]

    first, again, other = epoch(0), epoch(0), epoch(1)
    assert all(torch.equal(one[key], two[key]) for one, two in zip(first, again, strict=True) for key in one)
    assert any(not torch.equal(one["maps"], two["maps"]) for one, two in zip(first, other, strict=True))


def test_workers_that_outlive_an_epoch_draw_for_the_next_one(tmp_path: Path) -> None:
    config = write_squares(tmp_path, 2)
    scenes = PaintedScenes([DatasetFolder(config.data[0])], Path(config.controls), WORDS, SIDE)
    loader: DataLoader[Any] = DataLoader(scenes, batch_size=None, num_workers=1, persistent_workers=True)
    for epoch in range(2):
        scenes.set_epoch(epoch)
        assert {example.seed[1] for example in loader} == {epoch}


def test_maps_and_words_are_left_out_now_and_then_and_never_half() -> None:
    drawn = geometry(np.random.default_rng(0))
    pixels = np.full((SIDE, SIDE, 3), 128, np.uint8)
    row = ImageRow("i", encode_png(pixels), SIDE, SIDE, "render", (ImageObject("cup", (0, 0, 1, 1), "red"),))
    batch = PainterCollator(WORDS)([Example(row, drawn, (0, 0, index)) for index in range(400)])
    shape, painted_words = batch["maps"][:, :32].flatten(1).any(1), batch["maps"][:, 32:].flatten(1).any(1)
    named, weighed = batch["prompts"].flatten(1).any(1), (batch["weights"] > 1).flatten(1).any(1)
    assert torch.equal(shape, weighed) and not (painted_words & ~shape).any()
    assert float(1 - shape.float().mean()) == pytest.approx(painter_room.NO_MAPS, abs=0.06)
    wordless = shape & ~painted_words
    assert float(wordless.float().mean()) == pytest.approx(painter_room.NO_WORDS, abs=0.04)
    assert wordless.any() and not (named & wordless).any()
    assert (named & ~shape).any() and (painted_words & ~named).any()
    colours = batch["prompts"][:, :, 1:].sum((1, 2)) > 0
    assert 0.03 < 1 - colours[named].float().mean() < 0.2


def test_the_loss_of_a_perfect_painter_is_nothing() -> None:
    class Knows(torch.nn.Module):
        def forward(self, told: torch.Tensor, time: torch.Tensor, encoder_hidden_states: torch.Tensor) -> object:
            return type("Out", (), {"sample": torch.full_like(told[:, :48], 0.25)})

    painter = build_painter(["cup"], MINI)
    painter.unet = Knows()
    grid = torch.full((4, 48, 8, 8), 0.25)
    given = {"maps": torch.zeros(4, 1, 8, 8), "prompts": torch.zeros(4, 8, 9), "weights": torch.ones(4, 48, 8, 8)}
    task = PainterTask(painter)
    assert task(grid, **given)["loss"] == 0
    torch.manual_seed(0)
    plain = task(grid + 0.5, **given)["loss"]
    torch.manual_seed(0)
    given["weights"] = given["weights"] * 7
    assert plain > 0.24 and torch.allclose(task(grid + 0.5, **given)["loss"], plain)


def test_data_without_control_maps_is_refused_with_the_command_that_draws_them(tmp_path: Path) -> None:
    config = write_squares(tmp_path)
    with pytest.raises(ConfigError, match=r"needs control maps.*'controls'"):
        train(replace(config, controls=""))
    next((tmp_path / "controls" / "ids").glob("*.png")).unlink()
    with pytest.raises(RecordError, match=r"lacks 1 of 16 images.*vsre passes DATA --passes inverse_depth,edges,ids"):
        train(config)


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (ImageObject("zebra", (0, 0, 1, 1), "red"), "things of name zebra, which the painter does not know.*: cup$"),
        (ImageObject("cup", (0, 0, 1, 1), "mauve"), "things of colour mauve, which the painter does not know.*red"),
    ],
)
def test_words_that_it_does_not_know_are_refused_before_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thing: ImageObject, said: str
) -> None:
    config = write_squares(tmp_path)
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    row = ImageRow(image_id_of(pixels), encode_png(pixels), SIDE, SIDE, "render", (thing,))
    write_shard(tmp_path / "data", 1, [row], [])
    for name in PASSES:
        Image.fromarray(pixels[:, :, 0]).save(tmp_path / "controls" / name / f"{row.image_id}.png")
    monkeypatch.setattr(PaintedScenes, "__getitem__", lambda *_: pytest.fail("training has begun"))
    with pytest.raises(RecordError, match=said):
        train(config)


def test_images_of_another_size_and_broken_maps_are_refused(tmp_path: Path) -> None:
    config = write_squares(tmp_path)
    for path in (tmp_path / "controls" / "edges").glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(RecordError, match="cannot be read"):
        train(config)
    for path in (tmp_path / "controls" / "edges").glob("*.png"):
        Image.new("L", (16, 16)).save(path)
    with pytest.raises(RecordError, match="is 16x16; the painter needs 32 pixels"):
        train(config)


def test_a_start_that_is_no_painter_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    squares = write_squares(tmp_path)
    with pytest.raises(CheckpointError, match=r"no model_index\.json"):
        train(replace(squares, model=config.model))
