"""One process of a ZeRO-3 job on the CPU: train towers under encoder dropout, every process with draws of its own.

Usage: torchrun --nproc_per_node 2 zero3_dropout_worker.py CHECKPOINT RESULT
"""

import sys

import deepspeed
import torch
from deepspeed.ops import __compatible_ops__
from deepspeed.utils import safe_get_full_grad
from safetensors.torch import save_file
from transformers.integrations import HfDeepSpeedConfig
from zero3_worker import CONFIG

import vsre.hf  # noqa: F401
from encoders.cache_key import weights_hash
from encoders.modeling import VsreForConditionalGeneration
from spatial.errors import ConfigError

DRAWS = ((["clip"], ["sam"]), (["sam"], ["clip"]), (["clip", "sam"], ["clip"]), (["clip"], ["clip"]))
"""Encoders that the two processes keep, step by step; in the last one nobody keeps SAM."""


def main(checkpoint: str, result: str) -> None:
    """Write the losses, the largest gradients of the last step, and whether hashing split weights was refused."""
    __compatible_ops__["deepspeed_shm_comm"] = False  # it would be compiled first
    deepspeed.init_distributed("gloo")
    rank = torch.distributed.get_rank()
    live = HfDeepSpeedConfig(CONFIG | {"optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}}})
    model = VsreForConditionalGeneration.from_pretrained(checkpoint)
    try:
        refused = not weights_hash(model.model.vision_tower.towers["clip"])
    except ConfigError:
        refused = True
    model.train_towers(True)
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=live.config)
    engine.train()
    ids = torch.full((1, model.config.num_image_tokens + 2), model.config.image_token_index)
    ids[:, -2:] = 7
    canvas = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    losses = []
    for draw in DRAWS:
        model.model._draw_encoders = lambda draw=draw: draw[rank]
        loss = engine(input_ids=ids, pixel_values=canvas, labels=ids).loss
        engine.backward(loss)
        losses.append(loss.detach())
        largest = {name: _largest(model.model.vision_tower.towers[name]) for name in ("clip", "sam")}
        engine.step()
    if rank == 0:
        found = {"losses": torch.stack(losses), "drawn": largest["clip"], "dropped": largest["sam"]}
        save_file(found | {"refused": torch.tensor(int(refused))}, result)
    torch.distributed.barrier()


def _largest(tower: torch.nn.Module) -> torch.Tensor:
    """Return the largest gradient of a tower, over all processes."""
    return torch.stack([safe_get_full_grad(parameter).abs().max() for parameter in tower.parameters()]).max()


if __name__ == "__main__":
    main(*sys.argv[1:])
