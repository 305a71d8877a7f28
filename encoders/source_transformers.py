"""Vision encoders in checkpoints of Transformers: alone, or as part of a larger model.

Transformers' own ``from_pretrained`` reads the weights, because it knows the names of every older release; the class is
given the configuration of the cut tower, so layers after the feature layer are never read.
"""

import dataclasses
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedConfig

from encoders.configuration import TowerPlan
from encoders.registry import ENCODERS
from encoders.source_files import Checkpoint, Place, fetch_weights, quiet_transformers, read_description
from encoders.tower import cut_config, trim
from spatial.errors import CheckpointError, first_line

MODEL_TYPES = {
    "clip": "clip",
    "clip_vision_model": "clip",
    "siglip": "siglip",
    "siglip_vision_model": "siglip",
    "siglip2": "siglip2_naflex",
    "siglip2_vision_model": "siglip2_naflex",
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2_registers",
    "dinov3_vit": "dinov3",
    "sam": "sam",
    "sam_vision_model": "sam",
}
"""Encoder by ``model_type``. Checkpoints of SigLIP 2 with one fixed resolution say "siglip"."""

_SAM = "use a first-generation SAM such as facebook/sam-vit-base"
_ALTERNATIVES = {
    "dinov3_convnext": "use facebook/dinov3-vitb16-pretrain-lvd1689m",
    "sam2": _SAM,
    "sam2_video": _SAM,
    "sam2_vision_model": _SAM,
    "sam2_hiera_det_model": _SAM,
    "sam3": _SAM,
    "sam3_video": _SAM,
    "sam3_tracker": _SAM,
    "sam3_tracker_video": _SAM,
    "sam3_vision_model": _SAM,
    "sam_hq": _SAM,
    "sam_hq_vision_model": _SAM,
    "edgetam": _SAM,
    "timm_wrapper": "use one of Transformers' own classes, e.g. facebook/dinov2-base",
}

_RESAMPLE = {1: "bicubic", 2: "bilinear", 3: "bicubic"}
"""PIL's filters by number; Lanczos, which no device offers, becomes its nearest relative."""

_SAFETENSORS = ("model*.safetensors",)
_PICKLED = ("pytorch_model*.bin",)


def describe_transformers(place: Place) -> Checkpoint:
    """Say what encoder a directory of Transformers holds.

    Raises:
        CheckpointError: none that can be a tower, or its files are damaged.
    """
    content = read_description(place.path / "config.json")
    name, prefix = _kind(content, place.origin)
    config = _read_config(place.path, name, place.origin)
    differing = _differing(config, name)

    def load(plan: TowerPlan, dtype: torch.dtype | None) -> dict[str, Tensor]:
        fetch_weights(place, _SAFETENSORS, _PICKLED)
        return _load(place, name, prefix, plan, dtype)

    return Checkpoint(name, differing, read_pixels(place.path, config), place.origin, load)


def _kind(content: dict[str, Any], origin: str) -> tuple[str, str]:
    """Return the encoder's name, and what stands before its weights' names beside its class's own prefixes."""
    model_type = content.get("model_type", "")
    if model_type in MODEL_TYPES:
        return MODEL_TYPES[model_type], ""
    inner = content.get("vision_config")
    if str(model_type).startswith(("llava", "vipllava")) and isinstance(inner, dict):
        if inner.get("model_type") in MODEL_TYPES:
            return MODEL_TYPES[inner["model_type"]], "vision_tower."
        model_type = inner.get("model_type", "")
    if "mm_vision_tower" in content:
        raise CheckpointError(
            f"{origin} is a LLaVA of the original code, without its tower; give {content['mm_vision_tower']!r} instead"
        )
    if not model_type:
        kind = content.get("architecture")
        what = f"holds a timm model {kind!r}" if kind else "has no model_type in its config.json"
        raise CheckpointError(f"{origin} {what}, which cannot be a tower; {_ALTERNATIVES['timm_wrapper']}")
    mend = _ALTERNATIVES.get(model_type, f"types that can: {', '.join(sorted(MODEL_TYPES))}")
    raise CheckpointError(f"{origin} holds a model of type {model_type!r}, which cannot be a tower; {mend}")


def _read_config(folder: Path, name: str, origin: str) -> Any:
    """Return the vision configuration, with one number for sizes that may be two."""
    config_class = getattr(transformers, ENCODERS[name].config_class)
    try:
        config = config_class.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, StrictDataclassError) as error:
        raise CheckpointError(f"{origin}: config.json cannot be used ({first_line(error)})") from error
    for key in ("image_size", "patch_size"):
        size = getattr(config, key, None)
        if isinstance(size, list | tuple):
            if len(set(size)) != 1:
                raise CheckpointError(f"{origin} has a {key} of {list(size)}; only squares can be towers")
            setattr(config, key, size[0])
    return config


