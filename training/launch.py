"""One process per GPU, without the user having to know torchrun; and every launcher that somebody else knows.

A process that sees several GPUs would train with ``nn.DataParallel``, which is slow and ignores much of what Trainer
promises. So training replaces itself by torchrun running the same command line, before CUDA is touched. Under a
launcher it does not, but looks whether the launcher really started what it was asked for (docs/launch.md).
"""

import atexit
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from spatial.errors import ConfigError
from spatial.machine import usable_cores
from training.config import TrainConfig

if TYPE_CHECKING:
    from training.evaluation import MakeEvaluator

COPIES = {"srun": "SLURM_STEP_NUM_TASKS", "mpirun": "OMPI_COMM_WORLD_SIZE"}
"""By which variable a starter of plain copies says how many there are."""


LEAST_PROCESSES = 4
"""So many may be tried on a machine of any size."""


def relaunch_if_needed(config: TrainConfig, argv: Sequence[str], make_evaluator: "MakeEvaluator | None" = None) -> None:
    """Replace this process by torchrun where several GPUs are visible or several processes are asked for.

    Inside torchrun, DeepSpeed or another launcher, which set ``WORLD_SIZE``, only the number of processes is checked.
    The config is checked before others are started, so that a user's mistake is reported once and not by each.

    Args:
        config: of the run.
        argv: the command line after ``python -m vsre``, such as ``["train", "--config", "configs/train.yaml"]``.
        make_evaluator: as ``training.run.train`` takes it.

    Raises:
        UserError: the config cannot be used, or a launcher did not do what it was asked for.
    """
    check_launcher(config.nproc, os.environ)
    if "WORLD_SIZE" in os.environ:
        return
    sharded = with_deepspeed(config)
    gpus = _visible_gpus()
    command = launch_command(processes_of(config, gpus), gpus, argv, sharded)
    if command is None:
        return
    from training.run import check

    check(config, make_evaluator)
    processes = int(command[command.index("--nproc_per_node") + 1])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)


def with_deepspeed(config: TrainConfig) -> bool:
    """Tell whether the run, or a stage of it, uses DeepSpeed."""
    trainers = [config.trainer, *(given.get("trainer") for given in config.stages if isinstance(given, dict))]
    return any(isinstance(trainer, dict) and trainer.get("deepspeed") for trainer in trainers)


def check_launcher(nproc: int, environment: Mapping[str, str]) -> None:
    """Make sure that a launcher, if there is one, started processes that will find each other.

    Args:
        nproc: processes per machine as the config says; 0: as many as there are.
        environment: of this process.

    Raises:
        ConfigError: it did not, or started another number than ``nproc``.
    """
    for starter, size in COPIES.items():
        if "WORLD_SIZE" not in environment and int(environment.get(size) or 1) > 1:
            raise ConfigError(
                f"{starter} started {environment[size]} copies that do not know of each other; let it start one per"
                " machine, and torchrun in it (scripts/train.slurm)"
            )
    if "WORLD_SIZE" not in environment:
        if "ACCELERATE_MIXED_PRECISION" in environment and "MASTER_PORT" in environment:
            raise ConfigError(
                "accelerate launch started one process where several were asked for; add --multi_gpu, also without a"
                " GPU, and drop --cpu"
            )
        return
    if "RANK" not in environment or "LOCAL_RANK" not in environment:
        raise ConfigError("WORLD_SIZE is set, but not by a launcher; unset it, or start with torchrun")
    here = environment.get("LOCAL_WORLD_SIZE") or environment.get("LOCAL_SIZE")
    if nproc and here and nproc != int(here):
        raise ConfigError(f"nproc is {nproc}, but the launcher started {here} process(es) here; leave nproc away")


def without_local_rank(arguments: Sequence[str]) -> list[str]:
    """Return a command line without ``--local_rank``, which DeepSpeed's launcher puts first; LOCAL_RANK says it too."""
    kept: list[str] = []
    value_expected = False
    for argument in arguments:
        name, given, _ = argument.partition("=")
        is_rank = name in ("--local_rank", "--local-rank")
        if not is_rank and not value_expected:
            kept.append(argument)
        value_expected = is_rank and not given
    return kept


def processes_of(config: TrainConfig, gpus: int) -> int:
    """Return how many processes a config asks for here; 0: as many as there are GPUs."""
    return config.nproc or (0 if gpus else min(config.cpu_nproc, usable_cores()))


def launch_command(nproc: int, gpus: int, argv: Sequence[str], sharded: bool = False) -> list[str] | None:
    """Return the torchrun command for ``nproc`` processes (0: one per visible GPU), or ``None`` if none is needed.

    One process on a machine with several visible GPUs needs torchrun too: it hands the process one GPU. So does one
    with DeepSpeed (``sharded``), which looks for its place among the others.

    Raises:
        ConfigError: more processes than GPUs are asked for, so that two would have to share one, or, without GPUs, many
            more than there are cores.
    """
    if not gpus and nproc > max(LEAST_PROCESSES, usable_cores()):
        raise ConfigError(f"nproc is {nproc}, but this machine has {usable_cores()} cores and no GPU; lower it")
    if nproc > gpus > 0:
        raise ConfigError(
            f"nproc is {nproc}, but {gpus} GPU(s) are visible; leave nproc away, or hide them: CUDA_VISIBLE_DEVICES="
        )
    processes = nproc or gpus
    if processes <= 1 and gpus <= 1 and not sharded:
        return None
    number = str(max(1, processes))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", number]
    # After "--" torchrun takes nothing for an option of its own; it would read our --nproc as short for one.
    return [*torchrun, "-m", "--", "vsre", *argv]


def _visible_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def leave_group_at_exit() -> None:
    """Have this process leave its group when it ends; left to destructors, gloo now and then aborts after the work."""
    atexit.register(_leave_group)


def _leave_group() -> None:
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def end_process(code: int) -> NoReturn:
    """End this process; one of several without Python's taking itself down.

    After the last exchange a thread of gloo may still hold its tensor. If it is late to let go of it, on a machine with
    much to do, it meets an interpreter that is no more, and a process whose work is done aborts.
    """
    group = sys.modules.get("torch.distributed")
    if group is None or not group.is_initialized():
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
