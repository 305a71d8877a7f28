"""Pictures that answers are about, read from the data that the evaluations name, as far as it is still there."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.benchmarks import read_benchmark
from eval.config import EvalConfig
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError, UserError, first_line
from spatial.files import read_mapping
from spatial.records import ImageRow, decode_image
from vsre.config import ReportConfig
from vsre.settings import from_mapping


@dataclass(frozen=True)
class Source:
    """Data that may hold pictures: what names it, and how it is opened."""

    name: str
    images: Callable[[], Mapping[str, ImageRow]]


def sources_of(config: ReportConfig) -> list[Source]:
    """Return the data of a report, and that of its evaluations; nothing is opened yet."""
    data = config.data
    found = [Source(data, lambda: DatasetFolder(data).images)] if data else []
    return found + list(_evaluated(config.evaluations))


def _evaluated(evaluations: Mapping[str, str]) -> Iterator[Source]:
    """Yield the data of every evaluation once, however many of them read it."""
    seen: list[object] = []
    for name, folder in evaluations.items():
        data = (read_mapping(Path(folder) / "results.json") or {}).get("config", {}).get("data")
        if data not in seen:
            seen.append(data)
            yield Source(f"the data of {name}", lambda data=data: _images(data))  # type: ignore[misc]


def _images(data: object) -> Mapping[str, ImageRow]:
    """Open the pictures of an evaluation.

    Raises:
        ConfigError: its results do not say which data it read, or say it in other words than the settings of today.
        RecordError: the data cannot be read.
    """
    if not isinstance(data, dict):
        raise ConfigError("results.json does not name it")
    config: EvalConfig = from_mapping("eval", {"data": data})
    return read_benchmark(config.data).images


def find_pictures(wanted: Collection[str], sources: Sequence[Source]) -> tuple[dict[str, ImageRow], str]:
    """Look for pictures in one source after the other.

    Args:
        wanted: their ``image_id``.
        sources: where they may be; one is opened only while a picture is missing.

    Returns:
        The pictures that were found and can be decoded, and why others are not shown, in a line; "" where all are.
    """
    found: dict[str, ImageRow] = {}
    reasons = []
    for source in sources:
        if missing := [image_id for image_id in sorted(wanted) if image_id not in found]:
            try:
                images = source.images()
            except (UserError, OSError, ValueError) as error:
                reasons.append(f"{source.name} cannot be read ({first_line(error)})")
                continue
            found |= {image_id: row for image_id in missing if (row := _usable(images, image_id))}
    if len(found) == len(wanted):
        return found, ""
    why = "; ".join(reasons) or "the data does not hold them any more"
    return found, f"{len(wanted) - len(found)} of {len(wanted)} pictures are not shown: {why}."


def file_of(row: ImageRow) -> str:
    """Return what the source calls the file of a picture; "" where there is none."""
    try:
        file = json.loads(row.provenance).get("file", "")
    except (ValueError, AttributeError):
        return ""
    return file if isinstance(file, str) else ""


def _usable(images: Mapping[str, ImageRow], image_id: str) -> ImageRow | None:
    """Return a picture that can be shown, if the data has it."""
    if image_id not in images:
        return None
    try:
        row = images[image_id]
        decode_image(row.image, image_id)
    except (RecordError, OSError):
        return None
    return row