def _differing(config: PreTrainedConfig, name: str) -> dict[str, Any]:
    """Return the encoder's own settings that differ from the defaults of its class, as JSON knows them."""
    encoder, default = ENCODERS[name], type(config)()
    inherited = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    own = [field.name for field in dataclasses.fields(config) if field.name not in inherited]
    values = {
        key: getattr(config, key)
        for key in own
        if not key.startswith("_") and key not in encoder.fixed and getattr(config, key) != getattr(default, key)
    }
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def read_pixels(folder: Path, config: Any) -> dict[str, Any]:
    """Return what a checkpoint's image processor says: "image_size", "mean", "std", "resample" as far as given."""
    settings = read_description(folder / "preprocessor_config.json")
    settings = settings or read_description(folder / "processor_config.json").get("image_processor") or {}
    found: dict[str, Any] = {}
    side = _input_side(settings, config)
    if side:
        found["image_size"] = side
    if settings.get("do_normalize") is False:
        found |= {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    elif settings.get("image_mean") and settings.get("image_std"):
        found |= {"mean": list(settings["image_mean"]), "std": list(settings["image_std"])}
    if settings.get("resample") in _RESAMPLE:
        found["resample"] = _RESAMPLE[settings["resample"]]
    return found


def _input_side(settings: dict[str, Any], config: Any) -> int:
    """Return the side in pixels of what the image processor gives the model; 0 if it does not say or is no square."""
    if settings.get("max_num_patches"):
        return int(config.patch_size) * math.isqrt(settings["max_num_patches"])
    cropped = settings.get("do_center_crop", True) and settings.get("crop_size")
    size = cropped or settings.get("size")
    if isinstance(size, int):
        return size
    if not isinstance(size, dict):
        return 0
    if "height" in size:
        return int(size["height"]) if size["height"] == size.get("width") else 0
    return int(size.get("longest_edge") or size.get("shortest_edge") or 0)


def _load(place: Place, name: str, prefix: str, plan: TowerPlan, dtype: torch.dtype | None) -> dict[str, Tensor]:
    encoder = ENCODERS[name]
    try:
        with quiet_transformers():
            tower, info = getattr(transformers, encoder.model_class).from_pretrained(
                place.path,
                config=cut_config(plan),
                dtype=dtype or "auto",
                key_mapping={rf"^(?:model\.)?{prefix}(.+)": r"\1"} if prefix else None,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                local_files_only=True,
            )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{place.origin} cannot be loaded ({first_line(error)}); download it again") from error
    weights = {key: value.detach() for key, value in trim(tower, encoder).state_dict().items()}
    wrong = sorted(set(info["missing_keys"]) & set(weights))
    wrong += [f"{key}, of another shape" for key, *_ in sorted(info["mismatched_keys"]) if key in weights]
    if wrong:
        raise CheckpointError(
            f"{place.origin} lacks {len(wrong)} weights of a {name!r} tower, the first is {wrong[0]}; download it again"
        )
    extra = left_over(info["unexpected_keys"], weights)
    if extra:
        raise CheckpointError(
            f"{place.origin} has {len(extra)} weights that a {name!r} tower lacks, the first is {extra[0]}; "
            "it is another architecture"
        )
    return weights


_OUTER = re.compile(r"^(?:model|dinov2|dinov2_with_registers|vision_model)\.")
_NUMBERED = re.compile(r"(.*?)\.\d+\.")
_NOT_OF_FEATURES = ("mask_token", "position_ids", "inv_freq")


def left_over(unexpected: Iterable[str], weights: Iterable[str]) -> list[str]:
    """Return the unexpected weights that stand inside a part which the tower keeps, so that leaving them out would
    change the features unnoticed; not those of heads, text models and layers after the feature layer.
    """
    names = [_inner(name) for name in weights]
    layers = {found[0] for found in map(_NUMBERED.match, names) if found}
    families = {found[1] for found in map(_NUMBERED.match, names) if found}
    parts = {name.partition(".")[0] for name in names if not _NUMBERED.match(name)}
    extra = []
    for key in unexpected:
        name = _inner(key)
        numbered = _NUMBERED.match(name)
        in_layer = numbered if numbered and numbered[1] in families else None
        kept = in_layer[0] in layers if in_layer else name.partition(".")[0] in parts
        if kept and not name.endswith(_NOT_OF_FEATURES):
            extra.append(key)
    return sorted(extra)


def _inner(name: str) -> str:
    """Return a weight's name without the attribute that larger classes hold the encoder in."""
    return _OUTER.sub("", name)
