"""Loading under ZeRO-3, which builds every layer already split over the processes, gives the whole checkpoint."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from encoders import FUSIONS, VSRE_ENCODERS
from tests.extras import needs_deepspeed

ROOT = Path(__file__).parents[2]


def launch(worker: str, processes: int, *arguments: Path) -> str:
    """Run a script of this folder in several processes on the CPU and return what it printed."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *launcher, str(Path(__file__).with_name(worker)), *map(str, arguments)]
    settings = {
        "DS_ACCELERATOR": "cpu",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    environment = {**os.environ, **settings}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.parametrize("fusion", list(FUSIONS))
def test_two_processes_load_every_parameter_and_compute_the_same_loss(
    build: Any, picture: Image.Image, prompt: Callable[..., dict[str, Tensor]], tmp_path: Path, fusion: str
) -> None:
    model, processor = build(tuple(VSRE_ENCODERS), fusion)
    inputs = prompt(processor, picture, "where is the red cup?")
    expected = model(**inputs, labels=inputs["input_ids"]).loss
    model.save_pretrained(tmp_path / "model")
    torch.save(inputs, tmp_path / "inputs.pt")
    launch("zero3_worker.py", 2, *(tmp_path / name for name in ("model", "inputs.pt", "result.safetensors")))

    result = load_file(tmp_path / "result.safetensors")
    split, loss = result.pop("split"), result.pop("loss")
    parameters = dict(model.named_parameters())
    assert int(split) == len(parameters), "every parameter was split, so the configuration was live"
    assert result.keys() == parameters.keys()
    assert all(torch.equal(result[name], parameter) for name, parameter in parameters.items())
    torch.testing.assert_close(loss, expected.detach(), atol=1e-6, rtol=1e-6)


@pytest.mark.slow
@needs_deepspeed
def test_dropped_encoders_learn_nothing_and_split_ones_are_never_named(build: Any, tmp_path: Path) -> None:
    """Two processes draw different encoders in every step."""
    model, _ = build(("clip", "sam"))
    model.save_pretrained(tmp_path / "model")
    launch("zero3_dropout_worker.py", 2, tmp_path / "model", tmp_path / "result.safetensors")
    result = load_file(tmp_path / "result.safetensors")
    assert result["refused"] == 1
    assert result["losses"].isfinite().all() and len(result["losses"]) == 4
    assert not result["dropped"].any(), "a tower that nobody drew has no gradient, not even that of the step before"
    assert result["drawn"].all()
