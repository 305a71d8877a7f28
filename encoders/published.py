"""Published towers by hub id: what their configuration files say, for planning before any file is here.

Sizes, token counts, parameters and FLOPs of a model follow from this alone; weights come from ``encoders.sources``.
"""

from copy import deepcopy
from typing import Any

from encoders.registry import ENCODERS
from spatial.errors import ConfigError, nearest

_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
_CLIP_L = {**_LARGE, "intermediate_size": 4096, "patch_size": 14}
_SO400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
_DINOV2 = {"image_size": 518, "patch_size": 14}
_DINOV3 = {"num_register_tokens": 4}

_PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "openai/clip-vit-large-patch14-336": ("clip", {"config": {**_CLIP_L, "image_size": 336}}),
    "openai/clip-vit-large-patch14": ("clip", {"config": {**_CLIP_L, "image_size": 224}}),
    "google/siglip-so400m-patch14-384": ("siglip", {"config": {**_SO400M, "image_size": 384, "patch_size": 14}}),
    "google/siglip2-so400m-patch14-384": (
        "siglip",
        {"config": {**_SO400M, "image_size": 384, "patch_size": 14}, "resample": "bilinear"},
    ),
    "google/siglip2-so400m-patch16-naflex": (
        "siglip2_naflex",
        {"config": {**_SO400M, "patch_size": 16, "num_patches": 256}, "image_size": 256},
    ),
    "facebook/dinov2-base": ("dinov2", {"config": _DINOV2, "image_size": 224}),
    "facebook/dinov2-large": ("dinov2", {"config": {**_LARGE, **_DINOV2}, "image_size": 224}),
    "facebook/dinov2-with-registers-base": (
        "dinov2_registers",
        {"config": {**_DINOV2, "num_register_tokens": 4}, "image_size": 224},
    ),
    "facebook/dinov3-vitb16-pretrain-lvd1689m": (
        "dinov3",
        {"config": {**_DINOV3, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}},
    ),
    "facebook/dinov3-vitl16-pretrain-lvd1689m": (
        "dinov3",
        {"config": {**_DINOV3, **_LARGE, "intermediate_size": 4096}},
    ),
    "facebook/sam-vit-base": ("sam", {"config": {}}),
    "facebook/sam-vit-large": ("sam", {"config": {**_LARGE, "mlp_dim": 4096, "global_attn_indexes": [5, 11, 17, 23]}}),
    "facebook/sam-vit-huge": (
        "sam",
        {
            "config": {
                "hidden_size": 1280,
                "num_hidden_layers": 32,
                "num_attention_heads": 16,
                "mlp_dim": 5120,
                "global_attn_indexes": [7, 15, 23, 31],
            }
        },
    ),
}

VSRE_TOWERS = (
    "openai/clip-vit-large-patch14-336",
    "google/siglip-so400m-patch14-384",
    "facebook/dinov2-base",
    "facebook/sam-vit-base",
)
"""The towers of the VSRE paper, in the order of its Figure 3."""

PUBLISHED = tuple(_PUBLISHED)
"""The hub ids that are known."""


def published_entry(hub_id: str) -> tuple[str, dict[str, Any]]:
    """Return the encoder's name and its entry of ``FusedVisionConfig.towers``.

    Raises:
        ConfigError: an id that is not among ``PUBLISHED``.
    """
    if hub_id not in _PUBLISHED:
        known = ", ".join(PUBLISHED)
        raise ConfigError(f"the sizes of {hub_id!r} are not known here{nearest(hub_id, PUBLISHED)}; known: {known}")
    name, entry = _PUBLISHED[hub_id]
    entry = {**deepcopy(entry), "resample": entry.get("resample", ENCODERS[name].resample)}
    return name, entry
