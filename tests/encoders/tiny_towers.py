"""Configurations of a few thousand parameters for every encoder of the registry, shared by tests of towers."""

from typing import Any, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)

_VIT: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}

TINY: dict[str, dict[str, Any]] = {
    "clip": {**_VIT, "image_size": 32, "patch_size": 8, "intermediate_size": 32},
    "siglip": {**_VIT, "image_size": 36, "patch_size": 8, "intermediate_size": 32},
    "dinov2": {**_VIT, "image_size": 28, "patch_size": 7, "mlp_ratio": 2},
    "sam": {
        **_VIT,
        "image_size": 64,
        "patch_size": 16,
        "mlp_dim": 32,
        "output_channels": 24,
        "window_size": 3,
        "global_attn_indexes": [1],
    },
    "siglip2_naflex": {**_VIT, "patch_size": 8, "num_patches": 16, "intermediate_size": 32},
    "dinov2_registers": {**_VIT, "image_size": 28, "patch_size": 7, "mlp_ratio": 2, "num_register_tokens": 3},
    "dinov3": {
        **_VIT,
        "image_size": 32,
        "patch_size": 8,
        "intermediate_size": 32,
        "num_register_tokens": 4,
    },
}


def randomise(module: Module, seed: int = 0) -> Module:
    """Give every parameter random values around its own: a zero or a one would hide a weight that is not read."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module
