"""Sizes of a painter of some ten thousand weights, of the classes and shape of the one that is shipped."""

from typing import Any


def mini(size: int) -> dict[str, Any]:
    """Return sizes of a painter of so many pixels."""
    return {
        "sample_size": size // 4,
        "block_out_channels": (16, 16),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "SimpleCrossAttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 8,
        "attention_head_dim": 8,
        "norm_num_groups": 4,
    }
