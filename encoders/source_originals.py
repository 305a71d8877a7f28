"""Vision encoders in the files of the projects that trained them: OpenCLIP and segment-anything.

Their layers are those of Transformers' classes under other names, so conversion is renaming, and for OpenCLIP splitting
one matrix into queries, keys and values. What an encoder is made of is read from ``open_clip_config.json`` or from the
architecture's name for OpenCLIP, and from the shapes of the tensors for segment-anything.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from encoders.configuration import TowerPlan
from encoders.openclip_models import OPENCLIP_MODELS, vision_config
from encoders.source_files import (
    OPENCLIP_CONFIG,
    OPENCLIP_WEIGHTS,
    Checkpoint,
    Place,
    fetch_weights,
    read_description,
    read_tensors,
)
from encoders.tower import cut_config
from spatial.errors import CheckpointError, ConfigError, nearest

_SAM_MARK = "image_encoder.blocks.0.attn.qkv.weight"
_OPENCLIP_MARK = "visual.conv1.weight"

_REFUSED = {
    r"visual\.trunk\.": "an OpenCLIP model whose tower is timm's; use the same model as published for Transformers, "
    "e.g. google/siglip-so400m-patch14-384",
    r"visual\.layer1\.": "a ResNet of OpenCLIP; use a ViT, e.g. openai/clip-vit-large-patch14-336",
    r"visual\.attn_pool\.": "a CoCa of OpenCLIP; use a CLIP, e.g. laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    r"visual\.blocks\.": "an EVA-CLIP; use a CLIP, e.g. openai/clip-vit-large-patch14-336",
    r"image_encoder\.(patch_embed\.seq|layers)\.": "a MobileSAM, whose tower is a TinyViT; use facebook/sam-vit-base",
    r"image_encoder\.trunk\.": "a SAM 2; use facebook/sam-vit-base",
    r"detector\.": "a SAM 3; use facebook/sam-vit-base",
    r"(storage_tokens|rope_embed\.)": "a DINOv3 of the original code; use facebook/dinov3-vitb16-pretrain-lvd1689m",
    r"(stages|downsample_layers)\.": "a ConvNeXt; use a ViT, e.g. facebook/dinov3-vitb16-pretrain-lvd1689m",
    r"blocks\..*attn\.qkv": "a ViT of DINO's or timm's code; use the same as published for Transformers, e.g. "
    "facebook/dinov2-base",
}
"""By a pattern at the start of some weight's name: what the file is, and what to use instead."""


def split_architecture(source: str | Path) -> tuple[str, str | Path]:
    """Split ``"ViT-L-14-336@file.pt"`` into architecture and file; the first is "" where there is no "@".

    Raises:
        ConfigError: an architecture that is not known, before a file that exists.
    """
    text = str(source)
    name, at, path = text.partition("@")
    if not at or Path(text).exists():
        return "", source
    if name not in OPENCLIP_MODELS:
        known = ", ".join(OPENCLIP_MODELS)
        raise ConfigError(f"{name!r} is no OpenCLIP architecture{nearest(name, OPENCLIP_MODELS)}; known: {known}")
    return name, path


def describe_openclip(place: Place) -> Checkpoint:
    """Say what encoder a directory of OpenCLIP holds.

    Raises:
        CheckpointError: one without a class in Transformers, or damaged files.
    """
    content = read_description(place.path / OPENCLIP_CONFIG)
    config = vision_config(content.get("model_cfg", {}), place.origin)
    settings = content.get("preprocess_cfg", {})
    pixels = {key: list(settings[key]) for key in ("mean", "std") if settings.get(key)}
    if settings.get("interpolation") in ("bicubic", "bilinear"):
        pixels["resample"] = settings["interpolation"]

    def load(plan: TowerPlan, dtype: torch.dtype | None) -> dict[str, Tensor]:
        fetch_weights(place, *([name] for name in OPENCLIP_WEIGHTS))
        files = [place.path / name for name in OPENCLIP_WEIGHTS if (place.path / name).is_file()]
        if not files:
            raise CheckpointError(f"{place.origin} has no {' or '.join(OPENCLIP_WEIGHTS)}; download it again")
        return convert_openclip(read_tensors(files[0]), plan, dtype)

    return Checkpoint("clip", config, pixels, f"{place.origin} (OpenCLIP)", load)


def describe_file(path: Path, architecture: str) -> Checkpoint:
    """Say what encoder one file of weights holds.

    Args:
        path: a state dict, as a pickle of plain tensors or as safetensors.
        architecture: OpenCLIP's name for it; needed because heads and activation leave no trace in the weights.

    Raises:
        ConfigError: the architecture is needed and not given, or given and not needed.
        CheckpointError: the file holds something else.
    """
    tensors = read_tensors(path)
    for pattern, what in _REFUSED.items():
        if any(re.match(pattern, key) for key in tensors):
            raise CheckpointError(f"{path.name} is {what}")
    if _SAM_MARK in tensors:
        if architecture:
            raise ConfigError(
                f"{path.name} is a SAM, not an OpenCLIP {architecture}; give the file without {architecture}@"
            )
        return _describe_sam(tensors, path.name)
    if _OPENCLIP_MARK not in tensors:
        raise CheckpointError(
            f"{path.name} is of neither OpenCLIP nor segment-anything (its first weight is {next(iter(tensors))!r}); "
            "give a Transformers directory"
        )
    if not architecture:
        fits = [name for name in OPENCLIP_MODELS if _fits(tensors, name)]
        hint = f"it could be {' or '.join(fits)}" if fits else "give its directory with open_clip_config.json"
        raise ConfigError(
            f"{path.name} is an OpenCLIP, whose heads and activation its weights do not show; say what it is, as in "
            f"{(fits or ['ViT-L-14'])[0]}@{path} ({hint})"
        )
    config = vision_config(OPENCLIP_MODELS[architecture], architecture)
    return Checkpoint(
        "clip",
        config,
        {},
        f"{path.name} (OpenCLIP {architecture})",
        lambda plan, dtype: convert_openclip(tensors, plan, dtype),
    )


