"""One process per GPU, as for training (``encoders.launch``); but this one stays, to say how the others ended."""

import os
from collections.abc import Sequence

from encoders.launch import check_launcher, end_with_launcher, launch_command, run_launched, visible_gpus
from eval.config import EvalConfig

A_SHARE_EACH = "give each its share (--world N --rank $SLURM_PROCID), or let torchrun start them"


def run_in_processes(config: EvalConfig, argv: Sequence[str]) -> bool:
    """Run the command line in several processes, and tell whether that was done; where one will do, nothing is.

    Args:
        config: of the run.
        argv: the command line after ``python -m vsre``.

    Raises:
        UserError: a launcher did not do what it was asked for, or a process was killed.
        SystemExit: a process failed and has said why.
    """
    end_with_launcher()
    check_launcher(config.nproc, os.environ, "" if config.world > 1 else A_SHARE_EACH)
    command = None if "WORLD_SIZE" in os.environ else command_of(config, argv)
    if command is None:
        return False
    run_launched(command)
    return True


def command_of(config: EvalConfig, argv: Sequence[str]) -> list[str] | None:
    """Return the torchrun command that an evaluation needs here, or ``None``; a device of one's own is one process.

    Raises:
        ConfigError: more processes are asked for than the machine has room for.
    """
    gpus = visible_gpus() if config.device in ("", "cuda") else 0
    return launch_command(config.nproc, gpus, argv) if (config.nproc or gpus) > 1 else None
