"""Hand what is missing of a matrix to a scheduler: first what several combinations share, then one job for each.

A job is 'vsre run' of a settings file of its own, so it can be killed and submitted again like any run.
"""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import yaml

from spatial.errors import ConfigError, UserError
from vsre.config import MatrixConfig, StepConfig
from vsre.steps import Step

JOBS = "jobs"
COMMAND = "{command}"


def submit_missing(
    config: MatrixConfig,
    entries: Mapping[str, StepConfig],
    missing: Mapping[str, Sequence[str]],
    shared: Sequence[str],
    steps: Mapping[str, Step],
) -> None:
    """Submit one job for the shared steps if these are not done, else one for each missing combination.

    Args:
        config: of the matrix.
        entries: every step of the matrix.
        missing: steps of each combination that is not done.
        shared: steps that several combinations need.
        steps: the same, resolved.

    Raises:
        ConfigError: ``submit`` has no place for the command.
        UserError: the scheduler refused a job.
    """
    if COMMAND not in config.submit:
        raise ConfigError(f"submit is {config.submit!r}; say with {COMMAND} where the command belongs")
    needed = {name for names in missing.values() for name in names}
    first = [name for name in shared if name in needed and not steps[name].is_done]
    jobs = {"shared": first} if first else {f"cell-{name}": list(names) for name, names in missing.items()}
    for job, names in jobs.items():
        _submit(config, job, [entries[name] for name in entries if name in names])
    if first:
        print(f"{len(missing)} combinations need what this job makes; repeat the command when it has ended")


def _submit(config: MatrixConfig, job: str, entries: Sequence[StepConfig]) -> None:
    folder = Path(config.out) / JOBS
    file, mark = folder / f"{job}.yaml", folder / f"{job}.submitted"
    if mark.exists() and not config.again:
        print(f"{job}: submitted before ({mark.read_text(encoding='utf-8').strip()}); --again submits it once more")
        return
    folder.mkdir(parents=True, exist_ok=True)
    results = f"{JOBS}/{job}.results.json"  # jobs run side by side, and none may write over another's
    content = {"out": config.out, "results": results, "steps": [asdict(entry) for entry in entries]}
    file.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    command = shlex.join([sys.executable, "-m", "vsre", "run", str(file)])
    # Words of the line, not the line: a scheduler gets the command as one argument, whatever is in it.
    words = [word.replace(COMMAND, command) for word in shlex.split(config.submit)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ConfigError(f"submit: {words[0]} cannot be started ({error.strerror}); correct 'submit'") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise UserError(f"submit: {words[0]} ended with code {done.returncode} for {job}: {said[-1]}")
    mark.write_text(done.stdout.strip() + "\n", encoding="utf-8")
    print(f"{job}: {done.stdout.strip() or 'submitted'}", flush=True)
