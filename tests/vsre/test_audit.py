"""``vsre audit DIR``: the folder is the command's argument, and ``fail`` decides the exit code."""

from pathlib import Path

import pytest

from spatial.dataset import write_shard
from spatial.errors import ConfigError
from spatial.records import Record
from vsre.cli import main
from vsre.settings import parse


@pytest.fixture
def skewed(tmp_path: Path) -> Path:
    """Sixty statements about nothing that can be seen, three of four of them true."""
    records = [
        Record(
            image_id="none",
            group_id=f"group {number}",
            role_in_group="original",
            task="statement",
            topic="relation",
            caption=f"The cup is on the book {number}.",
            answer="false" if number % 4 == 0 else "true",
            relation="on",
        )
        for number in range(120)
    ]
    write_shard(tmp_path / "data", 0, [], records)
    return tmp_path / "data"


def test_the_folder_may_stand_anywhere_on_the_line() -> None:
    assert parse("audit", ["data/mine", "--folds", "3"]).data == "data/mine"
    assert parse("audit", ["--folds", "3", "data/mine"]).data == "data/mine"
    assert parse("audit", ["--data=data/mine"]).data == "data/mine"


def test_a_settings_file_and_a_folder_go_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("{folds: 7, data: other}")
    config = parse("audit", [str(path), "data/mine"])
    assert (config.folds, config.data) == (7, "data/mine")


def test_two_folders_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes one data, got a and b"):
        parse("audit", ["a", "b"])


def test_a_failed_audit_changes_the_exit_code_only_when_asked(
    skewed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["audit", str(skewed), "--model", "", "--out", str(tmp_path / "out"), "--bootstrap", "100"]
    assert main(arguments) == 0
    assert "fail: answer prior 75.0 %" in capsys.readouterr().out
    assert main([*arguments, "--fail", "true"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("vsre: audit of ") and "answer prior 75.0 %" in error
    assert (tmp_path / "out" / "audit.json").is_file() and (tmp_path / "out" / "config.yaml").is_file()
