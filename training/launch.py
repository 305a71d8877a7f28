"""One process per GPU, without the user having to know torchrun; and every launcher that somebody else knows.

A process that sees several GPUs would train with ``nn.DataParallel``, which is slow and ignores much of what Trainer
promises. So training becomes torchrun, running the same command line, before CUDA is touched. Under a launcher it
does not, but looks whether the launcher really started what it was asked for (``encoders.launch``).
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from encoders.launch import check_launcher, end_with_launcher, launch_command, processes_in, run_launched, visible_gpus
from spatial.machine import usable_cores
from training.config import TrainConfig

if TYPE_CHECKING:
    from training.evaluation import MakeEvaluator


def relaunch_if_needed(config: TrainConfig, argv: Sequence[str], make_evaluator: "MakeEvaluator | None" = None) -> bool:
    """Train under torchrun where several GPUs are visible or several processes are asked for; tell whether that was.

    Inside torchrun, DeepSpeed or another launcher, which set ``WORLD_SIZE``, only the number of processes is checked.
    The config is checked before others are started, so that a user's mistake is reported once and not by each.

    Args:
        config: of the run.
        argv: the command line after ``python -m vsre``, such as ``["train", "--config", "configs/train.yaml"]``.
        make_evaluator: as ``training.run.train`` takes it.

    Raises:
        UserError: the config cannot be used, a launcher did not do what it was asked for, or a process was killed.
        SystemExit: a process failed and has said why.
    """
    end_with_launcher()
    check_launcher(config.nproc, os.environ)
    command = None if "WORLD_SIZE" in os.environ else command_of(config, argv)
    if command is None:
        return False
    from training.lock import check_free
    from training.output import check_processes
    from training.run import check

    check(config, make_evaluator)
    check_free(Path(config.out))
    check_processes(Path(config.out), processes_in(command))
    print(f"starting {processes_in(command)} process(es), each of which loads model and data", flush=True)
    run_launched(command)
    return True


def command_of(config: TrainConfig, argv: Sequence[str]) -> list[str] | None:
    """Return the torchrun command that a run needs here, or ``None``.

    Raises:
        ConfigError: more processes are asked for than the machine has room for.
    """
    gpus = visible_gpus()
    return launch_command(processes_of(config, gpus), gpus, argv, with_deepspeed(config))


def with_deepspeed(config: TrainConfig) -> bool:
    """Tell whether the run, or a stage of it, uses DeepSpeed."""
    trainers = [config.trainer, *(given.get("trainer") for given in config.stages if isinstance(given, dict))]
    return any(isinstance(trainer, dict) and trainer.get("deepspeed") for trainer in trainers)


def processes_of(config: TrainConfig, gpus: int) -> int:
    """Return how many processes a config asks for here; 0: as many as there are GPUs."""
    return config.nproc or (0 if gpus else min(config.cpu_nproc, usable_cores()))
