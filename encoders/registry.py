"""Which vision encoders exist, as data: the Transformers class of each and what its pixels must look like.

A new encoder is one entry here. Their weights were trained with different normalisations, so the tower
normalises per encoder; their own resize policies (centre crop, squash, pad to one corner) are deliberately not kept:
every encoder sees the same letterboxed canvas, so that a place in the image is the same place in every grid.
"""

from dataclasses import dataclass, field
from typing import Any

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Encoder:
    """How one kind of tower is built and fed.

    Attributes:
        model_class: class in ``transformers``; its config has ``patch_size`` and, unless ``patches``, ``image_size``.
        config_class: class in ``transformers``.
        mean: channel means of pixels scaled to 0..1.
        std: channel deviations of the same.
        resample: "bicubic" or "bilinear", the filter that the published weights were trained with. Like mean and std
            it is what most checkpoints of this kind use; a tower's configuration may say otherwise.
        width: config attribute that holds the channels of the features.
        has_cls: the token sequence starts with a class token; register tokens may follow it.
        any_size: position embeddings follow the input's size, so a tower may look at more or fewer pixels than its
            configuration says.
        patches: the model takes flattened patches instead of pictures (SigLIP 2 "NaFlex").
        asks_interpolation: the model must be told when the input's size is not that of its configuration.
        final_norm: attribute of a last norm that comes after the features; it is not built, "" if there is none.
        unused: other parameters without a use here, which no config value switches off (mask tokens).
        fixed: config values that switch off parts without a use here (heads, mask tokens).
    """

    model_class: str
    config_class: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: str = "bicubic"
    width: str = "hidden_size"
    has_cls: bool = True
    any_size: bool = False
    patches: bool = False
    asks_interpolation: bool = False
    final_norm: str = ""
    unused: tuple[str, ...] = ()
    fixed: dict[str, Any] = field(default_factory=dict)


ENCODERS: dict[str, Encoder] = {
    "clip": Encoder(
        "CLIPVisionModel",
        "CLIPVisionConfig",
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        any_size=True,
        asks_interpolation=True,
        final_norm="post_layernorm",
    ),
    "siglip": Encoder(
        "SiglipVisionModel",
        "SiglipVisionConfig",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        has_cls=False,
        any_size=True,
        asks_interpolation=True,
        final_norm="post_layernorm",
        fixed={"vision_use_head": False},
    ),
    "dinov2": Encoder(
        "Dinov2Model",
        "Dinov2Config",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        any_size=True,
        final_norm="layernorm",
        fixed={"use_mask_token": False},
    ),
    "sam": Encoder(
        "SamVisionModel",
        "SamVisionConfig",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        resample="bilinear",
        width="output_channels",
        has_cls=False,
    ),
    "siglip2_naflex": Encoder(
        "Siglip2VisionModel",
        "Siglip2VisionConfig",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        resample="bilinear",
        has_cls=False,
        any_size=True,
        patches=True,
        final_norm="post_layernorm",
        fixed={"vision_use_head": False},
    ),
    "dinov2_registers": Encoder(
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        any_size=True,
        final_norm="layernorm",
        unused=("embeddings.mask_token",),
    ),
    "dinov3": Encoder(
        "DINOv3ViTModel",
        "DINOv3ViTConfig",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        resample="bilinear",
        any_size=True,
        final_norm="norm",
        unused=("embeddings.mask_token",),
    ),
}
"""Encoders by name. SigLIP 2 of fixed resolution has SigLIP's classes and is "siglip"."""

VSRE_ENCODERS = ("clip", "siglip", "dinov2", "sam")
"""The four of the VSRE paper, in the order of its Figure 3; what a configuration has unless it says otherwise."""
