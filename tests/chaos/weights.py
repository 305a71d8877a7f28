"""Checkpoints that carry code, or numbers that are none."""

import json
import pickle
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.chaos.bench import (
    LOST,
    READ,
    REFUSED,
    TRACED,
    WRONG,
    Bench,
    Defect,
    Fault,
    check_refused,
    last_lines,
)
from tests.chaos.kills import STAGES, kill
from tests.chaos.made import ASKED, TINY_BASE, TRAIN

MARKER = "marker"

EVALUATE = ("eval", "--model=given", "--nproc=1", "--data.path={made}/data", *ASKED, "--out=out")
TUNE = (*TRAIN[:1], "--model=given", *TRAIN[2:], "--data=[{made}/data]", "--out=out")
MERGE = ("merge", "given", "--out=out")
BUILD = ("build-model", "--base=given", "--encoders=[siglip]", "--out=out")
ATTEND = (
    "attend",
    "--model=given",
    "--data.path={made}/data",
    "--data.tasks=[statement]",
    "--templates=[question]",
    "--out=out",
)
INTERPRET = (
    "interpret",
    "--model=given",
    "--data.path={made}/data",
    "--data.tasks=[statement]",
    "--pairs=2",
    "--tier=0",
    "--knockouts=0",
    "--out=out",
)
CACHE = ("cache-features", "--model=given", "--data=[{made}/data]", "--out=out")
STUDY = ("study", "{made}/data", "--model=given", "--folds=2", "--samples=4", "--out=out")
AUDIT = ("audit", "{made}/data", "--model=given", "--folds=2", "--out=out")
DOCTOR = ("doctor", "--model=given")
PUSH = ("push", "given", "--repo=a/b", "--base=a/c", "--dry_run=true")
COMMANDS = {"eval": EVALUATE, "train": TUNE, "build-model": BUILD, "attend": ATTEND, "interpret": INTERPRET,
            "cache-features": CACHE, "study": STUDY, "audit": AUDIT, "doctor": DOCTOR, "push": PUSH}  # fmt: skip


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self._path), "w"))


def payload(bench: Bench) -> bytes:
    """Return a pickle that leaves the marker where it is loaded."""
    return pickle.dumps(Payload(bench.folder / MARKER))


def torch_payload(bench: Bench, path: Path) -> None:
    """Write a file as ``torch.save`` does that leaves the marker where it is loaded."""
    import torch

    torch.save({"state": Payload(bench.folder / MARKER)}, path)


def _base(bench: Bench) -> Path:
    given = bench.folder / "given"
    shutil.copytree(TINY_BASE, given)
    return given


def _pickled_model(bench: Bench) -> None:
    given = _base(bench)
    (given / "model.safetensors").unlink()
    torch_payload(bench, given / "pytorch_model.bin")


def _pickled_adapter(bench: Bench) -> None:
    given = bench.copy("adapter", "given")
    (given / "adapter_model.safetensors").unlink()
    torch_payload(bench, given / "adapter_model.bin")


def _pickle_as_safetensors(bench: Bench) -> None:
    (_base(bench) / "model.safetensors").write_bytes(payload(bench))


