"""Loading under ZeRO-3, which builds every layer already split over the processes, gives the whole checkpoint."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from encoders import FUSIONS, VSRE_ENCODERS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed")
@pytest.mark.parametrize("fusion", list(FUSIONS))
def test_two_processes_load_every_parameter_and_compute_the_same_loss(
    build: Any, picture: Image.Image, prompt: Callable[..., dict[str, Tensor]], tmp_path: Path, fusion: str
) -> None:
    model, processor = build(tuple(VSRE_ENCODERS), fusion)
    inputs = prompt(processor, picture, "where is the red cup?")
    expected = model(**inputs, labels=inputs["input_ids"]).loss
    model.save_pretrained(tmp_path / "model")
    torch.save(inputs, tmp_path / "inputs.pt")
    worker = Path(__file__).with_name("zero3_worker.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(worker)]
    arguments = [str(tmp_path / name) for name in ("model", "inputs.pt", "result.safetensors")]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {
        "DS_ACCELERATOR": "cpu",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "PATH": path,
    }
    run = subprocess.run(
        [*command, *arguments], env={**os.environ, **settings}, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]

    result = load_file(tmp_path / "result.safetensors")
    split, loss = result.pop("split"), result.pop("loss")
    parameters = dict(model.named_parameters())
    assert int(split) == len(parameters), "every parameter was split, so the configuration was live"
    assert result.keys() == parameters.keys()
    assert all(torch.equal(result[name], parameter) for name, parameter in parameters.items())
    torch.testing.assert_close(loss, expected.detach(), atol=1e-6, rtol=1e-6)
