"""Every template of the pool can be scored; a record is asked with those that suit it, and none is lost in silence."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from eval.config import DataConfig, EvalConfig
from eval.predictions import Prediction, read_predictions
from eval.run import evaluate
from spatial.dataset import DatasetFolder, write_shard
from spatial.records import ImageObject, Record
from spatial.templates import TEMPLATES, choose_templates

BOXES = (ImageObject("cup", (1, 2, 20, 22)), ImageObject("book", (25.5, 8, 50, 39)))


@pytest.fixture
def boxed(dataset: Path, tmp_path: Path) -> Path:
    """Two groups of the dataset, whose images have boxes, and a statement that is about no relation."""
    whole = DatasetFolder(dataset).record_set()
    records = [
        replace(r, subject=0, object=1, record_id="") for r in whole.records if r.group_id in ("group 0", "group 1")
    ]
    images = [replace(whole.images[name], objects=BOXES) for name in {record.image_id for record in records}]
    first = records[0]
    about = ("statement", "presence", "There is a cup in the picture.", "true")
    records.append(Record(first.image_id, first.group_id, first.role_in_group, *about, 0, split="test"))
    write_shard(tmp_path / "boxed", 0, images, records)
    return tmp_path / "boxed"


def run(checkpoint: Path, data: Path, out: Path, templates: list[str]) -> list[Prediction]:
    config = EvalConfig(str(checkpoint), DataConfig(path=str(data)), str(out), templates, bootstrap=10)
    return read_predictions(evaluate(config) / "predictions.parquet")


def test_every_template_is_scored_and_relation_templates_are_asked_of_relations(
    checkpoint: Path, boxed: Path, tmp_path: Path
) -> None:
    rows = run(checkpoint, boxed, tmp_path / "run", ["train", "held-out"])
    assert not [row.failed for row in rows if row.failed]
    asked = Counter(row.template for row in rows)
    for template in TEMPLATES.values():
        if template.task == "statement":
            assert asked[template.name] == 8 + template.suits_all, template.name
        # About one thing, or for the options and questions of benchmarks; all choices here are about two, and ours.
        if template.family == "either" or template.origin in ("adaptvis", "given"):
            assert not asked[template.name]
        elif template.task == "choice":
            # Only where the counterpart is the inverse do both pictures have the same question about the two objects.
            assert asked[template.name] == (2 if "asked" in template.slots else 4), template.name
    assert all(len(row.option_logprobs) == len(row.options) >= 2 and row.predicted in row.options for row in rows)
    assert {row.answer for row in rows if row.template == "vsre-12"} == {"A", "B"}


def test_nothing_named_means_the_core(checkpoint: Path, boxed: Path, tmp_path: Path) -> None:
    rows = run(checkpoint, boxed, tmp_path / "run", [])
    core = {name for name in choose_templates(["core"]) if TEMPLATES[name].task in ("statement", "choice")}
    assert {row.template for row in rows} == core - {"either"}


def test_a_record_that_no_template_suits_fails_by_name(checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    data = DatasetFolder(dataset).record_set()
    records = [
        replace(record, subject=0, object=1, record_id="") for record in data.records if record.task == "statement"
    ]
    half = {
        name: replace(row, objects=BOXES if index % 2 else ()) for index, (name, row) in enumerate(data.images.items())
    }
    write_shard(tmp_path / "half", 0, half.values(), records)
    rows = run(checkpoint, tmp_path / "half", tmp_path / "run", ["vsre-49", "vsre-50"])
    failed = {row.image_id: row.failed for row in rows if row.failed}
    assert set(failed) == {name for name, row in half.items() if not row.objects}
    assert set(failed.values()) == {"the boxes of its objects are not known (template vsre-49)"}
    assert len([row for row in rows if not row.failed]) == 2 * len(records) / 2
    results = json.loads((tmp_path / "run" / "results.json").read_text())["scores"][0]
    assert len(results["failed"]) == len(records) / 2
