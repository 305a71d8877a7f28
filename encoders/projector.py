"""What every way of fusing encoders has in common: the branch of each encoder up to its aligner.

    features [B, N_i, C_i] -> LayerNorm (optional) -> convolution adapter (optional) -> the fusion's own part

All trained visual parameters live in the projector; saving ``multi_modal_projector`` saves them all.

Shapes: B images, N_i tokens and C_i channels of encoder i, D width of the language model.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from encoders.aligners import ConvAdapter
from encoders.configuration import VsreConfig
from spatial.errors import ConfigError

Place = tuple[int, int] | None
"""Where a visual token looks: (side of a grid over the canvas, cell row by row), or nowhere in particular."""


class FusionProjector(nn.Module, ABC):
    """Base of all fusion modes."""

    def __init__(self, config: VsreConfig) -> None:
        super().__init__()
        self.branches = config.branches()
        normed = self.branches if config.layer_norm else {}
        self.norms = nn.ModuleDict({name: nn.LayerNorm(self.branches[name].plan.width) for name in normed})
        self.adapters = nn.ModuleDict(
            {
                name: ConvAdapter(branch.plan.width, branch.plan.grid)
                for name, branch in self.branches.items()
                if branch.conv
            }
        )
        gated = [name for name, branch in self.branches.items() if branch.gated]
        self.gates = EncoderValues(gated, 1, std=0.0)

    @staticmethod
    @abstractmethod
    def places(config: VsreConfig) -> list[Place]:
        """Return where each visual token of one image looks; there are as many as tokens.

        Raises:
            ConfigError: this mode cannot fuse these encoders.
        """

    @classmethod
    def token_count(cls, config: VsreConfig) -> int:
        """Return the number of visual tokens of one image.

        Raises:
            ConfigError: this mode cannot fuse these encoders.
        """
        return len(cls.places(config))

    @abstractmethod
    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse features [B, N_i, C_i] per encoder into visual tokens [B, N, D]."""

    def prepared(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the features [B, tokens, channels] of each branch, in fusion order whatever the order of ``features``.

        Raises:
            ValueError: the features of an encoder are absent or have another shape.
        """
        prepared = {}
        for name, branch in self.branches.items():
            plan = branch.plan
            shape = tuple(features[name].shape) if name in features else None
            if shape is None or shape[1:] != (plan.tokens, plan.width):
                raise ValueError(f"features of {name!r} must be [images, {plan.tokens}, {plan.width}], not {shape}")
            feature = features[name]
            for modules in (self.norms, self.adapters):
                if name in modules:
                    feature = feed(modules[name], feature)
            prepared[name] = feature
        return prepared

    def gated(self, name: str, tokens: Tensor) -> Tensor:
        """Multiply what an encoder contributes by its gate, if it has one."""
        return tokens * self.gates(name) if name in self.gates else tokens


class EncoderValues(nn.ParameterDict):
    """A learned vector [width] for each encoder, by its name; zero at first, or normal with a deviation of ``std``.

    It is a module of its own because Transformers, when it loads, gives first values to those modules only that own a
    parameter which the file lacks. Values are read by calling it: hooks that offload or split it bring them then.
    """

    def __init__(self, names: Iterable[str], width: int, std: float) -> None:
        super().__init__({name: nn.Parameter(torch.empty(width)) for name in names})
        self.std = std
        self.reset_parameters()

    __call__ = nn.Module.__call__
    """That of ``ParameterDict`` refuses."""

    def forward(self, name: str) -> Tensor:
        """Return the vector [width] of an encoder; a copy, because hooks may take the parameter away again."""
        value: Tensor = self[name]
        return value.clone()

    def reset_parameters(self) -> None:
        """Give all their first values; Transformers calls it, also after the meta device."""
        for value in self.values():
            if self.std:
                init.normal_(value, std=self.std)
            else:
                init.zeros_(value)


def feed(module: nn.Module, features: Tensor) -> Tensor:
    """Call a module with features in its own number format.

    Towers, norms and aligners may differ in theirs, and the parameters of quantised layers say nothing of it.
    """
    fed: Tensor = module(features.to(format_of(module, features.dtype)))
    return fed


def format_of(module: nn.Module, otherwise: torch.dtype) -> torch.dtype:
    """Return the number format of a module's first parameter that is neither integer nor 8-bit, if it has one."""
    formats = (parameter.dtype for parameter in module.parameters())
    return next((dtype for dtype in formats if dtype.is_floating_point and dtype.itemsize > 1), otherwise)


def first_grid(config: VsreConfig) -> int:
    """Return the side of the first encoder's grid, which the others are brought to.

    Raises:
        ConfigError: a class token, which has no place on a grid, is kept.
    """
    branches = config.branches()
    kept = [name for name, branch in branches.items() if branch.plan.keep_cls]
    if kept:
        raise ConfigError(
            f"fusion {config.fusion!r} has no place for the class token of {kept[0]!r}; set keep_cls to false"
        )
    return next(iter(branches.values())).grid


def to_grid(feature: Tensor, grid: int, side: int) -> Tensor:
    """Interpolate a square grid of tokens [B, grid * grid, C] to [B, side * side, C], in float32."""
    if grid == side:
        return feature
    maps = feature.float().transpose(1, 2).unflatten(2, (grid, grid))
    scaled = F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return scaled.flatten(2).transpose(1, 2).to(feature.dtype)
