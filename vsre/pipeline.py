"""``vsre run CONFIG``: named steps, one after another, each done once (``vsre.steps`` tells which are done)."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from encoders.launch import processes_in
from spatial.errors import ConfigError, UserError
from spatial.files import write_json
from vsre.commands import COMMANDS
from vsre.config import RunConfig
from vsre.execute import execute
from vsre.rundir import write_record
from vsre.settings import to_yaml
from vsre.steps import Step, paints, resolve_steps

SECONDS_KEYS = {"datagen": "render", "build-model": "build", "gallery": "report"}


def run(config: RunConfig) -> Path | None:
    """Do the steps that are not done and write ``results.json``; with ``dry_run`` tell what that would take.

    Returns:
        The page of the last report, or ``results.json`` where no step writes one; nothing for a dry run.

    Raises:
        ConfigError: a step's settings are wrong; all steps are checked before the first one starts.
        UserError: a step failed; the message names the command that goes on.
    """
    if not config.steps:
        raise ConfigError("there are no steps to run; name a settings file that has some, as configs/quickstart.yaml")
    steps = resolve_steps(config)
    if config.dry_run:
        from vsre.outlook import show_outlook

        show_outlook(steps, Path(config.out))
        return None
    begun = time.monotonic()
    for position, step in enumerate(steps, 1):
        so_far = f" after {_clock(begun)}" if position > 1 else ""
        do_step(step, f"[{position}/{len(steps)}{so_far}] {step.name}")
    results = Path(config.out) / config.results
    write_json(results, _results(steps))
    print(f"{len(steps)} steps done after {_clock(begun)}; outputs are in {config.out}", flush=True)
    pages = [step.out / "index.html" for step in steps if step.command == "report"]
    return pages[-1] if pages else results


def do_step(step: Step, title: str) -> None:
    """Do a step unless it is done, and say so under its title.

    Raises:
        UserError: it failed; the message names the command that goes on.
    """
    if step.is_done:
        print(f"{title}: already done, skipped ({step.out})", flush=True)
        return
    goes_on = "goes on" if step.is_begun else "starts"
    print(f"{title}: vsre {step.command} {goes_on}, writes {step.out}", flush=True)
    started = time.monotonic()
    with _telling_how_to_go_on(step):
        step.begin()
        if COMMANDS[step.command].record == "out":
            write_record(step.out, step.config)
        result = _execute_step(step)
    step.finish(time.monotonic() - started)
    print(f"{title}: {result or step.out}, {_text(step.record['seconds'])}", flush=True)


@contextmanager
def _telling_how_to_go_on(step: Step) -> Iterator[None]:
    """Add the command that goes on to a user's mistake; say it before the stack trace of anything else."""
    again = f"what is done stays; go on with: {shlex.join(['vsre', *sys.argv[1:]])}"
    if sys.argv[1:2] not in (["run"], ["matrix"]):  # called by other means than the command line
        again = "what is done stays; the same run goes on"
    try:
        yield
    except UserError as error:
        raise type(error)(f"step {step.name!r}: {error}; {again}") from error
    except Exception:
        print(f"step {step.name!r} failed; {again}", file=sys.stderr, flush=True)
        raise


def _execute_step(step: Step) -> Path | None:
    """Run a step here, or, where it needs several processes, as a command of its own, which launches them."""
    if step.command in ("train", "eval") and launched(step.command, step.config):
        settings = step.marker.with_suffix(".yaml")
        settings.write_text(to_yaml(step.config), encoding="utf-8")
        arguments = [step.command, "--config", str(settings)]
        if subprocess.run([sys.executable, "-m", "vsre", *arguments], check=False).returncode:
            raise UserError("it failed in its own processes, whose messages are above")
        return step.out
    return execute(step.command, step.config)


def launched(command: str, config: Any) -> int:
    """Return in how many processes training or an evaluation is launched here; 0: in this one."""
    found = import_module({"train": "training.launch", "eval": "eval.launch"}[command]).command_of(config, [])
    return processes_in(found) if found else 0


def _clock(begun: float) -> str:
    return _text(time.monotonic() - begun)


def _text(seconds: float) -> str:
    """Return seconds as people read them: "41.3 s", "12:05" or "3:12:05"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _results(steps: list[Step]) -> dict[str, Any]:
    """Return the content of ``results.json``: the report's summary, and seconds by kind of step."""
    results: dict[str, Any] = {}
    for step in steps:
        if step.command == "report":
            results |= json.loads((step.out / "summary.json").read_text(encoding="utf-8"))
    seconds: dict[str, float] = {}
    for step in steps:
        key = "diffuse" if paints(step.config) else SECONDS_KEYS.get(step.command, step.command)
        seconds[key] = round(seconds.get(key, 0.0) + step.record["seconds"], 1)
    return results | {"seconds": seconds | {"total": round(sum(seconds.values()), 1)}}
