"""The formats by name: how each is checked, written and read."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from datagen.config import ExportConfig
from datagen.export import coco, hub, llava, vsr, webdataset
from spatial.stream import Sample


def _anything(config: ExportConfig) -> None:
    """Accept all settings."""


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        write: writes samples into an empty folder, one after another; returns what it counted, if anything, beside
            images and records.
        read: yields the samples of such a folder again.
        settings: names of the export's settings that decide what is written.
        rows: pattern of the files that the hub shows as a table, with ``{split}`` where files are by split; "" if none.
        check: raises ConfigError where settings do not suit the format.
        places: names of the settings that say where it goes beside ``out``.
    """

    write: Callable[[Iterator[Sample], Path, ExportConfig], dict[str, int] | None]
    read: Callable[[Path], Iterator[Sample]]
    settings: tuple[str, ...]
    rows: str
    check: Callable[[ExportConfig], None] = _anything
    places: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "vsr": Format(vsr.write, vsr.read, (), "{split}.jsonl"),
    "llava": Format(llava.write, llava.read, ("seed", "templates", "turns", "copies"), "{split}.json", llava.check),
    "coco": Format(coco.write, coco.read, (), ""),
    "datasets": Format(hub.write, hub.read, (), "{split}/*.arrow", places=("push_to", "private")),
    "webdataset": Format(webdataset.write, webdataset.read, ("images_per_shard",), "*.tar", webdataset.check),
}
"""All formats by name."""
