"""How the features of several encoders become one sequence of visual tokens for the language model.

``sequence`` (VSRE, Figure 3): each encoder has its own aligner, and the aligned tokens follow each other in encoder
order. Most faithful, and most tokens.

``channel`` (Prismatic, Eagle): all features are brought to the first encoder's grid, joined channel by channel, and
aligned together: one token per place, whatever the number of encoders.

All trained visual parameters live in the projector; saving ``multi_modal_projector`` saves them all.

Shapes: B images, N_i tokens and C_i channels of encoder i, D width of the language model.
"""

import re
from abc import ABC, abstractmethod
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encoders.configuration import TowerPlan, VsreConfig
from spatial.errors import ConfigError


class FusionProjector(nn.Module, ABC):
    """Base of all fusion modes: one LayerNorm per encoder, because the scales of their features differ widely."""

    def __init__(self, config: VsreConfig) -> None:
        super().__init__()
        self.plans: dict[str, TowerPlan] = config.vision.plans()
        self.norms = nn.ModuleDict({name: nn.LayerNorm(plan.width) for name, plan in self.plans.items()})

    @staticmethod
    @abstractmethod
    def token_count(plans: dict[str, TowerPlan]) -> int:
        """Return the number of visual tokens of one image."""

    @staticmethod
    @abstractmethod
    def grids(plans: dict[str, TowerPlan]) -> list[int]:
        """Return the sides of the grids whose cells follow one another as visual tokens, class tokens apart."""

    @abstractmethod
    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse features [B, N_i, C_i] per encoder into visual tokens [B, N, D]."""

    def normed(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the normed features, in fusion order whatever the order of ``features``.

        Raises:
            ValueError: the features of an encoder are absent or have another shape.
        """
        normed = {}
        for name, plan in self.plans.items():
            shape = tuple(features[name].shape) if name in features else None
            if shape is None or shape[1:] != (plan.tokens, plan.width):
                raise ValueError(f"features of {name!r} must be [images, {plan.tokens}, {plan.width}], not {shape}")
            norm = cast(nn.LayerNorm, self.norms[name])
            normed[name] = norm(features[name].to(norm.weight.dtype))
        return normed


class SequenceFusion(FusionProjector):
    """Tokens of all encoders one after the other."""

    def __init__(self, config: VsreConfig) -> None:
        super().__init__(config)
        width = config.text.hidden_size
        self.aligners = nn.ModuleDict(
            {name: build_aligner(config.aligner, plan.width, width) for name, plan in self.plans.items()}
        )

    @staticmethod
    def token_count(plans: dict[str, TowerPlan]) -> int:
        """Return the sum over the encoders."""
        return sum(plan.tokens for plan in plans.values())

    @staticmethod
    def grids(plans: dict[str, TowerPlan]) -> list[int]:
        """Return every encoder's grid."""
        return [plan.grid for plan in plans.values()]

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse features [B, N_i, C_i] into [B, sum of N_i, D]."""
        normed = self.normed(features)
        return torch.cat([self.aligners[name](feature) for name, feature in normed.items()], dim=1)


class ChannelFusion(FusionProjector):
    """One token per cell of the first encoder's grid."""

    def __init__(self, config: VsreConfig) -> None:
        super().__init__(config)
        channels = sum(plan.width for plan in self.plans.values())
        self.aligner = build_aligner(config.aligner, channels, config.text.hidden_size)

    @staticmethod
    def token_count(plans: dict[str, TowerPlan]) -> int:
        """Return the cells of the first encoder's grid.

        Raises:
            ConfigError: a class token, which has no place on a grid, is kept.
        """
        kept = [name for name, plan in plans.items() if plan.keep_cls]
        if kept:
            raise ConfigError(
                f"fusion 'channel' has no place for the class token of {kept[0]!r}; set keep_cls to false"
            )
        return ChannelFusion.grids(plans)[0] ** 2

    @staticmethod
    def grids(plans: dict[str, TowerPlan]) -> list[int]:
        """Return the first encoder's grid."""
        return [next(iter(plans.values())).grid]

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse features [B, N_i, C_i] into [B, N_first, D]."""
        (side,) = self.grids(self.plans)
        gridded = [to_grid(feature, self.plans[name].grid, side) for name, feature in self.normed(features).items()]
        fused: Tensor = self.aligner(torch.cat(gridded, dim=-1))
        return fused


def to_grid(feature: Tensor, grid: int, side: int) -> Tensor:
    """Interpolate a square grid of tokens [B, grid * grid, C] to [B, side * side, C], in float32."""
    if grid == side:
        return feature
    maps = feature.float().transpose(1, 2).unflatten(2, (grid, grid))
    scaled = F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return scaled.flatten(2).transpose(1, 2).to(feature.dtype)


def build_aligner(kind: str, channels: int, width: int) -> nn.Sequential:
    """Build "linear" or "mlp<k>x_gelu" from ``channels`` to ``width``.

    Raises:
        ConfigError: another kind.
    """
    match = re.fullmatch(r"mlp([1-9])x_gelu", kind)
    if kind != "linear" and not match:
        raise ConfigError(f"unknown aligner {kind!r}; use 'linear' or 'mlp2x_gelu'")
    layers: list[nn.Module] = [nn.Linear(channels, width)]
    for _ in range(int(match[1]) - 1 if match else 0):
        layers += [nn.GELU(), nn.Linear(width, width)]
    return nn.Sequential(*layers)


FUSIONS: dict[str, type[FusionProjector]] = {
    "sequence": SequenceFusion,
    "channel": ChannelFusion,
}
