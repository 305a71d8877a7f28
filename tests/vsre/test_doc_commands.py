"""Every command of the documents parses, and runs in a copy of the repository unless it is marked with a reason."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.forked import start
from tests.vsre.documents import MARK, OURS, PAGES, commands, own_calls
from tests.vsre.prepared import GROUPS, PREPARED, prepare
from vsre.commands import COMMANDS, find_command
from vsre.roots import ROOT
from vsre.settings import parse

SHORTER: tuple[tuple[str, str], ...] = (
    (r"vsre \S.*--help", ""),
    (r"vsre .*--dry_run", ""),
    (r"vsre (fetch|run|matrix) ", "--dry_run"),
    (r"vsre datagen ", f"--groups {GROUPS}"),
    (r"vsre train .*tiny-expert", "--schedule trainer --trainer.max_steps 2"),
    (r"vsre train ", "--max_seconds 3"),
    (r"vsre (eval|attend) ", "--data.limit 60"),
    (r"vsre interpret ", "--pairs 4 --knockouts 2 --bootstrap 20"),
    (r"vsre calibrate ", "--images 40 --faults_each 4"),
    (r"vsre passes ", "--limit 4"),
    (r"vsre study ", "--folds 2"),
)
"""What is added to a command so that it ends in seconds, by the first pattern that it has."""

LONGEST = 900.0
"""Seconds that a command may take."""

RUN = [page for page in PAGES if any(command.not_run is None for command in commands(page))]


def shortened(text: str) -> str:
    """Return a command as it is run here; ``make`` only says what it would do."""
    text = re.sub(r"\s+#\s.*$", "", text)
    if text.startswith("make "):
        return text.replace("make ", "make -n ", 1)
    extra = next((extra for pattern, extra in SHORTER if re.search(pattern, text)), "")
    return f"{text} {extra}".rstrip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_ours_parses(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for command in commands(page):
        for name, *arguments in (call for call in own_calls(command) if call and not call[0].startswith("-")):
            settings = find_command(name).config_class()
            if "--help" not in arguments and "--print_config" not in arguments:
                given = [argument.replace("$SLURM_ARRAY_TASK_ID", "0") for argument in arguments]
                assert isinstance(parse(name, given), settings), command.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_mark_has_a_reason_and_a_command(page: Path) -> None:
    marks = MARK.findall(page.read_text())
    assert all(len(reason.split()) > 1 for reason in marks)
    assert set(marks) == {command.not_run for command in commands(page)} - {None}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository to work in, whose ``.venv/bin`` starts this Python."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    folder = tmp_path / "vsre"
    for name in tracked:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, arguments in (("vsre", "-m vsre"), ("python", "")):
        (binaries / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (binaries / name).chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_in_their_order(page: Path, copy: Path) -> None:
    for name in PREPARED.get(page.name, ()):
        prepare(name, copy)
    failed = []
    for command in commands(page):
        if command.not_run is None:
            text = shortened(command.text)
            code, said = _run(text, copy)
            print(command.name, code, text)
            if code:
                failed.append(f"{command.name}: {text}\nended with {code}:\n{said[-1500:]}")
    assert not failed, "\n\n".join(failed)


def _run(text: str, folder: Path) -> tuple[int, str]:
    """Run a command as in a shell in ``folder``; return its exit code and what it said.

    One call of ``vsre`` is run in a fork of this process, which has imported what commands need: a new process would
    import torch and Transformers for every line of the documents.
    """
    words = shlex.split(text)
    bin_folder = folder / ".venv" / "bin"
    # Every process, those that commands start too, runs the code of this repository, not that of the copy beside it.
    ours = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1", **ours}
    if OURS.search(words[0]) and not {"&&", "|", ">"} & set(words):
        return _forked(words[1:], folder, environment)
    shell = ["bash", "-c", text]
    ended = subprocess.run(
        shell, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


def _forked(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    for entry in COMMANDS.values():
        entry.load_action()
    with tempfile.NamedTemporaryFile() as said:
        ended = start(arguments, folder, Path(said.name), environment).result(LONGEST)
    return ended.code, ended.text


def test_few_commands_are_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    marked = [command for page in PAGES for command in commands(page) if command.not_run is not None]
    with capsys.disabled():
        print("\ncommands of the documents that are not run:")
        for command in marked:
            print(f"  {command.name:<28} {command.not_run:<70} {' '.join(command.text.split())[:80]}")
    everything = sum(len(commands(page)) for page in PAGES)
    assert len(marked) < everything / 2
