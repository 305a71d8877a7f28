"""``vsre run CONFIG``: named steps, one after another, each done once.

A step's fingerprint is the hash of its resolved settings and of the fingerprints of the steps it reads from, so a
change of one setting repeats exactly the steps that depend on it. The fingerprint is written beside the settings
when a step starts and completed when it ends: a killed step continues in its folder, a changed one starts afresh.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from spatial.errors import ConfigError, UserError, nearest
from spatial.files import write_json
from spatial.shipped import ASSETS
from vsre import __version__
from vsre.assets import CHECKSUMS, asset_names, resolve_model
from vsre.commands import COMMANDS
from vsre.config import RunConfig, StepConfig
from vsre.execute import execute
from vsre.rundir import write_record
from vsre.settings import find_config, from_mapping, load_mapping, to_yaml

REFERENCE = "step:"
MARKERS = "steps"
STEP_COMMANDS = tuple(name for name in COMMANDS if name not in ("run", "doctor"))
SECONDS_KEYS = {"datagen": "render", "build-model": "build", "gallery": "report"}


@dataclass
class Step:
    """A step with its settings resolved.

    Attributes:
        fingerprint: hash of the settings and of everything that the step reads from earlier steps.
        marker: JSON file that tells whether the step is done, with which fingerprint and in how many seconds.
    """

    name: str
    command: str
    config: Any
    fingerprint: str
    marker: Path
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """The step's output folder."""
        return Path(self.config.out)

    @property
    def is_done(self) -> bool:
        """Whether the output is there and was made with these settings and inputs."""
        return self._same_fingerprint() and bool(self.record.get("done")) and self.out.exists()

    def begin(self) -> None:
        """Note the start; the step's own output of other settings is removed.

        Raises:
            ConfigError: the output folder is there, and no step of this pipeline made it.
        """
        if not self._same_fingerprint() and self.out.exists():
            if not self.record:
                raise ConfigError(
                    f"{self.out} exists and was not made by this pipeline; move it or choose another 'out'"
                )
            shutil.rmtree(self.out)
        self.record = {"fingerprint": self.fingerprint, "done": False, "command": self.command}
        self.record["settings"] = asdict(self.config)
        self.marker.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.marker, self.record)

    def finish(self, seconds: float) -> None:
        """Note the end."""
        self.record |= {"done": True, "seconds": round(seconds, 1)}
        write_json(self.marker, self.record)

    def _same_fingerprint(self) -> bool:
        return self.record.get("fingerprint") == self.fingerprint


def run(config: RunConfig) -> Path:
    """Do the steps that are not done and write ``results.json``.

    Returns:
        The page of the last report, or ``results.json`` where no step writes one.

    Raises:
        ConfigError: a step's settings are wrong; all steps are checked before the first one starts.
    """
    folder = Path(config.out)
    if not config.steps:
        raise ConfigError("there are no steps to run; name a settings file that has some, as configs/quickstart.yaml")
    steps = resolve_steps(config)
    for position, step in enumerate(steps, 1):
        title = f"[{position}/{len(steps)}] {step.name}"
        if step.is_done:
            print(f"{title}: already done, skipped", flush=True)
            continue
        print(f"{title}: vsre {step.command}", flush=True)
        started = time.monotonic()
        step.begin()
        if COMMANDS[step.command].record == "out":
            write_record(step.out, step.config)
        result = _execute_step(step)
        step.finish(time.monotonic() - started)
        print(f"{title}: {result}, {step.record['seconds']} s", flush=True)
    results = folder / "results.json"
    write_json(results, _results(steps))
    pages = [step.out / "index.html" for step in steps if step.command == "report"]
    return pages[-1] if pages else results


def _execute_step(step: Step) -> Path | None:
    """Run a step here, or, where training needs several processes, as a command of its own, which launches them."""
    if step.command == "train":
        import torch

        from training.launch import launch_command

        settings = step.marker.with_suffix(".yaml")
        settings.write_text(to_yaml(step.config), encoding="utf-8")
        arguments = ["train", "--config", str(settings)]
        if launch_command(step.config.nproc, torch.cuda.device_count(), arguments):
            if subprocess.run([sys.executable, "-m", "vsre", *arguments], check=False).returncode:
                raise UserError(f"step {step.name!r} failed; its messages are above")
            return step.out
    return execute(step.command, step.config)


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


def _resolve_step(entry: StepConfig, folder: Path, earlier: dict[str, Step]) -> Step:
    if entry.command not in STEP_COMMANDS:
        raise ConfigError(f"command {entry.command!r} cannot be a step{nearest(entry.command, STEP_COMMANDS)}")
    settings = load_mapping(find_config(entry.config)) if entry.config else {}
    settings = _merge(settings, entry.settings)
    if "out" in entry.settings:
        raise ConfigError("leave 'out' away: a step writes into the run directory")
    inputs = {name: _find_input(name, earlier) for name in sorted(_references(settings))}
    settings = _replace_references(settings, {name: str(step.out) for name, step in inputs.items()})
    config = from_mapping(entry.command, {**settings, "out": str(folder / entry.name)})
    marker = folder / MARKERS / f"{entry.name}.json"
    record = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else {}
    fingerprint = _fingerprint(entry.command, config, [step.fingerprint for step in inputs.values()])
    return Step(entry.name, entry.command, config, fingerprint, marker, record)


def _fingerprint(command: str, config: Any, inputs: list[str]) -> str:
    """Hash what decides the output: the version, the settings, the inputs and, for a shipped model, its checksums."""
    parts = [__version__, command, json.dumps(asdict(config), sort_keys=True), *inputs]
    if hasattr(config, "model"):
        parts.append(_checksums(Path(resolve_model(config.model))))
    if _paints(config):
        parts += [_checksums(ASSETS / name) for name in asset_names()]  # an engine or a check may be one of them
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _checksums(folder: Path) -> str:
    """Return the checksums of a shipped model; "" for any other folder."""
    path = folder / CHECKSUMS
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _paints(config: Any) -> bool:
    """Tell whether a step paints its images."""
    return hasattr(config, "engine") and bool(config.engine.name)


def _find_input(name: str, earlier: dict[str, Step]) -> Step:
    if name not in earlier:
        raise ConfigError(f"'{REFERENCE}{name}' names no earlier step{nearest(name, earlier)}")
    return earlier[name]


def _references(value: Any) -> Iterator[str]:
    """Yield the step names that a nested value refers to."""
    if isinstance(value, str) and value.startswith(REFERENCE):
        yield value.removeprefix(REFERENCE)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _references(part)


def _replace_references(value: Any, paths: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replace_references(part, paths) for key, part in value.items()}
    if isinstance(value, list):
        return [_replace_references(part, paths) for part in value]
    if isinstance(value, str) and value.startswith(REFERENCE):
        return paths[value.removeprefix(REFERENCE)]
    return value


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _results(steps: list[Step]) -> dict[str, Any]:
    """Return the content of ``results.json``: the report's summary, and seconds by kind of step."""
    results: dict[str, Any] = {}
    for step in steps:
        if step.command == "report":
            results |= json.loads((step.out / "summary.json").read_text(encoding="utf-8"))
    seconds: dict[str, float] = {}
    for step in steps:
        key = "diffuse" if _paints(step.config) else SECONDS_KEYS.get(step.command, step.command)
        seconds[key] = round(seconds.get(key, 0.0) + step.record["seconds"], 1)
    return results | {"seconds": seconds | {"total": round(sum(seconds.values()), 1)}}
