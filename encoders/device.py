"""Where a command computes."""

import os

import torch

from spatial.errors import ConfigError


def usable_device(name: str = "") -> torch.device:
    """Return the device of a name; without one, or without its number, the GPU that a launcher gives this process.

    Without a GPU and a name it is the CPU.

    Raises:
        ConfigError: there is no such device here.
    """
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=own if name in ("", "cuda") else name).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name or own!r} cannot be used here; leave device empty or use 'cpu'") from error
