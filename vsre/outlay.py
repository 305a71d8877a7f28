"""What a step of a pipeline would take, told without doing it: nothing is loaded, fetched or written.

Each command has a planner in ``vsre.outlook.PLANNERS``. What a step makes is described to the steps that read it, so
that a pipeline can be planned on a machine that has neither its data nor its models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.plan import device_hours

HOUR = 3600.0

DEVICE = "H100"
"""What hours are of (``training.plan``)."""


@dataclass(frozen=True)
class Outlay:
    """What a step would take, and what it makes.

    Attributes:
        disk: bytes to write.
        gpu_hours: of one H100.
        core_hours: of one processor core.
        images: of the data that it makes.
        statements: of that data.
        model: configuration (``VsreConfig``) of the model that it makes.
        trained: parameters that it trains; an adapter holds so many.
        fetches: what comes over the network, with its size where that is known.
        missing: what is not here and no earlier step makes, each with the mend.
        notes: what the figures leave out, or why they are bounds.
    """

    disk: float = 0.0
    gpu_hours: float = 0.0
    core_hours: float = 0.0
    images: float = 0.0
    statements: float = 0.0
    model: Any = None
    trained: int = 0
    fetches: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Made:
    """What the earlier steps make, by output folder."""

    def __init__(self) -> None:
        self._outlays: dict[Path, Outlay] = {}

    def add(self, folder: Path, outlay: Outlay) -> None:
        """Note what a step makes; of several steps that write one folder, everything together."""
        before = self._outlays.get(folder.resolve())
        if before:
            images, statements = before.images + outlay.images, before.statements + outlay.statements
            outlay = replace(outlay, images=images, statements=statements)
        self._outlays[folder.resolve()] = outlay

    def find(self, place: str | Path) -> Outlay | None:
        """Return what will be in a folder, if an earlier step writes it or a folder around it."""
        path = Path(place).resolve()
        return next((self._outlays[it] for it in (path, *path.parents) if it in self._outlays), None)


def hours(flops: float) -> float:
    """Return the hours of one H100 for so many floating-point operations."""
    return device_hours(flops, DEVICE)


def data_of(folders: list[str] | Mapping[str, float], made: Made) -> tuple[float, float, tuple[str, ...]]:
    """Return the images and statements of dataset folders, counted by their weights, and which entries are missing.

    Files of conversations are not read, and so not counted.
    """
    from training.conversation_file import SUFFIXES

    weights = folders if isinstance(folders, Mapping) else dict.fromkeys(folders, 1.0)
    images = statements = 0.0
    missing: list[str] = []
    for name, weight in weights.items():
        if Path(name).suffix in SUFFIXES:
            if not Path(name).is_file():
                missing.append(f"conversations {name}: copy the file there, or correct 'data'")
            continue
        found = made.find(name)
        if found is None:
            rows = _rows(Path(name))
            if rows is None:
                missing.append(f"data {name}: name a dataset folder, or make it first")
                continue
            found = Outlay(images=rows[0], statements=rows[1])
        images, statements = images + weight * found.images, statements + weight * found.statements
    return images, statements, tuple(missing)


def _rows(folder: Path) -> tuple[int, int] | None:
    """Return the images and records of a dataset folder from the ends of its files; ``None`` if there are none."""
    from pyarrow.parquet import read_metadata

    counts = [
        sum(read_metadata(path).num_rows for path in folder.glob(f"{part}/*.parquet")) for part in ("images", "records")
    ]
    return (counts[0], counts[1]) if any(counts) else None
