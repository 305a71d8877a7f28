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
from spatial.errors import CheckpointError

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
    for part in (folder, folder / "rejected"):
        data = DatasetFolder(part)
        for shard in sorted(finished_shards(part)):
            for table, name in (("images", "image_id"), ("records", "record_id")):
                found += [(part.name, value) for value in data.read_column(shard, table, name)]
    return sorted(found)


def test_one_worker_makes_what_a_process_without_ray_makes(
    ray: Any, small: DatagenConfig, parts: Parts, painted: Path
) -> None:
    folder = run_painted(replace(small, scale=ScaleSettings(by="ray")), parts)
    assert folder and rows_of(folder) == rows_of(painted)
    assert (folder / "README.md").is_file() and (folder / "yield.json").is_file()


def test_two_workers_that_are_killed_lose_and_repeat_nothing(
    ray: Any, small: DatagenConfig, parts: Parts, painted: Path, tmp_path: Path
) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    slow = replace(
        small,
        groups_per_shard=1,
        engine=replace(small.engine, model=str(desk), steps=150),
        verify=replace(small.verify, safety=str(desk)),
        scale=ScaleSettings(by="ray", painters=2, verifiers=2),
    )
    killed: list[int] = []
    done = threading.Event()
    killer = threading.Thread(target=kill_some, args=(desk, killed, done))
    killer.start()
    try:
        made = run_painted(slow, parts)
    finally:
        done.set()
        killer.join()
    assert made and len(killed) >= 3 and len(list(desk.iterdir())) > 4, "workers were killed and started again"
    assert rows_of(made) == rows_of(painted)


def kill_some(desk: Path, killed: list[int], done: threading.Event) -> None:
    """Kill a worker that signed in, now and then, until five are dead."""
    choice = random.Random(0)
    while not done.wait(1.0) and len(killed) < 5:
        alive = [int(path.name) for path in desk.iterdir() if int(path.name) not in killed]
        if alive:
            killed.append(choice.choice(alive))
            with contextlib.suppress(ProcessLookupError):
                os.kill(killed[-1], signal.SIGKILL)


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
