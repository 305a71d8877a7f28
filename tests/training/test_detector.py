"""The detector learns from a dataset folder, also from things that are spoiled, and finds what it has learned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.render import observe_rendered, render
from encoders.detector import DetectorConfig, TinyDetector
from encoders.detector_decode import find
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import CheckpointError, ConfigError, RecordError
from spatial.records import ImageObject, ImageRow, encode_mask, encode_png, image_id_of
from spatial.scene import ObjectSpec, Scene
from training.callbacks import TimeLimit
from training.config import TrainConfig
from training.detector_data import Sight, Sights, Thing, sight_of
from training.detector_mishaps import SPOILS, disturb, flipped, removed, softened
from training.detector_targets import DetectorCollator
from training.photometric import weathered
from training.run import train

NOUNS = ["book", "cup"]
SIDE = 48


def picture(seed: int, cups: int = 1, books: int = 1) -> Sight:
    """Return square cups with a dark middle, and wide striped books, on a grey ground; they do not overlap."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(100, 120, (SIDE, SIDE, 3)).astype(np.uint8)
    things = []
    for place, noun in zip(rng.permutation(4), [1] * cups + [0] * books, strict=False):
        y, x = 2 + 23 * (place // 2), 2 + 23 * (place % 2)
        y, x = y + int(rng.integers(0, 5)), x + int(rng.integers(0, 3))
        mask = np.zeros((SIDE, SIDE), bool)
        mask[y : y + 12, x : x + (12 if noun else 18)] = True
        pixels[mask] = (220, 60, 40) if noun else (60, 80, 220)
        if noun:
            pixels[y + 4 : y + 8, x + 4 : x + 8] = 0
        else:
            pixels[y + 2 : y + 12 : 4, x : x + 18] = 255
        things.append(Thing(noun, mask))
    return Sight(pixels, tuple(things), np.zeros((SIDE // 2, SIDE // 2), np.float32), seed)


def row_of(sight: Sight, nouns: list[str] = NOUNS) -> ImageRow:
    objects = [
        ImageObject(nouns[it.noun], tuple(map(float, it.box)), "red", encode_mask(it.mask)) for it in sight.things
    ]
    side = len(sight.pixels)
    return ImageRow(image_id_of(sight.pixels), encode_png(sight.pixels), side, side, "render", tuple(objects))


def write_pictures(folder: Path, count: int) -> DatasetFolder:
    write_shard(folder, 0, [row_of(picture(seed, 1 + seed % 2, seed % 3)) for seed in range(count)], [])
    return DatasetFolder(folder)


def small_detector() -> TinyDetector:
    torch.manual_seed(0)
    return TinyDetector(DetectorConfig(nouns=NOUNS, image_size=SIDE, widths=[12, 16, 16, 24], blocks=1, neck=24))


@pytest.fixture(scope="module")
def taught() -> TinyDetector:
    """A small detector that has overfitted squares; whether its loss fell is asserted here."""
    model = small_detector().train()
    collate = DetectorCollator(2, weather=False)
    batches = [collate([picture(4 * part + i, 1 + i % 2, (i + part) % 3) for i in range(4)]) for part in range(12)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    losses = []
    for step in range(110):
        loss = model(**batches[step % len(batches)]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])
    return model.eval()


def look(model: TinyDetector, sight: Sight) -> list[tuple[int, tuple[float, ...], np.ndarray]]:
    pixels = torch.from_numpy(sight.pixels.copy()).permute(2, 0, 1)[None]
    return [(it.noun, it.box, it.mask) for it in find(model, pixels)[0][0] if it.score > 0.3]


def test_it_finds_what_it_has_learned(taught: TinyDetector) -> None:
    for seed in range(100, 106):
        sight = picture(seed)
        found = look(taught, sight)
        assert sorted(noun for noun, _, _ in found) == sorted(thing.noun for thing in sight.things)
        for noun, box, mask in found:
            thing = next(thing for thing in sight.things if thing.noun == noun)
            assert (mask & thing.mask).sum() > 0.6 * (mask | thing.mask).sum()
            assert np.abs(np.array(box) - thing.box).max() < 4


def test_two_of_a_noun_are_two_things_with_two_masks(taught: TinyDetector) -> None:
    for seed in range(200, 204):
        sight = picture(seed, cups=2, books=0)
        found = look(taught, sight)
        assert [noun for noun, _, _ in found] == [1, 1]
        assert not (found[0][2] & found[1][2]).any()


def test_an_empty_picture_has_nothing_in_it(taught: TinyDetector) -> None:
    assert look(taught, picture(300, cups=0, books=0)) == []


def test_a_dataset_folder_trains_a_detector_and_a_finished_one_is_kept(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data", 6)
    config = TrainConfig(
        model="",
        data=[str(tmp_path / "data")],
        out=str(tmp_path / "out"),
        stage="detector",
        trainer={"per_device_train_batch_size": 3, "max_steps": 3, "save_steps": 2, "report_to": "none"},
    )
    model = TinyDetector.from_pretrained(train(config))
    assert model.config.nouns == NOUNS and model.config.image_size == SIDE
    written = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert (train(config) / "model.safetensors").read_bytes() == written
    further = train(replace(config, model=str(tmp_path / "out"), out=str(tmp_path / "further")))
    assert (further / "model.safetensors").read_bytes() != written


@pytest.mark.slow
def test_a_run_that_was_cut_short_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path / "data", 6)
    trainer = {"per_device_train_batch_size": 3, "max_steps": 5, "save_steps": 3, "report_to": "none"}
    config = TrainConfig("", [str(tmp_path / "data")], str(tmp_path / "whole"), stage="detector", trainer=trainer)
    whole, broken = train(config), replace(config, out=str(tmp_path / "broken"))
    with monkeypatch.context() as patched:
        stock = TimeLimit.on_step_end

        def interrupt(self: TimeLimit, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            stock(self, args, state, control, **kwargs)
            if state.global_step == 4:
                raise KeyboardInterrupt

        patched.setattr(TimeLimit, "on_step_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(broken)
    assert not (tmp_path / "broken" / "model.safetensors").exists()
    assert (train(broken) / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_only_this_stage_starts_from_nothing(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        train(replace(config, model=str(tmp_path / "no"), stage="detector"))
    with pytest.raises(ConfigError, match="stage 'align' needs a 'model'"):
        train(replace(config, model="", stage="align"))


def test_other_nouns_sizes_and_missing_masks_are_refused(tmp_path: Path) -> None:
    folders = [write_pictures(tmp_path / "data", 2)]
    with pytest.raises(RecordError, match="which the detector does not know"):
        sight_of(row_of(picture(0)), ["dog", "cup"])
    bare = row_of(picture(0))
    bare = replace(bare, objects=(replace(bare.objects[0], mask_rle=""),))
    with pytest.raises(RecordError, match="which has no mask"):
        sight_of(bare, NOUNS)
    with pytest.raises(RecordError, match="render with image_size 128"):
        Sights(folders, NOUNS, 128)
    last = replace(row_of(picture(7)), objects=(replace(row_of(picture(7)).objects[0], name="zebra"),))
    write_shard(tmp_path / "data", 1, [last], [])
    with pytest.raises(RecordError, match=r"shows zebra, which the detector does not know.*: book, cup$"):
        Sights([DatasetFolder(tmp_path / "data")], NOUNS, SIDE)


def test_draws_depend_on_seed_epoch_and_place_alone(tmp_path: Path) -> None:
    folders = [write_pictures(tmp_path / "data", 4)]
    one, other = Sights(folders, NOUNS, SIDE, disturb, 0), Sights(folders, NOUNS, SIDE, disturb, 0)
    one[3], one[0]  # what was drawn before does not matter
    for index in (1, 3):
        assert np.array_equal(one[index].pixels, other[index].pixels) and one[index].seed == other[index].seed
    other.set_epoch(1)
    assert one[1].seed != other[1].seed


def test_depths_are_those_of_the_render() -> None:
    """The floor's and the wall's are planes; a thing's are within a tenth of its mesh's, the median the table's."""
    specs = (
        ObjectSpec("suitcase", "red", (-0.5, 0.0, 0.0), (0.4, 0.3, 0.6), 20.0),
        ObjectSpec("bus", "blue", (0.6, 0.8, 0.0), (0.5, 1.2, 0.5), 70.0),
    )
    scene = Scene(specs)
    drawn = render(scene)
    seen = observe_rendered(scene, drawn).objects
    objects = tuple(
        ImageObject(it.name, it.box, "red", encode_mask(it.mask), it.depth[1])
        for it in seen
        if it.mask is not None and it.depth
    )
    row = ImageRow("", encode_png(drawn.rgb), 128, 128, "render", objects, scene.scene_id, scene.canonical_json())
    sight = sight_of(row, ["bus", "suitcase"])
    truth, guess = drawn.depth[::2, ::2], np.exp(sight.log_depth)
    floor = (drawn.ids[::2, ::2] < 0) & (truth < 10)
    assert np.abs(guess / truth - 1)[floor].max() < 0.1
    for index, item in enumerate(objects):
        own = drawn.ids[::2, ::2] == index
        assert np.abs(guess / truth - 1)[own].mean() < 0.05
        assert np.median(guess[own]) == pytest.approx(item.depth, rel=0.05)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_mishaps_leave_masks_apart_and_in_the_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sight = disturb(picture(seed, 1 + seed % 2, seed % 3), lambda: picture(seed + 1), rng)
    assert sight.pixels.shape == (SIDE, SIDE, 3) and sight.pixels.dtype == np.uint8
    certain = [thing.mask for thing in sight.things if thing.certain]
    assert all(mask.any() for mask in certain)
    assert np.sum(certain, axis=0).max(initial=0) <= 1
    known = np.isfinite(sight.log_depth)
    assert (sight.log_depth[known] == 0).all()


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_spoiled_thing_is_no_thing_and_the_rest_is_untouched(spoil: object) -> None:
    before = picture(5, cups=2, books=1)
    victim = before.things[0]
    after = spoil(before, 0, lambda: picture(6, cups=0), np.random.default_rng(0))  # type: ignore[operator]
    kept = [thing for thing in after.things if np.array_equal(thing.mask, before.things[1].mask)]
    assert len(kept) == 1 and [thing.noun for thing in after.things].count(1) == 1
    assert (after.pixels != before.pixels)[victim.mask].any(axis=-1).mean() > 0.5
    x0, y0, x1, y1 = victim.box
    far = np.ones((SIDE, SIDE), bool)
    far[max(y0 - 10, 0) : y1 + 10, max(x0 - 10, 0) : x1 + 10] = False
    assert np.array_equal(after.pixels[far], before.pixels[far])
    assert np.isnan(after.log_depth[victim.mask[::2, ::2]]).all()


def test_a_softened_thing_keeps_its_outline_and_loses_its_detail() -> None:
    before = picture(11, cups=1, books=1)
    after = softened(before, np.random.default_rng(0))
    assert after.things == before.things
    assert np.array_equal(after.pixels[~before.covered], before.pixels[~before.covered])
    for thing in before.things:
        assert after.pixels[thing.mask].std(axis=0).sum() < before.pixels[thing.mask].std(axis=0).sum()
        assert np.abs(after.pixels[thing.mask].mean(0) - before.pixels[thing.mask].mean(0)).max() < 25


def test_a_removed_thing_leaves_background() -> None:
    after = removed(picture(7, cups=1, books=0), 0, lambda: picture(8), np.random.default_rng(0))
    assert after.things == () and after.pixels.min() >= 95 and after.pixels.max() <= 125


def test_what_is_mostly_hidden_is_left_undecided() -> None:
    sight = picture(9, cups=1, books=0)
    hidden = replace(sight, things=(replace(sight.things[0], certain=False),))
    batch = DetectorCollator(2, weather=False)([hidden])
    assert len(batch["row_cell"]) == 0 and batch["heat"].max() == 0 and batch["box_weight"].max() == 0
    assert batch["heat_weight"][0, 0].min() == 1 and batch["heat_weight"][0, 1].min() == 0
    assert torch.isfinite(small_detector()(**batch).loss)


def test_a_centre_is_in_the_middle_of_its_box_also_in_the_mirror() -> None:
    sight = picture(10, cups=1, books=1)
    for shown in (sight, flipped(sight)):
        batch = DetectorCollator(2, weather=False)([shown])
        for thing in shown.things:
            x0, y0, x1, y1 = thing.box
            place = (batch["heat"][0, thing.noun] == 1).nonzero().tolist()
            assert place == [[int((y0 + y1) / 8), int((x0 + x1) / 8)]]
            assert batch["box"][0, :, place[0][0], place[0][1]].tolist() == list(thing.box)
    double = flipped(flipped(sight))
    assert np.array_equal(double.pixels, sight.pixels) and double.things[0].box == sight.things[0].box


def test_weather_is_decided_by_its_seed_and_changes_every_picture() -> None:
    pixels = torch.from_numpy(np.stack([picture(seed).pixels for seed in range(6)])).permute(0, 3, 1, 2)
    one, same, other = weathered(pixels, 1), weathered(pixels, 1), weathered(pixels, 2)
    assert one.dtype == torch.uint8 and one.shape == pixels.shape
    assert torch.equal(one, same)
    assert all((a != b).any() and (a != c).any() for a, b, c in zip(one, other, pixels, strict=True))
