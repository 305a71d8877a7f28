"""One process per GPU, without the user having to know torchrun.

A process that sees several GPUs would train with ``nn.DataParallel``, which is slow and ignores much of what Trainer
promises. So training replaces itself by torchrun running the same command line, before CUDA is touched.
"""

import atexit
import os
import sys
from collections.abc import Sequence

from spatial.errors import ConfigError
from training.config import TrainConfig


def relaunch_if_needed(config: TrainConfig, argv: Sequence[str]) -> None:
    """Replace this process by torchrun where several GPUs are visible or several processes are asked for.

    Does nothing inside torchrun, DeepSpeed or another launcher, which set ``WORLD_SIZE``. The config is checked first,
    so that a user's mistake is reported once and not by every process.

    Args:
        config: of the run.
        argv: the command line after ``python -m vsre``, such as ``["train", "--config", "configs/train.yaml"]``.

    Raises:
        UserError: the config cannot be used.
    """
    if "WORLD_SIZE" in os.environ:
        return
    command = launch_command(config.nproc, _visible_gpus(), argv)
    if command is None:
        return
    from training.run import check

    check(config)
    processes = int(command[command.index("--nproc_per_node") + 1])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)


def launch_command(nproc: int, gpus: int, argv: Sequence[str]) -> list[str] | None:
    """Return the torchrun command for ``nproc`` processes (0: one per visible GPU), or ``None`` if none is needed.

    One process on a machine with several visible GPUs needs torchrun too: it hands the process one GPU.

    Raises:
        ConfigError: more processes than GPUs are asked for, so that two would have to share one.
    """
    if nproc > gpus > 0:
        raise ConfigError(
            f"nproc is {nproc}, but {gpus} GPU(s) are visible; leave nproc away, or hide them: CUDA_VISIBLE_DEVICES="
        )
    processes = nproc or gpus
    if processes <= 1 and gpus <= 1:
        return None
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
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
