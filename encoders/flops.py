"""Floating-point operations of one forward pass, counted on weights that take no memory; 2 per multiply and add."""

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel

from encoders.configuration import FusedVisionConfig, VsreConfig
from encoders.tower import FusedVisionModel


def tower_flops(config: FusedVisionConfig) -> dict[str, int]:
    """Return the operations of each tower for one image."""
    with torch.device("meta"):
        vision = FusedVisionModel._from_config(config)
        canvas = torch.zeros(1, 3, config.canvas_size, config.canvas_size)
    return {name: _count(lambda name=name: vision(canvas, encoders=[name])) for name in vision.plans}


def language_flops(config: VsreConfig, tokens: int) -> int:
    """Return the operations of the language model, without its head, for one row of ``tokens``."""
    with torch.device("meta"):
        model = AutoModel.from_config(config.text)
        embeddings = torch.zeros(1, tokens, config.text.hidden_size)
    return _count(lambda: model(inputs_embeds=embeddings, use_cache=False))


def _count(forward) -> int:  # type: ignore[no-untyped-def]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward()
    return int(counter.get_total_flops())