def _sharded_pickle(bench: Bench) -> None:
    given = _base(bench)
    (given / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "pytorch_model-00001-of-00001.bin"}}
    (given / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    torch_payload(bench, given / "pytorch_model-00001-of-00001.bin")


def _remote_code(bench: Bench) -> None:
    given = _base(bench)
    config = json.loads((given / "config.json").read_text())
    config |= {"model_type": "mine", "architectures": ["Mine"]}
    config["auto_map"] = {
        "AutoConfig": "mine.Config",
        "AutoModelForImageTextToText": "mine.Mine",
        "AutoModel": "mine.Mine",
    }
    (given / "config.json").write_text(json.dumps(config))
    (given / "mine.py").write_text(f"open({str(bench.folder / MARKER)!r}, 'w')\n")


def _remote_code_of_ours(bench: Bench) -> None:
    given = _base(bench)
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        config = json.loads((given / name).read_text())
        classes = ("AutoConfig", "AutoProcessor", "AutoModel", "AutoModelForImageTextToText", "AutoImageProcessor")
        config["auto_map"] = dict.fromkeys(classes, "mine.Mine") | {"AutoTokenizer": [None, "mine.Mine"]}
        (given / name).write_text(json.dumps(config))
    (given / "mine.py").write_text(f"open({str(bench.folder / MARKER)!r}, 'w')\n")


def _template_code(bench: Bench) -> None:
    given = _base(bench)
    code = "{% set run = cycler.__init__.__globals__.os.system %}{{ run('touch marker') }}{{ ''.__class__.__mro__ }}"
    (given / "chat_template.jinja").write_text(code)


PAYLOADS: dict[str, tuple[Callable[[Bench], None], Sequence[str], bool]] = {
    "pytorch_model.bin": (
        _pickled_model,
        ("eval", "train", "build-model", "attend", "interpret", "cache-features", "study", "audit"),
        False,
    ),
    "a pickle called model.safetensors": (_pickle_as_safetensors, ("eval", "train", "cache-features", "study"), False),
    "shards of pickles": (_sharded_pickle, ("eval", "train", "build-model"), False),
    "auto_map, unknown model_type": (_remote_code, ("eval", "train", "build-model", "doctor", "push", "attend"), False),
    "auto_map, our model_type": (_remote_code_of_ours, ("eval", "train", "doctor", "interpret"), True),
    "code in the chat template": (_template_code, ("eval", "train"), True),
}


def payload_faults() -> list[Fault]:
    """Return every payload in every command that loads a model, and those in files that are resumed from."""
    faults = [
        Fault(
            command,
            "code in a checkpoint",
            name,
            _loaded,
            (make, COMMANDS[command], fine),
        )
        for name, (make, commands, fine) in PAYLOADS.items()
        for command in commands
    ]
    faults.append(
        Fault(
            "eval",
            "code in a checkpoint",
            "adapter_model.bin",
            _loaded,
            (_pickled_adapter, EVALUATE, False),
        )
    )
    faults.append(
        Fault(
            "merge",
            "code in a checkpoint",
            "adapter_model.bin",
            _loaded,
            (_pickled_adapter, MERGE, False),
        )
    )
    for file in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        faults.append(Fault("train", "code in a checkpoint", f"resumed {file}", _resumed, (file,)))
    for pattern in ("trials/*", "features/*", "parts/*/*"):
        name = {"trials/*": "calibrate", "features/*": "audit", "parts/*/*": "interpret"}[pattern]
        faults.append(Fault(name, "code in a leftover", pattern, _leftover, (name, pattern)))
    return faults


def _no_marker(bench: Bench) -> None:
    if (bench.folder / MARKER).exists():
        raise Defect(LOST, "the code was run")


def _loaded(bench: Bench, make: Callable[[Bench], None], command: Sequence[str], fine: bool) -> str:
    make(bench)
    ended = bench.run(*(part.format(made=bench.made) for part in command))
    _no_marker(bench)
    if ended.traced:
        raise Defect(TRACED, last_lines(ended.text))
    if ended.code == 0 and fine:
        return READ
    return check_refused(ended, "given")


def _resumed(bench: Bench, file: str) -> str:
    stage = next(stage for stage in STAGES if stage.name == "train")

    def poison() -> None:
        for path in (bench.folder / "out" / "checkpoints").glob(f"*/{file}"):
            torch_payload(bench, path)

    return _outcome(bench, lambda: kill(stage, bench, "checkpoints/checkpoint-4/trainer_state.json", between=poison))


def _leftover(bench: Bench, name: str, pattern: str) -> str:
    stage = next(stage for stage in STAGES if stage.name == name)

    def poison() -> None:
        for path in (bench.folder / "out").glob(pattern):
            if path.suffix == ".npy":
                np.save(path, np.array([Payload(bench.folder / MARKER)], dtype=object), allow_pickle=True)
            elif path.is_file():
                path.write_bytes(payload(bench))

    return _outcome(bench, lambda: kill(stage, bench, pattern, between=poison))


def _outcome(bench: Bench, run: Callable[[], str]) -> str:
    try:
        survived = run()
    except Defect as defect:
        _no_marker(bench)
        text = sorted(bench.folder.glob(".log-*.txt"))[-1].read_text(errors="replace")
        if defect.kind == TRACED or "vsre: " not in text:
            raise
        return REFUSED
    _no_marker(bench)
    return survived


def _spoil(path: Path, value: float, part: str) -> None:
    """Put a value into the first tensor whose name has ``part``."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    name = next(name for name in sorted(tensors) if part in name and tensors[name].is_floating_point())
    tensors[name].view(-1)[0] = value
    save_file(tensors, path, metadata={"format": "pt"})


def number_faults() -> list[Fault]:
    """Return NaN and infinity in the weights of each part, for each command that publishes numbers of them."""
    faults = []
    for value in (float("nan"), float("inf")):
        for part in ("language_model", "vision_tower", "multi_modal_projector"):
            for command in ("eval", "train", "attend", "interpret", "cache-features", "study", "audit"):
                if command in ("cache-features", "audit") and part != "vision_tower":
                    continue
                faults.append(
                    Fault(
                        command,
                        f"{value} in the weights",
                        part,
                        _spoilt,
                        (part, value, command),
                    )
                )
        faults.append(Fault("merge", f"{value} in the weights", "adapter", _spoilt_adapter, (value, MERGE)))
        faults.append(Fault("eval", f"{value} in the weights", "adapter", _spoilt_adapter, (value, EVALUATE)))
        faults.append(Fault("push", f"{value} in the weights", "adapter", _spoilt_adapter, (value, PUSH)))
    return faults


def _spoilt(bench: Bench, part: str, value: float, command: str) -> str:
    _spoil(_base(bench) / "model.safetensors", value, part)
    return _says_so(bench, COMMANDS[command])


def _spoilt_adapter(bench: Bench, value: float, command: Sequence[str]) -> str:
    _spoil(bench.copy("adapter", "given") / "adapter_model.safetensors", value, "lora_B")
    return _says_so(bench, command)


def _says_so(bench: Bench, command: Sequence[str]) -> str:
    ended = bench.run(*(part.format(made=bench.made) for part in command))
    if ended.traced:
        raise Defect(TRACED, last_lines(ended.text))
    if ended.code == 0:
        raise Defect(WRONG, f"numbers of such weights were published: {last_lines(ended.text, 2)}")
    return check_refused(ended, "nan|not finite|no number|infinit|finite")
