"""Settings files that are broken, hostile, or plainly mistaken, given to commands that read them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.bench import HUNG, LOST, READ, REFUSED, TRACED, Bench, Defect, Fault, check_refused, last_lines

PATIENCE = 30.0
"""Seconds after which reading a settings file counts as hanging."""

COMMANDS = {
    "datagen": "out: out\ngroups: 2\nimage_size: 64\nseed: 1\nrelations: [left of, right of]\n",
    "train": "model: tiny-base\ndata: [{made}/data]\nout: out\nlora: {{r: 4}}\n",
    "eval": "model: tiny-base\ndata: {{path: {made}/data}}\nout: out\nseed: 1\n",
    "run": "out: out\nsteps:\n  - {{name: a, command: doctor}}\n",
}

LAUGHS = "\n".join(
    [f"l0: &l0 [{', '.join(['ha'] * 9)}]", *(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10))]
)

Change = Callable[[bytes], bytes]

DAMAGES: dict[str, tuple[Change, str]] = {
    "a tab": (lambda text: text.replace(b"\n", b"\n\t", 1), r"settings\.yaml is not valid YAML"),
    "a key twice": (lambda text: text + text.split(b"\n")[0] + b"\n", r"settings\.yaml.*twice"),
    "an unknown key": (lambda text: text.replace(b"out:", b"outt:", 1), r"did you mean '(\w+\.)?out'"),
    "a list for a mapping": (lambda text: b"- one\n- two\n", "must hold 'key: value' lines"),
    "a number for a mapping": (lambda text: b"7\n", "must hold 'key: value' lines"),
    "laughs by the billion": (lambda text: text + LAUGHS.encode(), r"settings\.yaml"),
    "laughs as a value": (
        lambda text: LAUGHS.encode() + b"\n" + text.replace(b"out: out", b"out: *l9"),
        r"settings\.yaml",
    ),
    "a Python object": (
        lambda text: text + b"extra: !!python/object/apply:os.system ['touch marker']\n",
        r"settings\.yaml is not valid YAML",
    ),
    "a Python name": (lambda text: text.replace(b"out: out", b"out: !!python/name:os.system"), r"not valid YAML"),
    "itself within itself": (lambda text: text + b"extra: &a [*a]\n", r"settings\.yaml"),
    "brackets a thousand deep": (lambda text: text + b"extra: " + b"[" * 3000 + b"]" * 3000, r"settings\.yaml"),
    "an open quote": (lambda text: text + b'more: "never closed\n', r"settings\.yaml is not valid YAML"),
    "binary": (lambda text: bytes(range(256)) * 4, r"settings\.yaml is not valid YAML"),
    "not UTF-8": (lambda text: text + "# größer\n".encode("latin-1"), r"settings\.yaml is not valid YAML"),
    "a NUL": (lambda text: text + b"more: \0\n", r"settings\.yaml is not valid YAML"),
    "two documents": (lambda text: text + b"---\n" + text, r"settings\.yaml is not valid YAML"),
    "HTML": (lambda text: b"<!DOCTYPE html><html><body>404: not found</body></html>", r"settings\.yaml"),
    "extends itself": (lambda text: text + b"extends: settings.yaml\n", "extends"),
    "extends nothing": (lambda text: text + b"extends: nowhere.yaml\n", "nowhere"),
}

LINES: dict[str, tuple[Sequence[str], str]] = {
    "no such command": (("evl", "x.yaml"), "did you mean 'eval'"),
    "no such file": (("eval", "nowhere.yaml"), "no settings file nowhere.yaml"),
    "a folder for a file": (("eval", "."), "unrecognized|settings file"),
    "an unknown flag": (("eval", "--modle", "x"), "did you mean 'model'"),
    "a word for a number": (("eval", "--batch_size=many"), "batch_size"),
    "a fraction for a number": (("datagen", "--groups=2.5"), "groups"),
    "an infinite number": (("datagen", "--groups=1e400"), "groups"),
    "a negative number": (("eval", "--batch_size=-3", "--data.path={made}/data"), "batch_size"),
    "a choice that is none": (("train", "--model=tiny-base", "--data=[a]", "--out=o", "--stage=finetun"), "finetune"),
    "nothing that is needed": (("train",), "required"),
    "a list for a word": (("eval", "--model=[a,b]"), "model"),
    "a mapping for a list": (("eval", "--decoders={{a: 1}}"), "decoders"),
    "a decoder that is none": (("eval", "--data.path={made}/data", "--decoders=[gredy]"), "greedy"),
    "a template that is none": (("eval", "--data.path={made}/data", "--templates=[questoin]"), "question"),
    "a relation that is none": (("datagen", "--relations=[lef of]", "--out=out"), "left of"),
    "no such dataset": (("eval", "--data.path=nowhere"), "nowhere"),
    "no such model": (("eval", "--data.path={made}/data", "--model=tiny-bse"), "tiny-bse"),
    "two settings files": (("eval", "a.yaml", "b.yaml"), "one settings file"),
    "an open bracket": (("eval", "--decoders=[greedy"), "decoders"),
    "a NUL in a path": (("eval", "--data.path=a\0b"), "path|exist"),
    "an emoji for a format": (("export", "{made}/data", "--to=🐱", "--out=out"), "no format|vsr|known"),
    "half a surrogate": (("eval", "--data.path=\udcff"), "exist"),
    "a trainer field that is none": (
        ("train", "--model=tiny-base", "--data=[{made}/data]", "--out=out", "--trainer.max_step=3"),
        "max_steps",
    ),
}


def settings_faults() -> list[Fault]:
    """Return every damage for every command, and the mistaken command lines."""
    faults = [
        Fault(command, "settings file", name, _file, (command, change, says))
        for command in COMMANDS
        for name, (change, says) in DAMAGES.items()
    ]
    for command in COMMANDS:
        faults.append(Fault(command, "settings file", "empty", _empty, (command,)))
    return faults + [Fault(line[0], "command line", name, _line, (line, says)) for name, (line, says) in LINES.items()]


def _file(bench: Bench, command: str, change: Change, says: str) -> str:
    whole = COMMANDS[command].format(made=bench.made).encode()
    (bench.folder / "settings.yaml").write_bytes(change(whole))
    return _refused_soon(bench, (command, "settings.yaml"), says)


def _empty(bench: Bench, command: str) -> str:
    (bench.folder / "settings.yaml").write_bytes(b"")
    if command == "datagen":
        bench.done(command, "settings.yaml", "--groups=2", "--image_size=64", "--workers=1", "--out=out")
        return READ
    return _refused_soon(bench, (command, "settings.yaml"), "required|path|no steps")


def _line(bench: Bench, line: Sequence[str], says: str) -> str:
    return _refused_soon(bench, [part.format(made=bench.made) for part in line], says)


def _refused_soon(bench: Bench, line: Sequence[str], says: str) -> str:
    running = bench.start(*line)
    if not running.wait(PATIENCE, until=lambda: False):
        running.kill()
        running.result()
        raise Defect(HUNG, f"still busy after {PATIENCE:.0f} seconds")
    ended = running.result()
    if (bench.folder / "marker").exists():
        raise Defect(LOST, "code in a settings file was run")
    if ended.traced:
        raise Defect(TRACED, last_lines(ended.text))
    left: list[Path] = [path for path in bench.folder.iterdir() if path.name == "out"]
    if left:
        raise Defect(LOST, "a refused command left its output folder")
    check_refused(ended, says)
    return REFUSED
