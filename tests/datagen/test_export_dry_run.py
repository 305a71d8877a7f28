"""A dry run of an export tells what the export then takes, and leaves no trace."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from datagen.config import ExportConfig
from datagen.export import estimate as estimate_module
from datagen.export.estimate import BLOCK, Estimate, describe, estimate
from datagen.export.formats import FORMATS
from datagen.export.rows import MANIFEST
from datagen.export.run import export, run
from spatial.dataset import DatasetFolder
from spatial.disk import disk_line
from spatial.errors import ConfigError, RecordError
from spatial.stream import Samples
from vsre.cli import main


def size_of(folder: Path) -> int:
    """Return what the files of an export take on a disk, without the card and the manifest."""
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return sum(-(-size // BLOCK) * BLOCK for path, size in sizes.items() if path.name not in ("README.md", MANIFEST))


@pytest.mark.parametrize("to", FORMATS)
def test_a_dry_run_counts_and_weighs_as_the_export_does(rendered: Path, to: str, tmp_path: Path) -> None:
    config = ExportConfig(str(rendered), to, str(tmp_path / "out"))
    found = estimate(config)
    assert not list(tmp_path.iterdir())
    out = export(config)
    held = json.loads((out / MANIFEST).read_text())
    records = {(row.image_id, row.record_id) for row in DatasetFolder(rendered).records}
    assert (found.images, found.records) == (held["images"], held["records"]) == (12, len(records))
    assert found.measured == 12 and found.seconds > 0
    assert found.disk_bytes == pytest.approx(size_of(out), rel=0.01)


@pytest.mark.parametrize("settings", [{}, {"copies": 4}, {"copies": 80, "templates": ["train"]}])
def test_a_small_sample_tells_the_conversations_of_all(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setattr(estimate_module, "MEASURED", 6)
    config = ExportConfig(str(rendered), "llava", str(tmp_path / "out"), **settings)
    found = estimate(config)
    assert found.measured == 6
    out = export(config)
    held = json.loads((out / MANIFEST).read_text())
    assert found.counted["conversations"] == held["conversations"] == len(json.loads((out / "train.json").read_text()))
    assert found.counted["repeats"] == pytest.approx(held["repeats"], rel=0.1)
    assert found.disk_bytes == pytest.approx(size_of(out), rel=0.15)
    assert "conversations  about" in describe(found, config)


def test_the_command_writes_nothing_at_all(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in rendered.rglob("*")}
    assert main(["export", str(rendered), "--to", "llava", "--out", "deep/out", "--copies", "2", "--dry_run"]) == 0
    shown = capsys.readouterr().out
    records = sum(len(sample.records) for sample in Samples(rendered))
    assert "12 images measured, nothing written" in shown and f"records        {records:,}\n" in shown
    assert f"conversations  {2 * records:,}\n" in shown and "which is enough" in shown
    assert list(tmp_path.rglob("*")) == [tmp_path / "temporary"]
    assert {path: path.stat().st_mtime_ns for path in rendered.rglob("*")} == before


def test_a_dry_run_refuses_what_the_export_would_refuse(rendered: Path, tmp_path: Path) -> None:
    def dry(**settings: Any) -> None:
        run(
            ExportConfig(
                **({"dataset": str(rendered), "to": "llava", "out": str(tmp_path / "x"), "dry_run": True} | settings)
            )
        )

    for settings, message in (
        ({"copies": 0}, "copies must be at least 1"),
        ({"to": "vsr", "copies": 2}, "copies is a setting of llava, not of vsr"),
        ({"templates": ["questoin"]}, "did you mean 'question'"),
        ({"out": str(rendered / "inside")}, "lie in one another"),
    ):
        with pytest.raises(ConfigError, match=message):
            dry(**settings)
    with pytest.raises(RecordError, match="does not exist"):
        dry(dataset=str(tmp_path / "nowhere"))
    shutil.copytree(rendered, tmp_path / "damaged")
    shard = tmp_path / "damaged" / "images" / "shard-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(RecordError, match="shard-00001"):
        dry(dataset=str(tmp_path / "damaged"))
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine.txt").touch()
    with pytest.raises(ConfigError, match="holds something else"):
        dry()


def test_a_finished_export_has_nothing_left_to_write(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ExportConfig(str(rendered), "vsr", str(tmp_path / "out"))
    export(config)
    capsys.readouterr()
    config.dry_run = True
    assert run(config) is None
    shown = capsys.readouterr().out
    assert "it is there already, nothing to write" in shown and "vsr: 12 images" in shown


def test_a_disk_that_is_too_small_is_told(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    config = ExportConfig("data", "vsr", str(tmp_path / "not" / "there"))
    assert "which is not enough" in describe(Estimate(1, 1, {}, 1, 2.0 * free, 1.0), config)
    assert disk_line(3 * 2**20, tmp_path).startswith("about 3.0 MiB to write")
