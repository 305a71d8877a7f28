"""What all plots of findings share: one colour scale around zero, and dots for what is sure.

A scale is the same for all panels of a picture, so that colours can be compared; nothing is stretched to fill it, as
NOTICE's figures are.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from eval.interpret.naming import Row
from eval.interpret.summary import LEAST_PAIRS

DOTS = f"dots: 95 % interval without 0, of {LEAST_PAIRS} pairs or more"

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#BBBBBB"

MAP = "RdBu_r"
"""Red goes the way of the clean answer, blue against it."""


def is_sure(row: Row) -> bool:
    """Tell whether the interval of an effect leaves out zero, of pairs enough."""
    low, high = row["ci95"]
    return row["pairs"] >= LEAST_PAIRS and bool(low > 0 or high < 0) and row["same"] < row["pairs"]


def colour_limit(maps: Sequence[NDArray[np.float64]]) -> float:
    """Return the end of the colour scale."""
    known = [np.abs(values[np.isfinite(values)]) for values in maps]
    return max([float(values.max()) for values in known if len(values)] + [1e-6])


def draw_dots(axes: Axes, places: Sequence[tuple[int, int]]) -> None:
    """Draw dots at columns and rows of a map."""
    if places:
        across, down = zip(*places, strict=True)
        axes.scatter(across, down, s=18, color="black", edgecolors="white", linewidths=0.6)


def draw_rings(axes: Axes, places: Sequence[tuple[int, int]]) -> None:
    """Draw rings at columns and rows of a map."""
    if places:
        across, down = zip(*places, strict=True)
        for colour, width in (("white", 3.0), ("black", 1.5)):
            axes.scatter(across, down, s=110, facecolors="none", edgecolors=colour, linewidths=width)
