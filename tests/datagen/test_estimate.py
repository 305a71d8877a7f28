"""A dry run tells what the run then takes, and leaves no trace."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.config import DatagenConfig
from datagen.estimate import MEASURED, describe, estimate
from datagen.run import generate, prepare
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError
from vsre.cli import main

RUN = DatagenConfig(
    groups=16,
    groups_per_shard=6,
    image_size=48,
    supersample=1,
    workers=1,
    dense=True,
    relations=["left of", "right of", "above", "below"],
    contrasts=["direct"],
    frames="viewer",
    nouns=["core"],
    exclude_nouns=[],
)


def test_the_estimate_is_near_what_the_run_writes(tmp_path: Path) -> None:
    config = replace(RUN, out=str(tmp_path / "data"))
    found = estimate(config, prepare(config))
    assert not list(tmp_path.iterdir())
    assert [contrast.groups for contrast in found.contrasts] == [MEASURED, MEASURED]
    data = DatasetFolder(generate(config))
    size = sum(path.stat().st_size for path in data.path.rglob("*.parquet"))
    assert found.images == len(data.images) == 32
    records = {row.record_id: row for row in data.records}.values()
    assert sum(found.records.values()) == pytest.approx(len(records), rel=0.25)
    choices = sum((row.task, row.topic) == ("choice", "relation") for row in records)
    assert found.records["choice/relation"] == pytest.approx(choices, rel=0.25)
    assert found.disk_bytes == pytest.approx(size, rel=0.4)
    assert found.core_seconds == pytest.approx(found.seconds) and found.core_seconds > 0
    assert "time " in describe(found, config)


def test_finished_shards_and_other_ranks_are_taken_off(tmp_path: Path) -> None:
    config = replace(RUN, out=str(tmp_path / "data"), world=3)
    generate(config)
    found = estimate(config, prepare(config))
    assert found.groups_left == 10 and found.seconds == 0
    assert found.images == 32
    found = estimate(replace(config, rank=1), prepare(config))
    assert found.core_seconds == pytest.approx(10 / 6 * found.seconds)
    assert "6 of them are there already" in describe(found, config)


def test_the_schedule_of_uneven_weights_is_that_of_the_run(tmp_path: Path) -> None:
    config = replace(RUN, out=str(tmp_path), weights={"left of": 3.0, "right of": 3.0, "above": 1.0, "below": 1.0})
    found = {contrast.name: contrast for contrast in estimate(config, prepare(config)).contrasts}
    made: Counter[str] = Counter()
    for row in DatasetFolder(generate(config)).images.values():
        drawn = json.loads(row.provenance)
        made[f"{drawn['relation']} - {drawn['counterpart']}"] += 1
    assert made["left of - right of"] == 2 * 12 and made["above - below"] == 2 * 4
    assert {name: contrast.share * 32 for name, contrast in found.items()} == made


def test_derived_contrasts_are_measured_under_names_of_their_own() -> None:
    config = replace(
        RUN, groups=8, contrasts=["direct", "confusable"], relations=[*RUN.relations, "behind", "in front of"]
    )
    names = [contrast.name for contrast in estimate(config, prepare(config)).contrasts]
    assert "left of - right of" in names and "left of - behind (confusable)" in names


def test_fewer_groups_than_contrasts_are_all_measured() -> None:
    config = replace(RUN, groups=1)
    found = estimate(config, prepare(config))
    assert [(contrast.name, contrast.groups) for contrast in found.contrasts] == [("left of - right of", 1)]


def test_the_command_writes_nothing_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(
        "{groups: 2, image_size: 48, supersample: 1, relations: [left of, right of], out: data/mine}"
    )
    assert main(["datagen", "mine.yaml", "--dry_run"]) == 0
    shown = capsys.readouterr().out
    assert "nothing written" in shown and "2 in 1 shards" in shown
    assert [path.name for path in tmp_path.rglob("*")] == ["mine.yaml"]


def test_a_dry_run_refuses_what_the_run_would_refuse(rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds data made with other"):
        prepare(replace(RUN, out=str(rendered)))
    with pytest.raises(ConfigError, match="groups must be at least 1"):
        prepare(replace(RUN, out=str(tmp_path), groups=0))


def test_a_dry_run_fits_the_folder_that_its_settings_made(rendered: Path) -> None:
    made = json.loads((rendered / "dataset.json").read_text())
    assert prepare(DatagenConfig(out=str(rendered), dry_run=True, **made))
