"""Whether a checkpoint on disk is whole, and what is said when a disk does not take one.

Trainer writes ``trainer_state.json`` last, so a killed run leaves none in a half-written folder. That is no proof: a
machine that lost power, or a copy that was cut short, leaves files with too few bytes beside it. Both formats of
weights tell their own length, which costs a few reads to compare.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from spatial.disk import refusal
from spatial.errors import ConfigError
from spatial.files import read_mapping

STATE = "trainer_state.json"

_TORCH = (".pt", ".pth", ".bin")

ENGINE = "global_step*"
"""What DeepSpeed saves: weights, optimizer and, unless Trainer has one of its own, the schedule."""

WEIGHTS = ("model*.safetensors", "adapter_model*", "pytorch_model*", ENGINE)
OPTIMIZER = ("optimizer.pt", "optimizer*", ENGINE)
SCHEDULE = ("scheduler.pt", ENGINE)
"""Of each, one must be there; FSDP has names, and folders, of its own."""


def damage(checkpoint: Path) -> str:
    """Return what is wrong with a Trainer checkpoint, or "" if it is whole."""
    state = read_mapping(checkpoint / STATE)
    if state is None:
        return f"{STATE} is missing or cut short"
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        if path.suffix == ".safetensors" and not _whole_safetensors(path):
            return f"{path.relative_to(checkpoint)} is cut short"
        if path.suffix in _TORCH and not zipfile.is_zipfile(path):
            return f"{path.relative_to(checkpoint)} is cut short"
    known = state.get("stateful_callbacks", {}).get("TimeLimit", {}).get("attributes", {})
    lacking = next(_lacking(checkpoint, int(known["processes"])), "") if "processes" in known else ""
    return f"{lacking} is missing" if lacking else ""


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Turn what a full or refusing disk makes of a run into one line.

    Raises:
        ConfigError: instead of the errors of the file system, of safetensors and of torch that mean it.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        said = refusal(error, out, "then the same command goes on from the last whole checkpoint")
        if said is None:
            raise
        raise ConfigError(said) from error


def _lacking(checkpoint: Path, processes: int) -> Iterator[str]:
    """Yield what a checkpoint of so many processes should have and has not.

    Trainer passes over a lacking optimizer or schedule without a word, and begins with a fresh one.
    """
    for names in (WEIGHTS, OPTIMIZER, SCHEDULE):
        if not any(any(checkpoint.glob(name)) for name in names):
            yield names[0]
    for index in checkpoint.glob("*.safetensors.index.json"):
        shards = set(((read_mapping(index) or {}).get("weight_map") or {"": index.name}).values())
        yield from (name for name in sorted(shards) if not (checkpoint / name).exists())
    if any(checkpoint.glob(ENGINE)):
        yield from _lacking_of_engine(checkpoint, processes)
    random = ["rng_state.pth"] * (processes == 1) or [f"rng_state_{rank}.pth" for rank in range(processes)]
    yield from (name for name in random if not (checkpoint / name).exists())


def _lacking_of_engine(checkpoint: Path, processes: int) -> Iterator[str]:
    """Yield what DeepSpeed's part of a checkpoint lacks; with ZeRO every process writes a part of the optimizer."""
    latest = checkpoint / "latest"
    if not latest.is_file():
        yield latest.name
        return
    folder = checkpoint / latest.read_text().strip()
    if not any(folder.glob("*model_states.pt")):
        yield f"{folder.name}/*model_states.pt"
    parts = len(list(folder.glob("*optim_states.pt")))
    if 0 < parts < processes:
        yield f"{folder.name}: {processes - parts} of {processes} *optim_states.pt"


def _whole_safetensors(path: Path) -> bool:
    """Tell whether a file has as many bytes as its header promises, as safetensors finds when it opens it."""
    try:
        with safe_open(path, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False
