"""Qwen2-VL and Qwen2.5-VL (arXiv 2409.12191, 2502.13923): positions of image tokens count rows and columns (M-RoPE).

The number of image tokens follows the picture's size and shape. Text goes on behind the larger of rows and columns.
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from eval.families.family import Family
from eval.images import Placed, processed

TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if loop.first and message['role'] != 'system' -%}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif -%}"
    "{{ '<|im_start|>' ~ message['role'] ~ '\\n' }}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{{ '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)


def see(model: Any, image_processor: Any, pictures: Sequence[Image.Image]) -> list[Placed]:
    """Return the tokens of each picture at the places that the model itself gives them."""
    inputs = processed(model, image_processor, pictures)
    tokens = model.get_image_features(**inputs, return_dict=True).pooler_output
    grids = inputs["image_grid_thw"].split(1)
    return [Placed(own, _places(model, len(own), grid)) for own, grid in zip(tokens, grids, strict=True)]


def _places(model: Any, count: int, grid_13: torch.Tensor) -> torch.Tensor:
    """Return (3, N): time, row and column of each token of one picture."""
    ids = torch.full((1, count), model.config.image_token_id, device=grid_13.device)
    positions, _ = model.model.get_rope_index(ids, mm_token_type_ids=torch.ones_like(ids), image_grid_thw=grid_13)
    places: torch.Tensor = positions[:, 0]
    return places


FAMILY = Family(see=see, templates={"qwen2_vl_text": TEMPLATE, "qwen2_5_vl_text": TEMPLATE})
