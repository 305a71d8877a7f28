"""OpenCLIP's plain ViT towers by name, and what its descriptions of a tower mean for ``CLIPVisionConfig``.

Facts of ``open_clip/model_configs`` (3.3.0). Only the vision side is here; text towers do not matter.
"""

from typing import Any

from spatial.errors import CheckpointError


def _vit(layers: int, width: int, patch: int, side: int, head: int = 64, mlp: float = 4.0) -> dict[str, Any]:
    sizes = {"layers": layers, "width": width, "patch_size": patch, "image_size": side}
    return {"vision_cfg": {**sizes, "head_width": head, "mlp_ratio": mlp}}


def _small(patch: int, side: int = 224) -> dict[str, Any]:
    return _vit(12, 384, patch, side)


def _medium(patch: int, side: int = 224) -> dict[str, Any]:
    return _vit(12, 512, patch, side)


def _base(patch: int, side: int = 224) -> dict[str, Any]:
    return _vit(12, 768, patch, side)


def _base_plus(patch: int, side: int = 224) -> dict[str, Any]:
    return _vit(12, 896, patch, side)


def _large(patch: int, side: int = 224) -> dict[str, Any]:
    return _vit(24, 1024, patch, side)


def _huge(patch: int, side: int = 224) -> dict[str, Any]:
    return _vit(32, 1280, patch, side, head=80)


def _big_g(patch: int, side: int = 224) -> dict[str, Any]:
    return _vit(48, 1664, patch, side, head=104, mlp=4.9231)


_GELU = {
    "ViT-S-32": _small(32),
    "ViT-S-16": _small(16),
    "ViT-M-32": _medium(32),
    "ViT-M-16": _medium(16),
    "ViT-B-32": _base(32),
    "ViT-B-32-256": _base(32, 256),
    "ViT-B-32-plus-256": _base_plus(32, 256),
    "ViT-B-16": _base(16),
    "ViT-B-16-plus": _base_plus(16),
    "ViT-B-16-plus-240": _base_plus(16, 240),
    "ViT-L-16": _large(16),
    "ViT-L-16-320": _large(16, 320),
    "ViT-L-14": _large(14),
    "ViT-L-14-280": _large(14, 280),
    "ViT-L-14-336": _large(14, 336),
    "ViT-L-14-worldwide": _large(14),
    "ViT-H-16": _huge(16),
    "ViT-H-14": _huge(14),
    "ViT-H-14-378": _huge(14, 378),
    "ViT-H-14-worldwide": _huge(14),
    "ViT-H-14-worldwide-378": _huge(14, 378),
    "ViT-g-14": _vit(40, 1408, 14, 224, head=88, mlp=4.3637),
    "ViT-bigG-14": _big_g(14),
    "ViT-bigG-14-worldwide": _big_g(14),
    "ViT-bigG-14-worldwide-378": _big_g(14, 378),
    "ViT-e-14": _vit(56, 1792, 14, 224, head=112, mlp=8.5715),
}

_WITH_QUICK_GELU = (
    "ViT-B-32",
    "ViT-B-16",
    "ViT-L-14",
    "ViT-L-14-336",
    "ViT-L-14-worldwide",
    "ViT-H-14",
    "ViT-H-14-378",
    "ViT-H-14-worldwide",
    "ViT-bigG-14",
)

OPENCLIP_MODELS: dict[str, dict[str, Any]] = {
    **_GELU,
    **{f"{name}-quickgelu": {**_GELU[name], "quick_gelu": True} for name in _WITH_QUICK_GELU},
}
"""By OpenCLIP's name, the part of its ``model_cfg`` that describes the tower."""

_SIZES = {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "act_kwargs", "norm_kwargs"}
_AFTER_THE_FEATURES = {"patch_dropout", "pool_type", "final_ln_after_pool", "output_tokens", "pos_embed_type"}
_AFTER_THE_FEATURES |= {"attn_pooler_queries", "attn_pooler_heads"}
"""Settings of training, of pooling, or of values that the weights hold anyway."""

_REFUSED = {
    "timm_model_name": "a tower of timm ({value}); use the same model as published for Transformers, e.g. "
    "google/siglip-so400m-patch14-384",
    "attentional_pool": "a CoCa with attention pooling; use a CLIP, e.g. laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "no_ln_pre": "a CLIPA, which lacks the norm before the layers that Transformers' class has; use a CLIP, e.g. "
    "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
}


def vision_config(model: dict[str, Any], origin: str) -> dict[str, Any]:
    """Translate OpenCLIP's ``model_cfg`` to arguments of ``CLIPVisionConfig``.

    Raises:
        CheckpointError: the tower has no class in Transformers.
    """
    vision = dict(model.get("vision_cfg") or {})
    for key, why in _REFUSED.items():
        if vision.get(key):
            raise CheckpointError(f"{origin} has {why.format(value=vision[key])}")
    layers = vision.get("layers", 12)
    if not isinstance(layers, int):
        raise CheckpointError(f"{origin} has a ResNet; use a ViT, e.g. openai/clip-vit-large-patch14-336")
    for key, value in vision.items():
        if value and key not in _SIZES | _AFTER_THE_FEATURES and not (key == "block_type" and value == "default"):
            if key.startswith("timm_"):
                continue
            raise CheckpointError(f"{origin} has {key} {value!r}, which Transformers' CLIP does not have; use another")
    for key in ("patch_size", "image_size"):
        size = vision.get(key)
        if isinstance(size, list):
            if len(set(size)) != 1:
                raise CheckpointError(f"{origin} has a {key} of {size}; only squares can be towers")
            vision[key] = size[0]
    width, head_width = vision.get("width", 768), vision.get("head_width", 64)
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // head_width,
        "intermediate_size": int(width * vision.get("mlp_ratio", 4.0)),
        "patch_size": vision.get("patch_size", 16),
        "image_size": vision.get("image_size", 224),
        "hidden_act": _activation(model, vision, origin),
        "layer_norm_eps": (vision.get("norm_kwargs") or {}).get("eps", 1e-5),
    }


def _activation(model: dict[str, Any], vision: dict[str, Any], origin: str) -> str:
    if model.get("quick_gelu"):
        return "quick_gelu"
    arguments = vision.get("act_kwargs") or {}
    if arguments.get("approximate", "none") == "none":
        return "gelu"
    if arguments["approximate"] == "tanh":
        return "gelu_pytorch_tanh"
    raise CheckpointError(f"{origin} has act_kwargs {arguments!r}, which Transformers' CLIP does not have; use another")
