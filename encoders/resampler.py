"""Fuse encoders by a fixed number of learned queries: any subset of encoders costs the language model the same.

Each query looks, by cross-attention, at every token of every encoder (Perceiver Resampler of Flamingo,
arXiv 2204.14198; with several encoders, MEQ-Former of BRAVE, arXiv 2404.07204). Relations need places, so a token says
which encoder it comes from, by a learned vector, and where on the canvas it lies, by sines and cosines of the
coordinates of its cell's centre: the same coordinates for every encoder, whatever its grid.

Shapes: B images, Q queries, N tokens of all encoders together, W width, H heads, D width of the language model.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from encoders.configuration import VsreConfig
from encoders.projector import EncoderValues, FusionProjector, Place, feed, format_of
from spatial.errors import ConfigError

_HEAD_WIDTH = 64

_DEVIATION = 0.02
"""Of the first values of queries and kinds."""


class ResamplerFusion(FusionProjector):
    """Learned queries over the tokens of all encoders; as wide as the language model."""

    def __init__(self, config: VsreConfig) -> None:
        super().__init__(config)
        width = config.text.hidden_size
        if width % 4:
            raise ConfigError(f"fusion 'resampler' needs a language model whose width is a multiple of 4, not {width}")
        self.inputs = nn.ModuleDict({name: nn.Linear(branch.channels, width) for name, branch in self.branches.items()})
        self.kinds = EncoderValues(self.branches, width, std=_DEVIATION)
        self.queries = nn.Parameter(torch.empty(config.resampler_tokens, width))
        self.layers = nn.ModuleList([ResamplerLayer(width) for _ in range(config.resampler_layers)])
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, width)

    @staticmethod
    def places(config: VsreConfig) -> list[Place]:
        """Return a list of None: a query looks at the whole picture."""
        if config.resampler_tokens < 1 or config.resampler_layers < 1:
            raise ConfigError("fusion 'resampler' needs resampler_tokens and resampler_layers of at least 1")
        config.branches()
        return [None] * config.resampler_tokens

    def reset_parameters(self) -> None:
        """Give the queries small random values; Transformers calls it, also after the meta device."""
        init.normal_(self.queries, std=_DEVIATION)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Fuse features [B, N_i, C_i] into [B, Q, D]."""
        tokens = torch.cat([self._tokens(name, feature) for name, feature in self.prepared(features).items()], dim=1)
        queries = self.queries.expand(len(tokens), -1, -1)
        for layer in self.layers:
            dtype = format_of(layer, tokens.dtype)
            queries = layer(queries.to(dtype), tokens.to(dtype))
        return feed(self.output, feed(self.norm, queries))

    def _tokens(self, name: str, feature: Tensor) -> Tensor:
        branch = self.branches[name]
        carried = feed(self.inputs[name], feature)
        where = place_encoding(branch.grid, carried.shape[-1]).to(carried)
        if branch.plan.keep_cls:  # the class token is of no place
            where = torch.cat([torch.zeros_like(where[:1]), where])
        return self.gated(name, carried + where + self.kinds(name))


class ResamplerLayer(nn.Module):
    """Cross-attention of the queries to the tokens and to each other, then two linear layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // _HEAD_WIDTH) if width % _HEAD_WIDTH == 0 else 1
        self.query_norm, self.token_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Update queries [B, Q, W] from tokens [B, N, W]."""
        asked = self.query_norm(queries)
        seen = torch.cat([self.token_norm(tokens), asked], dim=1)
        key, value = self.key_value(seen).chunk(2, dim=-1)
        attended = F.scaled_dot_product_attention(self._split(self.query(asked)), self._split(key), self._split(value))
        queries = queries + self.output(attended.transpose(1, 2).flatten(2))
        updated: Tensor = queries + self.mlp(self.mlp_norm(queries))
        return updated

    def _split(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, H, tokens, W / H]


def place_encoding(grid: int, width: int) -> Tensor:
    """Return sines and cosines [grid * grid, width] of the cells' centres in canvas coordinates 0..1, float32.

    A quarter of the channels each holds sine and cosine of x and of y, at wavelengths of 2 canvas sides to 1/128.
    """
    centre = (torch.arange(grid, dtype=torch.float32) + 0.5) / grid
    frequencies = torch.pi * torch.logspace(0, 8, width // 4, base=2.0)
    angles = centre[:, None] * frequencies  # [grid, width / 4]
    waves = torch.cat([angles.sin(), angles.cos()], dim=-1)  # [grid, width / 2]
    column = waves[None].expand(grid, grid, -1)
    row = waves[:, None].expand(grid, grid, -1)
    return torch.cat([column, row], dim=-1).flatten(0, 1)
