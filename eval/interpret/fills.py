"""Fill a hole in a picture from the background around it.

Each pixel of the hole starts as the nearest one that may be copied, and is then made the mean of its neighbours over
and over, so that no seam is left in the middle. Across counts more than up and down, because floors, tables and
horizons are level. What the hole hid is not known, and nothing is made up: where the background has a pattern, the fill
is blurred.

Shapes: H height, W width.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ROUNDS = 40
"""How often every pixel of a hole becomes the mean of its neighbours."""

LEVEL = 6
"""How many pixels across are as near as one up or down."""

CROSS = ndimage.generate_binary_structure(2, 1)


def filled(pixels_HW3: NDArray[np.uint8], hole_HW: NDArray[np.bool_], taboo_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the picture with a hole filled; all other pixels stay.

    Args:
        pixels_HW3: RGB.
        hole_HW: what is replaced.
        taboo_HW: what may not be copied: objects, which would be smeared into the hole.

    Raises:
        ValueError: nothing is left that may be copied.
    """
    unknown = hole_HW | taboo_HW
    if unknown.all():
        raise ValueError("no background is left to fill a hole from")
    nearest = ndimage.distance_transform_edt(unknown, sampling=(LEVEL, 1), return_distances=False, return_indices=True)
    start = pixels_HW3[tuple(nearest)].astype(np.float64)
    copied = np.where(hole_HW[..., None], start, pixels_HW3)
    # Of the neighbours, objects count as the background that is nearest to them.
    smooth = np.where((hole_HW | ~taboo_HW)[..., None], copied, start)
    for _ in range(ROUNDS):
        padded = np.pad(smooth, ((1, 1), (1, 1), (0, 0)), mode="edge")
        beside, over = padded[1:-1, :-2] + padded[1:-1, 2:], padded[:-2, 1:-1] + padded[2:, 1:-1]
        mean = (LEVEL**2 * beside + over) / (2 * LEVEL**2 + 2)
        smooth = np.where(hole_HW[..., None], mean, smooth)
    return np.where(hole_HW[..., None], np.rint(smooth), pixels_HW3).astype(np.uint8)


def grown(mask_HW: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """Return a mask with everything that is at most ``by`` steps up, down, left or right away from it."""
    if by == 0:
        return mask_HW
    wider: NDArray[np.bool_] = ndimage.binary_dilation(mask_HW, CROSS, iterations=by)
    return wider
