"""What a forward pass costs, counted on the meta device: no weights, no memory, a second or two at any size.

Two FLOPs per multiply-add, attention included (all of the square, as it is computed), elementwise work not. Batch 1.
"""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from encoders.configuration import FusedVisionConfig, VsreConfig
from encoders.fusion import FUSIONS
from encoders.tower import FusedVisionModel


def tower_flops(config: FusedVisionConfig, names: Collection[str] | None = None, whole: bool = False) -> dict[str, int]:
    """Return the forward FLOPs of each encoder for one image.

    Args:
        config: of the towers.
        names: encoders to count; all by default.
        whole: count also the layers after the feature layer, which are not built; to compare with published figures.
    """
    if whole:
        towers = {name: {**entry, "feature_layer": -1} for name, entry in (config.towers or {}).items()}
        config = FusedVisionConfig(encoders=config.encoders, towers=towers, canvas_size=config.canvas_size)
    with torch.device("meta"):
        tower = FusedVisionModel(config)
        canvas = torch.zeros(1, 3, config.canvas_size, config.canvas_size)
    return {
        name: _count(tower, canvas, encoders=[name]) for name in config.encoders or [] if names is None or name in names
    }


def projector_flops(config: VsreConfig) -> int:
    """Return the forward FLOPs of adapters, fusion and aligners for one image."""
    with torch.device("meta"):
        projector = FUSIONS[config.fusion](config)
        features = {name: torch.zeros(1, plan.tokens, plan.width) for name, plan in config.vision.plans().items()}
    return _count(projector, features)


def language_flops(config: VsreConfig, tokens: int) -> int:
    """Return the forward FLOPs of the language model and its head for a prompt of ``tokens`` tokens."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config.text_config, attn_implementation="eager")
        embeddings = torch.zeros(1, tokens, config.text.hidden_size, dtype=model.dtype)
        mask = torch.zeros(1, 1, tokens, tokens, dtype=model.dtype)  # else Transformers looks at values to make one
    return _count(model, inputs_embeds=embeddings, attention_mask=mask, use_cache=False)


def _count(module: nn.Module, *inputs: Tensor | dict[str, Tensor], **settings: Any) -> int:
    module.requires_grad_(False)  # the counter would hang hooks on the graph
    with FlopCounterMode(display=False) as counter:
        module(*inputs, **settings)
    return int(counter.get_total_flops())
