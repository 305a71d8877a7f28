"""Where records come from: a dataset folder, VSR's released files, or another public benchmark (``eval.readers``)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from eval.config import DataConfig
from eval.readers.embspatial import read_embspatial
from eval.readers.mmbench import read_mmbench
from eval.readers.mme import read_mme
from eval.readers.parquet import read_blink, read_cv_bench
from eval.readers.seed import read_seed
from eval.readers.whatsup import read_whatsup
from eval.splits import some_groups
from spatial.dataset import DatasetFolder, RecordSet
from spatial.errors import ConfigError, RecordError, check_known, nearest
from spatial.records import TASKS, TOPICS, Record
from spatial.relations import RELATIONS
from spatial.vsr import read_vsr

VSR_ANNOTATIONS = Path(__file__).parent / "assets" / "vsr"
"""The zero-shot dev and test annotations as released (Apache-2.0), shipped so that only photos are needed."""


def read_folder(data: DataConfig) -> RecordSet:
    """Read a dataset folder, keeping the records of ``data.split`` if one is named."""
    if not data.path:
        raise ConfigError("data.path is empty; name the dataset folder to evaluate on")
    if Path(data.path).suffix in (".json", ".jsonl"):
        raise ConfigError(f"data.path is {data.path}, but no answer in a file can be scored; name a dataset folder")
    records = DatasetFolder(data.path).record_set()
    if data.split:
        return _keep(records, [row for row in records.records if row.split == data.split], f"split {data.split!r}")
    return records


def read_vsr_release(data: DataConfig) -> RecordSet:
    """Read one split of VSR, the test split unless ``data.split`` names another."""
    if not data.images:
        raise ConfigError(
            "data.images is empty; name the folder that 'vsre fetch vsr' wrote, or COCO's with train2017 and val2017"
        )
    part = data.split or "test"
    return read_vsr(annotations_of(data, part), Path(data.images), split=data.variant, part=part)


def annotations_of(data: DataConfig, part: str) -> Path:
    """Return where a part's annotations are: as named, else shipped, else beside the photos."""
    if data.annotations:
        return Path(data.annotations)
    shipped = (VSR_ANNOTATIONS / f"{data.variant}.{part}.jsonl").is_file()
    return VSR_ANNOTATIONS if shipped else Path(data.images)


BENCHMARKS: dict[str, Callable[[DataConfig], RecordSet]] = {
    "folder": read_folder,
    "vsr": read_vsr_release,
    "whatsup-a": read_whatsup,
    "whatsup-b": read_whatsup,
    "coco-spatial-one": read_whatsup,
    "coco-spatial-two": read_whatsup,
    "vg-spatial-one": read_whatsup,
    "vg-spatial-two": read_whatsup,
    "mme-position": read_mme,
    "mmbench-spatial": read_mmbench,
    "seed-spatial": read_seed,
    "blink-spatial": read_blink,
    "cv-bench-relation": read_cv_bench,
    "embspatial": read_embspatial,
}


def read_benchmark(data: DataConfig) -> RecordSet:
    """Read the records that a configuration asks for.

    Raises:
        ConfigError: unknown kind, task or topic.
        RecordError: a relation is unknown, or no record is left; the message names the filter that took the last one.
    """
    check_known("data.kind", data.kind, BENCHMARKS)
    check_names("data.tasks", data.tasks, TASKS)
    check_names("data.topics", data.topics, TOPICS)
    if data.limit < 0:
        raise ConfigError(f"data.limit is {data.limit}; use 0 for all records or a positive number")
    records = BENCHMARKS[data.kind](data)
    _check_relations(records.records)
    # The same scene drawn twice gives the same record twice; it counts once.
    records = replace(records, records=list({row.record_id: row for row in records.records}.values()))
    if data.tasks:
        kept = [row for row in records.records if row.task in data.tasks]
        records = _keep(records, kept, f"tasks {', '.join(data.tasks)}")
    if data.topics:
        kept = [row for row in records.records if row.topic in data.topics]
        records = _keep(records, kept, f"topics {', '.join(data.topics)}")
    if not (records.records or records.failed):
        raise RecordError("the benchmark has no records; check the paths under data")
    return replace(records, records=limit_groups(records.records, data.limit))


def _keep(records: RecordSet, kept: list[Record], described: str) -> RecordSet:
    if not kept and records.records:
        raise RecordError(f"none of {len(records.records)} records has {described}; widen that filter under data")
    return replace(records, records=kept)


def limit_groups(records: list[Record], limit: int) -> list[Record]:
    """Keep whole groups, a fixed pseudo-random choice, until there are ``limit`` records or more; 0 keeps all."""
    if limit == 0 or len(records) <= limit:
        return records
    kept = some_groups(records, limit)
    return [record for record in records if record.group_id in kept]


def _check_relations(records: list[Record]) -> None:
    for record in records:
        if record.relation and record.relation not in RELATIONS:
            raise RecordError(
                f"record {record.record_id} is about the unknown relation {record.relation!r}; correct its dataset"
                f"{nearest(record.relation, RELATIONS)}"
            )


def check_names(setting: str, given: list[str], known: tuple[str, ...]) -> None:
    """Check the names that a setting lists.

    Raises:
        ConfigError: one is not among the known; the nearest is named.
    """
    for name in given:
        check_known(f"name in {setting}", name, known)