def _fits(tensors: Mapping[str, Tensor], name: str) -> bool:
    """Tell whether width, patches, layers and positions of the weights are those of an architecture."""
    config = vision_config(OPENCLIP_MODELS[name], name)
    width, patch = config["hidden_size"], config["patch_size"]
    positions = (config["image_size"] // patch) ** 2 + 1
    return (
        tensors[_OPENCLIP_MARK].shape[0] == width
        and tensors[_OPENCLIP_MARK].shape[-1] == patch
        and tensors["visual.positional_embedding"].shape[0] == positions
        and f"visual.transformer.resblocks.{config['num_hidden_layers'] - 1}.ln_1.weight" in tensors
        and f"visual.transformer.resblocks.{config['num_hidden_layers']}.ln_1.weight" not in tensors
    )


_OPENCLIP_NAMES = {
    "conv1.weight": "embeddings.patch_embedding.weight",
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
}
_OPENCLIP_PARTS = {
    "ln_1": "layer_norm1",
    "attn.out_proj": "self_attn.out_proj",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


_OPENCLIP_AFTER = ("ln_post.", "proj")


def convert_openclip(tensors: Mapping[str, Tensor], plan: TowerPlan, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return the weights of OpenCLIP's ``visual`` by the names of a cut ``CLIPVisionModel``, copied.

    What has no such name, e.g. layer scales, keeps its own: leaving it out would change the features unnoticed.
    """
    weights: dict[str, Tensor] = {}
    layers = cut_config(plan).num_hidden_layers
    for key, tensor in _below("visual.", tensors).items():
        block = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)", key)
        if key.startswith(_OPENCLIP_AFTER) or (block and int(block[1]) >= layers):
            continue
        if block and block[2] == "attn.in_proj":
            for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                weights[f"encoder.layers.{block[1]}.self_attn.{letter}_proj.{block[3]}"] = _copy(third, dtype)
        elif block and block[2] in _OPENCLIP_PARTS:
            weights[f"encoder.layers.{block[1]}.{_OPENCLIP_PARTS[block[2]]}.{block[3]}"] = _copy(tensor, dtype)
        else:
            weights[_OPENCLIP_NAMES.get(key, f"visual.{key}")] = _copy(tensor, dtype)
    return weights


def _describe_sam(tensors: Mapping[str, Tensor], origin: str) -> Checkpoint:
    """Read the sizes of segment-anything's image encoder from the shapes of its weights."""
    own = _below("image_encoder.", tensors)
    layers = 1 + max(int(key.split(".")[1]) for key in own if key.startswith("blocks."))
    try:
        width, channels, patch, _ = own["patch_embed.proj.weight"].shape
        grid = own["pos_embed"].shape[1]
        reach = [(len(own[f"blocks.{layer}.attn.rel_pos_h"]) + 1) // 2 for layer in range(layers)]
        head_width = own["blocks.0.attn.rel_pos_h"].shape[1]
        mlp, output = own["blocks.0.mlp.lin1.weight"].shape[0], own["neck.0.weight"].shape[0]
    except KeyError as error:
        raise CheckpointError(
            f"{origin} lacks weights of a 'sam' tower, the first is image_encoder.{error.args[0]}"
        ) from error
    windows = sorted({side for side in reach if side != grid})
    if len(windows) > 1:
        raise CheckpointError(f"{origin} has windows of several sizes, {windows}, which no class of Transformers has")
    config = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // head_width,
        "num_channels": channels,
        "patch_size": patch,
        "image_size": grid * patch,
        "mlp_dim": mlp,
        "output_channels": output,
        "qkv_bias": "blocks.0.attn.qkv.bias" in own,
        "window_size": windows[0] if windows else grid,
        "global_attn_indexes": [layer for layer, side in enumerate(reach) if side == grid],
    }
    return Checkpoint(
        "sam", config, {}, f"{origin} (segment-anything)", lambda plan, dtype: convert_sam(tensors, dtype)
    )


_SAM_NAMES = {
    r"patch_embed\.proj\.": "patch_embed.projection.",
    r"blocks\.(\d+)\.norm([12])\.": r"layers.\1.layer_norm\2.",
    r"blocks\.": "layers.",
    r"neck\.0\.": "neck.conv1.",
    r"neck\.1\.": "neck.layer_norm1.",
    r"neck\.2\.": "neck.conv2.",
    r"neck\.3\.": "neck.layer_norm2.",
}


def convert_sam(tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return the weights of segment-anything's image encoder by the names of ``SamVisionModel``, copied."""
    weights: dict[str, Tensor] = {}
    for key, tensor in _below("image_encoder.", tensors).items():
        for pattern, name in _SAM_NAMES.items():
            key, found = re.subn("^" + pattern, name, key)
            if found:
                break
        weights[f"vision_encoder.{key}"] = _copy(tensor, dtype)
    return weights


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _copy(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Detach from the file and from the tensors that share its storage."""
    return tensor.detach().to(dtype or tensor.dtype, copy=True).contiguous()
