"""The parts that carry the features of one encoder to the width of the language model."""

import re

from torch import Tensor, nn

from encoders.configuration import CONV_WIDTH
from spatial.errors import ConfigError


def build_aligner(kind: str, channels: int, width: int) -> nn.Sequential:
    """Build "linear" or "mlp<k>x_gelu" (LLaVA-1.5: k = 2, VSRE's Figure 3: k = 3) from ``channels`` to ``width``.

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


class ConvAdapter(nn.Module):
    """Shrink a grid of tokens fourfold in each direction with two convolutions of stride 2.

    VSRE's Figure 3 has it for SAM, 64x64x256 to 32x32x512 to 16x16x1024; DeepSeek-VL and Vary use the same. The figure
    ends there: a linear aligner to the language model's width follows.
    """

    def __init__(self, channels: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.conv1 = nn.Conv2d(channels, CONV_WIDTH // 2, kernel_size=3, stride=2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(CONV_WIDTH // 2, CONV_WIDTH, kernel_size=3, stride=2, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map [B, grid * grid, C] to [B, grid * grid / 16, 1024]."""
        maps = features.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        shrunk: Tensor = self.conv2(self.conv1(maps))
        return shrunk.flatten(2).transpose(1, 2)
