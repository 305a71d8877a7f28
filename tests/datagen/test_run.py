"""Writing dataset folders: the same bytes for any layout, nothing lost by a kill, clear refusals."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest

from datagen.config import DatagenConfig
from datagen.run import generate
from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import ConfigError

SMALL = DatagenConfig(
    groups=6, groups_per_shard=2, image_size=48, supersample=1, workers=1, dense=True, relations=["left of", "right of"]
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = generate(replace(SMALL, out=str(tmp_path_factory.mktemp("data") / "whole")))
    return DatasetFolder(folder).content_hash()


def test_any_world_and_worker_count_gives_the_same_data(tmp_path: Path, whole: str) -> None:
    for rank in (1, 0):
        generate(replace(SMALL, out=str(tmp_path), world=2, rank=rank, workers=2))
    assert DatasetFolder(tmp_path).content_hash() == whole


def test_a_rank_that_never_came_back_is_made_up_for_by_any_other_layout(tmp_path: Path, whole: str) -> None:
    generate(replace(SMALL, out=str(tmp_path), world=5, rank=1))
    assert finished_shards(tmp_path) == {1} and not (tmp_path / "README.md").exists()
    generate(replace(SMALL, out=str(tmp_path), world=5, rank=4))
    assert finished_shards(tmp_path) == {1}
    generate(replace(SMALL, out=str(tmp_path)))
    assert DatasetFolder(tmp_path).content_hash() == whole and (tmp_path / "README.md").exists()


def test_the_bar_of_a_rank_counts_its_own_groups_and_not_what_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(replace(SMALL, out=str(tmp_path), world=2, rank=0))
    assert "4/4" in capsys.readouterr().err
    (tmp_path / "records" / "shard-00002.parquet").unlink()
    generate(replace(SMALL, out=str(tmp_path), world=2, rank=0))
    shown = capsys.readouterr().err
    assert "| 2/4 [00:00<?" in shown and "4/4" in shown


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path, whole: str) -> None:
    imports = "from datagen.config import *; from datagen.run import generate"
    code = f"{imports}; generate({replace(SMALL, out=str(tmp_path))!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not finished_shards(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("records/shard-*.parquet")}
    assert 0 < len(kept) < 3
    generate(replace(SMALL, out=str(tmp_path)))
    assert DatasetFolder(tmp_path).content_hash() == whole
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())


def test_another_seed_gives_other_data(tmp_path: Path, whole: str) -> None:
    assert DatasetFolder(generate(replace(SMALL, out=str(tmp_path), seed=1))).content_hash() != whole


def test_a_folder_of_another_config_is_refused(tmp_path: Path) -> None:
    generate(replace(SMALL, out=str(tmp_path), groups=2))
    with pytest.raises(ConfigError, match="seed"):
        generate(replace(SMALL, out=str(tmp_path), groups=2, seed=9))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": 0}, "groups must be at least 1"),
        ({"image_size": 1}, "image_size must be at least 32 pixels"),
        ({"split": "validation"}, "'train' or 'test'"),
        ({"distractors": -1}, "distractors must be in 0"),
        ({"rank": 2, "world": 2}, "rank must be in 0..1"),
        ({"statements": False, "dense": False}, "no record would be written"),
        ({"relations": ["lef of", "right of"]}, "did you mean 'left of'"),
        ({"contrasts": ["swop"]}, "did you mean 'swap'"),
        ({"weights": {"lef of": 1.0}}, "did you mean 'left of'"),
        ({"frames": "intrinsic"}, "frames must be 'agree' or 'viewer'"),
        ({"nouns": ["cub"]}, "did you mean 'cup'"),
        ({"nouns": ["vsr-zeroshoot"]}, "did you mean 'vsr-zeroshot'"),
        ({"nouns": ["unicorn"]}, "no object or set of nouns is called 'unicorn'; 'vsre objects' shows all"),
        (
            {"nouns": ["cup", "fork", "bowl"], "exclude_nouns": [], "relations": ["facing", "facing away from"]},
            "'facing' and 'facing away from': no two of the 3 nouns meet a face in split 'train'; leave the relation",
        ),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate(replace(SMALL, out=str(tmp_path / "new"), **change))
    assert not (tmp_path / "new").exists()


def test_a_full_disk_leaves_no_half_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        generate(replace(SMALL, out=str(tmp_path)))
    assert not finished_shards(tmp_path)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
