"""Finished runs that a report names: what they found, where they lie as seen from a page, and how to repeat them."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatial.errors import ConfigError
from spatial.exposure import TRAINING
from spatial.files import read_mapping
from vsre.config import ReportConfig
from vsre.pictures import data_uri


@dataclass(frozen=True)
class Plot:
    """A picture of a run: its data URI, what it shows, and its size in pixels."""

    source: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class Origin:
    """Where a part of the report comes from.

    Attributes:
        what: the part.
        link: the folder as seen from the page.
        folder: as the settings name it.
        again: the command that makes it again; "" where its settings were not kept.
        facts: commit, hashes, machine, and so on, by name, as far as they are known.
        texts: the content of files that tell more, by name.
    """

    what: str
    link: str
    folder: str
    again: str
    facts: Mapping[str, str]
    texts: Mapping[str, str]


def plot_of(path: Path, caption: str) -> Plot:
    """Return a picture ready for a page."""
    from PIL import Image

    with Image.open(path) as image:
        width, height = image.size
    return Plot(data_uri(path.read_bytes()), caption, width, height)


def finished(setting: str, folder: Path, command: str, key: str) -> dict[str, Any]:
    """Return what ``results.json`` of a run holds.

    Args:
        setting: that names the folder, for messages.
        folder: of the run.
        command: that writes such a folder.
        key: that the results of this command have, and of no other.

    Raises:
        ConfigError: there is no finished run of this command; the message names the command that makes it.
    """
    path, settings = folder / "results.json", folder / "config.yaml"
    again = [settings] if settings.is_file() else ["--model", "MODEL", "--data.path", "DIR", "--out", folder]
    mend = shlex.join(["vsre", command, *map(str, again)])
    if not path.is_file():
        raise ConfigError(f"{setting}: {path} does not exist; write it with: {mend}")
    found = read_mapping(path)
    if found is None:
        raise ConfigError(f"{setting}: {path} is damaged; delete it, and write it again with: {mend}")
    if key not in found:
        raise ConfigError(f"{setting}: {path} is of another command; name a folder written by: {mend}")
    return found


def link_to(folder: str | Path, page_folder: str | Path) -> str:
    """Return where something lies as seen from a page."""
    return Path(os.path.relpath(folder, page_folder)).as_posix()


def repeating(command: str, folder: Path) -> str:
    """Return the command that makes a run again in a new folder; "" where its settings were not kept."""
    settings = folder / "config.yaml"
    again = ["vsre", command, str(settings), "--out", f"runs/{folder.name}-again"]
    return shlex.join(again) if settings.is_file() else ""


def origins(config: ReportConfig) -> list[Origin]:
    """Return where every part of a report comes from, in the order of its settings."""
    ran = ("config.yaml", "environment.json")
    found = [
        _origin(f"{what} of {name}", command, folder, config.out, ran)
        for what, command, folders in (
            ("evaluation", "eval", config.evaluations),
            ("attention", "attend", config.attention),
            ("patching", "interpret", config.interpretations),
        )
        for name, folder in folders.items()
    ]
    found += [
        _origin(f"training of {name}", "train", folder, config.out, (TRAINING,))
        for name, folder in config.training.items()
    ]
    if config.data:
        found.append(_origin("data", "datagen", config.data, config.out, ("README.md", "dataset.json")))
    if config.painted:
        names = ("README.md", "yield.json", "dataset.json")
        found.append(_origin("painted data", "datagen", config.painted, config.out, names))
    return found


def _origin(what: str, command: str, name: str, page_folder: str, files: tuple[str, ...]) -> Origin:
    folder = Path(name)
    texts = {file: (folder / file).read_text(encoding="utf-8") for file in files if (folder / file).is_file()}
    again = repeating(command, folder) or _line_of_card(folder, f"vsre {command} ")
    return Origin(what, link_to(folder, page_folder), name, again, _facts(folder), texts)


def _facts(folder: Path) -> dict[str, str]:
    """Return what is known of a folder: when and by what it was made, and the hashes of model and data."""
    environment = read_mapping(folder / "environment.json") or {}
    results = read_mapping(folder / "results.json") or {}
    training = read_mapping(folder / TRAINING) or {}
    hardware = environment.get("hardware", {})
    machine = ", ".join([hardware.get("processor", ""), *hardware.get("gpus", [])]).strip(", ")
    facts = {
        "made by": shlex.join(environment.get("command", [])),
        "started": environment.get("started", ""),
        "code": environment.get("commit", ""),
        "machine": f"{machine}, {hardware['cores']} cores" if machine else "",
        "model": results.get("model_hash") or training.get("model", ""),
        "data": ", ".join(f"{name} {content}" for name, content in training.get("data", {}).items()),
        "content": _content_hash(folder),
    }
    return {name: value for name, value in facts.items() if value}


def _content_hash(folder: Path) -> str:
    """Return the hash in a dataset's card; "" where there is none."""
    return _line_of_card(folder, "Content hash `").removeprefix("Content hash `").partition("`")[0]


def _line_of_card(folder: Path, start: str) -> str:
    """Return the first line of a dataset's card that starts so; "" where there is none."""
    card = folder / "README.md"
    lines = card.read_text(encoding="utf-8").splitlines() if card.is_file() else []
    return next((line for line in lines if line.startswith(start)), "")


def as_text(content: Mapping[str, Any]) -> str:
    """Return a mapping as people read it."""
    return json.dumps(content, indent=2, ensure_ascii=False)
