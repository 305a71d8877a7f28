"""Sizes of models that are built with random weights. One table per preset.

``tiny`` holds the same classes as the large models, small enough to train on a laptop. The inputs and patches of the
four encoders differ as those of the published ones do, and are chosen so that every grid is 8 x 8.
"""

from typing import Any

_VIT: dict[str, Any] = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "towers": {
            "clip": {**_VIT, "image_size": 96, "patch_size": 12, "intermediate_size": 512},
            "siglip": {**_VIT, "image_size": 96, "patch_size": 12, "intermediate_size": 512},
            "dinov2": {**_VIT, "image_size": 112, "patch_size": 14, "mlp_ratio": 4},
            "sam": {
                **_VIT,
                "image_size": 128,
                "patch_size": 16,
                "mlp_dim": 512,
                "output_channels": 128,
                "window_size": 0,
                "global_attn_indexes": [0, 1, 2],
                "initializer_range": 0.02,  # the class's own default, 1e-10, is for weights that are loaded afterwards
            },
        },
        "text": {
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "intermediate_size": 352,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
        },
        "projector": {"conv_adapters": []},  # SAM's grid is as small as the others
        "canvas_size": 128,
    }
}
