"""Folders are shown as often as their weights say, in every epoch alike, whatever process or worker asks."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import ConfigError
from tests.training.test_resume import KILL_AT_STEP_5
from training.config import TrainConfig
from training.examples import Examples
from training.mixing import Mixture, folder_weights
from training.run import check, train


@pytest.fixture(scope="session")
def halves(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The images of ``data`` in two folders of 10 and 6."""
    whole = DatasetFolder(data)
    images = list(whole.images.values())
    folders = []
    for rows in (images[:10], images[10:]):
        folder = tmp_path_factory.mktemp("part")
        kept = {row.image_id for row in rows}
        write_shard(folder, 0, rows, [record for record in whole.records if record.image_id in kept])
        folders.append(folder)
    return folders[0], folders[1]


def examples(folders: tuple[Path, ...], shares: list[float] | None, seed: int = 0) -> Examples:
    return Examples([DatasetFolder(path).record_set() for path in folders], 3, seed=seed, shares=shares)


parts = st.lists(st.tuples(st.integers(1, 30), st.floats(0.05, 5)), min_size=1, max_size=4)


@given(parts, st.integers(0, 5))
def test_an_epoch_shows_the_rounded_product_of_each_part_as_evenly_as_can_be(
    given: list[tuple[int, float]], epoch: int
) -> None:
    mixture = Mixture([count for count, _ in given], [weight for _, weight in given], seed=3)
    shown = [mixture.image(item, epoch) for item in range(len(mixture))]
    start = 0
    for count, weight in given:
        of_part = Counter(image for image in shown if start <= image < start + count)
        assert abs(sum(of_part.values()) - weight * count) <= 0.5
        assert all(int(weight) <= of_part[image] <= int(weight) + 1 for image in range(start, start + count)) or (
            set(of_part.values()) <= {sum(of_part.values()) // count, sum(of_part.values()) // count + 1}
        )
        start += count
    assert len(shown) == sum(mixture.shown)


def test_a_half_is_another_half_in_each_epoch_and_the_same_again_for_the_same_seed() -> None:
    def half(seed: int, epoch: int) -> list[int]:
        mixture = Mixture([40], [0.5], seed)
        return [mixture.image(item, epoch) for item in range(len(mixture))]

    assert len(set(half(0, 0))) == 20
    assert half(0, 0) == half(0, 0) != half(0, 1) and half(1, 0) != half(0, 0)
    mixture = Mixture([40], [0.5], 0)  # whatever was asked before
    assert [mixture.image(item, epoch) for epoch in (1, 0) for item in range(20)] == half(0, 1) + half(0, 0)


def test_a_weight_of_two_shows_each_image_twice_with_draws_of_its_own(halves: tuple[Path, Path]) -> None:
    shown = examples(halves, [2.0, 1.0])
    assert len(shown) == 26
    items = [shown[index] for index in range(26)]
    assert Counter(Counter(item.image_id for item in items).values()) == {2: 10, 1: 6}
    twice = [(items[index].prompts, items[index + 10].prompts) for index in range(10)]
    assert all(items[index].image_id == items[index + 10].image_id for index in range(10))
    assert sum(first != second for first, second in twice) > 5
    assert len(shown.image_ids) == 16


def test_a_list_is_a_weight_of_one(halves: tuple[Path, Path]) -> None:
    listed, weighed = examples(halves, None), examples(halves, [1.0, 1.0])
    assert [listed[index] for index in range(16)] == [weighed[index] for index in range(16)]
    assert folder_weights(["a", "b"]) is None and folder_weights({"a": 2, "b": 0.5}) == [2.0, 0.5]


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_that_outlive_an_epoch_show_what_one_process_shows(halves: tuple[Path, Path], workers: int) -> None:
    shown = examples(halves, [0.5, 1.5])
    loader: DataLoader[Any] = DataLoader(shown, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
    for epoch in range(3):
        shown.set_epoch(epoch)
        alone = examples(halves, [0.5, 1.5])
        alone.set_epoch(epoch)
        assert [item.image_id for item in loader] == [alone[index].image_id for index in range(len(alone))]


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), "much", True])
def test_a_weight_that_is_no_positive_number_is_refused(config: TrainConfig, weight: Any) -> None:
    with pytest.raises(ConfigError, match="give a number above 0, or remove the folder"):
        check(replace(config, data={next(iter(config.data)): weight}))


def test_a_folder_that_would_not_be_shown_is_refused(halves: tuple[Path, Path], config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"folder 2 of 'data' has 6 images .* at weight 0.05 an epoch shows none"):
        examples(halves, [1.0, 0.05])
    with pytest.raises(ConfigError, match="stage 'towers' shows every image once"):
        check(replace(config, stage="towers", data={str(halves[0]): 2.0}))


@pytest.mark.slow
def test_a_weighed_run_says_so_and_resumes_bit_by_bit(
    config: TrainConfig,
    halves: tuple[Path, Path],
    tmp_path: Path,
    train_elsewhere: Callable[..., tuple[int, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    # 5 + 12 images make three steps an epoch of 8 each: the kill at step 5 falls into the second epoch.
    weighed = replace(config, data={str(halves[0]): 0.5, str(halves[1]): 2.0})
    whole = train(replace(weighed, out=str(tmp_path / "whole")))
    shown = " ".join(capsys.readouterr().err.split())
    assert "17 images an epoch: 5 of" in shown and "(10 x 0.5), 12 of" in shown and "(6 x 2)" in shown
    broken = replace(weighed, out=str(tmp_path / "broken"))
    code, output = train_elsewhere(broken, before=KILL_AT_STEP_5)
    assert code == -9, output
    with pytest.raises(ConfigError, match=r"another config \(data\)"):
        train(replace(broken, data=dict(reversed(broken.data.items()))))  # type: ignore[union-attr]
    resumed = train(broken)
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert json.loads((resumed / "training.json").read_text())["config"]["data"] == [
        [str(halves[0]), 0.5],
        [str(halves[1]), 2.0],
    ]


@pytest.mark.slow
def test_features_are_cached_once_for_images_that_are_shown_twice(
    config: TrainConfig, halves: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = config.trainer | {"max_steps": 6}
    weighed = replace(config, stage="align", features="auto", trainer=trainer)
    train(replace(weighed, data={str(halves[0]): 2.0, str(halves[1]): 1.0}, feature_cache=str(tmp_path / "kept")))
    assert "features: cached: each image is seen 3.0 times" in capsys.readouterr().out
    assert list((tmp_path / "kept").glob("clip-*/*.safetensors"))
