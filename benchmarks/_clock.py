"""A clock for what runs on a GPU if there is one."""

import time
from collections.abc import Callable
from typing import Any

import torch
from _report import machine

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def torch_machine() -> dict[str, Any]:
    """Return what ``machine`` says, with the device and the threads that PyTorch uses."""
    found = machine()
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else found["cpu"]
    return {"device": device, "threads": torch.get_num_threads(), **found}


def timed(job: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a job, until a GPU has done its part, and what the job returns."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    found = job()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, found
