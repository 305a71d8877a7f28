"""A small detector of named things with their masks, boxes and relative depth, for pictures of one closed world.

Things are centres (CenterNet, arXiv 1904.07850): a heatmap per noun says where the middle of a visible box is, the
distances to the box's four sides are read off beside it (TTFNet, arXiv 1909.00700), and a mask of its own is drawn
by two tiny layers whose weights are predicted at the centre (CondInst, arXiv 2003.05664). So two things of one noun
are two peaks and two masks. A map of log depth shares the features.

Shapes: B pictures, K nouns, S side of a picture, G = S / 4 cells, P = S / 2 mask pixels, N things.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from encoders.detector_loss import detector_loss
from spatial.errors import ConfigError

CELL, MASK_STEP = 4, 2
"""Pixels of a heatmap's cell, and of a mask's pixel, along one side."""

USUAL_SIDE = 8.0
"""Distance in pixels from the centre to a side of a box for an output of 0."""

COORDINATE_SCALE = 16.0
"""Pixels: what the coordinates that a mask is drawn from are divided by."""

RARE = -4.0
"""Initial logit of every cell: nearly all are empty."""


@strict
class DetectorConfig(PreTrainedConfig):
    """Size and vocabulary of a detector.

    Attributes:
        nouns: what it tells apart; the order is that of the heatmaps.
        image_size: side of its square pictures in pixels, a multiple of 16.
        widths: channels at strides 2, 4, 8 and 16.
        blocks: residual blocks at each of the strides 4, 8 and 16.
        neck: channels of the features that the heads read.
        mask_channels: of the features that masks are drawn from.
        mask_hidden: channels between the two layers that draw a mask.
        usual_depth: metres; the depth map is initially this everywhere.
    """

    model_type = "vsre_detector"

    nouns: list[str] | None = None
    image_size: int = 128
    widths: list[int] | None = None
    blocks: int = 2
    neck: int = 64
    mask_channels: int = 12
    mask_hidden: int = 8
    usual_depth: float = 4.0

    def __post_init__(self, **kwargs: Any) -> None:
        self.nouns = list(self.nouns or [])
        self.widths = list(self.widths or (32, 48, 80, 96))
        if len(set(self.nouns)) != len(self.nouns):
            raise ConfigError(f"a detector's nouns must differ, not {self.nouns}")
        if self.image_size % 16 or self.image_size < 16 or len(self.widths) != 4:
            raise ConfigError("a detector needs an image_size that is a multiple of 16, and four widths")
        super().__post_init__(**kwargs)


@dataclass
class DetectorOutput(ModelOutput):
    """What the network says of pictures.

    Attributes:
        loss: if targets were given.
        heat: (B, K, G, G) logits of a centre.
        box: (B, 4, G, G) pixels x0, y0, x1, y1 of the box that has its centre in the cell.
        features: (B, neck, G, G), see ``TinyDetector.masks``.
        mask_features: (B, mask_channels, P, P).
        log_depth: (B, P, P) log metres.
    """

    loss: Tensor | None = None
    heat: Tensor | None = None
    box: Tensor | None = None
    features: Tensor | None = None
    mask_features: Tensor | None = None
    log_depth: Tensor | None = None


def convolution(inputs: int, outputs: int, size: int = 3, step: int = 1) -> nn.Sequential:
    """Return a convolution with normalisation and ReLU."""
    layer = nn.Conv2d(inputs, outputs, size, stride=step, padding=size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        return functional.relu(x + self.second(self.first(x)))


class TinyDetector(PreTrainedModel):
    """A U-shaped convolutional network with the heads that the module's docstring describes."""

    config_class = DetectorConfig
    config: DetectorConfig
    main_input_name = "pixel_values"

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        assert config.widths is not None and config.nouns is not None
        half, quarter, eighth, sixteenth = config.widths
        neck = config.neck
        self.stem = convolution(3, half, step=2)
        self.quarter = self._level(half, quarter)
        self.eighth = self._level(quarter, eighth)
        self.sixteenth = self._level(eighth, sixteenth)
        self.from_sixteenth = convolution(sixteenth, eighth, 1)
        self.merge_eighth = convolution(eighth, eighth)
        self.from_eighth = convolution(eighth, neck, 1)
        self.from_quarter = convolution(quarter, neck, 1)
        self.merge_quarter = convolution(neck, neck)
        heat = nn.Conv2d(neck, len(config.nouns), 1)
        self.heat_head = nn.Sequential(convolution(neck, neck), heat)
        self.thing_head = convolution(neck, neck)
        self.box_head = nn.Conv2d(neck, 4, 1)
        self.from_neck = convolution(neck, half, 1)
        self.merge_half = convolution(half, half)
        self.mask_head = nn.Conv2d(half, config.mask_channels, 1)
        self.depth_head = nn.Conv2d(half, 1, 1)
        self.pen = nn.Linear(neck, sum(self._pen_sizes()))
        self.post_init()
        _start(heat, 0.01, RARE)
        _start(self.box_head, 0.01, 0.0)
        _start(self.mask_head, 0.1, 0.0)
        _start(self.depth_head, 0.01, math.log(config.usual_depth))

    def _init_weights(self, module: nn.Module) -> None:
        """Draw weights for ReLU."""
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

    def _level(self, inputs: int, outputs: int) -> nn.Sequential:
        blocks = [Residual(outputs) for _ in range(self.config.blocks)]
        return nn.Sequential(convolution(inputs, outputs, step=2), *blocks)

    def _pen_sizes(self) -> tuple[int, int, int, int]:
        """Weights and biases of the two layers that draw a mask from features and two coordinates."""
        hidden = self.config.mask_hidden
        return ((self.config.mask_channels + 2) * hidden, hidden, hidden, 1)

    def forward(self, pixel_values: Tensor, **targets: Tensor) -> DetectorOutput:
        """Detect, and score against targets if there are some.

        Args:
            pixel_values: uint8 (B, 3, S, S).
            targets: all that ``encoders.detector_loss.detector_loss`` takes, or none.
        """
        x = (pixel_values.float() / 127.5 - 1.0).contiguous(memory_format=torch.channels_last)
        at_half = self.stem(x)
        at_quarter = self.quarter(at_half)
        at_eighth = self.eighth(at_quarter)
        down = self.from_sixteenth(self.sixteenth(at_eighth))
        down = self.merge_eighth(at_eighth + _twice(down))
        neck = self.merge_quarter(self.from_quarter(at_quarter) + _twice(self.from_eighth(down)))
        fine = self.merge_half(at_half + _twice(self.from_neck(neck)))
        thing = self.thing_head(neck)
        output = DetectorOutput(
            heat=self.heat_head(neck).float(),
            box=self._boxes(self.box_head(thing).float()),
            features=thing.float(),
            mask_features=self.mask_head(fine).float(),
            log_depth=self.depth_head(fine).float()[:, 0],
        )
        if targets:
            output.loss = detector_loss(self, output, **targets)
        return output

    def masks(self, output: DetectorOutput, image_N: Tensor, cell_N: Tensor) -> Tensor:
        """Return mask logits (N, P, P) of the things whose centres are in given cells.

        Args:
            output: of this network.
            image_N: index of the picture.
            cell_N: index of the cell, row by row.
        """
        assert output.features is not None and output.mask_features is not None
        side = output.mask_features.shape[-1]
        feature_NC = output.features.flatten(2)[image_N, :, cell_N]
        weight_1, bias_1, weight_2, bias_2 = self.pen(feature_NC).float().split(self._pen_sizes(), dim=1)
        canvas = torch.cat([output.mask_features[image_N], _coordinates(cell_N, side)], dim=1).flatten(2)
        hidden = torch.einsum("nhc,ncp->nhp", weight_1.unflatten(1, (-1, canvas.shape[1])), canvas)
        hidden = functional.relu(hidden + bias_1[..., None])
        return (torch.einsum("nh,nhp->np", weight_2, hidden) + bias_2).unflatten(1, (side, side))

    def _boxes(self, raw_B4GG: Tensor) -> Tensor:
        """Turn outputs into pixel boxes around the middle of each cell."""
        reach = USUAL_SIDE * (raw_B4GG + torch.sqrt(raw_B4GG.square() + 4)) / 2  # positive, and never flat
        middle = (torch.arange(raw_B4GG.shape[-1], device=raw_B4GG.device) + 0.5) * CELL
        y, x = torch.meshgrid(middle, middle, indexing="ij")
        return torch.stack([x - reach[:, 0], y - reach[:, 1], x + reach[:, 2], y + reach[:, 3]], dim=1)


def _start(layer: nn.Conv2d, spread: float, bias: float) -> None:
    """Let a last layer say nearly the same everywhere at first; Kaiming's weights would shout."""
    nn.init.normal_(layer.weight, std=spread)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _coordinates(cell_N: Tensor, side: int) -> Tensor:
    """Return where each mask pixel lies from the middle of a cell, (N, 2, side, side)."""
    cells = side * MASK_STEP // CELL
    middle = (torch.arange(side, device=cell_N.device) + 0.5) * MASK_STEP
    x = middle[None] - ((cell_N % cells)[:, None] + 0.5) * CELL
    y = middle[None] - ((cell_N // cells)[:, None] + 0.5) * CELL
    x, y = x[:, None, :].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)
    return torch.stack([x, y], dim=1) / COORDINATE_SCALE
