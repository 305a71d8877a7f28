"""What is checked of a Ray cluster before and while it works, on one that only says what it has."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from datagen.config import DatagenConfig, ScaleSettings
from datagen.paint import cluster, run
from datagen.paint.job import prepare_painted
from datagen.paint.stages import Parts
from spatial.errors import ConfigError


@dataclass
class Cluster:
    """GPUs of the machines of a cluster, with four processors each."""

    gpus: tuple[float, ...]

    def nodes(self) -> list[dict[str, Any]]:
        alive = [{"Alive": True, "Resources": {"CPU": 4.0, "GPU": gpus}} for gpus in self.gpus]
        return [*alive, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0 * len(self.gpus)}


@pytest.mark.parametrize(
    ("gpus", "scale", "message"),
    [
        ((2.0, 2.0), ScaleSettings("ray", "", 3, 1, 1.0, 1.0), ""),
        ((0.0, 0.0), ScaleSettings("ray", "", 3, 4), ""),
        ((0.0, 0.0), ScaleSettings("ray", "", 4, 4), "has 8 of the 9 processors"),
        ((2.0, 2.0), ScaleSettings("ray", "", 4, 1, 1.0, 0.5), "has 4 of the 4.5 GPUs"),
        ((2.0, 2.0), ScaleSettings("ray", "", 1, 1, 4.0), "room for 0 painters of 4 GPUs, not for 1"),
        ((1.0, 1.0), ScaleSettings("ray", "", 1, 3, 0.0, 0.6), "room for 2 verifiers of 0.6 GPUs, not for 3"),
        ((1.0, 0.0), ScaleSettings("ray", "", 2, 2, 0.25, 0.25), ""),
    ],
)
def test_what_a_cluster_can_never_do_is_refused(gpus: tuple[float, ...], scale: ScaleSettings, message: str) -> None:
    if not message:
        cluster._check_room(Cluster(gpus), scale)
        return
    with pytest.raises(ConfigError, match=message):
        cluster._check_room(Cluster(gpus), scale)


@pytest.mark.parametrize("share", [-0.5, 1.5])
def test_no_worker_can_have_so_many_gpus(small: DatagenConfig, parts: Parts, share: float) -> None:
    with pytest.raises(ConfigError, match=r"scale.gpus_per_verifier must be 0, a share of one GPU, or a whole number"):
        prepare_painted(replace(small, scale=ScaleSettings("ray", gpus_per_verifier=share)), parts)


def test_a_shard_that_is_not_in_the_folder_is_not_taken_for_done(
    small: DatagenConfig, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "PATIENCE", 0.3)
    monkeypatch.setattr(cluster, "run_on_ray", lambda job, todo: iter(todo))
    with pytest.raises(ConfigError, match=r"shard 0 was written, but not to the .* of this machine"):
        run.run_painted(replace(small, scale=ScaleSettings("ray")), parts)


def test_workers_start_where_the_run_was_started(
    small: DatagenConfig, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "lora.safetensors").touch()
    monkeypatch.chdir(tmp_path / "here")
    engine = replace(small.engine, loras=["lora.safetensors", "owner/lora"], model=str(tmp_path / "here"))
    job = prepare_painted(replace(small, out="data", engine=engine, scale=ScaleSettings("ray")), parts)
    assert (job.folder, job.home) == (tmp_path / "here" / "data", tmp_path / "here")
    assert job.content["engine"]["loras"] == engine.loras
    relative = cluster.relative_places(job.config)
    assert relative == ["lora.safetensors"]
    monkeypatch.chdir(tmp_path)
    cluster.go_home({"relative": relative}, job.home)
    assert Path.cwd() == job.home
    cluster.go_home({"relative": []}, tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"has no .*gone, where 'lora.safetensors' lies"):
        cluster.go_home({"relative": relative}, tmp_path / "gone")


def test_weights_of_several_engines_and_the_model_to_be_tuned_are_places_too(
    small: DatagenConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("second", "tuned"):
        (tmp_path / name).mkdir()
    paint = replace(small.paint, engines=["second"], models={"copyist": "owner/name", "second": "second"})
    config = replace(small, paint=paint, verify=replace(small.verify, tuned="tuned"))
    assert cluster.relative_places(config) == ["second", "tuned"]
