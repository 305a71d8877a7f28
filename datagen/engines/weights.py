"""Weights of pipelines: found, checked to be whole before any is loaded, loaded part by part, and hashed.

Weights are folders as diffusers writes them (``model_index.json`` and a folder per part), or names on the hub. Only
safetensors are read: a pickle can run any code. The code of a checkpoint is never run.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import isclass
from pathlib import Path
from typing import Any

from spatial.benchmarks import file_hash
from spatial.errors import CheckpointError, first_line

LIBRARIES = ("diffusers", "transformers")
"""Where the classes of parts come from."""

STEMS = ("diffusion_pytorch_model", "model")
"""How the two libraries name weights."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")

HALF = "fp16"
"""The variant that publishers offer for half precision."""


@dataclass(frozen=True)
class Part:
    """A component of a pipeline on disk; ``files`` are its weights, none of a tokenizer or a scheduler."""

    name: str
    library: str
    class_name: str
    folder: Path
    files: tuple[Path, ...] = ()
    variant: str | None = None


@dataclass(frozen=True)
class Need:
    """What the folder of a pipeline must hold.

    Attributes:
        pipelines: names of the pipeline classes whose weights will do.
        parts: names of the components, each with the classes that will do; none for any.
        mend: what fetches weights that will do.
    """

    pipelines: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]]
    mend: str


def check_pipeline(folder: Path, need: Need, half: bool = False) -> tuple[dict[str, Any], list[Part]]:
    """Check that a folder holds all that is needed, without loading weights.

    Args:
        folder: of a pipeline.
        need: what it must hold.
        half: prefer weights of half precision.

    Returns:
        ``model_index.json``, and the needed parts.

    Raises:
        CheckpointError: it is another pipeline's folder, or a part is missing, broken, pickled, or of another class.
    """
    index = read_json(folder / "model_index.json", f"{folder} is no diffusers pipeline", need.mend)
    kind = index.get("_class_name")
    if kind not in need.pipelines:
        raise CheckpointError(f"{folder} holds a {kind}, not a {need.pipelines[0]}; {need.mend}")
    return index, [_part(folder, name, classes, index, need.mend, half) for name, classes in need.parts.items()]


def _part(folder: Path, name: str, classes: tuple[str, ...], index: Mapping[str, Any], mend: str, half: bool) -> Part:
    entry = index.get(name)
    if not isinstance(entry, list) or len(entry) != 2 or entry[1] is None:
        raise CheckpointError(f"{folder} has no {name}, by its model_index.json; {mend}")
    library, class_name = map(str, entry)
    if library not in LIBRARIES:
        raise CheckpointError(
            f"{folder}: {name} is a class of {library}; the code of a checkpoint is never run; {mend}"
        )
    if re.match(r"Auto[A-Z]", class_name):
        raise CheckpointError(
            f"{folder}: {name} is of class {class_name}, which lets the checkpoint choose the code; its code is never "
            f"run; {mend}"
        )
    if classes and class_name not in classes:
        raise CheckpointError(f"{folder}: {name} is of class {class_name}, not {' or '.join(classes)}; {mend}")
    home = folder / name
    if not home.is_dir():
        raise CheckpointError(f"{home} is missing; {mend}")
    if name == "scheduler":
        read_json(home / "scheduler_config.json", f"{home} is not complete", mend)
        return Part(name, library, class_name, home)
    if name.startswith("tokenizer"):
        if not any((home / file).is_file() for file in ("tokenizer.json", "vocab.json")):
            raise CheckpointError(f"{home} has neither tokenizer.json nor vocab.json; {mend}")
        return Part(name, library, class_name, home)
    read_json(home / "config.json", f"{home} is not complete", mend)
    variant, files = weight_files(home, mend, half)
    return Part(name, library, class_name, home, files, variant)


