"""Pictures as files."""

from pathlib import Path

from matplotlib.figure import Figure

from spatial.files import atomic


def save_picture(figure: Figure, path: Path, dpi: int = 130) -> Path:
    """Write a figure as PNG, whole or not at all, and return its path."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi)
    return path
