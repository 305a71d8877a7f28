"""The steps of a pipeline: settings resolved, references to earlier steps replaced, and what is done already.

A step's fingerprint is the hash of its resolved settings and of the fingerprints of the steps it reads from, so a
change of one setting repeats exactly the steps that depend on it. The fingerprint is written beside the settings
when a step starts and completed when it ends: a killed step continues in its folder, a changed one starts afresh.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from eval.config import WITHOUT_EFFECT as EVAL_WITHOUT_EFFECT
from spatial.errors import ConfigError, UserError, nearest
from spatial.files import read_mapping, write_json
from spatial.mappings import merged
from spatial.shipped import ASSETS, CHECKSUMS
from training.config import TRAINER_WITHOUT_EFFECT, WITHOUT_EFFECT
from vsre import __version__
from vsre.assets import asset_names, resolve_model
from vsre.commands import COMMANDS
from vsre.config import RunConfig, StepConfig
from vsre.settings import REPLACED, find_config, from_mapping, load_settings

REFERENCE = "step:"
MARKERS = "steps"
STEP_COMMANDS = tuple(
    name
    for name, command in COMMANDS.items()
    if name not in ("run", "matrix") and any(entry.name == "out" for entry in fields(command.config_class()))
)
"""Commands that write a folder, but for those that run steps themselves."""


@dataclass
class Step:
    """A step with its settings resolved.

    Attributes:
        fingerprint: hash of the settings and of everything that the step reads from earlier steps.
        marker: JSON file that tells whether the step is done, with which fingerprint and in how many seconds.
        shared: the output folder was named by the user and may serve other runs too; it is never emptied.
        inputs: names of the steps it reads from.
    """

    name: str
    command: str
    config: Any
    fingerprint: str
    marker: Path
    record: dict[str, Any] = field(default_factory=dict)
    shared: bool = False
    inputs: tuple[str, ...] = ()

    @property
    def out(self) -> Path:
        """The step's output folder."""
        return Path(self.config.out)

    @property
    def is_done(self) -> bool:
        """Whether the output is there and was made with these settings and inputs."""
        return self._same_fingerprint() and bool(self.record.get("done")) and self.out.exists()

    @property
    def is_begun(self) -> bool:
        """Whether it was started with these settings and inputs and has not ended, so that it goes on."""
        return self._same_fingerprint() and not self.record.get("done") and self.out.exists()

    def begin(self) -> None:
        """Note the start; the step's own output of other settings is removed, or put aside where it took long to make.

        Raises:
            ConfigError: the output folder is there, and no step of this pipeline made it.
        """
        if not self.shared and not self._same_fingerprint() and self.out.exists():
            if not self.record:
                raise ConfigError(
                    f"{self.out} exists and was not made by this pipeline; move it or choose another 'out'"
                )
            if self.command == "train" or paints(self.config):
                self._put_aside()
            else:
                shutil.rmtree(self.out)
        self.record = {"fingerprint": self.fingerprint, "done": False, "command": self.command}
        self.record["settings"] = asdict(self.config)
        self.marker.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.marker, self.record)

    def _put_aside(self) -> None:
        """Give the output of other settings, or of another version, another name: NAME.old-1, NAME.old-2."""
        number = 1
        while (old := self.out.with_name(f"{self.out.name}.old-{number}")).exists():
            number += 1
        self.out.rename(old)
        print(f"{self.out} was made with other settings or by another version; it is now {old}", flush=True)

    def finish(self, seconds: float) -> None:
        """Note the end; a training that was only looked at is still to be done."""
        looked_at = self.command == "train" and self.config.dry_run
        self.record |= {"done": not looked_at, "seconds": round(seconds, 1)}
        write_json(self.marker, self.record)

    def _same_fingerprint(self) -> bool:
        return self.record.get("fingerprint") == self.fingerprint


def resolve_steps(config: RunConfig) -> list[Step]:
    """Return the steps with their settings, output folders and fingerprints.

    Raises:
        ConfigError: a name is used twice, a reference names no earlier step, or a setting is wrong.
    """
    done: dict[str, Step] = {}
    for entry in config.steps:
        if entry.name in done or entry.name == MARKERS or not re.fullmatch(r"[\w-]+", entry.name):
            raise ConfigError(f"step name {entry.name!r} must be unique, of letters, digits, - and _, not {MARKERS!r}")
        try:
            done[entry.name] = _resolve_step(entry, Path(config.out), done)
        except UserError as error:
            raise ConfigError(f"step {entry.name!r}: {error}") from error
    return list(done.values())


