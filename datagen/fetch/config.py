"""Settings of ``vsre fetch``. Standard library only, so that the command line stays quick."""

from dataclasses import dataclass, field, replace


@dataclass
class FetchConfig:
    """What to download and where to put it.

    Attributes:
        dataset: what to fetch: "vsr", or another benchmark (docs/benchmarks.md). It is the first word after the
            command: ``vsre fetch vsr``.
        out: folder to write; files in it that are whole are kept, and nothing is written outside it. "" stands for
            ``data/NAME``.
        split: how VSR was split, "zeroshot" (unseen concepts) or "random".
        parts: of VSR's "train", "dev" and "test", those to fetch.
        photos: fetch the photos that the rows are about; off fetches the annotations alone.
        annotations_url: mirror to take annotations from instead of the known addresses: a folder with
            ``zeroshot/test.jsonl``, or an address with {split} and {part} in it. Of other benchmarks a folder with
            their files and archives, or an address with {file} in it.
        photos_url: mirror to take photos from instead of the known addresses: a folder with COCO's
            ``train2017`` and ``val2017`` (or ``vg_images``), or an address with {folder} and {name} in it.
        concurrency: files under way at a time.
        retries: how often a file is tried again after a passing failure, with growing pauses.
        timeout: seconds without an answer, or without a further byte, after which an attempt is given up.
        dry_run: tell files and bytes as far as they are known, without asking a server and without writing.
    """

    dataset: str = ""
    out: str = ""
    split: str = "zeroshot"
    parts: list[str] = field(default_factory=lambda: ["dev", "test"])
    photos: bool = True
    annotations_url: str = ""
    photos_url: str = ""
    concurrency: int = 8
    retries: int = 4
    timeout: float = 30.0
    dry_run: bool = False


def with_folder(config: FetchConfig) -> FetchConfig:
    """Return the settings with the folder that is written where none is named."""
    return config if config.out else replace(config, out=f"data/{config.dataset}")
