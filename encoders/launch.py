"""Several processes of one command, for whatever room can use them: who starts them, and whether they know each other.

Under a launcher (torchrun, DeepSpeed's, Accelerate's) the environment says which process of how many this one is. Where
there is none, a command may start itself again under torchrun, one process per GPU (docs/launch.md).
"""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

from spatial.errors import ConfigError, UserError
from spatial.machine import usable_cores

COPIES = {"srun": "SLURM_STEP_NUM_TASKS", "mpirun": "OMPI_COMM_WORLD_SIZE"}
"""By which variable a starter of plain copies says how many there are."""

ONE_PER_MACHINE = "let it start one per machine, and torchrun in it (scripts/train.slurm)"
"""What to do instead of copies that do not know of each other."""

LEAST_PROCESSES = 4
"""So many may be tried on a machine of any size."""

SAID = (2, 130)
"""Exit codes of a process that has told its user why it ends."""


def process_place() -> tuple[int, int]:
    """Return which process this is, from 0, and of how many that a launcher has started."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def check_launcher(nproc: int, environment: Mapping[str, str], mend: str = ONE_PER_MACHINE) -> None:
    """Make sure that a launcher, if there is one, started processes that will find each other.

    Args:
        nproc: processes per machine as the config says; 0: as many as there are.
        environment: of this process.
        mend: of copies that do not know of each other; "" where they may be so.

    Raises:
        ConfigError: it did not, or started another number than ``nproc``, which is no number of processes.
    """
    if nproc < 0:
        raise ConfigError(f"nproc is {nproc}; use 0 (as many as suit the machine) or more")
    for starter, size in COPIES.items():
        if mend and "WORLD_SIZE" not in environment and int(environment.get(size) or 1) > 1:
            raise ConfigError(f"{starter} started {environment[size]} copies that do not know of each other; {mend}")
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


def processes_in(command: Sequence[str]) -> int:
    """Return how many processes a torchrun command starts here."""
    return int(command[command.index("--nproc_per_node") + 1])


def visible_gpus() -> int:
    """Return the number of GPUs that this process may use; none is touched."""
    import torch

    return torch.cuda.device_count()


def end_with_launcher(seconds: float = 1.0) -> None:
    """Under torchrun, have this process end as soon as torchrun is gone.

    torchrun starts each worker in a session of its own, so that what kills torchrun, or its group, leaves the workers
    alive: they would train on, and hold their output folder, with nobody to tell.
    """
    launcher = os.getppid()
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end with launcher").start()


def share_cores(command: Sequence[str]) -> None:
    """Give each process that a torchrun command starts its part of the cores, unless the user has said how many."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes_in(command))))
    sys.stdout.flush()
    sys.stderr.flush()


def run_launched(command: Sequence[str]) -> None:
    """Do in this process what a torchrun command does, and end with one line where one of its processes fails.

    Raises:
        UserError: a process was killed, or failed with a stack trace of its own.
        SystemExit: a process has said already why it ends.
        KeyboardInterrupt: this process was interrupted, and has told the others.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    for name in ("multiprocessing.api", "agent.server.api"):
        logging.getLogger(f"torch.distributed.elastic.{name}").setLevel(logging.CRITICAL)
    share_cores(command)
    try:
        run(parse_args(list(command[command.index("torch.distributed.run") + 1 :])))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode in SAID:
            raise SystemExit(failure.exitcode) from None
        how = "failed, as the stack trace above says"
        if failure.exitcode < 0:
            how = f"was ended by {signal.Signals(-failure.exitcode).name}; the system does so where memory is short"
        raise UserError(
            f"process {rank + 1} of {processes_in(command)} {how}; what is done stays, the same command goes on"
        ) from None
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + error.sigval) from None


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
