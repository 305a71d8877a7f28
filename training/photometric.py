"""What happens to the pixels of a whole picture: other light and colours, blur, noise, coarse sampling, blots, bends.

A small diffusion model paints things where they belong and gets the finer points wrong in these ways. One that paints
in patches also leaves their grid in the picture.

Shapes: B pictures, H, W.
"""

import torch
from torch import Tensor
from torch.nn import functional

BLUR_REACH = 4
"""Pixels on either side that a blur takes in."""


def weathered(picture_B3HW: Tensor, seed: int, spared: float = 0.0) -> Tensor:
    """Return uint8 pictures after accidents that ``seed`` decides, each picture its own.

    Args:
        picture_B3HW: uint8.
        seed: of a generator.
        spared: share of the pictures that nothing happens to.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = (~_chosen(generator, spared, len(picture_B3HW))).nonzero()[:, 0]
    weathered_B3HW = picture_B3HW.clone()
    if len(rows):
        weathered_B3HW[rows] = _worn(picture_B3HW[rows], generator)
    return weathered_B3HW


def _worn(picture_B3HW: Tensor, generator: torch.Generator) -> Tensor:
    x = picture_B3HW.float() / 255
    x = _wobbled(x, generator)
    x = _recoloured(x, generator)
    x = _resampled(x, generator)
    x = _blurred(x, generator)
    x = _blotted(x, generator)
    x = _gridded(x, generator)
    x = _noisy(x, generator)
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _chosen(generator: torch.Generator, share: float, count: int) -> Tensor:
    return torch.rand(count, generator=generator) < share


def _recoloured(x: Tensor, generator: torch.Generator) -> Tensor:
    """Change gain, contrast, saturation, gamma and, a little, which colour is which."""
    count = len(x)
    mix = torch.eye(3) + _uniform(generator, -0.08, 0.08, count, 3, 3)
    gain = _uniform(generator, 0.8, 1.25, count, 1, 1, 1) * _uniform(generator, 0.93, 1.07, count, 3, 1, 1)
    x = torch.einsum("bij,bjhw->bihw", mix, x)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * _uniform(generator, 0.6, 1.35, count, 1, 1, 1)
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * _uniform(generator, 0.75, 1.25, count, 1, 1, 1)
    x = (x * gain + _uniform(generator, -0.06, 0.06, count, 1, 1, 1)).clamp(0, 1)
    return (x + 1e-4) ** _uniform(generator, 0.8, 1.3, count, 1, 1, 1)


def _wobbled(x: Tensor, generator: torch.Generator, share: float = 0.3) -> Tensor:
    """Bend a share of the pictures by a pixel or two."""
    rows = _chosen(generator, share, len(x)).nonzero()[:, 0]
    if len(rows) == 0:
        return x
    height, width = x.shape[2:]
    bend = torch.randn(len(rows), 2, 9, 9, generator=generator) * _uniform(generator, 0.2, 1.1, len(rows), 1, 1, 1)
    bend = functional.interpolate(bend, size=(height, width), mode="bicubic", align_corners=True)
    flow = torch.stack([bend[:, 0] * 2 / width, bend[:, 1] * 2 / height], dim=-1)
    place = functional.affine_grid(torch.eye(2, 3).expand(len(rows), 2, 3), [len(rows), 3, height, width], False)
    x[rows] = functional.grid_sample(x[rows], place + flow, padding_mode="border", align_corners=False)
    return x


def _resampled(x: Tensor, generator: torch.Generator, share: float = 0.35) -> Tensor:
    """Make a share of the pictures smaller and large again."""
    height, width = x.shape[2:]
    kind = torch.randint(0, 3, (len(x),), generator=generator)
    chosen = _chosen(generator, share, len(x))
    for index, factor in enumerate((0.75, 0.5, 0.4)):
        rows = (chosen & (kind == index)).nonzero()[:, 0]
        if len(rows):
            size = (round(height * factor), round(width * factor))
            small = functional.interpolate(x[rows], size=size, mode="bilinear", antialias=True)
            x[rows] = functional.interpolate(small, size=(height, width), mode="bilinear")
    return x


def _blurred(x: Tensor, generator: torch.Generator, share: float = 0.4) -> Tensor:
    rows = _chosen(generator, share, len(x)).nonzero()[:, 0]
    sigma = _uniform(generator, 0.4, 1.5, len(rows), 1)
    if len(rows) == 0:
        return x
    weight = torch.exp(-(torch.arange(-BLUR_REACH, BLUR_REACH + 1)[None] ** 2) / (2 * sigma**2))
    weight = (weight / weight.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = x[rows].reshape(1, -1, *x.shape[2:])
    flat = functional.pad(flat, (BLUR_REACH,) * 4, mode="replicate")
    flat = functional.conv2d(flat, weight[:, None, None, :], groups=len(weight))
    flat = functional.conv2d(flat, weight[:, None, :, None], groups=len(weight))
    x[rows] = flat.reshape(len(rows), *x.shape[1:])
    return x


def _blotted(x: Tensor, generator: torch.Generator, share: float = 0.25) -> Tensor:
    """Put a few small rectangles of one colour on a share of the pictures."""
    height, width = x.shape[2:]
    for row in _chosen(generator, share, len(x)).nonzero()[:, 0].tolist():
        for _ in range(int(torch.randint(1, 4, (1,), generator=generator))):
            size = torch.randint(3, 9, (2,), generator=generator).tolist()
            left = int(torch.randint(0, width - size[0], (1,), generator=generator))
            top = int(torch.randint(0, height - size[1], (1,), generator=generator))
            x[row, :, top : top + size[1], left : left + size[0]] = torch.rand(3, 1, 1, generator=generator)
    return x


def _gridded(x: Tensor, generator: torch.Generator, share: float = 0.25) -> Tensor:
    """Lay a pattern that repeats every few pixels over a share of the pictures, more in some places than in others."""
    rows = _chosen(generator, share, len(x)).nonzero()[:, 0]
    if len(rows) == 0:
        return x
    height, width = x.shape[2:]
    side = (2, 4, 8)[int(torch.randint(0, 3, (1,), generator=generator))]
    tile = torch.randn(len(rows), 3, side, side, generator=generator)
    pattern = tile.repeat(1, 1, -(-height // side), -(-width // side))[..., :height, :width]
    strength = torch.rand(len(rows), 1, 9, 9, generator=generator) * _uniform(generator, 0.01, 0.09, len(rows), 1, 1, 1)
    x[rows] += pattern * functional.interpolate(strength, size=(height, width), mode="bilinear", align_corners=True)
    return x


def _noisy(x: Tensor, generator: torch.Generator, share: float = 0.7) -> Tensor:
    """Add grain, and stains that are some pixels wide, to a share of the pictures."""
    count, (height, width) = len(x), x.shape[2:]
    grain = torch.randn(x.shape, generator=generator) * (_uniform(generator, 0, 0.3, count, 1, 1, 1) ** 2)
    stain = torch.randn(count, 3, 17, 17, generator=generator) * (_uniform(generator, 0, 0.28, count, 1, 1, 1) ** 2)
    stain = functional.interpolate(stain, size=(height, width), mode="bilinear", align_corners=True)
    return x + (grain + stain) * _chosen(generator, share, count)[:, None, None, None]
