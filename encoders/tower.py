"""Several frozen vision encoders that look at the same picture.

The canvas travels to the device once, as uint8. Each encoder's own size and normalisation are made from it there, with
an antialiased filter, so one geometry serves all encoders and the host does a fraction of the work.

A tower is cut at its feature layer: later layers, final norms, pooling heads and mask tokens would never influence the
features, so they are not built. Every parameter that exists is used.

Shapes: B images, S canvas side, N_i tokens and C_i channels of encoder i.
"""

from collections.abc import Collection
from copy import deepcopy
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from encoders.configuration import FusedVisionConfig, TowerPlan
from encoders.frozen import refuse_adapters
from encoders.registry import ENCODERS, Encoder


class FusedVisionModel(PreTrainedModel):
    """The towers named in the config. Frozen and in evaluation mode until ``train_towers(True)``."""

    config_class = FusedVisionConfig
    config: FusedVisionConfig
    base_model_prefix = "vision_tower"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules: ClassVar[list[str]] = [
        "CLIPVisionEmbeddings",
        "CLIPEncoderLayer",
        "SiglipVisionEmbeddings",
        "SiglipEncoderLayer",
        "Siglip2VisionEmbeddings",
        "Siglip2EncoderLayer",
        "Dinov2Embeddings",
        "Dinov2Layer",
        "Dinov2WithRegistersEmbeddings",
        "Dinov2WithRegistersLayer",
        "DINOv3ViTEmbeddings",
        "DINOv3ViTLayer",
        "SamVisionLayer",
    ]

    def __init__(self, config: FusedVisionConfig) -> None:
        super().__init__(config)
        self.plans = config.plans()
        self.trainable = False
        self.towers = nn.ModuleDict(
            {name: build_tower(ENCODERS[name], plan, config._attn_implementation) for name, plan in self.plans.items()}
        )
        self.post_init()
        self.train_towers(False)

    def train_towers(self, trainable: bool) -> None:
        """Let the towers learn (only pre-training from scratch does), or freeze them again."""
        self.trainable = trainable
        self.train(self.training)

    def train(self, mode: bool = True) -> "FusedVisionModel":
        """Set the mode; frozen towers stay in evaluation mode and without gradients whatever is asked.

        The freezing is repeated here because loading replaces parameters by new ones that require gradients, and
        ends with ``eval()``.

        Raises:
            ConfigError: an adapter was put on a frozen tower. PEFT exchanges layers behind a tower's back; this is the
                first that it hears of it, and every training and every loaded adapter comes through here.
        """
        if not self.trainable:
            refuse_adapters(self)
        super().train(mode and self.trainable)
        self.requires_grad_(self.trainable)
        return self

    def forward(
        self, pixel_values: Tensor, encoders: Collection[str] | None = None, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the features of each encoder, before any projection.

        Args:
            pixel_values: canvas [B, 3, S, S], uint8 or float, 0..255.
            encoders: encoders to compute; the others are blank (all zero). All by default. One that ZeRO-3 splits is
                computed all the same: every process must take part in gathering it, whatever each of them drew.

        Returns:
            [B, N_i, C_i] per encoder, in fusion order.

        Raises:
            ValueError: pixels of another shape.
        """
        if pixel_values.ndim != 4 or pixel_values.shape[1] != 3 or pixel_values.shape[2] != pixel_values.shape[3]:
            raise ValueError(f"pixel_values must be [images, 3, side, side], not {list(pixel_values.shape)}")
        resized: dict[tuple[int, str], Tensor] = {}
        features = {}
        with torch.set_grad_enabled(self.trainable and torch.is_grad_enabled()):
            for name, plan in self.plans.items():
                blank = encoders is not None and name not in encoders
                if blank and not is_split(self.towers[name]):
                    features[name] = self._blank(name, len(pixel_values))
                    continue
                key = (plan.image_size, plan.resample)
                if key not in resized:
                    resized[key] = resize(pixel_values, *key)
                found = self._encode(name, normalise(resized[key], plan))
                features[name] = 0.0 * found if blank else found
        return features

    def _encode(self, name: str, pixels: Tensor) -> Tensor:
        plan = self.plans[name]
        inputs = tower_inputs(ENCODERS[name], plan, pixels.to(self.dtype))
        features: Tensor = self.towers[name](**inputs).last_hidden_state
        if features.ndim == 4:  # SAM's neck keeps the grid: [B, C, h, w]
            return features.flatten(2).transpose(1, 2)
        patches = features[:, features.shape[1] - plan.grid * plan.grid :]  # after class token and registers
        return torch.cat([features[:, :1], patches], dim=1) if plan.keep_cls else patches

    def _blank(self, name: str, images: int) -> Tensor:
        plan = self.plans[name]
        blank = torch.zeros(images, plan.tokens, plan.width, dtype=self.dtype, device=self.device)
        if self.trainable and torch.is_grad_enabled():
            # Distributed training waits for a gradient of every trainable parameter, also of an encoder left out.
            unused = [parameter.flatten()[0] for parameter in self.towers[name].parameters()]
            blank = blank + 0.0 * torch.stack(unused).sum()
        return blank


def is_split(module: nn.Module) -> bool:
    """Tell whether DeepSpeed's ZeRO-3 holds the parameters, split over processes; outside of forward they are empty."""
    return any(hasattr(parameter, "ds_id") for parameter in module.parameters())


def build_tower(encoder: Encoder, plan: TowerPlan, attention: str | None) -> PreTrainedModel:
    """Build one encoder, cut at its feature layer, so that its ``last_hidden_state`` is the features."""
    model_class = getattr(transformers, encoder.model_class)
    return trim(model_class._from_config(cut_config(plan), attn_implementation=attention), encoder)


def cut_config(plan: TowerPlan) -> PreTrainedConfig:
    """Return the encoder's configuration without the layers after its feature layer."""
    config = deepcopy(plan.config)
    layer = plan.feature_layer
    config.num_hidden_layers = layer if layer >= 0 else config.num_hidden_layers + 1 + layer
    return config


def trim(tower: PreTrainedModel, encoder: Encoder) -> PreTrainedModel:
    """Remove from a cut tower, in place, what the features never pass through."""
    if encoder.final_norm:
        setattr(tower, encoder.final_norm, nn.Identity())
    for path in encoder.unused:
        owner, _, name = path.rpartition(".")
        module = tower.get_submodule(owner)
        delattr(module, name)
        setattr(module, name, torch.empty(0, device="cpu"))  # its class still initialises it, whatever it is
    return tower


def tower_inputs(encoder: Encoder, plan: TowerPlan, pixels: Tensor) -> dict[str, Any]:
    """Return what the encoder's forward takes for normalised pixels [B, 3, side, side]."""
    if encoder.patches:
        return {
            "pixel_values": flatten_patches(pixels, plan.config.patch_size),
            "pixel_attention_mask": None,  # no patch is padding; a mask of ones would be read back from the device
            "spatial_shapes": torch.full((len(pixels), 2), plan.grid, device="cpu"),  # read as Python numbers
        }
    if encoder.asks_interpolation and plan.image_size != plan.config.image_size:
        return {"pixel_values": pixels, "interpolate_pos_encoding": True}
    return {"pixel_values": pixels}


def flatten_patches(pixels: Tensor, patch: int) -> Tensor:
    """Cut pixels [B, 3, S, S] into rows of patches [B, (S / patch)^2, patch * patch * 3], channels last as SigLIP 2."""
    grid = pixels.shape[-1] // patch
    cells = pixels.unflatten(3, (grid, patch)).unflatten(2, (grid, patch))  # [B, 3, row, y, column, x]
    return cells.permute(0, 2, 4, 3, 5, 1).reshape(len(pixels), grid * grid, -1)


def resize(canvas: Tensor, side: int, resample: str) -> Tensor:
    """Scale a canvas [B, 3, S, S] (0..255, any dtype) to float32 [B, 3, side, side], antialiased, clipped to 0..255."""
    pixels = canvas.float()
    if pixels.shape[-1] == side:
        return pixels
    scaled = F.interpolate(pixels, size=(side, side), mode=resample, align_corners=False, antialias=True)
    return scaled.clamp_(0, 255)


def normalise(pixels: Tensor, plan: TowerPlan) -> Tensor:
    """Normalise float32 pixels [B, 3, side, side] in 0..255 as the encoder was trained.

    The statistics stay Python numbers: buffers would be rounded when the model is cast to bfloat16.
    """
    statistics = zip(pixels.unbind(1), plan.mean, plan.std, strict=True)
    return torch.stack([(channel / 255 - mean) / std for channel, mean, std in statistics], dim=1)