def paints(config: Any) -> bool:
    """Tell whether a step paints its images."""
    return hasattr(config, "engine") and bool(config.engine.name)


def _resolve_step(entry: StepConfig, folder: Path, earlier: dict[str, Step]) -> Step:
    if entry.command not in STEP_COMMANDS:
        raise ConfigError(f"command {entry.command!r} cannot be a step{nearest(entry.command, STEP_COMMANDS)}")
    if "out" in entry.settings:
        raise ConfigError(
            "leave 'out' away: a step writes into the run directory; to share its output with other runs, name the "
            "folder as 'out' beside 'settings'"
        )
    below = load_settings(find_config(entry.config), entry.command) if entry.config else {}
    settings = merged(below, entry.settings, REPLACED.get(entry.command, ()))
    inputs = {name: _find_input(name, earlier) for name in sorted(set(references(settings)))}
    settings = replace_references(settings, {name: str(step.out) for name, step in inputs.items()})
    config = from_mapping(entry.command, {**settings, "out": entry.out or str(folder / entry.name)})
    marker = folder / MARKERS / f"{entry.name}.json"
    record = _read_marker(marker)
    fingerprint = _fingerprint(entry.command, config, [step.fingerprint for step in inputs.values()])
    return Step(entry.name, entry.command, config, fingerprint, marker, record, bool(entry.out), tuple(inputs))


def _read_marker(marker: Path) -> dict[str, Any]:
    record = read_mapping(marker)
    if record is None and marker.exists():
        raise ConfigError(
            f"{marker} is damaged, so that it cannot be told whether the step is done; delete it and the step's output,"
            " and the step is done again"
        )
    return record or {}


def _fingerprint(command: str, config: Any, inputs: list[str]) -> str:
    """Hash what decides the output: the version, the settings, the inputs and, for a shipped model, its checksums."""
    parts = [__version__, command, json.dumps(_deciding(command, config), sort_keys=True), *inputs]
    if hasattr(config, "model"):
        parts.append(_checksums(Path(resolve_model(config.model))))
    if getattr(config, "base", "") in asset_names():
        parts.append(_checksums(ASSETS / config.base))
    if paints(config):
        parts += [_checksums(ASSETS / name) for name in asset_names()]  # an engine or a check may be one of them
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _deciding(command: str, config: Any) -> dict[str, Any]:
    """Return the settings of a step that decide its output; training has some that do not."""
    settings = asdict(config)
    if command == "eval":
        return _without(settings, set(EVAL_WITHOUT_EFFECT))
    if command != "train":
        return settings
    rounded = any(run.get("trainer", {}).get(name) for run in (settings, *config.stages) for name in ("bf16", "fp16"))
    # The folder stays: a result is where it was made. Under autocast, cached features are rounded elsewhere.
    ignored = set(WITHOUT_EFFECT) - {"out", *(["features"] if rounded else [])}
    return {**_without(settings, ignored), "stages": [_without(run, ignored) for run in settings["stages"]]}


def _without(run: dict[str, Any], ignored: set[str]) -> dict[str, Any]:
    kept = {key: value for key, value in run.items() if key not in ignored}
    if isinstance(trainer := kept.get("trainer"), dict):
        kept["trainer"] = {key: value for key, value in trainer.items() if key not in TRAINER_WITHOUT_EFFECT}
    return kept


def _checksums(folder: Path) -> str:
    """Return the checksums of a shipped model; "" for any other folder."""
    path = folder / CHECKSUMS
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _find_input(name: str, earlier: dict[str, Step]) -> Step:
    if name not in earlier:
        raise ConfigError(f"'{REFERENCE}{name}' names no earlier step{nearest(name, earlier)}")
    return earlier[name]


def references(value: Any) -> Iterator[str]:
    """Yield the step names that a nested value refers to, by values and by keys."""
    if isinstance(value, str) and value.startswith(REFERENCE):
        yield value.removeprefix(REFERENCE).partition("/")[0]
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from references(key)
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def replace_references(value: Any, paths: dict[str, str]) -> Any:
    """Return a nested value with what ``paths`` says by step instead of its references."""
    if isinstance(value, dict):
        return {replace_references(key, paths): replace_references(part, paths) for key, part in value.items()}
    if isinstance(value, list):
        return [replace_references(part, paths) for part in value]
    if isinstance(value, str) and value.startswith(REFERENCE):
        name, slash, inside = value.removeprefix(REFERENCE).partition("/")
        return paths[name] + slash + inside
    return value
