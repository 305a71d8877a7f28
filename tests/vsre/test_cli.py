"""The command line answers at once, and says in one line what is wrong and what was probably meant."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from vsre.cli import main
from vsre.commands import COMMANDS
from vsre.roots import ROOT

HEAVY = ("torch", "numpy", "transformers", "pandas", "datagen.run", "encoders.build", "training.run", "eval.run")

SETTINGS_FILES = sorted((ROOT / "configs").rglob("*.yaml"))
COMMAND_OF_FOLDER = {
    "datagen": "datagen",
    "calibrate": "calibrate",
    "export": "export",
    "import": "import-vsr",
    "model": "build-model",
    "train": "train",
    "eval": "eval",
    "configs": "run",
    "recipes": "run",
    "interpret": "interpret",
    "attend": "attend",
    "matrix": "matrix",
    "ablations": "matrix",
    "vsre": "train",
}


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that the user got wrong and return its one line on standard error."""
    assert main(list(arguments)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "vsre", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) <= 0.7


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown and command.summary in shown for name, command in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_heavy_is_imported_before_the_command_line_is_understood(name: str) -> None:
    code = (
        "import sys; from vsre.cli import main\n"
        f"try: code = main([{name!r}, '--help'])\n"
        "except SystemExit as end: code = end.code\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert run_python(code).stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_its_settings_as_yaml(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--print_config"])
    assert end.value.code == 0
    assert isinstance(yaml.safe_load(capsys.readouterr().out), dict)


@pytest.mark.parametrize("path", SETTINGS_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_shipped_settings_file_is_accepted(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([COMMAND_OF_FOLDER[path.parent.name], str(path), "--print_config"])
    assert end.value.code == 0


def test_threads_do_not_spin_while_they_wait_unless_the_user_wants_them_to() -> None:
    code = "import os; from vsre.cli import main; main(['--help']); print(os.environ['OMP_WAIT_POLICY'])"
    for given, policy in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        unset = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        ended = subprocess.run(
            [sys.executable, "-c", code], env=unset | given, capture_output=True, text=True, check=True
        )
        assert ended.stdout.splitlines()[-1] == policy


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'datagen'?" in fails(capsys, "datagne")


def test_an_unknown_flag_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "eval", "--data.splt", "dev") == (
        "vsre: unknown setting 'data.splt'; did you mean 'data.split'?"
    )


@pytest.mark.parametrize(
    ("text", "unknown", "meant"),
    [
        ("modle: x", "modle", "model"),
        ("data: {spilt: dev}", "data.spilt", "data.split"),
        ("bach_size: 3", "bach_size", "batch_size"),
    ],
)
def test_an_unknown_key_of_a_file_names_the_file_and_the_nearest(
    text: str, unknown: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert fails(capsys, "eval", str(path)) == f"vsre: {path}: unknown setting {unknown!r}; did you mean {meant!r}?"


@pytest.mark.parametrize("text", ["a: [", "- one", "just words"])
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    assert str(path) in fails(capsys, "eval", str(path))


def test_a_wrong_type_says_which_setting(capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "eval", "--batch_size", "many")
    assert "batch_size" in line and "int" in line and "many" in line


def test_one_name_for_a_list_says_how_a_list_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "eval", "--decoders", "greedy") == (
        "vsre: setting \"decoders\": expected list, got greedy; write '[greedy]'"
    )


def test_a_list_that_the_shell_has_unquoted_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "train", "--data", "shards") == (
        "vsre: setting \"data\": expected a list or a mapping, got shards; write '[shards]', with the quotes"
    )


def test_a_value_for_a_group_of_settings_says_how_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "eval", "--data", "vsr") == (
        "vsre: 'data' is a group of settings, and no file of them is vsr; name one: --data.NAME VALUE"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["eval", "--model", "tiny-base", "--data.path", "x", "--decoders", "[gredy]"], "'greedy'"),
        (["eval", "--model", "tiny-base", "--data.path", "no-such"], "no-such"),
        (["train", "--model", "tiny-base", "--data", "[no-such]", "--out", "x"], "no-such"),
        (["ask", "no-such.png", "Is the cup left of the laptop?"], "there is no picture no-such.png"),
        (["ask", str(ROOT / "docs/pictures/cup-and-laptop.png")], "no question is asked"),
    ],
)
def test_a_slip_is_refused_before_torch_is_loaded(arguments: list[str], said: str) -> None:
    program = (
        f"import sys; from vsre.cli import main; code = main({arguments!r});"
        "sys.exit(f'{code} {\"torch\" in sys.modules}')"
    )
    done = run_python(program)
    assert said in done.stderr and done.stderr.endswith("2 False\n")


def test_an_unknown_setting_like_none_names_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "merge", "--model", "x") == "vsre: unknown setting 'model'; see 'vsre merge --help'"


def test_a_dry_run_takes_no_number_of_processes_that_a_run_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--model", "tiny-base", "--data", "[shards]", "--out", "out", "--nproc", "-3", "--dry_run", "true"]
    assert "nproc is -3" in fails(capsys, "train", *given)


def test_missing_settings_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "model, data, out" in fails(capsys, "train")


def test_two_settings_files_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "takes one settings file" in fails(capsys, "eval", "a.yaml", "b.yaml")


def test_a_missing_settings_file_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "configs/eval/vsr-zeroshot.yaml" in fails(capsys, "eval", "configs/eval/vsr-zeroshoot.yaml")


def test_a_missing_model_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "'nothing-like-it'" in fails(capsys, "eval", "--model", "nothing-like-it", "--data.path", "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [["--help"], ["datagen", "--print_config"], ["card", "FOLDER"]],
)
def test_output_that_nobody_reads_on_ends_quietly(command: list[str]) -> None:
    """``vsre ... | head -0``, where the pipe has no reader left."""
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "vsre", *command]
    missing = command[0] == "card"  # its mistake is told elsewhere
    for unbuffered in ("", "1"):
        told = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, env=told, check=False)
        assert done.returncode == (2 if missing else 141)
        assert len(done.stderr.splitlines()) == missing
    os.close(writer)


def test_a_pipe_that_broke_elsewhere_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: list[str]) -> int:
        raise BrokenPipeError("of a worker")

    monkeypatch.setattr("vsre.cli._dispatch", broken)
    with pytest.raises(BrokenPipeError, match="of a worker"):
        main([])


def test_a_working_directory_that_was_deleted_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert fails(capsys, "doctor") == "vsre: the folder you are in was deleted; change into another one"
