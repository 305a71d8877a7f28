"""``vsre study DIR``: the folder is the command's argument, and a mistake is one line."""

from pathlib import Path

import pytest

from vsre.cli import main
from vsre.settings import parse


def test_the_folder_may_stand_without_a_name() -> None:
    config = parse("study", ["data/mine", "--views", "[image]", "--model", "m"])
    assert (config.data, config.views, config.model) == ("data/mine", ["image"], "m")


def test_a_folder_that_is_not_there_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", "nowhere"]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and "dataset folder nowhere does not exist" in error[0]
