"""Where a command computes."""

import os

import torch

from spatial.errors import ConfigError


def usable_device(name: str = "auto") -> torch.device:
    """Return the device of a name; "cuda" is the GPU that a launcher gives this process.

    "auto", as no name, is that GPU, or the CPU where there is none.

    Raises:
        ConfigError: there is no such device here.
    """
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    chosen = (own if torch.cuda.is_available() else "cpu") if name in ("", "auto") else own if name == "cuda" else name
    try:
        return torch.empty(0, device=chosen).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name or chosen!r} cannot be used here; use 'auto' or 'cpu'") from error