def check_model(folder: Path, class_name: str, mend: str, half: bool = False) -> Part:
    """Check the folder of a single model, such as a control network.

    Raises:
        CheckpointError: it is another model's folder, or not complete.
    """
    config = read_json(folder / "config.json", f"{folder} is no {class_name}", mend)
    if config.get("_class_name") != class_name:
        raise CheckpointError(f"{folder} holds a {config.get('_class_name')}, not a {class_name}; {mend}")
    variant, files = weight_files(folder, mend, half)
    return Part("controlnet", "diffusers", class_name, folder, files, variant)


def weight_files(folder: Path, mend: str, half: bool) -> tuple[str | None, tuple[Path, ...]]:
    """Return which variant of a model's weights will be loaded, and its files, each of them whole.

    Raises:
        CheckpointError: there are none, only pickled ones, or a file is missing or cut off.
    """
    for variant in (HALF, None) if half else (None, HALF):
        for stem in STEMS:
            dotted = f".{variant}" if variant else ""
            index = folder / f"{stem}.safetensors.index{dotted}.json"
            single = folder / f"{stem}{dotted}.safetensors"
            if index.is_file():
                return variant, tuple(whole(path, mend) for path in _shards(index, mend))
            if single.is_file():
                return variant, (whole(single, mend),)
    if any(path for pattern in PICKLES for path in folder.glob(pattern)):
        raise CheckpointError(f"{folder} has only pickled weights, which are never read; take safetensors; {mend}")
    raise CheckpointError(f"{folder} has no weights (*.safetensors); {mend}")


def _shards(index: Path, mend: str) -> Iterator[Path]:
    content = read_json(index, f"{index.parent} is not complete", mend)
    for name in sorted(set(content.get("weight_map", {}).values())):
        if re.fullmatch(r"[\w.-]+", name) is None:
            raise CheckpointError(f"{index} names {name!r}, which is no plain file name; {mend}")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index.parent / name} is missing, which {index.name} names; {mend}")
        yield index.parent / name


def whole(path: Path, mend: str) -> Path:
    """Return a safetensors file that is there to its end.

    Raises:
        CheckpointError: it is cut off or something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            if not list(file.keys()):
                raise CheckpointError(f"{path} holds no tensor; {mend}")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is broken or cut off ({error}); {mend}") from error
    return path


def read_json(path: Path, problem: str, mend: str) -> dict[str, Any]:
    """Read a file of settings.

    Raises:
        CheckpointError: it is missing or no JSON; begins with ``problem``.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{problem}: it has no {path.name}; {mend}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{problem}: {path.name} cannot be read ({error}); {mend}") from error
    return content


def load_part(part: Part, dtype: Any) -> Any:
    """Load a component; of a model, every weight must be there.

    Args:
        part: checked.
        dtype: torch's, of a model's weights.

    Raises:
        CheckpointError: its class is unknown, or weights are missing or do not fit its settings.
    """
    import importlib

    from encoders.source_files import check_complete

    found = getattr(importlib.import_module(part.library), part.class_name, None)
    known: Any = found if isclass(found) else None
    if known is None:
        raise CheckpointError(f"{part.folder}: {part.library} has no class {part.class_name}; update {part.library}")
    try:
        if not part.files:
            return known.from_pretrained(part.folder, local_files_only=True, trust_remote_code=False)
        model, info = known.from_pretrained(
            part.folder,
            dtype=dtype,
            variant=part.variant,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{part.folder} cannot be loaded as {part.class_name} ({type(error).__name__}: {first_line(error)})"
        ) from error
    check_complete(info, f"{part.folder}, a {part.class_name},", "fetch it again")
    return model


def hashes(files: Iterable[Path], root: Path) -> dict[str, str]:
    """Return the sha256 of files by their path under ``root``; the hub states the same of its files."""
    found = {}
    for path in sorted(files):
        name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        state = path.stat()
        found[name.as_posix()] = _sha256(path.absolute(), state.st_size, state.st_mtime_ns)
    return found


@cache
def _sha256(path: Path, size: int, time_ns: int) -> str:
    """Hash a file once in a process, as long as its size and time say that it is the same."""
    return file_hash(path)
