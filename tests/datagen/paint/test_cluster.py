"""Painting on Ray: any number of workers, also ones that are killed, make the data that one process makes."""

import contextlib
import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datagen.config import DatagenConfig, ScaleSettings
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts
from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import CheckpointError, ConfigError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Start Ray on this machine once; a run joins the Ray that its process has."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=6, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()


def rows_of(folder: Path) -> list[tuple[str, str]]:
    """Return image and record identifiers of all rows of a folder and of what it rejected, repeated as they are."""
    found = []
    for kind, part in (("accepted", folder), ("rejected", folder / "rejected")):
        data = DatasetFolder(part)
        for shard in sorted(finished_shards(part)):
            for table, name in (("images", "image_id"), ("records", "record_id")):
                found += [(kind, value) for value in data.read_column(shard, table, name)]
    return sorted(found)


def test_one_worker_makes_what_a_process_without_ray_makes(
    ray: Any, small: DatagenConfig, parts: Parts, painted: Path
) -> None:
    folder = run_painted(replace(small, scale=ScaleSettings(by="ray")), parts)
    assert folder and rows_of(folder) == rows_of(painted)
    assert (folder / "README.md").is_file() and (folder / "yield.json").is_file()


def test_two_workers_accept_what_one_accepts(ray: Any, small: DatagenConfig, parts: Parts, tmp_path: Path) -> None:
    made = []
    for workers in (1, 2):
        scale = ScaleSettings(by="ray", painters=workers, verifiers=workers)
        out = str(tmp_path / f"by-{workers}")
        made.append(run_painted(replace(small, out=out, groups_per_shard=1, scale=scale), parts))
    one, two = (rows_of(folder) for folder in made if folder)
    assert one == two and any(kind == "accepted" for kind, _ in one)


def test_workers_that_are_killed_at_random_lose_and_repeat_nothing(
    ray: Any, small: DatagenConfig, parts: Parts, tmp_path: Path
) -> None:
    desks = {name: tmp_path / "desks" / name for name in ("painters", "verifiers")}
    for desk in desks.values():
        desk.mkdir(parents=True)
    config = replace(small, groups_per_shard=1)
    undisturbed = run_painted(replace(config, out=str(tmp_path / "undisturbed")), parts)
    # Pauses, and desks where workers sign in, change no picture.
    slow = replace(
        config,
        engine=replace(config.engine, model=str(desks["painters"]), steps=500),
        verify=replace(config.verify, safety=str(desks["verifiers"]), judges=["reader"], tuned="0.5"),
        scale=ScaleSettings(by="ray", painters=2, verifiers=2),
    )
    killed: dict[str, list[int]] = {name: [] for name in desks}
    done = threading.Event()
    killer = threading.Thread(target=kill_some, args=(desks, killed, done))
    killer.start()
    try:
        made = run_painted(slow, parts)
    finally:
        done.set()
        killer.join()
    for name, desk in desks.items():
        assert len(killed[name]) == KILLED, f"{name} were killed"
        assert len(list(desk.iterdir())) > 2, f"{name} were started again"
    assert undisturbed and made and hashes(made) == hashes(undisturbed)
    assert rows_of(made) == rows_of(undisturbed)


def hashes(folder: Path) -> list[str]:
    """Return the content hashes of a folder and of what it rejected."""
    return [DatasetFolder(part).content_hash() for part in (folder, folder / "rejected")]


KILLED = 2
"""Workers of either kind that are killed."""


def kill_some(desks: dict[str, Path], killed: dict[str, list[int]], done: threading.Event) -> None:
    """Kill workers that signed in, painters and verifiers, at random moments."""
    choice = random.Random(0)
    while not done.wait(choice.uniform(0.2, 1.5)):
        alive = [
            (name, int(path.name))
            for name, desk in desks.items()
            for path in desk.iterdir()
            if len(killed[name]) < KILLED and int(path.name) not in killed[name]
        ]
        if alive:
            name, victim = choice.choice(alive)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                killed[name].append(victim)


def test_relative_paths_are_those_of_where_the_run_was_started(
    ray: Any, small: DatagenConfig, parts: Parts, painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "desk").mkdir()
    engine = replace(small.engine, model="desk")
    folder = run_painted(replace(small, out="data", engine=engine, scale=ScaleSettings(by="ray")), parts)
    assert folder == tmp_path / "data" and rows_of(folder) == rows_of(painted)
    assert list((tmp_path / "desk").iterdir()), "the painter found its model"


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (ScaleSettings("ray", painters=4, verifiers=2), "has 6 of the 7 processors"),
        (ScaleSettings("ray", gpus_per_painter=0.5, gpus_per_verifier=0.25), "has 0 of the 0.75 GPUs"),
    ],
)
def test_a_cluster_that_is_too_small_is_told_at_once(
    ray: Any, small: DatagenConfig, parts: Parts, scale: ScaleSettings, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_painted(replace(small, scale=scale), parts)
    assert not Path(small.out).exists()


def test_a_stopped_run_goes_on_with_what_is_missing(
    ray: Any, small: DatagenConfig, parts: Parts, painted: Path
) -> None:
    folder = Path(shutil.copytree(painted, small.out))
    (folder / "records" / "shard-00002.parquet").unlink()
    (folder / "README.md").unlink()
    kept = (folder / "records" / "shard-00001.parquet").stat().st_mtime_ns
    assert run_painted(replace(small, scale=ScaleSettings(by="ray")), parts) == folder
    assert rows_of(folder) == rows_of(painted) and (folder / "README.md").is_file()
    assert (folder / "records" / "shard-00001.parquet").stat().st_mtime_ns == kept


def test_a_mistake_is_one_line_and_leaves_nothing(ray: Any, small: DatagenConfig, parts: Parts) -> None:
    scale = ScaleSettings(by="ray")
    for change in (
        {"engine": replace(small.engine, model="nowhere")},
        {"verify": replace(small.verify, depth="nowhere")},
    ):
        with pytest.raises(CheckpointError, match="nowhere"):
            run_painted(replace(small, scale=scale, **change), parts)
        assert not (Path(small.out) / "dataset.json").exists()
