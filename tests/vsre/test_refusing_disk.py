"""A full disk, and one that refuses a file, are told in one line; the record of a run leaves no lock behind."""

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from spatial.disk import refusal
from vsre import rundir
from vsre.cli import main


@pytest.mark.parametrize(
    ("number", "mend"),
    [(errno.ENOSPC, "free space on its disk"), (errno.EACCES, "mend its permissions"), (errno.ENAMETOOLONG, "choose")],
)
def test_what_a_disk_refuses_is_one_line(
    number: int, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "a\nb"))

    monkeypatch.setattr("vsre.settings.parse", refuse)
    assert main(["doctor"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vsre: ") and said.count("\n") == 1 and mend in said and "a b cannot be written" in said


def test_other_errors_are_none_of_the_disk() -> None:
    assert refusal(OSError(errno.ENOENT, "no such file")) is None
    assert refusal(RuntimeError("mat1 and mat2")) is None
    assert "free space" in (refusal(Exception("I/O error: No space left (os error 28)")) or "")


def test_asking_for_the_commit_locks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("one")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    os.utime(tmp_path / "file", (1, 1))  # so that status would want to refresh the index
    index = tmp_path / ".git" / "index"
    before = index.read_bytes()
    monkeypatch.setattr(rundir, "ROOT", tmp_path)
    assert len(rundir.commit()) == 40
    assert index.read_bytes() == before


def test_an_error_has_a_line_of_its_own_below_an_open_progress_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        for _ in tqdm(range(3)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "file")

    monkeypatch.setattr("vsre.settings.parse", fail)
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("vsre: file cannot be written")
