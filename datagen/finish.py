"""What a picture goes through after it is drawn: a blur, and a JPEG compression."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from spatial.scene import Scene

Image = NDArray[np.float32]
WIDEST_BLUR = 8


def finish(scene: Scene, rgb: Image) -> NDArray[np.uint8]:
    """Return the pixels (H, W, 3) of a picture (3, H, W) in 0..255, blurred and compressed as the scene says.

    JPEG goes through Pillow: with another version of its JPEG library the pixels may be others. All else gives the
    same bytes everywhere.
    """
    if scene.blur > 0:
        rgb = _blurred(_blurred(rgb, scene.blur, 1), scene.blur, 2)
    pixels = np.ascontiguousarray((rgb + np.float32(0.5)).astype(np.uint8).transpose(1, 2, 0))
    return _compressed(pixels, scene.jpeg) if scene.jpeg else pixels


def _blurred(rgb: Image, sigma: float, axis: int) -> Image:
    """Blur along one axis by a normal distribution, cut off at three ``sigma``; the border is repeated."""
    reach = min(WIDEST_BLUR, math.ceil(3 * sigma))
    # Rounded, so that the last digit of the mathematics library does not matter.
    weights = [round(math.exp(-0.5 * (k / sigma) ** 2), 5) for k in range(-reach, reach + 1)]
    length = rgb.shape[axis]
    padded = np.pad(rgb, [(reach, reach) if k == axis else (0, 0) for k in range(3)], mode="edge")
    total = np.zeros_like(rgb)
    for k, weight in enumerate(weights):
        piece = padded[:, k : k + length] if axis == 1 else padded[:, :, k : k + length]
        total += np.float32(weight / sum(weights)) * piece
    return total


def _compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Pillow.fromarray(pixels).save(buffer, format="JPEG", quality=quality, subsampling=2)
    with Pillow.open(buffer) as image:
        return np.asarray(image.convert("RGB"))
