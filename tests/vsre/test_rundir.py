"""A run's record lets it be repeated, and a failed run leaves its reason in the log."""

import json
import logging
from pathlib import Path

import pytest
import yaml

from spatial.errors import ConfigError
from vsre.config import DoctorConfig
from vsre.rundir import recorded


def test_settings_environment_and_log_are_kept(tmp_path: Path) -> None:
    with recorded(tmp_path, DoctorConfig(free_gib=3.0)):
        logging.getLogger("eval").warning("a line")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == {"free_gib": 3.0, "model": ""}
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["versions"]["torch"] and environment["hardware"]["cores"] >= 1
    assert "a line" in (tmp_path / "log.txt").read_text()


def test_a_failure_is_kept_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), recorded(tmp_path, DoctorConfig()):
        _ = 1 / 0
    assert "ZeroDivisionError" in (tmp_path / "log.txt").read_text()


def test_a_refused_run_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(ConfigError), recorded(tmp_path / "a" / "b", DoctorConfig()):
        raise ConfigError("no")
    assert not list(tmp_path.iterdir())


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "eval-20260101-000000"
    with recorded(folder, DoctorConfig(free_gib=1.0), fresh=True), recorded(folder, DoctorConfig(), fresh=True):
        pass
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}-2"]
    assert yaml.safe_load((folder / "config.yaml").read_text()) == {"free_gib": 1.0, "model": ""}
    with pytest.raises(ConfigError), recorded(tmp_path / "other" / "x", DoctorConfig(), fresh=True):
        raise ConfigError("no")
    assert not (tmp_path / "other").exists()


def test_a_refused_run_leaves_an_earlier_record_as_it_was(tmp_path: Path) -> None:
    with recorded(tmp_path, DoctorConfig(free_gib=3.0)):
        logging.getLogger("eval").warning("first")
    earlier = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError), recorded(tmp_path, DoctorConfig(free_gib=5.0)):
        raise ConfigError("no")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == earlier


def test_a_run_that_fails_after_it_has_made_something_keeps_its_record(tmp_path: Path) -> None:
    with pytest.raises(ConfigError), recorded(tmp_path, DoctorConfig()):
        (tmp_path / "part.parquet").write_bytes(b"rows")
        raise ConfigError("the disk is full")
    assert (tmp_path / "config.yaml").exists()
    assert "the disk is full" in (tmp_path / "log.txt").read_text()
