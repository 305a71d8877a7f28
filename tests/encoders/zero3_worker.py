"""One process of a ZeRO-3 job on the CPU: load a checkpoint while the configuration is live, compute a loss, gather.

Usage: torchrun --nproc_per_node 2 zero3_worker.py CHECKPOINT INPUTS RESULT
"""

import sys
from typing import Any

import deepspeed
import torch
from deepspeed.ops import __compatible_ops__
from safetensors.torch import save_file
from transformers.integrations import HfDeepSpeedConfig

import vsre.hf  # noqa: F401
from encoders.modeling import VsreForConditionalGeneration

CONFIG: dict[str, Any] = {
    "train_batch_size": 2,
    "train_micro_batch_size_per_gpu": 1,
    "zero_optimization": {
        "stage": 3,
        "overlap_comm": False,
        "contiguous_gradients": True,
        "stage3_param_persistence_threshold": 0,
    },
}


def main(checkpoint: str, inputs_file: str, result: str) -> None:
    """Write the gathered parameters, the loss and how many parameters were really split."""
    __compatible_ops__["deepspeed_shm_comm"] = False  # it would be compiled first
    deepspeed.init_distributed("gloo")
    live = HfDeepSpeedConfig(CONFIG)
    model = VsreForConditionalGeneration.from_pretrained(checkpoint)
    engine, *_ = deepspeed.initialize(model=model, config=live.config)
    inputs = torch.load(inputs_file)
    loss = engine(**inputs, labels=inputs["input_ids"]).loss
    parameters = dict(engine.module.named_parameters())
    split = sum(parameter.numel() == 0 for parameter in parameters.values())
    with deepspeed.zero.GatheredParameters(list(parameters.values())):
        gathered = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    if torch.distributed.get_rank() == 0:
        save_file(gathered | {"loss": loss.detach(), "split": torch.tensor(split)}, result)
    torch.distributed.barrier()


if __name__ == "__main__":
    main(*sys.argv[1:])
